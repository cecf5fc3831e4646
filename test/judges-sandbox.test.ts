// The JavaScript sandbox against programs that are wrong, hostile, or merely unusual.

import { afterAll, describe, expect, test } from "vitest";
import { createMember } from "../src/judges/registry.js";
import type { UnitTest } from "../src/judges/sandbox/javascript.js";
import { SandboxPool } from "../src/judges/sandbox/pool.js";
import { verdictFrom } from "../src/judges/verdict.js";

const pool = new SandboxPool(1);
afterAll(() => pool.close());

const limits = { fuel: 2000, memoryMb: 32, outputChars: 10_000, seconds: 20 };
const hasty = { ...limits, seconds: 0.2 };

const addTests: UnitTest[] = [
  "assert.strictEqual(await add(1, 2), 3)",
  { call: "add", args: [2, 2], expected: 4, tolerance: 0 },
];

/** Tells what a program finds: the global names, the first random number, how deep it can recurse, a clean large array. */
const look = `const look = () => {
  let depth = 0;
  const down = () => { depth++; down(); };
  try { down(); } catch {}
  return [Object.getOwnPropertyNames(globalThis).length, Math.random(), depth, new Array(1e5).fill(7)[99999]];
};`;
const lookTest: UnitTest = { call: "look", args: [], expected: null, tolerance: 0 };

const run = (source: string, tests: readonly UnitTest[] = addTests, bounds = limits) =>
  pool.run({ source, tests }, bounds);

describe("programs that are right", () => {
  test.each([
    ["a function", "function add(a, b) { return a + b; }"],
    ["a constant", "const add = (a, b) => a + b;"],
    ["an export", "export const add = (a, b) => a + b;\nexport default add;"],
    ["CommonJS", "function add(a, b) { return a + b; }\nmodule.exports = { add };"],
    ["TypeScript", "type N = number;\nfunction add(a: N, b: N): N { return (a + b) as N; }"],
    ["an async function", "async function add(a, b) { await null; return a + b; }"],
    ["printing", "function add(a, b) { console.log('adding', { a, b }); return a + b; }"],
    [
      "recursion that catches its overflow",
      "function add(a, b) { try { return add(a, b); } catch { return a + b; } }",
    ],
    [
      "objects that shadow built-in properties",
      `function Point(x) { this.x = x; }
       Point.prototype.toString = function () { return "p" + this.x; };
       Point.prototype.constructor = Point;
       class Odd extends Error { constructor(m) { super(m); this.name = "Odd"; this.message = m + "!"; } }
       const o = {}; o.valueOf = () => 5; o.hasOwnProperty = 1;
       function add(a, b) { return String(new Point(1)) === "p1" && new Odd("x").message === "x!" && o + 1 === 6 ? a + b : 0; }`,
    ],
  ])("%s", async (_, source) => {
    expect(await run(source)).toEqual({ passed: true, reason: "", passes: 2, ran: 2, total: 2 });
  });

  test("results of every type are compared deeply", async () => {
    const source = `const make = (kind) => ({ map: new Map([["b", 1], ["a", [2]]]), set: new Set([1, 2]), date: new Date(5),
      nan: NaN, zero: -0, none: undefined, big: 12n, regexp: /a/g, nested: { b: { c: [1, { d: 2 }] }, a: 1 } })[kind];`;
    const tests = [
      'assert.deepEqual(make("map"), new Map([["a", [2]], ["b", 1]]))',
      'assert.deepEqual(make("set"), new Set([2, 1]))',
      'assert.deepEqual(make("date"), new Date(5))',
      'assert.deepEqual([make("nan"), make("zero"), make("none"), make("big")], [NaN, 0, undefined, 12n])',
      'assert.deepEqual(make("regexp"), /a/g)',
      'assert.deepEqual(make("nested"), { a: 1, b: { c: [1, { d: 2 }] } })',
      'assert.notDeepEqual(make("nested"), { a: 1, b: { c: [1, { d: 3 }] } })',
      'assert.throws(() => make.nothing(), TypeError); assert.throws(() => { throw new Error("odd one") }, /odd/)',
      'const assert = require("node:assert"); assert(make("big") === 12n)',
      'console.assert(make("big") === 12n)',
      "assert.closeTo(0.1 + 0.2, 0.3)",
      "await assert.rejects(Promise.reject(new RangeError('x')), RangeError)",
    ];
    expect(await run(source, tests)).toMatchObject({ passed: true, passes: tests.length });
  });

  test("calls take a tolerance, dotted names and state from one test to the next", async () => {
    const source =
      "class Counter { n = 0; up() { return ++this.n; } }\nconst counter = new Counter(); const third = () => [1 / 3];";
    const tests: UnitTest[] = [
      { call: "counter.up", args: [], expected: 1, tolerance: 0 },
      { call: "counter.up", args: [], expected: 2, tolerance: 0 },
      { call: "third", args: [], expected: [0.333], tolerance: 0.01 },
    ];
    expect(await run(source, tests)).toMatchObject({ passed: true });
    expect(await run(source, [{ call: "third", args: [], expected: [0.333], tolerance: 0 }])).toMatchObject({
      passed: false,
      reason: expect.stringContaining("third() gave"),
    });
  });

  test("time and chance are the same in every run", async () => {
    const source =
      "const draw = () => [Math.random(), Date.now(), new Date().toString(), new Date(2020, 0, 1).getTime()];";
    const tests: UnitTest[] = [{ call: "draw", args: [], expected: null, tolerance: 0 }];
    const [first, second] = [await run(source, tests), await run(source, tests)];
    expect(first).toEqual(second);
    expect(first.reason).toContain("1767225600000");
    expect(first.reason).toContain("GMT+0000");
  });
});

