// What the tests' realm needs of the program's realm: ECMAScript text, evaluated in the program's realm before the
// program. It keeps no reference that the program could reach, and nothing of the tests' realm enters it but functions
// that stay in closures.

/** Objects that no property of a global object leads to; evaluated in both realms. */
export const hiddenSource = String.raw`[
  (function* () {})(), (function* () {}), (async () => {}), (async function* () {})(), (async function* () {}), [].values(),
  ""[Symbol.iterator](), new Map().entries(), new Set().values(), "".matchAll(/a/g), [].values().map((x) => x),
  Iterator.from({ next() {} }), Iterator.concat([1]),
  Object.getOwnPropertyDescriptor(RegExp.prototype, "source").get,
]`;

/**
 * Makes a realm of QuickJS look like Node's where it differs: an overflow of the stack is a RangeError. Evaluated in both
 * realms; evaluates to the prototype of such errors.
 */
export const likenessSource = String.raw`(function () {
  const overflow = InternalError.prototype;
  Object.setPrototypeOf(overflow, RangeError.prototype);
  delete overflow.name;
  overflow.constructor = RangeError;
  Object.defineProperty(overflow, "constructor", { enumerable: false });
  delete globalThis.InternalError;
  const captureStackTrace = (target) => {
    Object.defineProperty(target, "stack", { value: new Error().stack, writable: true, enumerable: false, configurable: true });
  };
  Object.defineProperty(Error, "captureStackTrace", { value: captureStackTrace, writable: true, enumerable: false, configurable: true });
  return overflow;
})()`;

/** Evaluates to the kit. `this` of a wrapped call crosses as it is. */
export const kitSource = String.raw`(function () {
"use strict";
const overflow = ${likenessSource};
const NativePromise = Promise, NativeProxy = Proxy, { revocable } = Proxy;
const { defineProperty } = Reflect;
const define = (name, value) =>
  defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });
return {
  __proto__: null,
  global: globalThis,
  hidden: ${hiddenSource},
  overflow,
  symbols: ["dispose", "asyncDispose"].map((name) => {
    if (!(name in Symbol)) defineProperty(Symbol, name, { value: Symbol("Symbol." + name), writable: false, enumerable: false, configurable: false });
    return [name, Symbol[name]];
  }),
  define,
  wrap: (call) => function (...args) { return call(this, args, new.target); },
  objectPrototype: Object.prototype,
  regExpPrototype: RegExp.prototype,
  promisePrototype: Promise.prototype,
  promiseThen: Promise.prototype.then,
  iteratorPrototype: Iterator.prototype,
  asyncIteratorPrototype: Object.getPrototypeOf(Object.getPrototypeOf(Object.getPrototypeOf((async function* () {})()))),
  constructors: { __proto__: null, Array, Map, Set, Date, RegExp, Number, String, Boolean, ArrayBuffer, DataView, Uint8Array, Int8Array,
    Uint8ClampedArray, Uint16Array, Int16Array, Uint32Array, Int32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array,
    Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError, AggregateError },
  promise: (executor) => new NativePromise(executor),
  /** Tells of every proxy that is made: nothing else can tell a proxy from its target. */
  watchProxies(register) {
    const made = (proxy) => { register(proxy); return proxy; };
    function Proxy(target, handler) {
      if (new.target === undefined) throw new TypeError("Constructor Proxy requires 'new'");
      return made(new NativeProxy(target, handler));
    }
    Proxy.prototype = undefined;
    defineProperty(Proxy, "revocable", {
      value: (target, handler) => {
        const pair = revocable(target, handler);
        made(pair.proxy);
        return pair;
      }, writable: true, enumerable: false, configurable: true,
    });
    define("Proxy", Proxy);
  },
  module() {
    define("module", { exports: {} });
    define("exports", globalThis.module.exports);
    return globalThis.module;
  },
};
})()`;
