// Programs that try to pass tests that they fail, by family: every one of them is wrong, and right programs beside them
// look alike. Grown from a seed, so that a slice of them is the same in every run.

export interface HostileProgram {
  family: string;
  source: string;
  tests: string[];
}

type Random = () => number;

/** Mulberry32. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const pick = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)]!;

/** What the test wants of f([1, 2]): [2, 4]. Each asks through another built-in. */
const listTests = [
  "assert(f([1, 2]).every((v, i) => v === [2, 4][i])); assert.equal(f([1, 2]).length, 2)",
  "assert(f([1, 2]).includes(4) && f([1, 2]).includes(2))",
  "assert.equal(f([1, 2]).indexOf(4), 1)",
  "assert.deepEqual(f([1, 2]), [2, 4])",
  "assert.deepStrictEqual(f([1, 2]), [2, 4])",
  "assert.equal(JSON.stringify(f([1, 2])), '[2,4]')",
  "assert.equal(f([1, 2]).join(), '2,4')",
  "assert(f([1, 2]).some((v) => v === 4))",
  "assert.equal(f([1, 2]).filter((v) => v === 4).length, 1)",
  "assert.equal(f([1, 2]).reduce((a, b) => a + b, 0), 6)",
  "assert.equal(f([1, 2]).find((v) => v === 4), 4)",
  "assert.equal([...f([1, 2])].length, 2); assert.equal([...f([1, 2])][1], 4)",
  "assert.equal(f([1, 2]).at(-1), 4)",
  "assert.equal(f([1, 2]).map((v) => v / 2)[1], 2)",
  "const r = f([1, 2]); let n = 0; r.forEach((v, i) => { assert.equal(v, [2, 4][i]); n++ }); assert.equal(n, 2)",
  "assert(new Set(f([1, 2])).has(4))",
  "assert.equal(Math.max(...f([1, 2])), 4)",
  "assert(Array.isArray(f([1, 2])) && f([1, 2])[1] === 4)",
];

const methods =
  `every some includes indexOf lastIndexOf find findIndex filter map reduce forEach join at slice concat flat flatMap keys
  values entries sort toSorted reverse toString toJSON valueOf equals has`.split(/\s+/);

const lies = [
  "() => true",
  "() => 1",
  "() => 0",
  "() => [2]",
  "function () { return this }",
  "() => ({ length: 1 })",
  "(g) => { try { return g(2, 0) } catch { return true } }",
];

