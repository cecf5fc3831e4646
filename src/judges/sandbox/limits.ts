// What a program may use up, whatever its language, and how its run is reported.

export interface Limits {
  /**
   * Work that a program and its tests may do together, in interrupt checks of the interpreter (for JavaScript one in some
   * 5,000 loop iterations or calls; a thousand take about a third of a second). It does not depend on the machine's speed.
   */
  fuel: number;
  /** On top of the interpreter's own (JavaScript 16 MiB, Python 30 MiB). */
  memoryMb: number;
  /** Characters that the program may print. */
  outputChars: number;
  /** Wall-clock bound for program and tests; the thread is killed a little later if it does not stop by itself. */
  seconds: number;
}

export interface ProgramResult {
  passed: boolean;
  /** What stopped the program, or what the first failing test says. */
  reason: string;
  /** Tests that passed and tests that were run, out of all. */
  passes: number;
  ran: number;
  total: number;
}

/** A unit test itself is broken: nothing can be said about the program. */
export class BrokenTestError extends Error {
  override name = "BrokenTestError";
}

/** What ended a program before its tests were through. */
export class Stopped extends Error {}

/** What a check counts while a value is carried from one interpreter to the other: our work, and its size is bounded. */
export const carriedShare = 1 / 32;

/** Counts the interpreter's interrupt checks and the printed characters, and says which limit was exceeded. */
export class Meter {
  exceeded: string | undefined;
  private checks = 0;
  private printed = 0;
  private readonly deadline: number;

  /** `checksPerFuel`: interrupt checks of this interpreter that cost one unit of fuel. */
  constructor(
    private readonly limits: Limits,
    private readonly checksPerFuel = 1,
  ) {
    this.deadline = performance.now() + 1000 * limits.seconds;
  }

  /** True tells the interpreter to stop, uncatchably. */
  check(weight = 1): boolean {
    this.checks += weight;
    if (this.checks > this.limits.fuel * this.checksPerFuel)
      this.exceeded ??= "the program did not end within its work limit";
    if (performance.now() > this.deadline) this.exceeded ??= "the program did not end within its time limit";
    return this.exceeded !== undefined;
  }

  print(chars: number): void {
    this.printed += chars;
    if (this.printed > this.limits.outputChars)
      this.exceeded ??= "the program printed more than its output limit";
  }
}