describe("programs that are wrong or hostile", () => {
  const other = new SandboxPool(1);
  const fresh = other.run({ source: look, tests: [lookTest] }, limits);
  afterAll(() => other.close());

  test("an interpreter that has run nothing is what every program finds", async () => {
    expect((await fresh).reason).toMatch(
      /^test 1 of 1: look\(\) gave \["array",\d+,0\.\d+,\d{5},7\], expected null$/,
    );
  });

  test.each([
    ["wrong result", "function add(a, b) { return a - b; }", "got -1, expected 3"],
    ["syntax error", "function add(a, b { return a; }", "SyntaxError"],
    ["nothing defined", "1;", "'add' is not defined"],
    ["endless loop", "for (;;) {}", "work limit"],
    ["endless loop in a test", "function add() { for (;;) {} }", "work limit"],
    [
      "loop that catches",
      "function add() { for (;;) { try { for (;;) {} } catch {} finally { for (;;) {} } } }",
      "work limit",
    ],
    ["endless promise jobs", "async function add() { for (;;) await 0; }", "work limit"],
    ["promise that never settles", "function add() { return new Promise(() => {}); }", "never settles"],
    [
      "endless generator",
      "function* numbers() { for (;;) yield 1; }\nfunction add() { return [...numbers()].length; }",
      "",
    ],
    [
      "endless iterator in a result",
      "function add() { return new Proxy([], { get: (t, k) => (k === 'length' ? 2 ** 32 : 0) }); }",
      "",
    ],
    ["memory", "const all = []; for (;;) all.push('x'.repeat(100000) + all.length);", "out of memory"],
    ["memory of strings", "let s = 'x'; for (;;) s += s;", "string too long"],
    ["memory of buffers", "const all = []; for (;;) all.push(new ArrayBuffer(1 << 20));", "out of memory"],
    ["deep recursion", "function add() { return add(); }", "RangeError: Maximum call stack size exceeded"],
    [
      "deep recursion in native code",
      "let x = []; for (let i = 0; i < 1e5; i++) x = [x]; JSON.stringify(x);",
      "",
    ],
    ["deep nesting in the parser", "eval('['.repeat(1e6));", ""],
    ["slow regular expression", "/(a+)+$/.test('a'.repeat(40) + 'b');", "work limit"],
    ["output", "for (;;) console.log('tests passed '.repeat(100));", "output limit"],
    [
      "forged output",
      "console.log('2 of 2 tests passed'); function add() { return 0; }",
      "got 0, expected 3",
    ],
    [
      "own assert",
      "var assert = () => {}; assert.strictEqual = () => {}; globalThis.assert = assert; function add() {}",
      "expected 3",
    ],
    ["changed built-in", "'use strict'; Math.abs = () => 0;", "'add' is not defined"],
    ["changed prototype", "'use strict'; Array.prototype.includes = () => true;", "'add' is not defined"],
    ["changed Object.prototype", "'use strict'; Object.prototype.toJSON = () => 3;", "'add' is not defined"],
    ["shadowed built-in", "const JSON = { stringify: () => '3' };", "'add' is not defined"],
    ["thenable", "function add() { return { then(resolve) { resolve(0); } }; }", "expected 3"],
    ["weird throw", "throw { get name() { throw 1; }, get message() { for (;;) {} } };", ""],
    ["proxy throw", "throw new Proxy({}, { get() { throw 1; }, ownKeys() { throw 2; } });", ""],
    [
      "endless getter",
      "function add() { return { get x() { for (;;) {} }, valueOf() { for (;;) {} } }; }",
      "",
    ],
    ["endless toString", "function add() { throw { toString() { for (;;) {} } }; }", ""],
    ["process", "process.exit(0);", "'process' is not defined"],
    ["environment", "function add() { return process.env.PATH; }", "'process' is not defined"],
    [
      "process through a constructor",
      "this.constructor.constructor('return process')().exit(0);",
      "'process' is not defined",
    ],
    ["process through console", "console.log.constructor('return process')();", "'process' is not defined"],
    ["file system", "const fs = require('fs'); fs.readFileSync('/etc/passwd');", "Cannot find module 'fs'"],
    ["import declaration", "import fs from 'fs'; fs.readFileSync('/etc/passwd');", "Cannot find module 'fs'"],
    ["dynamic import", "function add() { return import('fs').then(() => 3); }", ""],
    ["network", "fetch('http://127.0.0.1/');", "'fetch' is not defined"],
    [
      "host scope",
      "function add() { return typeof WebAssembly + typeof Buffer + typeof std + typeof os + typeof postMessage; }",
      "undefinedundefined",
    ],
  ])("%s", async (_, source, reason) => {
    const result = await run(source);
    expect(result.passed).toBe(false);
    expect(result.reason).toContain(reason);
    expect(await run(look, [lookTest])).toEqual(await fresh);
  });

  test("a loop inside a built-in, which no interpreter check interrupts, is killed; the next program runs", async () => {
    const stuck = await run("Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);", addTests, hasty);
    expect(stuck.reason).toContain("was killed");
    expect(await run("const add = (a, b) => a + b;")).toMatchObject({ passed: true });
  });

  test("pollution, sloppy and silent, passes no test that rests on built-ins", async () => {
    const attempts = [
      "Math.abs = () => 0",
      'JSON.stringify = () => "[1,2]"',
      "Object.is = () => true",
      "Array.prototype.includes = Array.prototype.every = () => true",
      "Object.defineProperty(Array.prototype, 'includes', { value: () => true })",
      "Array.prototype.toJSON = () => 1",
      "Object.prototype.toJSON = () => 1",
      'Array.prototype[Symbol.toPrimitive] = () => "x"',
      'Array.prototype.toString = () => "1,2"',
      "Object.prototype.equals = () => true",
      "Function.prototype.call = () => true",
      "Promise.prototype.then = () => {}",
      "Object.setPrototypeOf(Array.prototype, { includes: () => true })",
      "Array.prototype.__proto__ = { equals: () => true }",
      "Object.getPrototypeOf(async () => {}).constructor.prototype = {}",
      "Array = function () { return { length: 2 }; }",
      "delete Array.prototype.includes",
    ];
    const source = `${attempts.map((attempt) => `try { ${attempt}; } catch {}`).join("\n")} function f() { return [9]; }`;
    const tests = [
      "assert(Math.abs(f()[0] - 1) < 1e-6)",
      "assert(JSON.stringify(f()) === JSON.stringify([1, 2]))",
      "assert(Object.is(f()[0], 1))",
      "assert(f().includes(1))",
      "assert(f().every((x) => x === 1))",
      "assert(String(f()) === String([1, 2]))",
      "assert(f().equals([1, 2]))",
      "assert.deepEqual(f(), [1, 2])",
      "await Promise.resolve(); assert.equal(f().length, 2)",
    ];
    expect(await run(source, tests)).toMatchObject({ passes: 0, ran: tests.length });
  });

  test("an assertion that the program swallows still fails its test", async () => {
    const source = "function each(list, check) { for (const x of list) try { check(x); } catch {} }";
    const result = await run(source, ["each([1, -1], (x) => assert(x > 0, 'positive'))"]);
    expect(result).toMatchObject({ passed: false, reason: expect.stringContaining("positive") });
  });

  test("one program sees nothing of another", async () => {
    await run("globalThis.secret = 1; try { Array.prototype.secret = 1; } catch {}");
    const tests = ["assert(typeof secret === 'undefined' && [].secret === undefined)"];
    expect(await run("", tests)).toMatchObject({ passed: true });
  });
});