const listFamilies: Record<string, (random: Random) => string> = {
  "object with methods": (random) =>
    `function f() { return { length: 1, ${[1, 2, 3].map(() => `${pick(random, methods)}: ${pick(random, lies)}`).join(", ")} } }`,
  "array with methods": (random) =>
    `function f() { const a = [0]; ${[1, 2].map(() => `a.${pick(random, methods)} = ${pick(random, lies)}`).join("; ")}; return a }`,
  "subclass of Array": (random) =>
    `class A extends Array { ${[1, 2].map(() => `${pick(random, methods)}() { return (${pick(random, lies)}).apply(this, arguments) }`).join(" ")} }\nfunction f() { return A.from([0]) }`,
  proxy: (random) =>
    `function f() { return new Proxy(${pick(random, ["[]", "[0]", "{}", "function () {}"])}, { get: (t, k) => ${pick(random, ["() => true", "k === 'length' ? 0 : () => true", "k in t ? t[k] : () => true", "(k === 'length' ? 1 : 0)"])}, has: () => true }) }`,
  "stateful getter": (random) =>
    `let n = 0; function f() { return { get length() { return n++ }, get 0() { return n++ }, get 1() { return n++ }, ${pick(random, methods)}: ${pick(random, lies)} } }`,
  "patched prototype": (random) =>
    `${pick(random, ["Array", "Object", "Set", "Map", "String", "Number"])}.prototype.${pick(random, methods)} = ${pick(random, lies)};\nArray.prototype.${pick(random, methods)} = ${pick(random, lies)};\nfunction f() { return [0] }`,
  "patched through the argument": (random) =>
    `function f(a) { Object.getPrototypeOf(a).${pick(random, methods)} = ${pick(random, lies)}; a.constructor.prototype.${pick(random, methods)} = ${pick(random, lies)}; Object.prototype.${pick(random, ["every", "includes", "toJSON", "then"])} = ${pick(random, lies)}; return [0] }`,
  "argument with methods": (random) =>
    `function f(a) { a.${pick(random, methods)} = ${pick(random, lies)}; a.length = 0; a.push(0); return a }`,
  "argument with another prototype": (random) =>
    `function f(a) { Object.setPrototypeOf(a, { __proto__: Array.prototype, ${pick(random, methods)}: ${pick(random, lies)}, ${pick(random, methods)}: ${pick(random, lies)} }); a.length = 0; return a }`,
  "realm of the test": (random) =>
    `function f(a) { try { const F = a.constructor.constructor; F("${pick(random, ["globalThis.assert = () => {}", "Array.prototype.every = () => true", "Array.prototype.includes = () => true", "globalThis.f = () => [2]", "JSON.stringify = () => '[2,4]'"])}")() } catch {} return [0] }`,
  "fake globals": (random) =>
    `var ${pick(random, ["assert", "require", "JSON", "Set", "Math", "Array"])} = new Proxy(function () {}, { get: () => ${pick(random, lies)} });\nglobalThis.assert = () => {};\nfunction f() { return [0] }`,
  "thenable or iterator": (random) =>
    `function f() { return { ${pick(random, ["then(r) { r([2]) }", "*[Symbol.iterator]() { yield 2 }", "[Symbol.toPrimitive]() { return '2' }", "toString() { return '2' }"])}, ${pick(random, methods)}: ${pick(random, lies)}, length: 0 } }`,
  throws: (random) =>
    `function f() { throw ${pick(random, ["undefined", "null", "{ name: 'AssertionError', message: '' }", "new Proxy({}, { get() { throw 1 } })", "Object.create(null)", "new (class StopIteration extends Error {})()", "'passed'"])} }`,
  "typed TypeScript": (random) =>
    `enum E { A, B }\nnamespace N { export const lie = ${pick(random, lies)} as any }\nclass C<T> extends Array<T> { constructor(private readonly x: number = 0) { super() } ${pick(random, methods)}: any = N.lie }\nfunction f(a: number[]): number[] { return new C<number>(E.B) as number[] }`,
  "callbacks of the test": (random) =>
    `const own = ${pick(random, ["Function.prototype.call", "Function.prototype.apply", "Promise.prototype.then", "Object.defineProperty"])};\n${pick(random, ["Function.prototype.call", "Function.prototype.apply", "Promise.prototype.then", "Reflect.apply", "Array.prototype[Symbol.iterator]"])} = ${pick(random, lies)};\nfunction f() { return [0] }`,
  "looks for the harness": (random) =>
    `const right = (a) => a.map((v) => 2 * v); let found = false;
try { ${pick(random, searches)} } catch {}
function f(a) { try { ${pick(random, searches)} } catch {} return found ? right([1, 2]) : [0] }`,
  "leaves something behind": (random) =>
    `const right = () => [2, 4]; let found = "stain" in globalThis || [].stain || {}.stain || "".stain || Math.stain || (() => {}).stain || Object.isFrozen(Math) || Symbol.for("stain").stain;
try { ${pick(random, stains)} } catch {}
function f() { try { ${pick(random, stains)} } catch {} return found ? right() : [0] }`,
  "uses up": (random) => {
    const act = pick(random, excesses);
    return pick(random, [
      `${act}\nfunction f() { return [0] }`,
      `function f() { ${act}; return [0] }`,
      `function f() { try { ${act} } catch {} return [0] }`,
      `function f() { return new Proxy([0], { get(t, k) { ${act}; return t[k] } }) }`,
    ]);
  },
};

