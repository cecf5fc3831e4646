// Runs one untrusted Python program and its unit tests, each in an interpreter of its own (see python-harness.ts for why
// there are two). Standard input and output are compared here, outside both.

import { exactJson } from "./exact-json.js";
import type { Interpreter } from "./interpreter.js";
import { BrokenTestError, carriedShare, type Limits, Meter, type ProgramResult, Stopped } from "./limits.js";
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
  /** Definitions that the tests rest on, whatever the program makes of their names. */
  helpers?: string;
  /** The function that the tests are about, where the row names it. */
  entry?: string;
  /** What the program was asked for; names in it are the program's to define. */
  prompt?: string;
  /** A program that is right, if the row has one: tests that it passes are not broken. */
  reference?: string;
  /** Tests may do with any object of the program what they like. */
  allowsObjects?: boolean;
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

/** JSON text of a call: whole numbers in all their digits. */
function callText({ call, args, expected, tolerance, wrapped }: PythonCallTest): string {
  const fields = { call, args, expected: expected ?? null, tolerance, wrapped };
  return exactJson(fields);
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
    const inTests = tests.filter((test): test is string | PythonCallTest => !isStdinTest(test));
    if (inTests.length > 0) this.load(inTests);
    const outcomes = new Map<PythonTest, string | BrokenTestError | undefined>();
    const runAll = (some: readonly PythonTest[], run: (i: number) => string | BrokenTestError | undefined) =>
      some.forEach((test, i) => {
        this.result.ran++;
        const outcome = run(i);
        outcomes.set(test, outcome);
        if (outcome === undefined) this.result.passes++;
      });
    runAll(inTests, (i) => this.runTest(i, inTests[i]!));
    // Each input meets a fresh program, so these come last.
    const scripts = tests.filter(isStdinTest);
    runAll(scripts, (i) => this.runScript(scripts[i]!));
    this.conclude(outcomes);
  }

  /** A test that fails counts whatever else is broken; a broken one counts when all the others pass. */
  private conclude(outcomes: ReadonlyMap<PythonTest, string | BrokenTestError | undefined>): void {
    const { tests } = this.program;
    const failed = tests.findIndex((test) => typeof outcomes.get(test) === "string");
    if (failed >= 0) {
      this.result.reason = `test ${failed + 1} of ${tests.length}: ${outcomes.get(tests[failed]!) as string}`;
      return;
    }
    const broken = [...outcomes.values()].find((outcome) => outcome instanceof BrokenTestError);
    if (broken) throw broken;
    this.result.passed = this.result.passes === this.result.total;
  }

  private check(isCarrying: boolean): boolean {
    const isOver = this.meter.check(isCarrying ? carriedShare : 1);
    if (isOver && ++this.swallowed > maxSwallowed) {
      this.interpreters.end({ ...this.result, reason: this.meter.exceeded! });
    }
    return isOver;
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
      check: (isCarrying) => this.check(isCarrying),
      print: (bytes) => {
        this.meter.print(bytes.length);
        if (this.meter.exceeded === undefined) this.printed += bytes;
        return this.meter.exceeded === undefined;
      },
    });
  }

  private resetTests(): void {
    this.interpreters.tests.reset(this.limits.memoryMb, {
      check: (isCarrying) => this.check(isCarrying),
      print: () => true,
      ask: (line) => this.pass(line),
    });
  }

  /** Passes a request of the tests on to the program, and its answer back. */
  private pass(line: string): string {
    const { number, request, violation } = JSON.parse(line) as {
      number: number;
      request?: { stdin?: string };
      violation?: string;
    };
    if (violation !== undefined) throw new Stopped(`the program is not what it seems: ${violation}`);
    const text = /^\{"number":\d+,"request":(.*)\}\n$/s.exec(line)![1]!;
    this.printed = "";
    const answer = this.askProgram(text, { input: request?.stdin ?? "" });
    const printed = Buffer.from(this.printed, "latin1").toString();
    return `{"number":${number},"printed":${JSON.stringify(printed)},"answer":${answer}}\n`;
  }

  private askTests(message: string): Record<string, unknown> {
    const { tests } = this.interpreters;
    const answer = tests.request(message);
    if (tests.stopped !== undefined) throw tests.stopped;
    if (this.meter.exceeded !== undefined) throw new Stopped(this.meter.exceeded);
    if (answer === undefined) throw new Stopped("the program's results broke the interpreter of its tests");
    const outcome = JSON.parse(answer) as Record<string, unknown>;
    if (outcome.broken !== undefined) throw new BrokenTestError(`a unit test is broken: ${outcome.broken}`);
    return outcome;
  }

  private askProgram(line: string, how: { input?: string; isLast?: boolean } = {}): string {
    const answer = this.interpreters.program.request(line, how);
    if (this.meter.exceeded !== undefined) throw new Stopped(this.meter.exceeded);
    if (answer === undefined) throw this.broken();
    readAnswer(answer);
    return answer;
  }

  /** Says to the tests' side what the tests are, and to the program's which of its names they mean. */
  private load(tests: readonly (string | PythonCallTest)[]): void {
    const { source, setup, helpers = "", entry = "", prompt = "", reference = "" } = this.program;
    const texts = tests.map((test) => (typeof test === "string" ? JSON.stringify(test) : callText(test)));
    const fields = { action: "prepare", setup, helpers, entry, prompt, reference };
    const row = { ...fields, objects: this.program.allowsObjects ?? false };
    this.resetTests();
    const { names } = this.askTests(`${JSON.stringify(row).slice(0, -1)},"tests":[${texts.join()}]}`);
    this.resetProgram();
    const loaded = this.askProgram(JSON.stringify({ action: "load", source, names }));
    const { problem, error } = this.askTests(`{"action":"begin","loaded":${loaded}}`);
    if (error !== undefined) throw new Stopped(`the program raises ${error}`);
    if (problem !== undefined) throw new Stopped(`with the program, the tests' setup raises ${problem}`);
  }

  private runTest(index: number, test: string | PythonCallTest): string | BrokenTestError | undefined {
    const marker = newMarker();
    let outcome: Record<string, unknown>;
    try {
      outcome = this.askTests(JSON.stringify({ action: "run", index, marker }));
    } catch (error) {
      if (error instanceof BrokenTestError) return error;
      throw error;
    }
    const { passed, problem } = outcome;
    if (passed === marker && problem === undefined) return undefined;
    return `${shown(typeof test === "string" ? test : `${test.call}(...)`)}: ${problem}`;
  }

  private runScript({ stdin, stdout }: StdinTest): string | undefined {
    this.resetProgram();
    const request = JSON.stringify({ action: "script", source: this.program.source });
    const { error, chain } = readAnswer(this.askProgram(request, { input: stdin, isLast: true }));
    if (error !== undefined && !isCleanExit(chain, error)) return `it raises ${error}`;
    const printed = Buffer.from(this.printed, "latin1").toString();
    if (sameOutput(printed, stdout)) return undefined;
    return `it prints "${shown(printed)}", not "${shown(stdout)}"`;
  }
}

