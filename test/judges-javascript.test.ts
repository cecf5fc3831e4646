// What the JavaScript sandbox means by assert, console, timers and TypeScript, compared with Node; and what crosses
// between the tests' realm and the program's.

import nodeAssert from "node:assert";
import { Console } from "node:console";
import { Writable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { UnitTest } from "../src/judges/sandbox/javascript.js";
import { Meter } from "../src/judges/sandbox/limits.js";
import { compileQuickJs, SandboxPool } from "../src/judges/sandbox/pool.js";
import { QuickJs } from "../src/judges/sandbox/quickjs.js";
import { families, hostileProgram } from "./hostile-javascript.js";

const limits = { fuel: 5000, memoryMb: 64, outputChars: 100_000, seconds: 60 };
const pool = new SandboxPool(1);
afterAll(() => pool.close());
const run = (source: string, tests: readonly UnitTest[], prompt = "") =>
  pool.run({ source, tests, prompt }, limits);

let interpreter: QuickJs;
beforeAll(async () => {
  interpreter = await QuickJs.start(await compileQuickJs(), 64);
});

/** What a script prints in the sandbox, by stream. */
function printedInside(source: string): string[] {
  const printed = ["", ""];
  interpreter.reset(new Meter({ ...limits, fuel: 1e6, seconds: 1e4 }));
  interpreter.onPrint = (stream, text) => {
    printed[stream - 1] += text;
  };
  const outcome = interpreter.evaluate("program", source);
  if ("error" in outcome) throw new Error(interpreter.describe(outcome.error));
  return printed;
}

/** What it prints in Node. */
function printedByNode(source: string): string[] {
  const printed = ["", ""];
  const sink = (i: number) =>
    new Writable({
      write(chunk, _, done) {
        printed[i] += String(chunk);
        done();
      },
    });
  const console = new Console({ stdout: sink(0), stderr: sink(1) });
  new Function("console", source)(console);
  return printed;
}

describe("console", () => {
  const scripts = [
    "console.log('a', 1, -0, 2n, true, null, undefined, Symbol('s'))",
    "console.log({ a: 1, b: 'x', 'c-d': [1, 2, { e: { f: { g: 1 } } }] })",
    "console.log([1, , 3], [undefined, null], new Array(3), [[[[1]]]])",
    "console.log(Array.from({ length: 120 }, (_, i) => i))",
    "console.log(Array.from({ length: 30 }, (_, i) => 'item ' + i))",
    "console.log(new Map([['a', { b: 1 }], [2, [3]]]), new Set([1, 'x', {}]), new Map(), new Set())",
    "console.log(new Date(0), new Date(NaN), /a\\/b/gi, Object.create(null))",
    "console.log(function f() {}, () => {}, class A {}, class B extends Map {}, async () => {}, function* g() {})",
    "class P { constructor() { this.x = 1 } get y() { return 2 } } console.log(new P(), [new P()], { p: new P() })",
    "const o = { n: 1 }; o.self = o; o.list = [o]; console.log(o)",
    "console.log({ get a() { return 1 }, set a(v) {}, get b() { return 1 }, [Symbol('k')]: 2 })",
    "console.log('%s is %d years, %i, %f, %j, %o %O %% %c done', 'Al', 42.5, 42.9, '1.5', { a: 1 }, [1], { b: { c: {} } }, 'css', 'rest', { x: 1 })",
    "console.log('%s', 1n, '%s', null); console.log('%d', '0x10'); console.log('100%', 5); console.log('%s'); console.log('%x', 1)",
    "console.log(\"it's\", [\"it's\", 'a\"b', 'line\\nbreak', '\\t\\\\'])",
    "console.log({ long: 'x'.repeat(60), other: 'y'.repeat(30), third: [1, 2, 3] })",
    "console.log(new Uint8Array([1, 2, 3]), new Float64Array(2), new Number(3), new String('abc'), new Boolean(false))",
    "console.error('to stderr', 1); console.warn('too'); console.info('out'); console.debug('out')",
    "console.group('G'); console.log('in\\nside'); console.group(); console.log({ a: 1 }); console.groupEnd(); console.groupEnd(); console.log('out')",
    "console.count(); console.count('x'); console.count(); console.countReset(); console.count()",
    "console.table([{ a: 1, b: 'x' }, { a: 2, c: true }]); console.table([[1, 2], [3, 4]]); console.table([1, 'b']); console.table(5)",
    "console.table([{ a: 1, b: 2 }], ['b']); console.table({ r: { v: 1 }, s: { v: 2 } })",
    "console.assert(true, 'no'); console.assert(false, 'value %d', 5); console.assert(false); console.assert(false, { a: 1 })",
    "console.dir({ a: { b: { c: { d: 1 } } } }, { depth: 0 }); console.log({ a: { b: { c: { d: 1 } } } })",
    "console.log([1.5, 22.25, 333, 4, 5, 6, 7, 8], ['a', 'bb', 'ccc', 'd', 'e', 'f', 'g', 'hh'])",
    "console.log([{ id: 1, name: 'Alice', tags: ['x', 'y'] }, { id: 2, name: 'Bob', tags: [] }])",
    "console.log(Promise.resolve === undefined, [,'x'], Object.assign([1], { k: 2 }), [['a', 1], ['b', 2]])",
  ];
  test.each(scripts)("%s", (source) => {
    expect(printedInside(source)).toEqual(printedByNode(source));
  });

  test("a test may put its own function in console's place", async () => {
    const test =
      "const lines = []; console.log = (...a) => lines.push(a.join(' ')); hello('A'); assert.deepEqual(lines, ['hi A'])";
    expect(await run("const hello = (n) => console.log('hi', n)", [test])).toMatchObject({ passed: true });
  });
});

describe("assert", () => {
  /** Whether it holds, by name and message of what it throws. */
  const values = [
    "0",
    "-0",
    "NaN",
    "1",
    "'1'",
    "true",
    "null",
    "undefined",
    "1n",
    "''",
    "[]",
    "[1]",
    "[1, 2]",
    "['1']",
    "[,]",
    "[undefined]",
    "({})",
    "({ a: 1 })",
    "({ a: '1' })",
    "({ a: undefined })",
    "({ a: { b: [1] } })",
    "Object.create(null)",
    "new Date(0)",
    "new Date(1)",
    "/a/",
    "/a/g",
    "new Map([[1, 2]])",
    "new Map([['1', 2]])",
    "new Map([[{ k: 1 }, 2]])",
    "new Set([1])",
    "new Set(['1'])",
    "new Set([{ a: 1 }])",
    "new Set([[1], [2]])",
    "new Set([[2], [1]])",
    "new Error('x')",
    "new TypeError('x')",
    "new Error('y')",
    "new Number(1)",
    "new String('1')",
    "new Uint8Array([1])",
    "new Uint8Array([2])",
    "new Int8Array([1])",
    "new (class A { constructor() { this.a = 1 } })()",
    "({ a: 1, [Symbol.for('s')]: 1 })",
    "Object.assign([1], { k: 1 })",
    "(() => { const o = {}; o.o = o; return o })()",
    "new Float64Array([0])",
    "new Float64Array([-0])",
  ];
  const methods = ["equal", "strictEqual", "deepEqual", "deepStrictEqual"];

  test("agrees with Node on every pair of values", { timeout: 600_000 }, () => {
    const chosen = values.filter((_, i) => i % 2 === 0);
    const body = `
      const values = [${chosen.map((v) => `() => (${v})`).join(", ")}];
      const out = [];
      for (const method of ${JSON.stringify(methods)})
        for (let i = 0; i < values.length; i++) for (let j = 0; j < values.length; j++) {
          try { assert[method](values[i](), values[j]()); out.push("."); } catch (e) { out.push(e.code === "ERR_ASSERTION" ? "x" : "?"); }
        }
      return out.join("");`;
    const inside = printedInside(
      `const assert = require("assert"); console.log((() => {${body}})())`,
    )[0]!.trim();
    const outside = new Function("assert", body)(nodeAssert) as string;
    const n = chosen.length;
    const differing: string[] = [];
    for (let k = 0; k < outside.length; k++)
      if (inside[k] !== outside[k])
        differing.push(
          `${methods[Math.floor(k / n / n)]}(${chosen[Math.floor(k / n) % n]}, ${chosen[k % n]}): Node ${outside[k]}`,
        );
    expect(differing).toEqual([]);
    expect(inside.length).toBe(outside.length);
  });

  const calls = [
    "assert.equal(1, 2)",
    "assert.notEqual(1, 1)",
    "assert.strictEqual(1, '1')",
    "assert.strictEqual('a', 'b', 'mine')",
    "assert.notStrictEqual(1, 1)",
    "assert.deepEqual([1], [1])",
    "assert.fail()",
    "assert.fail('own')",
    "assert(0, 'zero')",
    "assert.ok(null, new TypeError('own'))",
    "assert.match('abc', /x/)",
    "assert.match('abc', /b/)",
    "assert.doesNotMatch('abc', /b/)",
    "assert.doesNotMatch('abc', /x/)",
    "assert.ifError(null)",
    "assert.ifError(new Error('bad'))",
    "assert.ifError(0)",
    "assert.throws(() => {})",
    "assert.throws(() => {}, TypeError)",
    "assert.throws(() => {}, 'text')",
    "assert.throws(() => { throw new TypeError('t') }, TypeError)",
    "assert.throws(() => { throw new TypeError('t') }, RangeError)",
    "assert.throws(() => { throw new Error('abc') }, /b/)",
    "assert.throws(() => { throw new Error('abc') }, /x/)",
    "assert.throws(() => { throw new Error('abc') }, { message: 'abc' })",
    "assert.throws(() => { throw new Error('abc') }, { name: 'Error', message: /b/ })",
    "assert.throws(() => { throw new Error('abc') }, (e) => e.message === 'abc')",
    "assert.throws(() => { throw new Error('abc') }, () => false)",
    "assert.throws(() => { throw 5 }, (e) => e === 5)",
    "assert.throws(() => { throw new Error('same') }, 'same')",
    "assert.throws('no function')",
    "assert.doesNotThrow(() => 1)",
    "assert.doesNotThrow(() => { throw new Error('z') })",
    "assert.doesNotThrow(() => { throw new Error('z') }, 'why')",
    "assert.equal(1)",
    "assert.strict.equal(1, '1')",
    "assert.strict.deepEqual([1], ['1'])",
    "assert.deepEqual({ a: 1 }, { a: '1' })",
    "assert.strictEqual(NaN, NaN)",
    "assert.notDeepStrictEqual({ a: 1 }, { a: 1 })",
    "assert.throws(() => { throw new Error('e') }, new Error('e'))",
    "assert.throws(() => { throw new Error('e') }, new Error('f'))",
  ];
  test("throws what Node throws", () => {
    const body = (call: string) =>
      `try { ${call}; return "holds" } catch (e) { return [e.name, e.code, e.operator, e.generatedMessage, e instanceof Error, String(e.message).split("\\n")[0]].join("|") }`;
    const inside = (call: string) =>
      printedInside(
        `const assert = require("node:assert"); console.log((() => {${body(call)}})())`,
      )[0]!.trim();
    const outside = (call: string) => new Function("assert", body(call))(nodeAssert) as string;
    expect(calls.map((call) => [call, inside(call)])).toEqual(calls.map((call) => [call, outside(call)]));
  });

  test("has every method of Node's", () => {
    const known = Object.keys(nodeAssert).filter(
      (name) => name !== "CallTracker" && name !== "Assert" && name !== "partialDeepStrictEqual",
    );
    expect(
      printedInside(
        `console.log(${JSON.stringify(known)}.filter((n) => typeof require("assert")[n] !== "function").join())`,
      )[0],
    ).toBe("\n");
  });

  test("rejects and doesNotReject wait", async () => {
    const tests = [
      "await assert.rejects(later(true), /late/); await assert.doesNotReject(later(false))",
      "await assert.rejects(assert.rejects(later(false)), { code: 'ERR_ASSERTION' })",
      "await assert.rejects(() => later(true), Error)",
    ];
    const source =
      "const later = (bad) => new Promise((ok, no) => setTimeout(() => bad ? no(new Error('late')) : ok(1), 50));";
    expect(await run(source, tests)).toMatchObject({ passed: true });
    expect(await run(source, ["await assert.rejects(later(false))"])).toMatchObject({ passed: false });
  });
});

describe("TypeScript", () => {
  test.each<[string, unknown]>([
    ["enum C { A, B = 5, D }\nconst r = C[5] + C.D;", "B6"],
    ['enum C { A = "x" }\nconst r = C.A;', "x"],
    ["const enum C { A = 1 << 2, B = A | 1 }\nconst r = C.B;", 5],
    ["namespace N { export let a = 1 }\nnamespace N { export const b = a + 1 }\nconst r = N.b;", 2],
    ["function F() { return 1 }\nnamespace F { export const v = 2 }\nconst r = F() + F.v;", 3],
    [
      "class P { constructor(private readonly x: number, public y = 2) {} s() { return this.x + this.y } }\nconst r = new P(1).s();",
      3,
    ],
    [
      "function d(v: any, c: ClassMethodDecoratorContext) { return function (this: any, ...a: any[]) { return v.apply(this, a) + 1 } }\nclass A { @d f(x: number) { return x } }\nconst r = new A().f(1);",
      2,
    ],
    [
      "function d(t: any, k: string, p: PropertyDescriptor) { const o = p.value; p.value = function (...a: any[]) { return o.apply(this, a) * 2 }; return p }\nclass A { @d f(x: number) { return x } }\nconst r = new A().f(4);",
      8,
    ],
    ["const o = { a: 1 } satisfies Record<string, number>;\nconst r = o.a;", 1],
    ["const f = <T,>(x: T): T => x;\nconst r = f<number>(3);", 3],
    ["declare const zz: number;\ndeclare function q(): void;\nconst r = typeof zz;", "undefined"],
    ['import type { A } from "a";\nimport { type B } from "b";\nexport type { A };\nexport const r = 1;', 1],
    [
      "abstract class S { abstract area(): number; d() { return this.area() * 2 } }\nclass Q extends S { area() { return 2 } }\nconst r = new Q().d();",
      4,
    ],
    [
      "function f(a: string): string;\nfunction f(a: number): number;\nfunction f(a: any) { return a }\nconst r = f(2);",
      2,
    ],
    ["class A { accessor x = 4 }\nconst r = new A().x;", 4],
    ["let r = 0;\n{ using y = { [Symbol.dispose]() { r = 7 } }; }", 7],
    ["function add() { return 2 }\nexport = add;\nconst r = add();", 2],
    ["namespace A { export const b = 3 }\nimport b = A.b;\nconst r = b;", 3],
    [
      "export default class Stack<T> { private items: T[] = []; push = (x: T): this => { this.items.push(x); return this } }\nexport const r: number = 1;",
      1,
    ],
    ["const a = 1, b = 2, c = 3;\nconst r = a < b || b > (c);", true],
    ["/*\n import the numbers\n*/\nr = 5;", 5],
    ["const x = await Promise.resolve(6);\nexport const r = x;", 6],
  ])("%s", async (source, expected) => {
    expect(await run(source, [`assert.strictEqual(r, ${JSON.stringify(expected)})`])).toMatchObject({
      passed: true,
      reason: "",
    });
  });
});

describe("between the realms", () => {
  test.each<[string, string, string]>([
    [
      "arguments changed in place",
      "function sort(a) { a.sort((x, y) => x - y) }",
      "const a = [3, 1]; sort(a); assert.deepEqual(a, [1, 3])",
    ],
    [
      "the same array comes back",
      "const f = (a) => { a.push(1); return a }",
      "const a = []; assert.strictEqual(f(a), a); assert.equal(a.length, 1)",
    ],
    [
      "defensive copies",
      "const l = [1]; const get = () => [...l]; const size = () => l.length",
      "get().push(2); assert.equal(size(), 1)",
    ],
    [
      "shared lists",
      "const l = [1]; const get = () => l; const size = () => l.length",
      "get().push(2); assert.equal(size(), 2)",
    ],
    [
      "classes",
      "class S { #x = []; push(v) { this.#x.push(v); return this } pop() { return this.#x.pop() } get size() { return this.#x.length } }",
      "const s = new S(); s.push(1).push(2); assert.equal(s.pop(), 2); assert.equal(s.size, 1); assert(s instanceof S)",
    ],
    [
      "factories",
      "const make = () => { const l = []; return { push: (v) => { l.push(v) }, pop: () => l.pop(), get size() { return l.length } } }",
      "const s = make(); s.push(1); s.push(2); assert.equal(s.pop(), 2); assert.equal(s.size, 1)",
    ],
    [
      "functions that return functions",
      "const curry = (f) => (a) => (b) => f(a, b)",
      "assert.equal(curry((a, b) => a + b)(1)(2), 3)",
    ],
    [
      "custom errors",
      "class Odd extends Error { constructor(m) { super(m); this.name = 'Odd'; this.code = 5 } } const f = () => { throw new Odd('x') }",
      "assert.throws(f, Odd); assert.throws(f, { name: 'Odd', code: 5, message: 'x' }); try { f() } catch (e) { assert(e instanceof Odd && e instanceof Error) }",
    ],
    [
      "built-in errors",
      "const f = () => null.x; const g = () => { throw new RangeError('r') }",
      "assert.throws(f, TypeError); assert.throws(g, RangeError)",
    ],
    [
      "generators",
      "function* g(n) { for (let i = 0; i < n; i++) yield i }",
      "assert.deepEqual([...g(3)], [0, 1, 2]); const i = g(2); assert.deepEqual(i.next(), { value: 0, done: false }); assert.deepEqual(g(4).map((x) => x * 2).toArray(), [0, 2, 4, 6])",
    ],
    [
      "async generators",
      "async function* g() { yield 1; yield 2 }",
      "const all = []; for await (const v of g()) all.push(v); assert.deepEqual(all, [1, 2])",
    ],
    [
      "own iterables",
      "class R { constructor(n) { this.n = n } *[Symbol.iterator]() { for (let i = 0; i < this.n; i++) yield i } }",
      "assert.deepEqual([...new R(3)], [0, 1, 2])",
    ],
    [
      "maps, sets, dates",
      "const f = () => new Map([['a', new Set([1])]]); const d = () => new Date(5)",
      "assert.deepStrictEqual(f(), new Map([['a', new Set([1])]])); assert(f() instanceof Map); assert.equal(d().getTime(), 5)",
    ],
    [
      "subclasses of Map and Array",
      "class M extends Map { twice(k) { return this.get(k) * 2 } } class L extends Array { last() { return this[this.length - 1] } }",
      "const m = new M(); m.set('a', 2); assert.equal(m.twice('a'), 4); assert.equal(m.size, 1); const l = new L(); l.push(1, 2); assert.equal(l.last(), 2); assert.equal(l.length, 2)",
    ],
    [
      "timers",
      "const sleep = (ms) => new Promise((r) => setTimeout(r, ms)); async function f() { const t = Date.now(); await sleep(100); return Date.now() - t }",
      "assert.equal(await f(), 100)",
    ],
    [
      "debounce",
      "function debounce(f, ms) { let t; return (...a) => { clearTimeout(t); t = setTimeout(() => f(...a), ms) } }",
      "const got = []; const d = debounce((x) => got.push(x), 50); d(1); d(2); await new Promise((r) => setTimeout(r, 100)); assert.deepEqual(got, [2])",
    ],
    [
      "extensions of built-ins",
      "Array.prototype.last = function () { return this.at(-1) ?? -1 }; String.prototype.shout = function () { return this + '!' }",
      "assert.equal([1, 2].last(), 2); assert.equal('a'.shout(), 'a!')",
    ],
    ["exports", "module.exports = { add: (a, b) => a + b }", "assert.equal(add(1, 2), 3)"],
    [
      "an abstract class, extended by the test",
      "class Shape { area() { throw new Error('abstract') } twice() { return this.area() * 2 } }",
      "class Q extends Shape { area() { return 3 } } assert.equal(new Q().twice(), 6)",
    ],
    [
      "text of objects",
      "class P { constructor(x) { this.x = x } toString() { return `P${this.x}` } } const f = () => new P(2)",
      "assert.equal(String(new P(1)), 'P1'); assert.equal(`${f()}`, 'P2'); assert.equal(f().toString(), 'P2')",
    ],
    [
      "proxies",
      "const f = (o) => new Proxy(o, { get: (t, k) => k in t ? t[k] : 0 })",
      "assert.equal(f({ a: 1 }).a, 1); assert.equal(f({}).b, 0)",
    ],
    ["deep recursion", "const d = (n) => n === 0 ? 0 : 1 + d(n - 1)", "assert.equal(d(10000), 10000)"],
    [
      "the stack's end",
      "const f = () => { try { return f() } catch (e) { return e instanceof RangeError && e.name } }",
      "assert.equal(f(), 'RangeError')",
    ],
    [
      "a frozen argument",
      "const f = (o) => { 'use strict'; try { o.x = 1; return false } catch { return true } }",
      "assert(f(Object.freeze({ a: 1 })))",
    ],
    [
      "node's habits",
      "const assert = require('assert'); assert.equal(1, 1); if (require.main === module) throw 1; const f = () => structuredClone({ a: [1] })",
      "assert.deepEqual(f(), { a: [1] })",
    ],
    [
      "modules of the test",
      "const f = () => 1",
      "import { strict as a } from 'node:assert'; a.equal(f(), 1)",
    ],
  ])("%s", async (_, source, test) => {
    expect(await run(source, [test])).toMatchObject({ passed: true, reason: "" });
  });

  test("a hundred thousand numbers cost little", async () => {
    const source =
      "const f = (n) => Array.from({ length: n }, (_, i) => i); const sum = (a) => a.reduce((x, y) => x + y, 0)";
    const tests: UnitTest[] = [
      "const a = f(100000); assert.equal(a.length, 100000); assert.equal(sum(a), 4999950000); assert.deepStrictEqual(a, Array.from({ length: 100000 }, (_, i) => i))",
      { call: "f", args: [100000], expected: Array.from({ length: 100000 }, (_, i) => i), tolerance: 0 },
    ];
    expect(await pool.run({ source, tests }, { ...limits, fuel: 5000 })).toMatchObject({
      passed: true,
      reason: "",
    });
  });

  test("a test that is broken itself is nobody's violation; one that lacks what the prompt asks for is", async () => {
    const source = "const f = () => 1";
    await expect(run(source, ["expect(f()).toBe(1)"])).rejects.toThrow(
      "a unit test is broken: nothing is named expect",
    );
    await expect(run(source, ["const x = null.y; assert(f())"])).rejects.toThrow("a unit test is broken");
    await expect(run(source, ["require('chai').expect(f())"])).rejects.toThrow("there is no module 'chai'");
    expect(await run(source, ["assert.equal(decode(f()), 1)"], "Write f and decode.")).toMatchObject({
      passed: false,
    });
    expect(await run("1", ["assert.equal(f(), 1)"])).toMatchObject({ passed: false });
    expect(await run("const f = () => undefined", ["assert.equal(f().x, 1)"])).toMatchObject({
      passed: false,
    });
  });

  test("every built-in of the tests' realm is fixed", () => {
    interpreter.reset(new Meter({ ...limits, fuel: 1e6, seconds: 1e4 }));
    const outcome = interpreter.evaluate(
      "tests",
      `(() => {
      const fixed = [Array, String, Number, Function, Date, Map, Set, Promise].map((one) => one.prototype);
      const seen = new Set(), loose = [], queue = [];
      const visit = (value, path) => {
        if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) return;
        seen.add(value); queue.push([value, path]);
      };
      for (const key of Reflect.ownKeys(globalThis)) if (!/Timeout|Interval|Immediate|performance|structuredClone|globalThis/.test(String(key))) visit(globalThis[key], String(key));
      const made = [Object.getPrototypeOf((function* () {})()), Object.getPrototypeOf((async function* () {})()), [].values(), new Map().keys(), new Set().keys(), "".matchAll(/a/g), ""[Symbol.iterator](),
        Iterator.concat([1]), Iterator.from({ next() {} }), [].values().map((x) => x), [].values().take(1), /a/[Symbol.matchAll]("")];
      made.forEach((one, i) => visit(Object.getPrototypeOf(one), "made " + i));
      for (let i = 0; i < queue.length; i++) {
        const [value, path] = queue[i];
        const isFixed = fixed.includes(value)
          ? Reflect.ownKeys(value).every((key) => { const d = Object.getOwnPropertyDescriptor(value, key); return !d.configurable && (!("value" in d) || !d.writable || key === "length"); })
          : Object.isFrozen(value);
        if (!isFixed) loose.push(path);
        visit(Object.getPrototypeOf(value), path + ".__proto__");
        for (const key of Reflect.ownKeys(value)) {
          const d = Object.getOwnPropertyDescriptor(value, key);
          visit(d.value, path + "." + String(key)); visit(d.get, path + ".get " + String(key)); visit(d.set, path + ".set " + String(key));
        }
      }
      return loose.join() + " of " + queue.length;
    })()`,
    );
    if ("error" in outcome) throw new Error(interpreter.describe(outcome.error));
    expect(interpreter.string(outcome.value)).toMatch(/^ of \d{3,}$/);
  });
});

/** More of them: HOSTILE=10000 npx vitest run test/judges-javascript.test.ts */
describe("hostile programs", () => {
  const count = Number(process.env.HOSTILE ?? 1000);
  test(`${count} of ${families.length} families forge no pass and leave nothing behind`, {
    timeout: 3_600_000,
  }, async () => {
    const bounds = { fuel: 300, memoryMb: 32, outputChars: 10_000, seconds: 20 };
    const witness =
      "const look = () => [Object.getOwnPropertyNames(globalThis).length, Math.random(), [].every(() => false), [9].includes(1)];";
    const asked: UnitTest[] = [{ call: "look", args: [], expected: null, tolerance: 0 }];
    const before = await pool.run({ source: witness, tests: asked }, bounds);
    // Taken once the compiler of TypeScript is loaded and warm.
    let rss = 0;
    for (let i = 0; i < count; i++) {
      const { family, source, tests } = hostileProgram(14, i);
      const result = await pool
        .run({ source, tests }, bounds)
        .catch((error: Error) => ({ passed: false, failure: error.message }));
      expect({ i, family, source, passed: result.passed, failure: "failure" in result }).toEqual({
        i,
        family,
        source,
        passed: false,
        failure: false,
      });
      if (i === 499) rss = process.memoryUsage().rss;
      if (i % 20 === 19) expect(await pool.run({ source: witness, tests: asked }, bounds)).toEqual(before);
    }
    // A loose bound: garbage of the threads counts too. test/hostile/run-javascript.ts measures after a collection.
    if (count >= 1000) expect(process.memoryUsage().rss).toBeLessThan(1.3 * rss);
  });
});
