// The test harness that lives inside the sandbox: ECMAScript text, evaluated before the program under test in a realm of
// its own. The program runs in another realm of the same interpreter, so its built-ins are its own affair: what an
// assertion means is decided by built-ins that it never meets, and those are locked all the same. Between the two realms
// stands the membrane (inside/membrane.ts). The host holds the only reference to the harness.

import { assertSource } from "./inside/assert.js";
import { inspectSource } from "./inside/inspect.js";
import { hiddenSource, likenessSource } from "./inside/kit.js";
import { membraneSource } from "./inside/membrane.js";

/** Evaluates to `(kit, emit, tick) => harness`; `emit(stream, text)` hands what is printed to the host. */
export const harnessSource = String.raw`(function (kit, emit, tick) {
"use strict";
const { freeze } = Object;
const overflow = ${likenessSource};
for (let i = 0; i < kit.symbols.length; i++) {
  const name = kit.symbols[i][0];
  if (!(name in Symbol)) Object.defineProperty(Symbol, name, { value: kit.symbols[i][1], writable: false, enumerable: false, configurable: false });
}
const hidden = () => ${hiddenSource};
${membraneSource}
${inspectSource}
${assertSource}
const { parse, stringify } = JSON;

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
  let level = 0;
  for (let a = ancestors; a !== null; a = a.next) {
    if (a.value === value) return '["cycle",' + level + "]";
    level++;
  }
  const path = { __proto__: null, value, next: ancestors };
  const kind = kindSeen(value);
  const parts = [];
  if (kind === "array" || kind === "typed") {
    parts.push('"array"');
    const { length } = value;
    for (let i = 0; i < length; i++) parts.push(canonical(value[i], path));
  } else if (kind === "map") {
    const all = entriesOf(value, "map");
    for (let i = 0; i < all.length; i += 2) parts.push("[" + canonical(all[i], path) + "," + canonical(all[i + 1], path) + "]");
    return "[" + ['"map"', ...parts.sort()].join(",") + "]";
  } else if (kind === "set") {
    for (const member of entriesOf(value, "set")) parts.push(canonical(member, path));
    return "[" + ['"set"', ...parts.sort()].join(",") + "]";
  } else if (kind === "date") {
    return '["date",' + canonical(Date.prototype.getTime.call(value), null) + "]";
  } else if (kind === "regexp") {
    return '["regexp",' + stringify(RegExp.prototype.toString.call(value)) + "]";
  } else if (kind === "error") {
    return '["error",' + canonical(value.name, path) + "," + canonical(value.message, path) + "]";
  } else {
    parts.push('"object"');
    const keys = ownKeys(value).filter((key) => typeof key === "string").sort();
    for (let i = 0; i < keys.length; i++)
      if (ownEnumerable(value, keys[i])) parts.push("[" + stringify(keys[i]) + "," + canonical(value[keys[i]], path) + "]");
  }
  return "[" + parts.join(",") + "]";
}

const text = (value) => canonical(value, null);
const cut = (line, size) => (line.length > size ? line.slice(0, size) + "..." : line);

/** One line about whatever was thrown in either realm. */
function describe(thrown) {
  try {
    if (thrown instanceof AssertionError) return cut(thrown.name + ": " + verdictOf(thrown), 300);
    const value = toTests(thrown);
    if (!isObject(value)) return cut("threw " + text(value), 300);
    const { name, message } = value;
    if (typeof name === "string" && typeof message === "string") return cut(name + ": " + message.replace(/\s+/g, " "), 300);
    return cut("threw " + text(value), 300);
  } catch {
    return "threw something that cannot be shown";
  }
}

const comparisons = new Set(["==", "strictEqual", "deepEqual", "deepStrictEqual"]);

/** What an assertion found, in one line. */
function verdictOf({ message, generatedMessage, operator, actual, expected }) {
  const line = String(message).replace(/\s+/g, " ");
  if (!comparisons.has(operator) || expected === true && operator === "==") return line;
  const found = "got " + cut(short(actual).replace(/\s+/g, " "), 80) + ", expected " + cut(short(expected).replace(/\s+/g, " "), 80);
  return generatedMessage ? found : line + " (" + found + ")";
}

// ---- timers: nothing waits; the clock jumps to whatever is due next

let now = 0, timerCount = 0;
const due = new Map();

function later(call, delay, args, repeats) {
  const id = ++timerCount;
  const wait = delay >= 1 && delay <= 2147483647 ? Math.trunc(delay) : 1;
  due.set(id, { at: now + wait, id, call, args, wait: repeats ? wait : undefined });
  return id;
}

/** Runs the next timer; undefined when there is none, else what it threw, in a list. */
function runTimer() {
  let next;
  for (const timer of due.values()) if (next === undefined || timer.at < next.at || (timer.at === next.at && timer.id < next.id)) next = timer;
  if (next === undefined) return undefined;
  now = Math.max(now, next.at);
  tick(now);
  if (next.wait === undefined) due.delete(next.id);
  else next.at = now + next.wait;
  try {
    next.call(next.args);
  } catch (error) {
    return [describe(error)];
  }
  return [];
}

/** setTimeout and its kin; run(callback, args) calls what is due. */
function timersFor(run) {
  const start = (repeats, isImmediate) => function (callback, ...rest) {
    if (typeof callback !== "function") throw new TypeError('The "callback" argument must be of type function.');
    const [delay, args] = isImmediate ? [1, rest] : [Number(rest[0] ?? 1), rest.slice(1)];
    return later((list) => run(callback, list), delay, args, repeats);
  };
  const clear = (id) => { due.delete(typeof id === "object" && id !== null ? Number(id.id) : Number(id)); };
  return {
    setTimeout: start(false), setInterval: start(true), setImmediate: start(false, true),
    clearTimeout: clear, clearInterval: clear, clearImmediate: clear,
  };
}

const performanceFor = () => ({ now: () => now, timeOrigin: 0, mark() {}, measure() {} });

// ---- the tests' side

/** Objects through which tests commonly shadow an inherited property by plain assignment. */
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
    set: freeze({
      set(next) {
        if (this === owner || (typeof this !== "object" && typeof this !== "function"))
          throw new TypeError("built-in objects are read-only");
        defineProperty(this, key, { value: next, writable: true, enumerable: true, configurable: true });
      },
    }.set),
  });
}

/** Everything that is reachable, in the order found. */
function reachable() {
  const seen = new Set();
  const found = [];
  const visit = (value) => {
    if (!isObject(value) || seen.has(value)) return;
    seen.add(value);
    found.push(value);
  };
  for (const key of ownKeys(globalThis)) visit(globalThis[key]);
  visit(overflow);
  for (const value of hidden()) { visit(getPrototypeOf(value)); if (typeof value === "function") visit(value); }
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
  return found;
}

/** Fixes every built-in and the global names that tests rely on. */
function lock() {
  const found = reachable();
  for (const [owner, keys] of shadowed) for (const key of keys) allowShadowing(owner, key);
  for (const object of found) {
    if (object === globalThis) continue;
    if (typeof object === "object" && typeof object.constructor === "function" && object.constructor.prototype === object)
      allowShadowing(object, "constructor");
  }
  for (const object of found) {
    if (object === globalThis) continue;
    if (!extensible.includes(object)) { freeze(object); continue; }
    for (const key of ownKeys(object)) {
      const descriptor = getOwnPropertyDescriptor(object, key);
      defineProperty(object, key, { configurable: false, ...("value" in descriptor && key !== "length" && { writable: false }) });
    }
  }
  for (const key of ownKeys(globalThis)) {
    const descriptor = getOwnPropertyDescriptor(globalThis, key);
    if (descriptor.configurable) defineProperty(globalThis, key, { configurable: false, ...("value" in descriptor && { writable: false }) });
  }
}

const defineGlobal = (name, value) =>
  defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });

/** The first assertion that broke in the running test: a program that swallows the error does not undo it. */
let broken;
/** What the test lacks of itself; nothing can be said about the program then. */
let lacking;

const report = (error) => { broken ??= error; };
report.mark = () => broken;
report.undo = (before) => { broken = before; };
const assert = makeAssert(report);
for (const one of [assert, assert.strict]) for (const key of ownKeys(one)) if (typeof one[key] === "function" && one[key] !== assert.strict) freeze(one[key]);

const util = {
  inspect, format: (...args) => format(args), isDeepStrictEqual: (a, b) => deepEqual(a, b, true),
  promisify: (call) => (...args) => new Promise((resolve, reject) => { call(...args, (error, value) => (error ? reject(error) : resolve(value))); }),
};
const modules = {
  assert: () => assert, "assert/strict": () => assert.strict, util: () => util,
  timers: () => timers, "timers/promises": () => timerPromises, perf_hooks: () => ({ performance: performanceFor() }),
};
const timers = timersFor((callback, args) => apply(callback, undefined, args));
const timerPromises = {
  setTimeout: (delay, value) => new Promise((resolve) => { timers.setTimeout(resolve, delay, value); }),
  setImmediate: (value) => new Promise((resolve) => { timers.setImmediate(resolve, value); }),
};

const notThere = (name) => codedError(Error, "MODULE_NOT_FOUND", "Cannot find module '" + name + "'");

function requireForTests(name) {
  const module = modules[String(name).replace(/^node:/, "")];
  if (module !== undefined) return module();
  lacking ??= "there is no module '" + name + "'";
  throw notThere(name);
}

/** The console of one test; the program's own console follows it where the test puts something in a method's place. */
let testConsole;
const quiet = () => {};

function freshConsole() {
  const own = makeConsole(quiet, () => now);
  own.assert = function (value, ...args) { if (!value) assert(value, args.length > 0 ? format(args) : undefined); };
  testConsole = { own: { ...own }, shown: own };
  return own;
}

/** Names that the tests mention and the program defines: accessors of the tests' global object, built-ins excepted. */
const builtIns = new Set();
let scope = { __proto__: null };

/** The program's bindings by name: [exists, read, write]; and the names of [members, classes] in the tests. */
function bind(bindings, [members, classes], trustsAll) {
  scope = bindings;
  const names = ownKeys(bindings);
  for (const name of names) bindName(name, bindings[name]);
  extend([...names, ...members]);
  trustClasses(classes, trustsAll);
}

function programValue(name) {
  const binding = scope[name];
  try {
    if (apply(binding[0], undefined, []) !== "undefined") return { theirs: apply(binding[1], undefined, []) };
  } catch (error) {
    throw toTests(error);
  }
  const exported = programModule.exports;
  if (!isObject(exported) || proxies.has(exported)) return undefined;
  const found = getOwnPropertyDescriptor(exported, name);
  return found !== undefined && "value" in found ? { theirs: found.value } : undefined;
}

function bindName(name, binding) {
  if (builtIns.has(name) || Object.hasOwn(globalThis, name)) return;
  if (programValue(name) === undefined) return;
  defineProperty(globalThis, name, {
    configurable: true, enumerable: false,
    get() {
      touched = true;
      const found = programValue(name);
      if (found === undefined) throw new ReferenceError(name + " is not defined");
      return toTests(found.theirs);
    },
    set(value) {
      const theirs = toProgram(value);
      probe(() => apply(binding[2], undefined, [theirs]));
    },
  });
}

/** Methods that the program adds to built-in prototypes, under names that the tests mention. */
function extend(names) {
  for (const prototype of extensible) {
    const theirs = toProgramOf.get(prototype);
    for (const key of names) {
      const found = key in prototype ? undefined : getOwnPropertyDescriptor(theirs, key);
      if (found === undefined) continue;
      if (typeof found.value === "function")
        defineProperty(prototype, key, { value: toTests(found.value), writable: true, enumerable: false, configurable: true });
      else if (found.get)
        defineProperty(prototype, key, { get: toTests(found.get), enumerable: false, configurable: true });
    }
  }
}

/** Objects of these classes answer under any name: the test calls them by name. */
function trustClasses(names, isAllowed) {
  if (isAllowed) { mayAnswer = () => true; return; }
  const prototypes = new Set();
  for (const name of names) {
    const theirs = scope[name] === undefined || builtIns.has(name) ? undefined : programValue(name)?.theirs;
    if (typeof theirs !== "function" || proxies.has(theirs)) continue;
    const found = getOwnPropertyDescriptor(theirs, "prototype");
    if (found !== undefined && isObject(found.value)) prototypes.add(found.value);
  }
  mayAnswer = (value) => {
    for (let p = getPrototypeOf(value); p !== null; p = getPrototypeOf(p)) {
      if (prototypes.has(p)) return true;
      if (proxies.has(p)) return false;
    }
    return false;
  };
}

/** Runs a compiled test; the promise is fulfilled exactly when all its assertions hold. Few tests need a console. */
async function runTest(test, needsConsole) {
  broken = lacking = testConsole = undefined;
  touched = false;
  try {
    await test(assert, requireForTests, needsConsole ? freshConsole() : undefined);
  } catch (error) {
    if (broken === undefined && lacking === undefined) blame(error);
    throw broken ?? error;
  }
  if (broken !== undefined) throw broken;
}

/** An error of the test's own, before anything of the program was used or for want of a name, says nothing about it. */
function blame(error) {
  if (!isError(error)) return;
  const name = /^'?([\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*)'? is not defined$/u.exec(error.message)?.[1];
  if (name !== undefined && !toProgramOf.has(error) && getPrototypeOf(error) === ReferenceError.prototype) lacking = "name " + name;
  else if (!touched && !toProgramOf.has(error)) lacking = describe(error);
}

/** Calls a function of the program; the promise is fulfilled with the canonical text of what it returns. */
async function call(target, self, argumentsText) {
  broken = lacking = undefined;
  return text(await apply(toTests(target), toTests(self), parse(argumentsText)));
}

// ---- the program's side

let programModule;

function furnishProgram() {
  const programAssert = makeAssert(quiet);
  const cache = new Map();
  const requireForProgram = (name) => {
    const plain = String(name).replace(/^node:/, "");
    const made = { assert: () => programAssert, "assert/strict": () => programAssert.strict }[plain] ?? modules[plain];
    if (made === undefined) throw notThere(name);
    const module = made();
    if (!cache.has(plain)) cache.set(plain, typeof module === "function" ? module : { ...module });
    return cache.get(plain);
  };
  const console = makeConsole((stream, line) => emit(stream, line), () => now);
  const theirConsole = Object.create(kit.objectPrototype);
  for (const name of ownKeys(console)) {
    const printing = kit.wrap((_, args) => {
      const mine = exportless(args);
      const instead = testConsole?.shown[name];
      try {
        if (instead !== undefined && instead !== testConsole.own[name] && name !== "assert") return toProgram(apply(instead, undefined, fromProgram(args)));
        probe(() => { apply(console[name], undefined, mine); });
      } catch (error) {
        throw toProgram(error);
      }
      return undefined;
    });
    defineProperty(printing, "name", { value: name, configurable: true });
    defineProperty(theirConsole, name, { value: printing, writable: true, enumerable: true, configurable: true });
  }
  kit.define("console", theirConsole);
  programModule = kit.module();
  const give = (name, value) => kit.define(name, toProgram(value));
  give("require", requireForProgram);
  for (const name of ownKeys(timers)) give(name, timers[name]);
  give("performance", performanceFor());
  give("structuredClone", structuredClone);
}

/** The program's values themselves: they are shown, not used. */
function exportless(args) {
  const list = [];
  for (let i = 0; i < args.length; i++) list.push(args[i]);
  return list;
}

function fromProgram(args) {
  const list = [];
  for (let i = 0; i < args.length; i++) list.push(toTests(args[i]));
  return list;
}

/** By kinds, as the algorithm of HTML has it; functions and symbols cannot be cloned. */
function structuredClone(value) {
  const copies = new Map();
  const copy = (from) => {
    if (typeof from === "symbol" || typeof from === "function") throw codedError(Error, 25, String(from) + " could not be cloned.");
    if (!isObject(from)) return from;
    if (copies.has(from)) return copies.get(from);
    const kind = kindSeen(from);
    const keep = (to) => { copies.set(from, to); return to; };
    if (kind === "array") {
      const to = keep(new Array(from.length));
      for (const key of Object.keys(from)) to[key] = copy(from[key]);
      return to;
    }
    if (kind === "map") {
      const to = keep(new Map());
      const all = entriesOf(from, "map");
      for (let i = 0; i < all.length; i += 2) to.set(copy(all[i]), copy(all[i + 1]));
      return to;
    }
    if (kind === "set") {
      const to = keep(new Set());
      for (const member of entriesOf(from, "set")) to.add(copy(member));
      return to;
    }
    if (kind === "date") return keep(new Date(Date.prototype.getTime.call(from)));
    if (kind === "regexp") return keep(new RegExp(from.source, from.flags));
    if (kind === "typed") return keep(construct(globals[apply(typedName, from, [])], [from]));
    if (kind === "buffer") return keep(sliceBuffer(from, 0));
    if (kind === "error") return keep(make(errorClass(from, 1), [from.message], 0));
    const to = keep({});
    for (const key of Object.keys(from)) to[key] = copy(from[key]);
    return to;
  };
  return copy(value);
}

pairRealms();
kit.watchProxies((proxy) => { proxies.add(proxy); });
know(Proxy, kit.global.Proxy);
lock();
for (const key of ownKeys(globalThis)) builtIns.add(key);
for (const name of ownKeys(timers)) defineGlobal(name, timers[name]);
defineGlobal("performance", performanceFor());
defineGlobal("structuredClone", structuredClone);
for (const name of ["setTimeout", "setInterval", "setImmediate", "clearTimeout", "clearInterval", "clearImmediate", "performance", "structuredClone", "assert", "require", "console"]) builtIns.add(name);
furnishProgram();
tracked = [];
return {
  runTest, call, bind, runTimer,
  describe, canonicalOf: (json) => text(parse(json)), lacking: () => lacking ?? "", isGlobal: (name) => builtIns.has(name),
};
})`;
