// Runs one untrusted JavaScript program and its unit tests in QuickJS, compiled to WebAssembly. Every program meets the
// same memory, so nothing of another program survives. There is no file, network or process inside: only ECMAScript, plus
// `console`, timers on a clock of their own, `structuredClone`, `module`, `exports` and a `require` of assert and util. The
// tests run in another realm and are given the program's names, never the other way round. The host evaluates them one by
// one and reads each outcome from a promise that only the harness can settle; nothing printed counts.

import type { QuickJSHandle } from "quickjs-emscripten";
import { formatJson } from "../../base/json.js";
import { BrokenTestError, type Limits, Meter, type ProgramResult, Stopped } from "./limits.js";
import { type Outcome, QuickJs } from "./quickjs.js";
import { scripts } from "./typescript.js";

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
  /** What the policy was asked: a name in it that a test uses is for the program to define. */
  prompt?: string;
  /** Every object that the program returns may answer the tests by its own methods. */
  trustsObjects?: boolean;
}

/** Equality of two canonical values, numbers within `tolerance`. */
function equalWithin(a: unknown, b: unknown, tolerance: number): boolean {
  if (typeof a === "number" && typeof b === "number") return Math.abs(a - b) <= tolerance;
  if (!Array.isArray(a) || !Array.isArray(b)) return a === b;
  return a.length === b.length && a.every((item, i) => equalWithin(item, b[i], tolerance));
}

/** Runs the compiled test; undefined when it passes, else why not. */
type RunTest = () => string | undefined;

function compileStatements(interpreter: QuickJs, code: string, lacks: Lacks): RunTest {
  // The inner block lets the test declare its own `assert`.
  const wrap = (text: string) => `(async function (assert, require, console) {{\n${text}\n}})`;
  let value: QuickJSHandle | undefined;
  let problem = "";
  for (const script of scripts(code)) {
    const compiled = interpreter.evaluate("tests", wrap(script));
    if ("error" in compiled) problem ||= interpreter.describe(compiled.error);
    else {
      value = compiled.value;
      break;
    }
  }
  if (value === undefined) throw new BrokenTestError(`a unit test does not parse: ${problem}`);
  const test = value;
  const needsConsole = interpreter.boolean(/console|\\u/.test(code));
  return () => {
    const outcome = interpreter.settle("runTest", test, needsConsole);
    if (!("error" in outcome)) return undefined;
    const lacking = interpreter.string(interpreter.harnessCall("lacking"));
    if (lacking !== "") lacks(lacking);
    return interpreter.describe(outcome.error);
  };
}

