// Node's `assert`, as text that is part of the harness: the same methods, the same equality, and the same messages where
// they fit into a line (a difference of several lines is shown in our own way).

export const assertSource = String.raw`
// ---- deep equality, strict or loose, as Node has it

const propertyIsEnumerable = Object.prototype.propertyIsEnumerable;
const isNaNs = (a, b) => a !== a && b !== b;

const ownEnumerable = (value, key) => getOwnPropertyDescriptor(value, key)?.enumerable === true;

const none = freeze([]);

function comparedKeys(value, kind, isStrict) {
  const all = ownKeys(value);
  // Indices come first: an array without holes has nothing else than them and its length.
  if (kind === "array" && all.length === value.length + 1 && all[value.length] === "length") return none;
  return all.filter((key) => {
    if (typeof key === "symbol") return isStrict && ownEnumerable(value, key);
    if ((kind === "array" || kind === "typed" || kind === "string") && key !== "" && String(+key) === key && +key >= 0) return false;
    return ownEnumerable(value, key);
  });
}

function deepEqual(a, b, isStrict, seen) {
  if (a === b) return a !== 0 || !isStrict || Object.is(a, b);
  if (isStrict) {
    if (!isObject(a) || !isObject(b) || typeof a === "function" || typeof b === "function") return Object.is(a, b);
    if (getPrototypeOf(a) !== getPrototypeOf(b)) return false;
  } else {
    if (!isObject(a) || typeof a === "function") return (!isObject(b) || typeof b === "function") && (a == b || isNaNs(a, b));
    if (!isObject(b) || typeof b === "function") return false;
  }
  const kind = kindSeen(a);
  if (slotless(kind) !== slotless(kindSeen(b)) || tagText(a) !== tagText(b)) return false;
  if (!sameInside(a, b, kind, isStrict)) return false;
  const keys = comparedKeys(a, kind, isStrict);
  if (keys.length !== comparedKeys(b, kind, isStrict).length) return false;
  for (let i = 0; i < keys.length; i++) if (!ownEnumerable(b, keys[i])) return false;
  for (let p = seen; p !== undefined; p = p.next) {
    if (p.a === a || p.b === b) return p.a === a && p.b === b;
  }
  const path = { a, b, next: seen };
  if (!sameItems(a, b, kind, isStrict, path)) return false;
  for (let i = 0; i < keys.length; i++) if (!deepEqual(a[keys[i]], b[keys[i]], isStrict, path)) return false;
  return true;
}

const slotless = (kind) => (kind === "other" || kind === "proxy" ? "object" : kind);
const tagText = (value) => apply(classOf, value, none);

/** What is not reached by keys: slots of built-in objects. */
function sameInside(a, b, kind, isStrict) {
  switch (kind) {
    case "array": return a.length === b.length;
    case "date": return sameValue(Date.prototype.getTime.call(a), Date.prototype.getTime.call(b));
    case "regexp": return a.source === b.source && a.flags === b.flags && a.lastIndex === b.lastIndex;
    case "error": return a.message === b.message && a.name === b.name;
    case "number": case "string": case "boolean": {
      const { valueOf } = { number: Number, string: String, boolean: Boolean }[kind].prototype;
      return Object.is(apply(valueOf, a, []), apply(valueOf, b, []));
    }
    case "typed": {
      if (a.length !== b.length) return false;
      for (let i = 0; i < a.length; i++) if (!(isStrict ? Object.is(a[i], b[i]) : a[i] === b[i] || isNaNs(a[i], b[i]))) return false;
      return true;
    }
    case "buffer": {
      const x = bytesOf(a), y = bytesOf(b);
      return x.length === y.length && x.every((byte, i) => byte === y[i]);
    }
    case "map": return sizeOf(a, Map) === sizeOf(b, Map);
    case "set": return sizeOf(a, Set) === sizeOf(b, Set);
    case "promise": return false;
    default: return true;
  }
}

const sizeOf = (value, type) => (records.has(value) ? value.size : apply(getter(type.prototype, "size"), value, []));
const entriesOf = (value, kind) => {
  if (!records.has(value)) return readers[kind](value);
  const list = [];
  value.forEach((v, k) => { if (kind === "map") list.push(k, v); else list.push(v); });
  return list;
};

function sameItems(a, b, kind, isStrict, path) {
  if (kind === "array") {
    for (let i = 0; i < a.length; i++) {
      if (isStrict && Object.hasOwn(a, i) !== Object.hasOwn(b, i)) return false;
      if (!deepEqual(a[i], b[i], isStrict, path)) return false;
    }
    return true;
  }
  if (kind === "set") return sameMembers(entriesOf(a, "set"), entriesOf(b, "set"), isStrict, path);
  if (kind === "map") return sameEntries(entriesOf(a, "map"), entriesOf(b, "map"), isStrict, path);
  return true;
}

function sameMembers(as, bs, isStrict, path) {
  const left = new Set(bs);
  const odd = as.filter((member) => !left.delete(member));
  for (const member of odd) {
    let partner;
    for (const other of left) {
      if (isStrict && !isObject(member)) break;
      if (deepEqual(member, other, isStrict, path)) { partner = { other }; break; }
    }
    if (partner === undefined) return false;
    left.delete(partner.other);
  }
  return left.size === 0;
}

function sameEntries(as, bs, isStrict, path) {
  const left = new Map();
  for (let i = 0; i < bs.length; i += 2) left.set(bs[i], bs[i + 1]);
  const odd = [];
  for (let i = 0; i < as.length; i += 2) {
    const key = as[i];
    if (left.has(key) && deepEqual(as[i + 1], left.get(key), isStrict, path)) left.delete(key);
    else odd.push([key, as[i + 1]]);
  }
  for (const [key, value] of odd) {
    let partner;
    for (const [otherKey, otherValue] of left) {
      if (isStrict && !isObject(key)) break;
      if (deepEqual(key, otherKey, isStrict, path) && deepEqual(value, otherValue, isStrict, path)) { partner = { otherKey }; break; }
    }
    if (partner === undefined) return false;
    left.delete(partner.otherKey);
  }
  return left.size === 0;
}

const sameValue = (a, b) => a === b || (a !== a && b !== b);

// ---- assertions

class AssertionError extends Error {
  constructor(options) {
    const { message, actual, expected, operator } = options;
    super(message === undefined ? generated(options) : String(message));
    defineProperty(this, "name", { value: "AssertionError", writable: true, enumerable: false, configurable: true });
    this.generatedMessage = message === undefined;
    this.code = "ERR_ASSERTION";
    this.actual = actual;
    this.expected = expected;
    this.operator = operator;
  }
  toString() { return this.name + " [" + this.code + "]: " + this.message; }
}

const longText = (value) => inspect(value, { depth: 1000, sorted: true });
const short = (value) => {
  if (!isObject(value) && (typeof value !== "string" || value.length < 100)) return primitiveText(value, { compact: true, indentation: 0 });
  try {
    const text = longText(value);
    return text.length > 1000 ? text.slice(0, 1000) + "..." : text;
  } catch {
    return "something that cannot be shown";
  }
};

const headings = {
  deepStrictEqual: "Expected values to be strictly deep-equal:",
  strictEqual: "Expected values to be strictly equal:",
  deepEqual: "Expected values to be loosely deep-equal:",
  notDeepStrictEqual: 'Expected "actual" not to be strictly deep-equal to:',
  notStrictEqual: 'Expected "actual" to be strictly unequal to:',
  notDeepEqual: 'Expected "actual" not to be loosely deep-equal to:',
};

function generated({ actual, expected, operator }) {
  const [a, b] = [short(actual), short(expected)];
  const isShort = !a.includes("\n") && !b.includes("\n");
  switch (operator) {
    case "==": return a + " == " + b;
    case "!=": return a + " != " + b;
    case "strictEqual":
      if (isObject(actual) && isObject(expected) && a === b)
        return 'Values have same structure but are not reference-equal:\n\n' + a + "\n";
      if (isShort && !isObject(actual) && !isObject(expected)) return headings.strictEqual + "\n\n" + a + " !== " + b + "\n";
      return headings.strictEqual + "\n+ actual - expected\n\n" + marked("+ ", a) + "\n" + marked("- ", b);
    case "deepStrictEqual":
      if (isShort && !isObject(actual) && !isObject(expected)) return headings.deepStrictEqual + "\n\n" + a + " !== " + b + "\n";
      return headings.deepStrictEqual + "\n+ actual - expected\n\n" + marked("+ ", a) + "\n" + marked("- ", b);
    case "deepEqual": return headings.deepEqual + "\n\n" + a + "\n\nshould loosely deep-equal\n\n" + b;
    case "notStrictEqual":
    case "notDeepStrictEqual":
    case "notDeepEqual": {
      const isLong = a.includes("\n") || isObject(actual);
      return headings[operator] + (isLong ? "\n\n" + a + "\n" : " " + a);
    }
    default: return "Failed";
  }
}

const marked = (mark, text) => text.split("\n").map((line) => mark + line).join("\n");

const received = (value) => (value === null || value === undefined || isObject(value) ? short(value) : "type " + typeof value + " (" + short(value) + ")");

const codedError = (Type, code, message) => {
  const error = new Type(message);
  error.code = code;
  return error;
};

/** Assertions whose failures are told to report(error). */
function makeAssert(report) {
  function fail(options) {
    if (isError(options.message)) {
      report(options.message);
      throw options.message;
    }
    const error = new AssertionError(options);
    report(error);
    throw error;
  }

  function ok(...args) {
    if (args[0]) return;
    const message = args.length === 0 ? "No value argument passed to \x60assert.ok()\x60"
      : args[1] ?? "The expression evaluated to a falsy value: " + short(args[0]);
    const options = { message, actual: args[0], expected: true, operator: "==" };
    if (isError(message)) fail(options);
    const error = new AssertionError(options);
    error.generatedMessage = args.length < 2 || args[1] === undefined || args[1] === null;
    report(error);
    throw error;
  }

  const compare = (operator, holds) => function (actual, expected, message) {
    if (arguments.length < 2) throw codedError(TypeError, "ERR_MISSING_ARGS", 'The "actual" and "expected" arguments must be specified');
    if (!holds(actual, expected)) fail({ message, actual, expected, operator });
  };
  const named = (name, value) => defineProperty(value, "name", { value: name, configurable: true }) && value;

  const equalities = {
    equal: compare("==", (a, b) => a == b || isNaNs(a, b)),
    notEqual: compare("!=", (a, b) => !(a == b || isNaNs(a, b))),
    deepEqual: compare("deepEqual", (a, b) => deepEqual(a, b, false)),
    notDeepEqual: compare("notDeepEqual", (a, b) => !deepEqual(a, b, false)),
    deepStrictEqual: compare("deepStrictEqual", (a, b) => deepEqual(a, b, true)),
    notDeepStrictEqual: compare("notDeepStrictEqual", (a, b) => !deepEqual(a, b, true)),
    strictEqual: compare("strictEqual", (a, b) => Object.is(a, b)),
    notStrictEqual: compare("notStrictEqual", (a, b) => !Object.is(a, b)),
  };

  const isPattern = (value) => isObject(value) && kindSeen(value) === "regexp";
  const matches = (pattern, text) => RegExp.prototype.exec.call(pattern, text) !== null;

  function matching(name, wanted, sentence) {
    return function (text, pattern, message) {
      if (!isPattern(pattern)) throw codedError(TypeError, "ERR_INVALID_ARG_TYPE", 'The "regexp" argument must be an instance of RegExp.');
      if (typeof text === "string" && matches(pattern, text) === wanted) return;
      const explanation = typeof text !== "string"
        ? 'The "string" argument must be of type string. Received type ' + typeof text + " (" + short(text) + ")"
        : sentence + inspect(pattern) + ". Input:\n\n" + short(text) + "\n";
      if (isError(message)) fail({ message });
      const error = new AssertionError({ message: message ?? explanation, actual: text, expected: pattern, operator: name });
      error.generatedMessage = message === undefined;
      report(error);
      throw error;
    };
  }

  function complain(isGenerated, message, actual, expected, operator) {
    const error = new AssertionError({ message, actual, expected, operator });
    error.generatedMessage = isGenerated;
    report(error);
    throw error;
  }

  /** Whether what was thrown is what was expected; fails if not. */
  function verify(thrown, expected, message, operator) {
    if (expected === undefined) return;
    const refuse = (explanation) => {
      if (isError(message)) fail({ message });
      complain(message === undefined, message ?? explanation, thrown, expected, operator);
    };
    if (typeof expected !== "function") {
      if (isPattern(expected)) {
        if (!matches(expected, String(thrown)))
          refuse("The input did not match the regular expression " + inspect(expected) + ". Input:\n\n" + short(String(thrown)) + "\n");
        return;
      }
      if (!isObject(thrown)) return complain(message === undefined, message ?? generated({ actual: thrown, expected, operator: "deepStrictEqual" }), thrown, expected, operator);
      const keys = Object.keys(expected);
      if (isError(expected)) keys.push("name", "message");
      else if (keys.length === 0) throw codedError(TypeError, "ERR_INVALID_ARG_VALUE", "The argument 'error' may not be an empty object. Received {}");
      for (const key of keys) {
        if (typeof thrown[key] === "string" && isPattern(expected[key]) && matches(expected[key], thrown[key])) continue;
        if (!(key in thrown) || !deepEqual(thrown[key], expected[key], true))
          refuse("Expected values to be strictly deep-equal:\n" + String(key) + " is " + short(thrown[key]) + ", expected " + short(expected[key]));
      }
      return;
    }
    if (expected.prototype !== undefined && thrown instanceof expected) return;
    if (expected === Error || isPrototypeOf(Error, expected)) {
      const received = isObject(thrown) && thrown.constructor?.name ? '"' + thrown.constructor.name + '"' : '"' + short(thrown) + '"';
      let explanation = 'The error is expected to be an instance of "' + expected.name + '". Received ' + received;
      if (isError(thrown)) explanation += "\n\nError message:\n\n" + thrown.message;
      return refuse(explanation);
    }
    const result = apply(expected, {}, [thrown]);
    if (result !== true)
      refuse("The " + (expected.name ? '"' + expected.name + '" validation function' : "validation function") + ' is expected to return "true". Received ' + short(result) +
        (isError(thrown) ? "\n\nCaught error:\n\n" + describe(thrown) : ""));
  }

  const isPrototypeOf = (above, below) => {
    for (let p = getPrototypeOf(below); p !== null; p = getPrototypeOf(p)) if (p === above) return true;
    return false;
  };

  function expectThrow(outcome, expected, message, operator) {
    if (typeof expected === "string") {
      if (message !== undefined)
        throw codedError(TypeError, "ERR_INVALID_ARG_TYPE", 'The "error" argument must be of type function or an instance of Error, RegExp, or Object. Received type string');
      if (outcome !== undefined && (isObject(outcome.thrown) ? outcome.thrown.message : outcome.thrown) === expected)
        throw codedError(TypeError, "ERR_AMBIGUOUS_ARGUMENT", 'The "error/message" argument is ambiguous. The error ' +
          (isObject(outcome.thrown) ? "message " : "") + '"' + expected + '" is identical to the message.');
      message = expected;
      expected = undefined;
    } else if (expected !== undefined && expected !== null && !isObject(expected)) {
      throw codedError(TypeError, "ERR_INVALID_ARG_TYPE", 'The "error" argument must be of type function or an instance of Error, RegExp, or Object.');
    }
    if (outcome === undefined) {
      let details = expected?.name ? " (" + expected.name + ")" : "";
      details += message ? ": " + message : ".";
      const what = operator === "rejects" ? "rejection" : "exception";
      if (isError(message)) fail({ message });
      return complain(false, "Missing expected " + what + details, undefined, expected, operator);
    }
    verify(outcome.thrown, expected ?? undefined, message, operator);
  }

  function expectNoThrow(outcome, expected, message, operator) {
    if (outcome === undefined) return;
    if (typeof expected === "string") {
      message = expected;
      expected = undefined;
    }
    const isWanted = expected === undefined || (isPattern(expected) ? matches(expected, String(outcome.thrown))
      : expected.prototype !== undefined && outcome.thrown instanceof expected);
    if (!isWanted) throw outcome.thrown;
    const what = operator === "doesNotReject" ? "rejection" : "exception";
    complain(false, "Got unwanted " + what + (message ? ": " + message : ".") + '\nActual message: "' + outcome.thrown?.message + '"',
      outcome.thrown, expected, operator);
  }

  function attempt(call) {
    if (typeof call !== "function") throw codedError(TypeError, "ERR_INVALID_ARG_TYPE", 'The "fn" argument must be of type function. Received ' + received(call));
    try {
      call();
    } catch (thrown) {
      return { thrown };
    }
    return undefined;
  }

  async function attemptAsync(promised) {
    let promise = promised;
    if (typeof promised === "function") {
      promise = promised();
      if (!isThenable(promise)) throw codedError(TypeError, "ERR_INVALID_RETURN_VALUE", 'Expected instance of Promise to be returned from the "promiseFn" function but got ' + short(promise) + ".");
    } else if (!isThenable(promised)) {
      throw codedError(TypeError, "ERR_INVALID_ARG_TYPE", 'The "promiseFn" argument must be of type function or an instance of Promise. Received ' + short(promised));
    }
    try {
      await promise;
    } catch (thrown) {
      return { thrown };
    }
    return undefined;
  }
  const isThenable = (value) => isObject(value) && typeof value.then === "function";

  /** A failure inside that is itself what the test expects is none. */
  const expecting = (run) => {
    const before = report.mark?.();
    const outcome = run();
    return [outcome, () => report.undo?.(before)];
  };

  const methods = {
    ...equalities,
    fail(message = "Failed") {
      if (isError(message)) fail({ message });
      complain(arguments.length === 0, message, undefined, undefined, "fail");
    },
    ok,
    match: matching("match", true, "The input did not match the regular expression "),
    doesNotMatch: matching("doesNotMatch", false, "The input was expected to not match the regular expression "),
    throws(call, expected, message) {
      const [outcome, undo] = expecting(() => attempt(call));
      expectThrow(outcome, expected, message, "throws");
      undo();
    },
    doesNotThrow(call, expected, message) { expectNoThrow(attempt(call), expected, message, "doesNotThrow"); },
    async rejects(promised, expected, message) {
      const before = report.mark?.();
      const outcome = await attemptAsync(promised);
      expectThrow(outcome, expected, message, "rejects");
      report.undo?.(before);
    },
    async doesNotReject(promised, expected, message) { expectNoThrow(await attemptAsync(promised), expected, message, "doesNotReject"); },
    ifError(value) {
      if (value === null || value === undefined) return;
      const text = isObject(value) && typeof value.message === "string" ? (value.message.length === 0 && value.constructor ? value.constructor.name : value.message) : short(value);
      complain(false, "ifError got unwanted exception: " + text, value, null, "ifError");
    },
    closeTo(actual, expected, tolerance = 1e-9, message) {
      if (typeof actual === "number" && (actual > expected ? actual - expected : expected - actual) <= tolerance) return;
      complain(message === undefined, message ?? "got " + short(actual) + ", expected " + short(expected) + " within " + tolerance, actual, expected, "closeTo");
    },
  };
  const assert = named("ok", function (...args) { ok(...args); });
  const strict = named("strict", function (...args) { ok(...args); });
  for (const name of ownKeys(methods)) assert[name] = strict[name] = named(name, methods[name]);
  Object.assign(strict, { equal: assert.strictEqual, notEqual: assert.notStrictEqual, deepEqual: assert.deepStrictEqual, notDeepEqual: assert.notDeepStrictEqual });
  assert.AssertionError = strict.AssertionError = AssertionError;
  assert.strict = strict.strict = strict;
  return assert;
}
`;
