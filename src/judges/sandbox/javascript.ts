// Runs one untrusted JavaScript program and its unit tests in QuickJS, compiled to WebAssembly. Every program meets the
// same memory, so nothing of another program survives. There is no file, network, process or clock inside: only
// ECMAScript, plus `console`, `module` and `exports`. The host evaluates the tests one by one and reads each outcome from
// a promise that only the harness can settle; nothing printed counts.

import { transform } from "sucrase";
import { formatJson } from "../../base/json.js";
import { BrokenTestError, type Limits, Meter, type ProgramResult, Stopped } from "./limits.js";
import { QuickJs } from "./quickjs.js";

export interface CallTest {
  /** Name of a function that the program defines; a dotted path reaches methods of objects. */
  call: string;
  args: readonly unknown[];
  /** Compared deeply with what the call returns, or resolves to. */
  expected: unknown;
  /** Largest difference between numbers. */
  tolerance: number;
}

/** Statements that throw when the program is wrong, with `assert` of Node's kind at hand; or one call. */
export type UnitTest = string | CallTest;

export interface Program {
  source: string;
  tests: readonly UnitTest[];
}

/** The program as a script: types stripped, `export` turned into assignments to `exports`. */
export function toScript(source: string): string {
  const hasModuleSyntax = /^\s*(?:export|import)\b/m.test(source);
  try {
    return transform(source, {
      transforms: hasModuleSyntax ? ["typescript", "imports"] : ["typescript"],
      disableESTransforms: true,
    }).code;
  } catch {
    // QuickJS gives the better message, and accepts what the transformer is too strict for.
    return source;
  }
}

/** Equality of two canonical values, numbers within `tolerance`. */
function equalWithin(a: unknown, b: unknown, tolerance: number): boolean {
  if (typeof a === "number" && typeof b === "number") return Math.abs(a - b) <= tolerance;
  if (!Array.isArray(a) || !Array.isArray(b)) return a === b;
  return a.length === b.length && a.every((item, i) => equalWithin(item, b[i], tolerance));
}

/** Runs the compiled test; undefined when it passes, else why not. */
type RunTest = () => string | undefined;

function compileStatements(interpreter: QuickJs, code: string): RunTest {
  // The inner block lets the test declare its own `assert`.
  const wrapped = `(async function (assert, require, console) {{\n${code}\n}})`;
  const compiled = interpreter.evaluate(wrapped, "test");
  if ("error" in compiled)
    throw new BrokenTestError(`a unit test does not parse: ${interpreter.describe(compiled.error)}`);
  return () => {
    const outcome = interpreter.settle("runTest", compiled.value);
    return "error" in outcome ? interpreter.describe(outcome.error) : undefined;
  };
}

function compileCall(interpreter: QuickJs, { call, args, expected, tolerance }: CallTest): RunTest {
  const wanted = interpreter.canonicalOf(expected);
  const self = call.includes(".") ? call.slice(0, call.lastIndexOf(".")) : "undefined";
  return () => {
    const target = interpreter.evaluate(call, "test");
    if ("error" in target) return interpreter.describe(target.error);
    const receiver = interpreter.evaluate(self, "test");
    if ("error" in receiver) return interpreter.describe(receiver.error);
    const argumentsText = interpreter.text(formatJson(args));
    const outcome = interpreter.settle("call", target.value, receiver.value, argumentsText);
    if ("error" in outcome) return interpreter.describe(outcome.error);
    const got = interpreter.string(outcome.value);
    if (got === wanted || (tolerance > 0 && equalWithin(JSON.parse(got), JSON.parse(wanted), tolerance))) {
      return undefined;
    }
    const shown = got.length > 80 ? `${got.slice(0, 80)}...` : got;
    return `${call}(${formatJson(args).slice(1, -1).slice(0, 80)}) gave ${shown}, expected ${wanted.slice(0, 80)}`;
  };
}

/** What only a program can bring about: traps of its WebAssembly instance, strings too long for the host. */
function trap(error: unknown): string | undefined {
  if (error instanceof Stopped) return error.message;
  if (error instanceof RangeError && /call stack/i.test(error.message))
    return "the program recursed too deeply";
  if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError)
    return "the program exhausted the sandbox";
  return undefined;
}

/** Runs the program and then every test. */
function runTests(interpreter: QuickJs, { source, tests }: Program, result: ProgramResult): void {
  const compiled = tests.map((test) =>
    typeof test === "string" ? compileStatements(interpreter, test) : compileCall(interpreter, test),
  );
  const outcome = interpreter.evaluate(toScript(source), "program");
  if ("error" in outcome) throw new Stopped(interpreter.describe(outcome.error));
  for (const test of compiled) {
    result.ran++;
    const problem = test();
    if (problem === undefined) result.passes++;
    else result.reason ||= `test ${result.ran} of ${result.total}: ${problem}`;
  }
  result.passed = result.passes === result.total;
}

/**
 * Runs one program after the other. What it returns throws a BrokenTestError when a test does not even parse. An
 * interpreter serves the next program as well, unless this one broke it or made its memory grow.
 */
export function javaScriptRunner(
  wasmModule: WebAssembly.Module,
): (program: Program, limits: Limits) => Promise<ProgramResult> {
  let spare: QuickJs | undefined;
  return async (program, limits) => {
    const interpreter =
      spare?.memoryMb === limits.memoryMb ? spare : await QuickJs.start(wasmModule, limits.memoryMb);
    spare = undefined;
    const meter = new Meter(limits);
    const total = program.tests.length;
    const result: ProgramResult = { passed: false, reason: "", passes: 0, ran: 0, total };
    let isWhole = true;
    try {
      interpreter.reset(meter);
      runTests(interpreter, program, result);
    } catch (error) {
      isWhole = error instanceof Stopped || error instanceof BrokenTestError;
      const reason = meter.exceeded ?? trap(error);
      if (reason === undefined) throw error;
      return { ...result, reason };
    } finally {
      if (isWhole && !interpreter.hasGrown) spare = interpreter;
    }
    return result;
  };
}