function compileCall(interpreter: QuickJs, { call, args, expected, tolerance }: CallTest): RunTest {
  const json = interpreter.text(formatJson(expected ?? null));
  const wanted = interpreter.string(interpreter.harnessCall("canonicalOf", json));
  const self = call.includes(".") ? call.slice(0, call.lastIndexOf(".")) : "undefined";
  return () => {
    const target = findCalled(interpreter, call);
    if ("error" in target) return interpreter.describe(target.error);
    const receiver = interpreter.evaluate("program", self);
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

/** A name of the program's, or one that it exports. */
function findCalled(interpreter: QuickJs, call: string): Outcome {
  const target = interpreter.evaluate("program", call);
  if (!("error" in target) || call.includes(".")) return target;
  const exported = interpreter.evaluate(
    "program",
    `if (!("${call}" in module.exports)) throw 0; module.exports.${call}`,
  );
  return "error" in exported ? target : exported;
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

/** Is told what a test lacks of its own; throws where the program cannot be to blame. */
type Lacks = (what: string) => void;

const reserved = new Set(
  `arguments as await break case catch class const continue debugger default delete do else enum eval export extends false
   finally for function if implements import in instanceof interface let new null package private protected public return
   static super switch this throw true try typeof undefined var void while with yield`.split(/\s+/),
);

/** What a test is given by these names is its own, whatever the program defines. */
const given = new Set(["assert", "require", "console"]);

interface Names {
  /** Every name that the tests might mean. */
  names: string[];
  /** Those that they read of some object; methods that the program adds to built-in objects are among them. */
  members: string[];
  /** Those that they use as classes or as objects. */
  classes: string[];
}

function namesIn(tests: readonly UnitTest[]): Names {
  const names = new Set<string>();
  const members = new Set<string>();
  const classes = new Set<string>();
  for (const test of tests) {
    if (typeof test !== "string") continue;
    // A member stands behind one dot; three are a spread.
    for (const [, dots = "", name] of test.matchAll(
      /(?:(\.+)\s*)?([\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*)/gu,
    )) {
      if (dots.length === 1) members.add(name!);
      else if (!reserved.has(name!) && !given.has(name!)) names.add(name!);
    }
    for (const [, name] of test.matchAll(/\bnew\s+([\p{ID_Start}$_][\p{ID_Continue}$]*)/gu))
      classes.add(name!);
    for (const [, name] of test.matchAll(/(?<![.\w$])([\p{ID_Start}$_][\p{ID_Continue}$]*)\s*\./gu))
      classes.add(name!);
  }
  return {
    names: [...names],
    members: [...members],
    classes: [...classes].filter((name) => names.has(name)),
  };
}

/** Hands the tests what the program defines under the names that they mention. */
function bindNames(interpreter: QuickJs, { names, members, classes }: Names, trustsAll: boolean) {
  const parts = names.map(
    (name) => `${name}: [() => typeof ${name}, () => ${name}, (v) => { ${name} = v; }]`,
  );
  const bindings = interpreter.evaluate("program", `({ __proto__: null, ${parts.join(", ")} })`);
  if ("error" in bindings) throw new Stopped(interpreter.describe(bindings.error));
  const list = interpreter.evaluate("tests", JSON.stringify([members, classes]));
  if ("error" in list) throw new Stopped("the tests' names cannot be read");
  interpreter.harnessCall("bind", bindings.value, list.value, interpreter.boolean(trustsAll));
}

/** Evaluates the program: as JavaScript if it is, else as what modules and TypeScript become. */
function load(interpreter: QuickJs, { source }: Program, again: () => void): void {
  let error: string | undefined;
  /** True when the script ran to its end; false when it does not parse. */
  const runs = (script: string, isAsync: boolean) => {
    if (error !== undefined) again();
    const outcome = isAsync ? interpreter.evaluateAsync(script) : interpreter.evaluate("program", script);
    if (!("error" in outcome)) return true;
    const description = interpreter.describe(outcome.error);
    if (!description.startsWith("SyntaxError")) throw new Stopped(description);
    error ??= description;
    return false;
  };
  for (const script of scripts(source))
    if (runs(script, false) || (/\bawait\b/.test(script) && runs(script, true))) return;
  throw new Stopped(error ?? "SyntaxError");
}

/** Runs the program and then every test. */
function runTests(interpreter: QuickJs, program: Program, meter: Meter, result: ProgramResult): void {
  const { tests, prompt = "" } = program;
  const lacks: Lacks = (what) => {
    const name = /^name (.+)$/.exec(what)?.[1];
    const isAsked = name !== undefined && (prompt.includes(name) || !found.names.some(isDefined));
    if (!isAsked)
      throw new BrokenTestError(`a unit test is broken: ${name ? `nothing is named ${name}` : what}`);
  };
  const isDefined = (name: string) =>
    !("error" in interpreter.evaluate("program", `if (typeof ${name} === "undefined") throw 0`));
  const found = namesIn(tests);
  const compile = () =>
    tests.map((test) =>
      typeof test === "string" ? compileStatements(interpreter, test, lacks) : compileCall(interpreter, test),
    );
  let compiled = compile();
  load(interpreter, program, () => {
    interpreter.reset(meter);
    compiled = compile();
  });
  bindNames(interpreter, found, program.trustsObjects ?? false);
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
      runTests(interpreter, program, meter, result);
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
