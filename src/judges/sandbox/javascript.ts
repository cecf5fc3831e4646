// Runs one untrusted JavaScript program and its unit tests in QuickJS, compiled to WebAssembly. Every program gets its
// own WebAssembly instance, so no memory is shared with another program or survives it. There is no file, network,
// process or clock inside: only ECMAScript, plus `console`, `module` and `exports`. The host evaluates the tests one by
// one and reads each outcome from a promise that only the harness can settle; nothing printed counts.

import {
  newQuickJSWASMModule,
  newVariant,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSRuntime,
  type QuickJSWASMModule,
  RELEASE_SYNC,
} from "quickjs-emscripten";
import { transform } from "sucrase";
import { harnessSource } from "./harness.js";
import { BrokenTestError, type Limits, Meter, type ProgramResult, Stopped } from "./limits.js";

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

const nativeStackBytes = 256 * 1024;

/** Promise jobs that cost as much as one interrupt check: short ones never reach the interpreter's own. */
const jobsPerCheck = 200;

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

const pagesPerMb = 16;

/**
 * A fresh instance of the interpreter whose memory cannot grow past the limit. (The interpreter's own memory limit
 * does not see the size of blocks in WebAssembly.)
 */
function instantiate(wasmModule: WebAssembly.Module, memoryMb: number): Promise<QuickJSWASMModule> {
  const initial = 16 * pagesPerMb;
  const wasmMemory = new WebAssembly.Memory({ initial, maximum: initial + Math.ceil(memoryMb * pagesPerMb) });
  return newQuickJSWASMModule(newVariant(RELEASE_SYNC, { wasmModule, wasmMemory }));
}

/** One program in one interpreter. Handles are not freed one by one: the whole instance goes. */
class Interpreter {
  private readonly runtime: QuickJSRuntime;
  private readonly context: QuickJSContext;
  private readonly harness: QuickJSHandle;

  constructor(
    module: QuickJSWASMModule,
    private readonly meter: Meter,
  ) {
    this.runtime = module.newRuntime();
    this.runtime.setMaxStackSize(nativeStackBytes);
    this.context = this.runtime.newContext();
    const write = this.context.newFunction("write", (line) => {
      meter.print(this.context.getString(line).length);
    });
    const create = this.context.unwrapResult(
      this.context.evalCode(harnessSource, "harness", { type: "global" }),
    );
    this.harness = this.context.unwrapResult(
      this.context.callFunction(create, this.context.undefined, write),
    );
    this.runtime.setInterruptHandler(() => meter.check());
  }

  /** Value of a script, or what it threw. */
  evaluate(source: string, name: string): { value: QuickJSHandle } | { error: QuickJSHandle } {
    const result = this.context.evalCode(source, name, { type: "global" });
    this.stopIfExceeded();
    return result.error ? { error: result.error } : { value: result.value };
  }

  /** Calls an asynchronous function of the harness and runs the job queue until its promise settles. */
  settle(name: string, ...args: QuickJSHandle[]): { value: QuickJSHandle } | { error: QuickJSHandle } {
    const method = this.context.getProp(this.harness, name);
    const result = this.context.callFunction(method, this.context.undefined, ...args);
    this.stopIfExceeded();
    if (result.error) return { error: result.error };
    for (;;) {
      const state = this.context.getPromiseState(result.value);
      if (state.type === "fulfilled") return { value: state.value };
      if (state.type === "rejected") return { error: state.error };
      if (!this.runtime.hasPendingJob()) throw new Stopped("a promise never settles");
      this.runtime.executePendingJobs(jobsPerCheck);
      this.meter.check();
      this.stopIfExceeded();
    }
  }

  /** One line about a thrown value. */
  describe(error: QuickJSHandle): string {
    const method = this.context.getProp(this.harness, "describe");
    const result = this.context.callFunction(method, this.context.undefined, error);
    this.stopIfExceeded();
    return result.error ? "it threw something that cannot be shown" : this.context.getString(result.value);
  }

  canonicalOf(value: unknown): string {
    const method = this.context.getProp(this.harness, "canonicalOf");
    const json = this.context.newString(JSON.stringify(value ?? null));
    return this.context.getString(
      this.context.unwrapResult(this.context.callFunction(method, this.context.undefined, json)),
    );
  }

  text(value: string): QuickJSHandle {
    return this.context.newString(value);
  }

  string(handle: QuickJSHandle): string {
    return this.context.getString(handle);
  }

  private stopIfExceeded(): void {
    if (this.meter.exceeded !== undefined) throw new Stopped(this.meter.exceeded);
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

function compileStatements(interpreter: Interpreter, code: string): RunTest {
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

function compileCall(interpreter: Interpreter, { call, args, expected, tolerance }: CallTest): RunTest {
  const wanted = interpreter.canonicalOf(expected);
  const self = call.includes(".") ? call.slice(0, call.lastIndexOf(".")) : "undefined";
  return () => {
    const target = interpreter.evaluate(call, "test");
    if ("error" in target) return interpreter.describe(target.error);
    const receiver = interpreter.evaluate(self, "test");
    if ("error" in receiver) return interpreter.describe(receiver.error);
    const argumentsText = interpreter.text(JSON.stringify(args));
    const outcome = interpreter.settle("call", target.value, receiver.value, argumentsText);
    if ("error" in outcome) return interpreter.describe(outcome.error);
    const got = interpreter.string(outcome.value);
    if (got === wanted || (tolerance > 0 && equalWithin(JSON.parse(got), JSON.parse(wanted), tolerance))) {
      return undefined;
    }
    const shown = got.length > 80 ? `${got.slice(0, 80)}...` : got;
    return `${call}(${JSON.stringify(args).slice(1, -1).slice(0, 80)}) gave ${shown}, expected ${wanted.slice(0, 80)}`;
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

/** Runs `program` and then every test. Throws a BrokenTestError when a test does not even parse. */
export async function runJavaScript(
  { source, tests }: Program,
  limits: Limits,
  wasmModule: WebAssembly.Module,
): Promise<ProgramResult> {
  const meter = new Meter(limits);
  const result: ProgramResult = { passed: false, reason: "", passes: 0, ran: 0, total: tests.length };
  try {
    const interpreter = new Interpreter(await instantiate(wasmModule, limits.memoryMb), meter);
    const compiled = tests.map((test) =>
      typeof test === "string" ? compileStatements(interpreter, test) : compileCall(interpreter, test),
    );
    const outcome = interpreter.evaluate(toScript(source), "program");
    if ("error" in outcome) return { ...result, reason: interpreter.describe(outcome.error) };
    for (const test of compiled) {
      result.ran++;
      const problem = test();
      if (problem === undefined) result.passes++;
      else if (result.reason === "") result.reason = `test ${result.ran} of ${result.total}: ${problem}`;
    }
  } catch (error) {
    const reason = meter.exceeded ?? trap(error);
    if (reason === undefined) throw error;
    return { ...result, reason };
  }
  return { ...result, passed: result.passes === result.total };
}
