// The test harness that lives inside the sandbox: ECMAScript text, evaluated before the program under test. It keeps
// the built-ins that it needs in its own closure, and `lock` freezes all of them before the program runs, so that a
// program can neither change what an assertion means nor reach the harness: the host holds the only reference.

/** Evaluates to `(write) => harness`; `write` hands the text that the program prints to the host. */
export const harnessSource = String.raw`(function (write) {
"use strict";
const { apply, ownKeys, getOwnPropertyDescriptor, getPrototypeOf, defineProperty } = Reflect;
const { freeze, preventExtensions } = Object;
const { isArray } = Array;
const { isView } = ArrayBuffer;
const { parse, stringify } = JSON;
const { sort } = Array.prototype;
const { slice } = String.prototype;
const { test: regExpTest, toString: regExpText } = RegExp.prototype;
const { getTime } = Date.prototype;
const forEachEntry = Map.prototype.forEach;
const forEachMember = Set.prototype.forEach;

class AssertionError extends Error {}
defineProperty(AssertionError.prototype, "name", { value: "AssertionError" });

const cut = (text, size) => (text.length > size ? apply(slice, text, [0, size]) + "..." : text);

/** Joins the items of our own list without calling anything that a program could have replaced. */
function joined(items) {
  let out = "";
  for (let i = 0; i < items.length; i++) out += (i === 0 ? "" : ",") + items[i];
  return out;
}

function add(list, item) {
  defineProperty(list, list.length, { value: item, writable: true, enumerable: true, configurable: true });
}

/**
 * A canonical JSON text of any value: equal texts mean deeply equal values. What JSON cannot express becomes a tagged
 * array, so every array starts with a tag too. Keys of objects, and members of maps and sets, are sorted; -0 is 0.
 */
function canonical(value, ancestors) {
  switch (typeof value) {
    case "string": return stringify(value);
    case "boolean": return value ? "true" : "false";
    case "number":
      if (value === 0) return "0";
      return value - value === 0 ? "" + value : '["number","' + value + '"]';
    case "bigint": return '["bigint","' + value + '"]';
    case "object": return value === null ? "null" : canonicalObject(value, ancestors);
    default: return '["' + typeof value + '"]';
  }
}

function canonicalObject(value, ancestors) {
  let depth = 0;
  for (let a = ancestors; a !== null; a = a.next) {
    if (a.value === value) return '["cycle",' + depth + "]";
    depth++;
  }
  const path = { __proto__: null, value, next: ancestors };
  const parts = [];
  if (isArray(value) || isView(value)) {
    add(parts, '"array"');
    const { length } = value;
    for (let i = 0; i < length; i++) add(parts, canonical(value[i], path));
  } else if (value instanceof Map) {
    apply(forEachEntry, value, [(v, k) => add(parts, "[" + canonical(k, path) + "," + canonical(v, path) + "]")]);
    apply(sort, parts, []);
    return '["map"' + (parts.length > 0 ? "," : "") + joined(parts) + "]";
  } else if (value instanceof Set) {
    apply(forEachMember, value, [(v) => add(parts, canonical(v, path))]);
    apply(sort, parts, []);
    return '["set"' + (parts.length > 0 ? "," : "") + joined(parts) + "]";
  } else if (value instanceof Date) {
    return '["date",' + canonical(apply(getTime, value, []), null) + "]";
  } else if (value instanceof RegExp) {
    return '["regexp",' + stringify(apply(regExpText, value, [])) + "]";
  } else if (value instanceof Error) {
    return '["error",' + canonical(value.name, path) + "," + canonical(value.message, path) + "]";
  } else {
    add(parts, '"object"');
    const keys = apply(sort, ownKeys(value).filter((key) => typeof key === "string"), []);
    for (let i = 0; i < keys.length; i++) {
      const descriptor = getOwnPropertyDescriptor(value, keys[i]);
      if (descriptor === undefined || !descriptor.enumerable) continue;
      add(parts, "[" + stringify(keys[i]) + "," + canonical(value[keys[i]], path) + "]");
    }
  }
  return "[" + joined(parts) + "]";
}

const text = (value) => canonical(value, null);

/** One line about whatever was thrown. */
function describe(thrown) {
  try {
    if (typeof thrown !== "object" || thrown === null) return cut("threw " + text(thrown), 300);
    const { name, message } = thrown;
    if (typeof name === "string" && typeof message === "string") return cut(name + ": " + message, 300);
    return cut("threw " + text(thrown), 300);
  } catch {
    return "threw something that cannot be shown";
  }
}

const show = (value) => {
  try {
    return cut(text(value), 80);
  } catch {
    return "something that cannot be shown";
  }
};

/** The first assertion that broke in the running test: a program that swallows the error does not undo it. */
let broken;

function fail(explanation, message) {
  const isText = typeof message === "string" && message !== "";
  const error = new AssertionError(isText ? message + " (" + explanation + ")" : explanation);
  broken ??= error;
  throw error;
}

const sameValue = (a, b) => a === b || (a !== a && b !== b);

function throwsAsExpected(thrown, expected) {
  if (expected === undefined || typeof expected === "string") return true;
  if (expected instanceof RegExp) return apply(regExpTest, expected, [describe(thrown)]);
  if (expected === Error || getPrototypeOf(expected) === Error) return thrown instanceof expected;
  if (typeof expected === "function" && expected.prototype instanceof Error) return thrown instanceof expected;
  if (typeof expected === "function") return expected(thrown) === true;
  for (const key of ownKeys(expected)) if (text(thrown[key]) !== text(expected[key])) return false;
  return true;
}

function assert(value, message) {
  if (!value) fail("the assertion does not hold", message);
}

const assertions = {
  ok: assert,
  fail: (message) => fail("assert.fail was reached", message),
  equal(actual, expected, message) {
    if (!(actual == expected || sameValue(actual, expected)))
      fail("got " + show(actual) + ", expected " + show(expected), message);
  },
  notEqual(actual, expected, message) {
    if (actual == expected) fail("got " + show(actual) + ", which is what it must not be", message);
  },
  strictEqual(actual, expected, message) {
    if (!sameValue(actual, expected)) fail("got " + show(actual) + ", expected " + show(expected), message);
  },
  notStrictEqual(actual, expected, message) {
    if (sameValue(actual, expected)) fail("got " + show(actual) + ", which is what it must not be", message);
  },
  deepEqual(actual, expected, message) {
    if (text(actual) !== text(expected)) fail("got " + show(actual) + ", expected " + show(expected), message);
  },
  notDeepEqual(actual, expected, message) {
    if (text(actual) === text(expected)) fail("got " + show(actual) + ", which is what it must not be", message);
  },
  match(actual, pattern, message) {
    if (typeof actual !== "string" || !apply(regExpTest, pattern, [actual]))
      fail("got " + show(actual) + ", expected a match of " + show(pattern), message);
  },
  closeTo(actual, expected, tolerance = 1e-9, message = "") {
    if (typeof actual !== "number" || !((actual > expected ? actual - expected : expected - actual) <= tolerance))
      fail("got " + show(actual) + ", expected " + show(expected) + " within " + tolerance, message);
  },
  throws(call, expected, message) {
    let thrown;
    try {
      call();
    } catch (error) {
      thrown = { error };
    }
    if (thrown === undefined) fail("it did not throw", message ?? expected);
    if (!throwsAsExpected(thrown.error, expected)) fail("it " + describe(thrown.error), message);
  },
  async rejects(call, expected, message) {
    let thrown;
    try {
      await (typeof call === "function" ? call() : call);
    } catch (error) {
      thrown = { error };
    }
    if (thrown === undefined) fail("it did not reject", message ?? expected);
    if (!throwsAsExpected(thrown.error, expected)) fail("it rejected with " + describe(thrown.error), message);
  },
};
assertions.deepStrictEqual = assertions.deepEqual;
assertions.notDeepStrictEqual = assertions.notDeepEqual;
assertions.strict = assert;
for (const name of ownKeys(assertions)) defineProperty(assert, name, { value: assertions[name] });

function requireAssert(name) {
  if (name === "assert" || name === "node:assert" || name === "assert/strict" || name === "node:assert/strict")
    return assert;
  throw new Error("tests can require nothing but assert, not " + name);
}

const testConsole = { assert, log() {}, info() {}, debug() {}, warn() {}, error() {} };

function print(...values) {
  let line = "";
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    line += (i === 0 ? "" : " ") + (typeof value === "string" ? value : text(value));
  }
  write(line + "\n");
}

/** Objects through which programs commonly shadow an inherited property by plain assignment. */
const shadowed = [
  [Object.prototype, ownKeys(Object.prototype)],
  [Function.prototype, ["toString", "bind", "call", "apply"]],
  [Array.prototype, ["toString"]],
];
for (const error of [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError, AggregateError])
  shadowed.push([error.prototype, ["name", "message", "toString"]]);

/**
 * A frozen prototype would also forbid assigning the same name on objects that inherit from it. An accessor in its
 * place allows that: the setter defines the property on the inheriting object.
 */
function allowShadowing(owner, key) {
  const descriptor = getOwnPropertyDescriptor(owner, key);
  if (descriptor === undefined || !descriptor.configurable || !("value" in descriptor)) return;
  const { value, enumerable } = descriptor;
  defineProperty(owner, key, {
    enumerable,
    configurable: false,
    get: freeze(() => value),
    set: freeze(function (next) {
      if (this === owner || (typeof this !== "object" && typeof this !== "function"))
        throw new TypeError("built-in objects are read-only");
      defineProperty(this, key, { value: next, writable: true, enumerable: true, configurable: true });
    }),
  });
}

/** One object of each kind that no property of the global object leads to. */
const hidden = () => [
  (function* () {})(), (async () => {}), (async function* () {})(), [][Symbol.iterator](), ""[Symbol.iterator](),
  new Map().entries(), new Set().values(), "".matchAll(/a/g), [].values().map((x) => x),
  Iterator.from({ next() {} }), Object.getOwnPropertyDescriptor(RegExp.prototype, "source").get,
];

/** Freezes every built-in, and fixes the global names that tests rely on. */
function lock() {
  const seen = new Set();
  const found = [];
  const visit = (value) => {
    if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) return;
    seen.add(value);
    found.push(value);
  };
  for (const key of ownKeys(globalThis)) visit(globalThis[key]);
  for (const value of hidden()) visit(getPrototypeOf(value));
  for (let i = 0; i < found.length; i++) {
    if (found[i] === globalThis) continue;
    visit(getPrototypeOf(found[i]));
    for (const key of ownKeys(found[i])) {
      const { value, get, set } = getOwnPropertyDescriptor(found[i], key);
      visit(value);
      visit(get);
      visit(set);
    }
  }
  for (const [owner, keys] of shadowed) for (const key of keys) allowShadowing(owner, key);
  for (const object of found) {
    if (object === globalThis) continue;
    if (typeof object === "object" && typeof object.constructor === "function" && object.constructor.prototype === object)
      allowShadowing(object, "constructor");
  }
  for (const object of found) if (object !== globalThis) freeze(object);
  for (const key of ownKeys(globalThis)) {
    if (key === "escape" || key === "unescape") continue;
    const descriptor = getOwnPropertyDescriptor(globalThis, key);
    if (descriptor.configurable) defineProperty(globalThis, key, { ...descriptor, writable: false, configurable: false });
  }
}

/** What programs of the web and of Node expect to find, as far as it is harmless. */
function furnish() {
  const define = (name, value) =>
    defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });
  define("console", { log: print, info: print, debug: print, warn: print, error: print });
  define("module", { exports: {} });
  define("exports", globalThis.module.exports);
}

/** Runs a compiled test; the promise is fulfilled exactly when all its assertions hold. */
async function runTest(test) {
  broken = undefined;
  await test(assert, requireAssert, testConsole);
  if (broken !== undefined) throw broken;
}

/** Calls a function of the program; the promise is fulfilled with the canonical text of what it returns. */
async function call(target, self, argumentsText) {
  return text(await apply(target, self, parse(argumentsText)));
}

lock();
furnish();
return { runTest, call, describe, canonicalOf: (json) => text(parse(json)) };
})`;
