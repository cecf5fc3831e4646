// The wall between the tests' realm and the program's realm of one interpreter, as text that is part of the harness and
// runs in the tests' realm. `toTests` and `toProgram` carry values over. Data are copied and keep their identity: a pair
// of twins is brought into agreement whenever control crosses, so that changes made in place arrive on the other side.
// Functions, instances of the program's classes and proxies are handles, whose every use is passed on. A handle answers
// by itself only where no built-in would: `every` of an object that the program returned is nothing that a test may rely
// on, unless the object is an instance of a class that the test names.

export const membraneSource = String.raw`
const { apply, construct, ownKeys, getOwnPropertyDescriptor, getPrototypeOf, setPrototypeOf, defineProperty, has } = Reflect;
const { isArray } = Array;
const { isView } = ArrayBuffer;

const toTestsOf = new WeakMap(), toProgramOf = new WeakMap(), twins = new WeakMap(), records = new WeakMap();
const proxies = new WeakSet(), intrinsics = new WeakSet();
let mayAnswer = () => false;

const isObject = (value) => (typeof value === "object" && value !== null) || typeof value === "function";
const know = (mine, theirs) => { toProgramOf.set(mine, theirs); toTestsOf.set(theirs, mine); };

/** Both realms look the same before the program: their built-ins correspond one to one. */
function pairRealms() {
  const seen = new Set();
  const queue = [];
  const pair = (mine, theirs) => {
    if (!isObject(mine) || !isObject(theirs) || seen.has(mine)) return;
    seen.add(mine);
    intrinsics.add(mine);
    know(mine, theirs);
    queue.push([mine, theirs]);
  };
  pair(globalThis, kit.global);
  pair(overflow, kit.overflow);
  const mineHidden = hidden();
  for (let i = 0; i < mineHidden.length; i++) {
    pair(getPrototypeOf(mineHidden[i]), getPrototypeOf(kit.hidden[i]));
    if (typeof mineHidden[i] === "function" && i === mineHidden.length - 1) pair(mineHidden[i], kit.hidden[i]);
  }
  for (let i = 0; i < queue.length; i++) {
    const [mine, theirs] = queue[i];
    pair(getPrototypeOf(mine), getPrototypeOf(theirs));
    for (const key of ownKeys(mine)) {
      const a = getOwnPropertyDescriptor(mine, key), b = getOwnPropertyDescriptor(theirs, key);
      if (b === undefined) continue;
      pair(a.value, b.value);
      pair(a.get, b.get);
      pair(a.set, b.set);
    }
  }
}

/** Own properties of the program's prototypes as they are at first; what is added later are its extensions. */
const extensible = [Array, String, Number, Function, Date, Map, Set, Promise].map((one) => one.prototype);
const builtInNames = new Set();
/** What an object may be asked whatever it is: these change it, or hand out values one by one. */
const verbs = new Set([
  "push", "pop", "shift", "unshift", "add", "set", "delete", "clear", "next", "return", "throw", "then", "catch", "finally",
  "toString", "toJSON", "constructor", Symbol.iterator, Symbol.asyncIterator, Symbol.toPrimitive, Symbol.toStringTag,
  Symbol.dispose, Symbol.asyncDispose,
]);
for (const one of [
  Object, Function, Array, String, Number, Boolean, BigInt, Symbol, Date, RegExp, Map, Set, WeakMap, WeakSet, Promise, Error, ArrayBuffer,
])
  for (const key of ownKeys(one.prototype)) if (!verbs.has(key)) builtInNames.add(key);
for (const one of [getPrototypeOf(Uint8Array).prototype, Iterator.prototype])
  for (const key of ownKeys(one)) if (!verbs.has(key)) builtInNames.add(key);
builtInNames.delete("message"); builtInNames.delete("name"); builtInNames.delete("stack");

// ---- kinds of objects, told by their internal slots, which nobody can forge

const getter = (prototype, key) => getOwnPropertyDescriptor(prototype, key).get;
const brands = [
  ["map", getter(Map.prototype, "size")],
  ["set", getter(Set.prototype, "size")],
  ["date", Date.prototype.getTime],
  ["regexp", getter(RegExp.prototype, "source")],
  ["promise", null],
  ["buffer", getter(ArrayBuffer.prototype, "byteLength")],
  ["number", Number.prototype.valueOf],
  ["string", String.prototype.valueOf],
  ["boolean", Boolean.prototype.valueOf],
];
const isError = Error.isError ?? ((value) => apply(Object.prototype.toString, value, []) === "[object Error]");
const promiseThen = Promise.prototype.then;
const classOf = Object.prototype.toString;
const regExpPrototype = RegExp.prototype;
const typedArrays = [Uint8Array, Int8Array, Uint8ClampedArray, Uint16Array, Int16Array, Uint32Array, Int32Array, Float32Array,
  Float64Array, BigInt64Array, BigUint64Array];
const typedName = getter(getPrototypeOf(Uint8Array).prototype, Symbol.toStringTag);

function hasBrand(value, read) {
  try {
    apply(read, value, []);
    return true;
  } catch {
    return false;
  }
}

const plainPrototypes = new Set([Object.prototype, null]);

/** The kind of an object that is no function and no proxy. Prototypes decide only between objects without slots. */
function kindOf(value) {
  if (isArray(value)) return "array";
  const prototype = getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype || prototype === kit.objectPrototype) {
    if (isError(value)) return "error";
    return "object";
  }
  if (isError(value)) return "error";
  if (isView(value)) return apply(typedName, value, []) === undefined ? "view" : "typed";
  for (let i = 0; i < brands.length; i++) {
    const [kind, read] = brands[i];
    if (read === null ? isPromise(value) : hasBrand(value, read)) {
      if (kind === "regexp" && (value === regExpPrototype || value === kit.regExpPrototype)) return "other";
      return kind;
    }
  }
  return "other";
}

function isPromise(value) {
  for (let p = value; p !== null; p = getPrototypeOf(p)) {
    if (proxies.has(p)) return false;
    if (p === Promise.prototype || p === kit.promisePrototype) return p !== value && apply(classOf, value, []) === "[object Promise]" && settles(value);
  }
  return false;
}

/** By the program's own \`then\`, as it was: whatever class the promise names sees nothing of this realm. */
const settles = (value) => hasBrand(value, kit.promiseThen);

/** Whether an object is nothing but data: enumerable own values that are no functions. */
function isData(value) {
  const keys = ownKeys(value);
  for (let i = 0; i < keys.length; i++) {
    const found = getOwnPropertyDescriptor(value, keys[i]);
    if (!("value" in found) || typeof found.value === "function" || !found.enumerable) return false;
  }
  return true;
}

// ---- crossing

/** Rises whenever the program is asked to run: until then what it said before still holds. */
let epoch = 0;
let depth = 0;
let touched = false;

const heavy = 200;
/** Twins whose agreement is restored at every outer crossing, oldest first. */
let tracked = [];
const mostTracked = 200;

function track(twin) {
  tracked.push(twin);
  if (tracked.length > 2 * mostTracked) tracked = tracked.slice(-mostTracked);
}

function agreeAll() {
  for (let i = 0; i < tracked.length; i++) if (tracked[i].weight <= 5 * heavy) agree(tracked[i]);
}

/** Runs a function of the program; what it throws arrives as an error of the tests' realm. */
function enter(run) {
  epoch++;
  try {
    return probe(run);
  } finally {
    epoch++;
  }
}

/** The same for what only looks: what the program said before still holds. */
function probe(run) {
  touched = true;
  if (depth === 0) agreeAll();
  depth++;
  let failed = false, value;
  try {
    value = run();
  } catch (error) {
    failed = true;
    value = error;
  }
  depth--;
  if (depth === 0) agreeAll();
  if (failed) throw toTests(value);
  return toTests(value);
}

function callProgram(target, self, args) {
  const theirs = exportAll(args);
  const me = toProgram(self);
  const used = depth === 0 ? heavyIn(args) : [];
  try {
    return enter(() => apply(target, me, theirs));
  } finally {
    for (let i = 0; i < used.length; i++) agree(used[i]);
  }
}

/** Twins among the arguments that are too large to be compared at every crossing. */
function heavyIn(args) {
  const found = [];
  for (let i = 0; i < args.length; i++) {
    const twin = isObject(args[i]) ? twins.get(args[i]) : undefined;
    if (twin !== undefined && twin.weight > 5 * heavy) found.push(twin);
  }
  return found;
}

function exportAll(args) {
  const theirs = [];
  for (let i = 0; i < args.length; i++) theirs.push(toProgram(args[i]));
  return theirs;
}

/** Runs a function of the test that the program calls; what it throws arrives as a value of the program's realm. */
function callTests(target, self, args, newTarget) {
  const outer = depth;
  if (outer === 0) agreeAll();
  let failed = false, value;
  try {
    const mine = [];
    for (let i = 0; i < args.length; i++) mine.push(toTests(args[i]));
    value = newTarget === undefined ? apply(target, toTests(self), mine) : construct(target, mine);
    value = toProgram(value);
  } catch (error) {
    failed = true;
    value = toProgram(error);
  }
  if (outer === 0) agreeAll();
  if (failed) throw value;
  return value;
}

/** A value of the program's realm, as the tests see it. */
function toTests(value, isTrusted = false) {
  if (!isObject(value)) return value;
  const known = toTestsOf.get(value);
  if (known !== undefined) {
    const twin = twins.get(known);
    if (twin !== undefined && (twin.weight <= heavy || depth === 0)) agree(twin);
    return known;
  }
  if (typeof value === "function") return handle(value, bare(), "function", false);
  if (proxies.has(value)) return handle(value, isArray(value) ? [] : {}, "proxy", false);
  const kind = kindOf(value);
  const isOwnClass = isTrusted && kind !== "promise" && getPrototypeOf(value) !== null && !toTestsOf.has(getPrototypeOf(value));
  if (isOwnClass && kind !== "error") return handle(value, kind === "array" ? [] : {}, kind, true);
  if (kind === "other" || (kind === "object" && !isData(value))) {
    return handle(value, {}, kind, isTrusted || mayAnswer(value));
  }
  return makers[kind](value, toTests, 0);
}

/** A value of the tests' realm, as the program sees it. */
function toProgram(value) {
  if (!isObject(value)) return value;
  const known = toProgramOf.get(value);
  if (known !== undefined) {
    const twin = twins.get(value);
    if (twin !== undefined && (twin.weight <= heavy || depth === 0)) agree(twin);
    return known;
  }
  if (typeof value === "function") return exportFunction(value);
  const kind = kindOf(value);
  return (makers[kind] ?? exportInstance)(value, toProgram, 1);
}

function exportFunction(value) {
  const call = (self, args, newTarget) => callTests(value, self, args, newTarget);
  const theirs = kit.wrap(call);
  for (const key of ["name", "length"]) {
    const found = getOwnPropertyDescriptor(value, key);
    if (found !== undefined && "value" in found) defineProperty(theirs, key, { value: found.value, configurable: true });
  }
  know(value, theirs);
  for (const key of ownKeys(value)) {
    const found = getOwnPropertyDescriptor(value, key);
    if (key === "prototype" || !found.enumerable || !("value" in found)) continue;
    defineProperty(theirs, key, { value: toProgram(found.value), writable: true, enumerable: true, configurable: true });
  }
  return theirs;
}

/** An instance of a class of the test: its own values as data, its class as functions that come back. */
function exportInstance(value) {
  if (typeof value.next === "function") return exportIterator(value);
  const prototype = getPrototypeOf(value);
  const theirs = Object.create(prototype === null ? null : exportPrototype(prototype));
  know(value, theirs);
  const twin = { mine: value, theirs, kind: "object", weight: 0, last: [] };
  twins.set(value, twin);
  copyAccessors(value, theirs);
  fill(twin, value, theirs, toProgram);
  track(twin);
  return theirs;
}

/** Iterators have no data: their steps come back. */
function exportIterator(value) {
  const isAsync = Symbol.asyncIterator in value;
  const theirs = Object.create(isAsync ? kit.asyncIteratorPrototype : kit.iteratorPrototype);
  know(value, theirs);
  for (const key of ["next", "return", "throw"]) {
    if (typeof value[key] !== "function") continue;
    const step = kit.wrap((_, args) => callTests(value[key], theirs, args, undefined));
    defineProperty(theirs, key, { value: step, writable: true, enumerable: false, configurable: true });
  }
  return theirs;
}

function exportPrototype(prototype) {
  const known = toProgramOf.get(prototype);
  if (known !== undefined) return known;
  const above = getPrototypeOf(prototype);
  const theirs = Object.create(above === null ? null : exportPrototype(above));
  know(prototype, theirs);
  for (const key of ownKeys(prototype)) {
    const found = getOwnPropertyDescriptor(prototype, key);
    if ("value" in found) found.value = toProgram(found.value);
    defineProperty(theirs, key, { ...found, ...exported(found) });
  }
  return theirs;
}

const exported = (found) => ({
  ...(found.get && { get: toProgram(found.get) }),
  ...(found.set && { set: toProgram(found.set) }),
});

function copyAccessors(value, theirs) {
  for (const key of ownKeys(value)) {
    const found = getOwnPropertyDescriptor(value, key);
    if ("value" in found) continue;
    defineProperty(theirs, key, { enumerable: found.enumerable, configurable: true, ...exported(found) });
  }
}

// ---- data

const fresh = [
  (name) => construct(globals[name], []),
  (name) => construct(globals[name], [], kit.constructors[name]),
];
const globals = { Array, Map, Set, Date, RegExp, Number, String, Boolean, ArrayBuffer, DataView };
for (const one of typedArrays) globals[one.name] = one;
for (const one of [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError, AggregateError]) globals[one.name] = one;

function newTwin(from, to, side, kind, carry) {
  const [mine, theirs] = side === 0 ? [to, from] : [from, to];
  know(mine, theirs);
  const twin = { mine, theirs, kind, weight: 0, last: [] };
  twins.set(mine, twin);
  fill(twin, from, to, carry);
  track(twin);
  return to;
}

const make = (name, args, side) => construct(globals[name], args, side === 0 ? globals[name] : kit.constructors[name]);
const once = (from, to, side) => { if (side === 0) know(to, from); else know(from, to); return to; };

const bytesOf = (buffer) => construct(Uint8Array, [construct(Uint8Array, [buffer])]);
const sliceBuffer = (buffer, side) => {
  const bytes = bytesOf(buffer);
  const copy = make("ArrayBuffer", [bytes.length], side);
  construct(Uint8Array, [copy]).set(bytes);
  return copy;
};

const makers = {
  array: (from, carry, side) => newTwin(from, fresh[side]("Array"), side, "array", carry),
  map: (from, carry, side) => newTwin(from, fresh[side]("Map"), side, "map", carry),
  set: (from, carry, side) => newTwin(from, fresh[side]("Set"), side, "set", carry),
  object(from, carry, side) {
    const isBare = getPrototypeOf(from) === null;
    if (side === 1) {
      const theirs = Object.create(isBare ? null : kit.objectPrototype);
      newTwin(from, theirs, side, "object", carry);
      copyAccessors(from, theirs);
      return theirs;
    }
    return newTwin(from, isBare ? Object.create(null) : {}, side, "object", carry);
  },
  date: (from, carry, side) => once(from, make("Date", [apply(Date.prototype.getTime, from, [])], side), side),
  regexp(from, carry, side) {
    const copy = make("RegExp", [apply(brands[3][1], from, []), flagsOf(from)], side);
    copy.lastIndex = +from.lastIndex;
    return once(from, copy, side);
  },
  number: (from, carry, side) => once(from, make("Number", [apply(Number.prototype.valueOf, from, [])], side), side),
  string: (from, carry, side) => once(from, make("String", [apply(String.prototype.valueOf, from, [])], side), side),
  boolean: (from, carry, side) => once(from, make("Boolean", [apply(Boolean.prototype.valueOf, from, [])], side), side),
  buffer: (from, carry, side) => once(from, sliceBuffer(from, side), side),
  view(from, carry, side) {
    const read = (key) => apply(getter(DataView.prototype, key), from, []);
    const bytes = construct(Uint8Array, [read("buffer"), read("byteOffset"), read("byteLength")]);
    return once(from, make("DataView", [sliceBuffer(construct(Uint8Array, [bytes]).buffer, side)], side), side);
  },
  typed(from, carry, side) {
    const name = apply(typedName, from, []);
    if (!(name in globals)) return once(from, side === 0 ? {} : Object.create(null), side);
    const copy = construct(globals[name], [from], side === 0 ? globals[name] : kit.constructors[name]);
    const [mine, theirs] = side === 0 ? [copy, from] : [from, copy];
    know(mine, theirs);
    const twin = { mine, theirs, kind: "typed", weight: copy.length, last: construct(globals[name], [copy]) };
    twins.set(mine, twin);
    track(twin);
    return copy;
  },
  error(from, carry, side) {
    const name = errorClass(from, side);
    const copy = make(name, name === "AggregateError" ? [[]] : [], side);
    const prototype = getPrototypeOf(from);
    once(from, copy, side);
    setPrototypeOf(copy, prototype === null ? null : side === 0 ? toTests(prototype) : exportPrototype(prototype));
    for (const key of ownKeys(from)) {
      const found = getOwnPropertyDescriptor(from, key);
      let value;
      if ("value" in found) value = carry(found.value);
      else if (side === 0) value = probe(() => from[key]);
      else value = carry(from[key]);
      if (key === "message" && value === "stack overflow" && prototype === kit.overflow) value = "Maximum call stack size exceeded";
      if (side === 0 && typeof value === "function" && builtInNames.has(key)) continue;
      defineProperty(copy, key, { value, writable: true, enumerable: found.enumerable, configurable: true });
    }
    return copy;
  },
  promise(from, carry, side) {
    if (side === 0) {
      const mine = new Promise((resolve, reject) => {
        const arrive = (settle) => kit.wrap((_, args) => {
          if (depth === 0) agreeAll();
          settle(toTests(args[0]));
        });
        apply(kit.promiseThen, from, [arrive(resolve), arrive(reject)]);
      });
      return once(from, mine, 0);
    }
    const theirs = kit.promise(kit.wrap((_, args) => {
      const leave = (settle) => (value) => {
        const theirValue = toProgram(value);
        agreeAll();
        apply(settle, undefined, [theirValue]);
      };
      apply(promiseThen, from, [leave(args[0]), leave(args[1])]);
    }));
    return once(from, theirs, 1);
  },
};

function errorClass(error, side) {
  const known = side === 0 ? toTestsOf : toProgramOf;
  for (let p = getPrototypeOf(error); p !== null && !proxies.has(p); p = getPrototypeOf(p)) {
    const mine = side === 0 ? known.get(p) : p;
    if (mine === undefined || records.has(mine)) continue;
    for (const name of ["EvalError", "RangeError", "ReferenceError", "SyntaxError", "TypeError", "URIError", "AggregateError"])
      if (mine === globals[name].prototype) return name;
  }
  return "Error";
}

const flagLetters = [["hasIndices", "d"], ["global", "g"], ["ignoreCase", "i"], ["multiline", "m"], ["dotAll", "s"],
  ["unicode", "u"], ["unicodeSets", "v"], ["sticky", "y"]].map(([key, letter]) => [getter(RegExp.prototype, key), letter]);
const flagsOf = (pattern) => flagLetters.map(([read, letter]) => (apply(read, pattern, []) ? letter : "")).join("");

const readers = {
  array(value) {
    const { length } = value;
    const list = [];
    for (let i = 0; i < length; i++) list.push(value[i] === undefined && getOwnPropertyDescriptor(value, i) === undefined ? hole : value[i]);
    return list;
  },
  map(value) {
    const list = [];
    apply(Map.prototype.forEach, value, [(v, k) => { list.push(k, v); }]);
    return list;
  },
  set(value) {
    const list = [];
    apply(Set.prototype.forEach, value, [(v) => { list.push(v); }]);
    return list;
  },
  object(value) {
    const list = [];
    const keys = ownKeys(value);
    for (let i = 0; i < keys.length; i++) {
      const found = getOwnPropertyDescriptor(value, keys[i]);
      if (found !== undefined && "value" in found && found.enumerable) list.push(keys[i], found.value);
    }
    return list;
  },
};
const hole = { hole: true };
know(hole, { hole: true });

/** Keys of an array that are no indices: results of exec have some. */
function extraKeys(value) {
  const keys = ownKeys(value);
  const found = [];
  for (let i = keys.length - 1; i >= 0; i--) {
    const key = keys[i];
    if (typeof key === "string" && key !== "length") {
      if (+key >= 0) break;
      if (!builtInNames.has(key)) found.push(key);
    }
  }
  return found.reverse();
}

function fill(twin, from, to, carry) {
  const list = readers[twin.kind](from);
  const carried = carryAll(list, carry);
  write(twin.kind, to, carried);
  if (twin.kind === "array" && list.length < 1000)
    for (const key of extraKeys(from)) defineProperty(to, key, { value: carry(from[key]), writable: true, enumerable: true, configurable: true });
  twin.weight = list.length;
  twin.last = to === twin.mine ? carried : list;
  if (Object.isFrozen(from)) {
    freeze(to);
    twin.isFixed = true;
  }
}

function carryAll(list, carry) {
  const carried = [];
  for (let i = 0; i < list.length; i++) carried.push(list[i] === hole ? hole : carry(list[i]));
  return carried;
}

function write(kind, to, list) {
  if (kind === "array") {
    Reflect.set(to, "length", list.length);
    for (let i = 0; i < list.length; i++) {
      if (list[i] === hole) Reflect.deleteProperty(to, i);
      else defineProperty(to, i, { value: list[i], writable: true, enumerable: true, configurable: true });
    }
  } else if (kind === "map") {
    apply(Map.prototype.clear, to, []);
    for (let i = 0; i < list.length; i += 2) apply(Map.prototype.set, to, [list[i], list[i + 1]]);
  } else if (kind === "set") {
    apply(Set.prototype.clear, to, []);
    for (let i = 0; i < list.length; i++) apply(Set.prototype.add, to, [list[i]]);
  } else {
    const kept = new Set();
    for (let i = 0; i < list.length; i += 2) kept.add(list[i]);
    for (const key of ownKeys(to)) if (!kept.has(key) && getOwnPropertyDescriptor(to, key).enumerable && "value" in getOwnPropertyDescriptor(to, key)) Reflect.deleteProperty(to, key);
    for (let i = 0; i < list.length; i += 2)
      defineProperty(to, list[i], { value: list[i + 1], writable: true, enumerable: true, configurable: true });
  }
}

const same = (a, b) => a === b || (a !== a && b !== b);

/** Brings the side of a twin that has not changed into agreement with the one that has. The program's change wins. */
function agree(twin) {
  if (twin.isBusy || twin.isFixed) return;
  twin.isBusy = true;
  try {
    if (twin.kind === "typed") agreeTyped(twin);
    else agreeData(twin);
  } finally {
    twin.isBusy = false;
  }
}

function agreeData(twin) {
  const { kind, mine, theirs, last } = twin;
  if (kind === "array" && holds(theirs, last, toTestsOf) && holds(mine, last, undefined)) return;
  const theirList = readers[kind](theirs);
  if (isChanged(theirList, last, toTestsOf)) {
    const carried = carryAll(theirList, kind === "object" ? withoutAnswers(theirList) : toTests);
    write(kind, mine, carried);
    twin.last = carried;
    twin.weight = carried.length;
    return;
  }
  const myList = readers[kind](mine);
  if (!isChanged(myList, last, undefined)) return;
  write(kind, theirs, carryAll(myList, toProgram));
  twin.last = myList;
  twin.weight = myList.length;
}

/** A function that the program stores under the name of a built-in method in the test's object says nothing there. */
function withoutAnswers(list) {
  let key;
  return (value) => {
    const at = key === undefined ? (key = 0) : ++key;
    if (at % 2 === 1 && typeof value === "function" && builtInNames.has(list[at - 1]) && !toTestsOf.has(value)) return undefined;
    return toTests(value);
  };
}

function isChanged(list, last, known) {
  if (list.length !== last.length) return true;
  for (let i = 0; i < list.length; i++) {
    const value = known !== undefined && isObject(list[i]) && list[i] !== hole ? known.get(list[i]) : list[i];
    if (!same(value, last[i])) return true;
  }
  return false;
}

/** Whether an array still holds what its twin held last: the usual case, which needs no list. */
function holds(array, last, known) {
  const { length } = last;
  if (array.length !== length) return false;
  for (let i = 0; i < length; i++) {
    const value = array[i];
    if (value === last[i] && value !== undefined) continue;
    if (known === undefined || !isObject(value) || known.get(value) !== last[i]) return false;
  }
  return true;
}

function agreeTyped(twin) {
  const { mine, theirs, last } = twin;
  const differs = (list) => {
    if (list.length !== last.length) return false;
    for (let i = 0; i < last.length; i++) if (!same(list[i], last[i])) return true;
    return false;
  };
  const copy = (from, to) => { for (let i = 0; i < last.length; i++) to[i] = last[i] = from[i]; };
  if (differs(theirs)) copy(theirs, mine);
  else if (differs(mine)) copy(mine, theirs);
}

// ---- handles

const bare = () => function () {}.bind();

function handle(theirs, shadow, kind, isTrusted) {
  const record = { theirs, shadow, kind, isTrusted, isUsed: false, said: undefined, saidAt: -1 };
  const mine = new Proxy(shadow, handlerOf(record));
  know(mine, theirs);
  records.set(mine, record);
  return mine;
}

/** What the program's code answers; asked twice without a call in between, it has to say the same. */
function heard(record, key, ask) {
  if (record.saidAt !== epoch) {
    record.said = new Map();
    record.saidAt = epoch;
  }
  if (record.said.has(key)) return record.said.get(key);
  const value = ask();
  record.said.set(key, value);
  return value;
}

/** The descriptor of a property wherever it is inherited from; undefined also where a proxy has to be asked. */
function findProperty(theirs, key) {
  for (let p = theirs; p !== null; p = getPrototypeOf(p)) {
    if (proxies.has(p)) return { isAsked: true };
    const found = getOwnPropertyDescriptor(p, key);
    if (found !== undefined) return found;
  }
  return undefined;
}

function readProperty(record, key, receiver) {
  const { theirs } = record;
  const found = findProperty(theirs, key);
  if (found === undefined) return undefined;
  if ("value" in found) return toTests(found.value);
  const self = toProgram(receiver);
  return heard(record, key, () => probe(() => Reflect.get(theirs, key, self)));
}

/** Names that say nothing about what an object is for. */
const passive = new Set(["constructor", "toString", "toJSON", "then", "message", "name", "stack"]);

/** A built-in method that needs the object itself, not its handle. */
const passed = new WeakMap();
function viaProgram(method) {
  let passing = passed.get(method);
  if (passing === undefined) {
    const theirs = toProgramOf.get(method);
    passing = function (...args) { return callProgram(theirs, this, args); };
    defineProperty(passing, "name", { value: method.name, configurable: true });
    passed.set(method, passing);
    toProgramOf.set(passing, theirs);
  }
  return passing;
}

function answers(record, key, value) {
  if (typeof value !== "function") return true;
  if (record.kind === "function") return !(key in Function.prototype) || key === "toString";
  if (record.isTrusted || (record.isUsed && typeof key === "string")) return true;
  return !builtInNames.has(key);
}

function handlerOf(record) {
  const { theirs, shadow } = record;
  return {
    __proto__: null,
    get(_, key, receiver) {
      if (key === Symbol.toPrimitive && record.kind !== "function") return primitiveOf(record);
      const value = readProperty(record, key, receiver);
      if (key === "length" && isArray(shadow)) {
        if (typeof value !== "number") throw new TypeError("an array's length is a number");
        return value;
      }
      if (answers(record, key, value)) {
        if (typeof value !== "function") return value;
        if (typeof key === "string" && !passive.has(key) && !builtInNames.has(key)) record.isUsed = true;
        return isArray(shadow) || record.kind === "function" || !intrinsics.has(value) ? value : viaProgram(value);
      }
      return Reflect.get(shadow, key, receiver) ?? inherited(record, key);
    },
    set(_, key, value, receiver) {
      const theirValue = toProgram(value);
      if (receiver !== toTestsOf.get(theirs)) return Reflect.set(shadow, key, value, receiver);
      enter(() => Reflect.set(theirs, key, theirValue));
      return true;
    },
    has: (_, key) => probe(() => has(theirs, key)),
    deleteProperty: (_, key) => enter(() => Reflect.deleteProperty(theirs, key)),
    defineProperty(_, key, found) {
      const theirFound = { ...found };
      if ("value" in found) theirFound.value = toProgram(found.value);
      enter(() => { defineProperty(theirs, key, { ...theirFound, ...exported(found) }); });
      return true;
    },
    getPrototypeOf: () => toTests(getPrototypeOf(theirs)),
    setPrototypeOf: (_, prototype) => setPrototypeOf(theirs, toProgram(prototype)),
    ownKeys() {
      const keys = [];
      probe(() => { for (const key of ownKeys(theirs)) keys.push(key); });
      if (isArray(shadow) && !keys.includes("length")) keys.push("length");
      return keys;
    },
    getOwnPropertyDescriptor(_, key) {
      let found;
      probe(() => { found = getOwnPropertyDescriptor(theirs, key); });
      if (found === undefined) return undefined;
      const value = "value" in found ? toTests(found.value) : readProperty(record, key, toTestsOf.get(theirs));
      if (key === "length" && isArray(shadow)) return { value, writable: true, enumerable: false, configurable: false };
      if (!answers(record, key, value)) return undefined;
      return { value, writable: true, enumerable: found.enumerable, configurable: true };
    },
    apply: (_, self, args) => callProgram(theirs, self, args),
    construct(_, args, newTarget) {
      const theirArgs = exportAll(args);
      const target = newTarget === toTestsOf.get(theirs) ? theirs : derived(newTarget);
      let made;
      enter(() => { made = construct(theirs, theirArgs, target); });
      return toTests(made, true);
    },
  };
}

/** A class of the test that extends one of the program's, as the program's code sees it. */
function derived(newTarget) {
  const theirs = toProgram(newTarget);
  const prototype = exportPrototype(newTarget.prototype);
  Reflect.set(theirs, "prototype", prototype);
  return theirs;
}

/** What an iterator of the program's inherits from ECMAScript. */
function inherited(record, key) {
  for (let p = getPrototypeOf(record.theirs); p !== null && !proxies.has(p); p = getPrototypeOf(p)) {
    const mine = toTestsOf.get(p);
    if (mine !== undefined && !records.has(mine)) return mine[key];
  }
  return undefined;
}

/** Conversion to a primitive, by the program's methods, asked once for each hint. */
const dateToPrimitive = Date.prototype[Symbol.toPrimitive];
function primitiveOf(record) {
  const { theirs } = record;
  return (hint) => heard(record, "primitive " + hint, () => {
    const value = probe(() => {
      const own = theirs[Symbol.toPrimitive];
      return typeof own === "function" ? apply(own, theirs, [hint]) : apply(dateToPrimitive, theirs, [hint === "string" ? "string" : "number"]);
    });
    if (isObject(value)) throw new TypeError("Cannot convert object to primitive value");
    return value;
  });
}
`;