/** `sys.exit()` or `sys.exit(0)`. */
const isCleanExit = (chain: unknown, error: unknown) =>
  Array.isArray(chain) && chain[0] === "SystemExit" && /^SystemExit(?:: (?:0|None))?$/.test(String(error));

function outcomeOf(program: PythonProgram, limits: Limits, interpreters: Interpreters): ProgramResult {
  const run = new Run(program, limits, interpreters);
  try {
    run.all();
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    return { ...run.result, passed: false, reason: run.meter.exceeded ?? error.message };
  }
  return run.result;
}

/** Whether the row's own program passes the tests: then they are not broken, whatever another makes them look like. */
function holdsForReference(program: PythonProgram, limits: Limits, interpreters: Interpreters): boolean {
  if (!program.reference) return false;
  try {
    return outcomeOf({ ...program, source: program.reference }, limits, interpreters).passed;
  } catch (error) {
    if (error instanceof BrokenTestError) return false;
    throw error;
  }
}

/** Runs `program` and then every test. Throws a BrokenTestError when a test or the setup itself fails. */
export function runPython(program: PythonProgram, limits: Limits, interpreters: Interpreters): ProgramResult {
  try {
    return outcomeOf(program, limits, interpreters);
  } catch (error) {
    if (!(error instanceof BrokenTestError) || !holdsForReference(program, limits, interpreters)) throw error;
    const reason = `the tests hold for the row's own program, and with this one ${error.message}`;
    return { passed: false, reason, passes: 0, ran: 0, total: program.tests.length };
  }
}