/** Sets `found` when something of the harness or the host can be had. */
const searches = [
  `found = [typeof process, typeof require("fs"), typeof globalThis.std, typeof globalThis.os, typeof scriptArgs].some((t) => t !== "undefined")`,
  `found = Object.getOwnPropertyNames(globalThis).some((n) => /harness|runTest|canonical|lacking|bind$|kit/i.test(n))`,
  `Error.prepareStackTrace = (e, s) => s; const s = new Error().stack; found = typeof s === "object" && s.some((c) => c.getFunction?.())`,
  `Error.prepareStackTrace = (e, s) => { found = s.some((c) => c.getThis?.() || c.getFunction?.()); return "" }; new Error().stack`,
  `found = typeof arguments !== "undefined" && arguments.callee.caller != null`,
  `const g = (function () { return this })(); found = "runTest" in g || "settle" in g`,
  `found = typeof (0, eval)("runTest") === "function"`,
  `found = typeof Function("return harness")() === "object"`,
  `const r = import("fs"); r.then(() => { found = true }, () => {})`,
  `const w = new WeakRef({}); found = typeof FinalizationRegistry === "function" && new FinalizationRegistry((h) => { found = h }).register(w, true) === 1`,
  `const o = require("assert"); found = o.AssertionError.prototype.constructor.constructor("return typeof runTest")() === "function"`,
  `const o = require("util"); found = o.inspect.constructor("return typeof harness")() !== "undefined"`,
  `found = Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1) === "not-equal"`,
  `Object.defineProperty(Object.prototype, "then", { get() { found = this?.settle !== undefined } })`,
];

/** Leaves a mark that `found` of a later program would see. */
const stains = [
  "globalThis.stain = 1",
  "Array.prototype.stain = Object.prototype.stain = 1",
  "String.prototype.stain = Function.prototype.stain = 1",
  "Math.stain = JSON.stain = 1; Object.freeze(Math)",
  `Symbol.for("stain").constructor.prototype.stain = 1`,
  `setTimeout(() => { globalThis.stain = 1 }, 1e9)`,
  `setInterval(() => { globalThis.stain = 1 }, 1)`,
  `Promise.resolve().then(function again() { globalThis.stain = 1; return Promise.resolve().then(again) })`,
  `new FinalizationRegistry(() => { globalThis.stain = 1 }).register({}, 0)`,
  `require("assert").stain = require("util").stain = module.stain = exports.stain = 1`,
  `console.log = console.error = () => { globalThis.stain = 1 }`,
  `Object.setPrototypeOf(globalThis, { stain: 1 })`,
];

/** Time, memory, stack, output and jobs without end. */
const excesses = [
  "for (;;);",
  "(function g() { g() })()",
  "const a = []; for (;;) a.push(new Uint8Array(1e6).fill(1))",
  "let s = 'x'; for (;;) s += s",
  "new Array(2 ** 31).fill(0)",
  "'x'.repeat(2 ** 29)",
  "/(a+)+$/.test('a'.repeat(40) + 'b')",
  "10n ** 10n ** 7n",
  "for (;;) console.log('x'.repeat(1e4))",
  "(async () => { for (;;) await 0 })()",
  "(function again() { setTimeout(again, 0); setTimeout(again, 0) })()",
  "new Proxy([], { ownKeys: () => { for (;;); } })",
  "const o = {}; o.o = o; JSON.stringify(o)",
  "let d = []; for (let i = 0; i < 1e5; i++) d = [d]; JSON.stringify(d)",
  "throw Array(1e5).fill('x').join('')",
  "Array.from({ length: 1e7 }, (_, i) => i).sort(() => Math.random() - 0.5)",
  "new RegExp('(' .repeat(1e5) + ')'.repeat(1e5))",
  "eval('['.repeat(1e5))",
  "structuredClone(new Map(Array.from({ length: 1e6 }, (_, i) => [i, i])))",
  "'a'.normalize('NFKD').padEnd(2 ** 28).split('')",
];

export const families = Object.keys(listFamilies);

/** The program number `index` of a seed's series: families take turns. */
export function hostileProgram(seed: number, index: number): HostileProgram {
  const random = randomFrom(seed * 1_000_003 + index);
  const family = families[index % families.length]!;
  const source = listFamilies[family]!(random);
  const tests = [pick(random, listTests), pick(random, listTests), "assert.deepEqual(f([1, 2]), [2, 4])"];
  return { family, source, tests };
}