test("a unit test that does not parse is nobody's violation", async () => {
  await expect(run("const add = 1;", ["assert("])).rejects.toThrow("a unit test does not parse");
});

test("an abort kills the program", async () => {
  const controller = new AbortController();
  const running = pool.run(
    { source: "for (;;) {}", tests: addTests },
    { ...limits, fuel: 1e9 },
    controller.signal,
  );
  setTimeout(() => controller.abort(new Error("enough")), 50);
  await expect(running).rejects.toThrow("enough");
});

test("many programs in a row leak no memory", { timeout: 120_000 }, async () => {
  const programs = [
    "const add = (a, b) => a + b;",
    "const x = []; for (;;) x.push({});",
    "function add() { return add(); }",
  ];
  const small = { ...limits, fuel: 20 };
  const runMany = async (count: number) => {
    for (let i = 0; i < count; i++) await run(programs[i % programs.length]!, addTests, small);
  };
  await runMany(60);
  const before = process.memoryUsage().rss;
  await runMany(150);
  expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
});

describe("the code judge", () => {
  const judge = async (
    response: string,
    metadata: Record<string, unknown>,
    entry: Record<string, unknown> = {},
  ) => {
    const { judge } = await createMember({ kind: "code", ...entry }, { baseDir: "." });
    return verdictFrom(judge, { prompt: "p", response, truncated: false, metadata });
  };
  const unit_tests = ["assert(cube(3) === 27)", { call: "cube", args: [5], expected: 125 }];
  const fenced = (source: string, language = "js") => `Sure:\n\`\`\`${language}\n${source}\n\`\`\`\nDone.`;

  test("runs the fenced block", async () => {
    expect(await judge(fenced("const cube = (x) => x ** 3;"), { unit_tests })).toMatchObject({
      verdict: "satisfied",
      evidence: { passed: 2, total: 2 },
    });
    expect(
      await judge(fenced("const cube = (x: number) => x ** 3;", "typescript"), { unit_tests }),
    ).toMatchObject({
      verdict: "satisfied",
    });
  });

  test("violated: no block, another language, hard-coded answers", async () => {
    expect(await judge("const cube = (x) => x ** 3;", { unit_tests })).toMatchObject({ verdict: "violated" });
    expect(await judge(fenced("def cube(x): return x ** 3", "python"), { unit_tests })).toMatchObject({
      verdict: "violated",
    });
    const hardCoded = fenced("const cube = (x) => ({ 1: 1, 2: 8, 3: 27 })[x];");
    expect(await judge(hardCoded, { unit_tests })).toMatchObject({
      verdict: "violated",
      reason: expect.stringContaining("test 2 of 2"),
    });
  });

  test("the block to take is an option", async () => {
    const response = `${fenced("const cube = (x) => x;")}\n${fenced("const cube = (x) => x ** 3;")}`;
    expect(await judge(response, { unit_tests })).toMatchObject({ verdict: "violated" });
    expect(await judge(response, { unit_tests }, { block: "last" })).toMatchObject({ verdict: "satisfied" });
  });

  test("broken metadata is a failure, missing metadata does not apply", async () => {
    expect(await judge(fenced("1"), { unit_tests: [{ cal: "x" }] })).toMatchObject({ verdict: "failed" });
    expect(await judge(fenced("1"), { unit_tests: ["assert("] })).toMatchObject({ verdict: "failed" });
    expect(await judge(fenced("1"), {})).toBeUndefined();
    const asText = JSON.stringify(unit_tests);
    expect(await judge(fenced("const cube = (x) => x ** 3;"), { unit_tests: asText })).toMatchObject({
      verdict: "satisfied",
    });
  });
});
