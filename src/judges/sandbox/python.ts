// Runs one untrusted Python program and its unit tests, each in an interpreter of its own (see python-harness.ts for why
// there are two). Standard input and output are compared here, outside both.

import type { Interpreter } from "./interpreter.js";
import { BrokenTestError, type Limits, Meter, type ProgramResult, Stopped } from "./limits.js";
import { newMarker, readAnswer } from "./protocol.js";

export interface PythonCallTest {
  /** Function of the program, or method of its class `Solution`. */
  call: string;
  args: readonly unknown[];
  expected: unknown;
  /** Largest difference between numbers. */
  tolerance: number;
  /** APPS puts some expected values into a list of one. */
  wrapped: boolean;
}

/** The program is run as a script on this input and must print this output. */
export interface StdinTest {
  stdin: string;
  stdout: string;
}

/** Statements that raise when the program is wrong, one call, or one run on some input. */
export type PythonTest = string | PythonCallTest | StdinTest;

export interface PythonProgram {
  source: string;
  /** Statements that run before the tests, with the program's names at hand. */
  setup: string;
  tests: readonly PythonTest[];
}

/** Ordinary code comes to some 120,000 interrupt checks a second. */
const checksPerFuel = 40;

/** Interrupts that a program may swallow before its thread ends. */
const maxSwallowed = 5_000;

export interface Interpreters {
  program: Interpreter;
  tests: Interpreter;
  /** Ends this thread, from inside of WebAssembly: the program does not let itself be interrupted. */
  end(result: ProgramResult): void;
}

const isStdinTest = (test: PythonTest): test is StdinTest => typeof test === "object" && "stdin" in test;

const shown = (text: string) => {
  const line = text.trim().replace(/\s+/g, " ");
  return line.length > 80 ? `${line.slice(0, 80)}...` : line;
};

/** The error that a script ended with. */
function errorIn(answer: string): string | undefined {
  const { error } = readAnswer(answer);
  return error === undefined ? undefined : String(error);
}

const numberTolerance = 1e-6;

function sameToken(a: string, b: string): boolean {
  if (a === b) return true;
  // Integers have to be right in every digit; a fraction may be printed with other digits.
  if (!/^[-+]?\d*\.\d+(?:e[-+]?\d+)?$/i.test(b) || !/^[-+]?[\d.]+(?:e[-+]?\d+)?$/i.test(a)) return false;
  const [x, y] = [Number(a), Number(b)];
  return Math.abs(x - y) <= numberTolerance * Math.max(1, Math.abs(y));
}

/** Equality of printed output: by words, whatever the white space between them. */
export function sameOutput(printed: string, expected: string): boolean {
  const [a, b] = [printed, expected].map((text) => text.split(/\s+/).filter((word) => word !== ""));
  return a!.length === b!.length && a!.every((word, i) => sameToken(word, b![i]!));
}

/** One program and its tests, from the first statement to the verdict. */
class Run {
  readonly result: ProgramResult;
  readonly meter: Meter;
  private printed = "";
  private swallowed = 0;

  constructor(
    private readonly program: PythonProgram,
    private readonly limits: Limits,
    private readonly interpreters: Interpreters,
  ) {
    this.meter = new Meter(limits, checksPerFuel);
    this.result = { passed: false, reason: "", passes: 0, ran: 0, total: program.tests.length };
  }

  all(): void {
    const { tests } = this.program;
    this.resetTests();
    this.resetProgram();
    this.askTests({
      action: "prepare",
      setup: this.program.setup,
      tests: tests.filter((test) => !isStdinTest(test)),
    });
    if (!tests.every(isStdinTest)) this.loadProgram();
    let index = 0;
    for (const test of tests) {
      this.result.ran++;
      const problem = isStdinTest(test) ? this.runScript(test) : this.runTest(index++, test);
      if (problem === undefined) this.result.passes++;
      else this.result.reason ||= `test ${this.result.ran} of ${this.result.total}: ${problem}`;
    }
    this.result.passed = this.result.passes === this.result.total;
  }

  private check(): boolean {
    const isOver = this.meter.check();
    if (isOver && ++this.swallowed > maxSwallowed) {
      this.interpreters.end({ ...this.result, reason: this.meter.exceeded! });
    }
    return isOver;
  }

  private stopIfOver(answer: string | undefined): asserts answer is string {
    if (this.meter.exceeded !== undefined) throw new Stopped(this.meter.exceeded);
    if (answer === undefined) throw this.broken();
  }

  private broken(): Stopped {
    const { refused } = this.interpreters.program;
    return new Stopped(
      refused === undefined
        ? "the program broke its interpreter"
        : `the program reached out of the sandbox (${refused})`,
    );
  }

  private resetProgram(): void {
    this.printed = "";
    this.interpreters.program.reset(this.limits.memoryMb, {
      check: () => this.check(),
      print: (bytes) => {
        this.meter.print(bytes.length);
        if (this.meter.exceeded === undefined) this.printed += bytes;
        return this.meter.exceeded === undefined;
      },
    });
  }

  private resetTests(): void {
    this.interpreters.tests.reset(this.limits.memoryMb, {
      check: () => this.check(),
      print: () => true,
      ask: (line) => this.askProgram(line.trimEnd()),
    });
  }

  private askTests(message: unknown): Record<string, unknown> {
    const answer = this.interpreters.tests.request(JSON.stringify(message));
    if (this.interpreters.tests.stopped !== undefined) throw this.interpreters.tests.stopped;
    this.stopIfOver(answer);
    const outcome = JSON.parse(answer) as Record<string, unknown>;
    if (outcome.broken !== undefined) throw new BrokenTestError(`a unit test is broken: ${outcome.broken}`);
    return outcome;
  }

  private askProgram(line: string, input = ""): string {
    const answer = this.interpreters.program.request(line, input);
    this.stopIfOver(answer);
    readAnswer(answer);
    return answer;
  }

  private loadProgram(): void {
    const loaded = this.askProgram(JSON.stringify({ action: "load", source: this.program.source }));
    const { error } = this.askTests({ action: "begin", loaded, setup: this.program.setup });
    if (error !== undefined) throw new Stopped(`the program raises ${error}`);
  }

  private runTest(index: number, test: string | PythonCallTest): string | undefined {
    const marker = newMarker();
    const { passed, problem } = this.askTests({ action: "run", index, marker });
    if (passed === marker && problem === undefined) return undefined;
    return `${shown(typeof test === "string" ? test : `${test.call}(...)`)}: ${problem}`;
  }

  private runScript({ stdin, stdout }: StdinTest): string | undefined {
    this.resetProgram();
    const answer = this.askProgram(JSON.stringify({ action: "script", source: this.program.source }), stdin);
    const error = errorIn(answer);
    if (error !== undefined) return `it raises ${error}`;
    const printed = Buffer.from(this.printed, "latin1").toString();
    if (sameOutput(printed, stdout)) return undefined;
    return `it prints "${shown(printed)}", not "${shown(stdout)}"`;
  }
}

/** Runs `program` and then every test. Throws a BrokenTestError when a test or the setup itself fails. */
export function runPython(program: PythonProgram, limits: Limits, interpreters: Interpreters): ProgramResult {
  const run = new Run(program, limits, interpreters);
  try {
    run.all();
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    return { ...run.result, passed: false, reason: run.meter.exceeded ?? error.message };
  }
  return run.result;
}
