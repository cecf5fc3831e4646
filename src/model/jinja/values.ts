// Python's values as templates see them, and what printing, comparing and calculating does with them. Integers are
// bigint and floats number, so that 1 and 1.0 stay apart; None is null; strings are JavaScript's, measured in code points.

import { pythonSpaces, TemplateError } from "./lexer.js";

export type Value =
  | null
  | boolean
  | bigint
  | number
  | string
  | Undefined
  | Value[]
  | Dict
  | Range
  | DictView
  | Generator
  | Namespace
  | Callable
  | Markup;

/** jinja2's default `Undefined`: empty when printed or iterated, an error when anything is done with it. */
export class Undefined {
  constructor(
    readonly name: string,
    private readonly reason = `'${name}' is undefined`,
  ) {}

  fail(): never {
    throw new TemplateError(this.reason);
  }
}

export class Tuple extends Array<Value> {
  static make(...items: Value[]): Tuple {
    const tuple = new Tuple();
    tuple.push(...items);
    return tuple;
  }

  // What maps and slices of a tuple give are lists, as elsewhere.
  static override get [Symbol.species]() {
    return Array;
  }
}

/** Text that `escape` need not touch. Printed as it is. */
export class Markup {
  constructor(readonly text: string) {}
}

/** An insertion-ordered map by Python's equality: 1, 1.0 and True are one key. */
export class Dict {
  private readonly entries = new Map<string | number | bigint | Value, [Value, Value]>();

  constructor(pairs: Iterable<[Value, Value]> = []) {
    for (const [key, value] of pairs) this.set(key, value);
  }

  static of(fields: Readonly<Record<string, Value>>): Dict {
    return new Dict(Object.entries(fields));
  }

  get size(): number {
    return this.entries.size;
  }
  get(key: Value): Value | undefined {
    return this.entries.get(keyOf(key))?.[1];
  }
  has(key: Value): boolean {
    return this.entries.has(keyOf(key));
  }
  set(key: Value, value: Value): void {
    const known = this.entries.get(keyOf(key));
    this.entries.set(keyOf(key), [known ? known[0] : key, value]);
  }
  pairs(): [Value, Value][] {
    return [...this.entries.values()];
  }
  keys(): Value[] {
    return this.pairs().map(([key]) => key);
  }
  values(): Value[] {
    return this.pairs().map(([, value]) => value);
  }
}

/** What a set or a dict compares keys by. */
export function keyOf(key: Value): string | number | bigint | Value {
  if (typeof key === "string") return `s${key}`;
  if (key instanceof Markup) return `s${key.text}`;
  if (typeof key === "boolean") return key ? 1n : 0n;
  if (typeof key === "number" && Number.isInteger(key)) return BigInt(key);
  look();
  if (key instanceof Tuple)
    return `t${key.map((item) => `${typeof keyOf(item)}${String(keyOf(item))}`).join(",")}`;
  if (Array.isArray(key) || key instanceof Dict)
    throw new TemplateError(`unhashable type: '${typeName(key)}'`);
  return key;
}

export class Range {
  constructor(
    readonly start: bigint,
    readonly stop: bigint,
    readonly step: bigint,
  ) {}

  get length(): number {
    const { start, stop, step } = this;
    const span = step > 0n ? stop - start : start - stop;
    const size = step > 0n ? step : -step;
    return span > 0n ? Number((span + size - 1n) / size) : 0;
  }

  items(): bigint[] {
    return Array.from({ length: this.length }, (_, i) => this.start + BigInt(i) * this.step);
  }
}

/** `dict.keys()`, `.values()`, `.items()`. */
export class DictView {
  constructor(
    readonly dict: Dict,
    readonly kind: "keys" | "values" | "items",
  ) {}

  items(): Value[] {
    if (this.kind === "items") return this.dict.pairs().map((pair) => Tuple.make(...pair));
    return this.kind === "keys" ? this.dict.keys() : this.dict.values();
  }
}

/** What `map`, `select` and their like give: to be read once, true whatever it holds, without a length. */
export class Generator {
  private readonly source: Iterator<Value>;

  constructor(
    source: Iterable<Value>,
    readonly name = "generator",
  ) {
    this.source = source[Symbol.iterator]();
  }

  take(): Value | undefined {
    const { done, value } = this.source.next();
    return done ? undefined : value;
  }

  rest(): Value[] {
    const rest: Value[] = [];
    for (let item = this.take(); item !== undefined; item = this.take()) rest.push(item);
    return rest;
  }
}

/** `namespace(...)`, and other objects that have fields only. */
export class Namespace {
  readonly fields: Map<string, Value>;
  constructor(
    readonly type: string,
    fields: Iterable<[string, Value]> = [],
    /** Makes the object callable. */
    readonly call?: Callable["call"],
    /** Computed fields. */
    readonly lookup?: (name: string) => Value | undefined,
    /** Of what is printed when the object is. */
    readonly print?: string,
  ) {
    this.fields = new Map(fields);
  }
}

/** `value`, or `fallback` where there is none; None is a value. */
export function either<T extends Value | undefined>(value: Value | undefined, fallback: T): Value | T {
  return value === undefined ? fallback : value;
}

export type NamedArguments = Map<string, Value>;

export class Callable {
  constructor(
    readonly name: string,
    readonly call: (args: Value[], named: NamedArguments) => Value,
    readonly fields: Readonly<Record<string, Value>> = {},
  ) {}
}

// --------------------------------------------------------------------------------------------------------- bounds

/** Counts what a template does, so that none can hang the process or fill its memory. */
export class Budget {
  private steps = 0;
  private made = 0;

  constructor(
    readonly maxSteps: number,
    readonly maxCharacters: number,
  ) {}

  step(count = 1): void {
    this.steps += count;
    if (this.steps > this.maxSteps)
      throw new TemplateError(`it takes more than ${this.maxSteps.toLocaleString("en-US")} steps`);
  }

  /** Before text or lists of `size` are made. */
  make(size: number): void {
    this.made += size;
    if (!(this.made <= this.maxCharacters))
      throw new TemplateError(
        `it makes more than ${this.maxCharacters.toLocaleString("en-US")} characters of text or items of lists`,
      );
  }
}

/** Of the template that is being rendered: rendering waits for nothing, so that there is one at a time. */
let working: Budget | undefined;

/** Does `work` on a budget: values that hold each other are walked again and again. */
export function onBudget<T>(budget: Budget, work: () => T): T {
  const before = working;
  working = budget;
  try {
    return work();
  } finally {
    working = before;
  }
}

/** A look at a value, and at a text of this length. */
const look = (characters = 0): void => working?.step(1 + (characters >> 8));

// -------------------------------------------------------------------------------------------------------- printing

export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  if (value instanceof Tuple) return "tuple";
  if (Array.isArray(value)) return "list";
  if (value instanceof DictView) return `dict_${value.kind}`;
  if (value instanceof Generator) return value.name;
  if (value instanceof Namespace) return value.type;
  if (value instanceof Callable) return "function";
  if (value instanceof Dict) return "dict";
  if (value instanceof Range) return "range";
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Markup) return "Markup";
  return { boolean: "bool", bigint: "int", number: "float", string: "str" }[
    typeof value as "boolean" | "bigint" | "number" | "string"
  ];
}

const typeError = (message: string) => new TemplateError(message);

/** Python's `str()`. */
export function toText(value: Value): string {
  if (typeof value === "string") return value;
  if (value instanceof Markup) return value.text;
  if (value instanceof Undefined) return "";
  return repr(value);
}

/** Python's `repr()`. */
export function repr(value: Value, depth = 0): string {
  if (depth > 200) throw new TemplateError("a value nests too deeply to be printed");
  look();
  const inner = (item: Value) => repr(item, depth + 1);
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "bigint") return intText(value);
  if (typeof value === "number") return floatText(value);
  if (typeof value === "string") return quoted(value);
  if (value instanceof Markup) return `Markup(${quoted(value.text)})`;
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Tuple)
    return value.length === 1 ? `(${inner(value[0]!)},)` : `(${Array.from(value, inner).join(", ")})`;
  if (Array.isArray(value)) return `[${value.map(inner).join(", ")}]`;
  if (value instanceof Dict)
    return `{${value
      .pairs()
      .map(([key, item]) => `${inner(key)}: ${inner(item)}`)
      .join(", ")}}`;
  if (value instanceof Range) {
    const { start, stop, step } = value;
    return step === 1n ? `range(${start}, ${stop})` : `range(${start}, ${stop}, ${step})`;
  }
  if (value instanceof DictView) return `dict_${value.kind}([${value.items().map(inner).join(", ")}])`;
  if (value instanceof Namespace && value.print !== undefined) return value.print;
  if (value instanceof Namespace && value.type === "Namespace")
    return `<Namespace ${inner(new Dict(value.fields))}>`;
  throw typeError(`a ${typeName(value)} has no text that is the same every time`);
}

/** Python refuses integers of more than 4,300 digits as text. */
export function intText(value: bigint): string {
  const text = value.toString();
  if (text.length > 4301)
    throw new TemplateError("Exceeds the limit (4300 digits) for integer string conversion");
  return text;
}

/** Python's `repr` of a float: the shortest digits that read back, with an exponent below 1e-4 and from 1e16. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (Object.is(value, -0)) return "-0.0";
  const magnitude = Math.abs(value);
  if (magnitude !== 0 && (magnitude < 1e-4 || magnitude >= 1e16)) {
    const [digits, exponent] = value.toExponential().split("e") as [string, string];
    const size = exponent.slice(1).padStart(2, "0");
    return `${digits}e${exponent[0]}${size}`;
  }
  const text = value.toString();
  return /[.e]/.test(text) ? text : `${text}.0`;
}

const unprintable = /[\p{C}\p{Zl}\p{Zp}\p{Zs}]/u;

const plain = /^[ -&(-[\]-~]*$/;

/** Python's `repr` of a string. */
function quoted(text: string): string {
  working?.make(text.length);
  if (plain.test(text)) return `'${text}'`;
  // Character by character, which takes as long as many more would.
  working?.make(15 * text.length);
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let out = quote;
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (character === quote || character === "\\") out += `\\${character}`;
    else if (character === "\n") out += "\\n";
    else if (character === "\r") out += "\\r";
    else if (character === "\t") out += "\\t";
    else if (character !== " " && unprintable.test(character)) out += escapedCode(code);
    else out += character;
  }
  return out + quote;
}

function escapedCode(code: number): string {
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
  if (code < 0x10000) return `\\u${code.toString(16).padStart(4, "0")}`;
  return `\\U${code.toString(16).padStart(8, "0")}`;
}

// --------------------------------------------------------------------------------------------------------- strings

const surrogate = /[\ud800-\udfff]/;

/** The code points of a text, without copying where each is one unit. */
export function codePoints(
  text: string,
): ArrayLike<string> & { slice(start: number, end: number): string | string[] } {
  return surrogate.test(text) ? Array.from(text) : text;
}

export const textLength = (text: string): number => codePoints(text).length;

export function sliceText(text: string, start: number, end?: number): string {
  const points = codePoints(text);
  const piece = points.slice(start, end ?? points.length);
  return typeof piece === "string" ? piece : piece.join("");
}

/** By code points, as Python orders strings. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  if (!surrogate.test(a) && !surrogate.test(b)) return a < b ? -1 : 1;
  const [left, right] = [Array.from(a), Array.from(b)];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const difference = left[i]!.codePointAt(0)! - right[i]!.codePointAt(0)!;
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

const oneSpace = new RegExp(`^[${pythonSpaces}]$`);
export const isSpace = (character: string): boolean => oneSpace.test(character);

// ------------------------------------------------------------------------------------------ truth, equality, order

export function isTrue(value: Value): boolean {
  if (value instanceof Undefined) return false;
  if (Array.isArray(value) || value instanceof Range) return value.length > 0;
  if (value instanceof Dict) return value.size > 0;
  if (value instanceof DictView) return value.dict.size > 0;
  if (value instanceof Markup) return value.text !== "";
  return Boolean(value);
}

export const isNumber = (value: Value): value is boolean | bigint | number =>
  typeof value === "boolean" || typeof value === "bigint" || typeof value === "number";
export const isInteger = (value: Value): value is boolean | bigint =>
  typeof value === "boolean" || typeof value === "bigint";
export const isText = (value: Value): value is string | Markup =>
  typeof value === "string" || value instanceof Markup;
export const textOf = (value: string | Markup): string => (typeof value === "string" ? value : value.text);

/** Bool as the integer that it is in Python. */
export const numeric = (value: boolean | bigint | number): bigint | number =>
  typeof value === "boolean" ? (value ? 1n : 0n) : value;

export function equal(a: Value, b: Value): boolean {
  look();
  if (isNumber(a) && isNumber(b)) {
    const [x, y] = [numeric(a), numeric(b)];
    // biome-ignore lint/suspicious/noDoubleEquals: a bigint and a number are compared exactly
    return x == y;
  }
  if (isText(a) && isText(b)) {
    const [x, y] = [textOf(a), textOf(b)];
    if (x.length === y.length) look(x.length);
    return x === y;
  }
  if (Array.isArray(a) && Array.isArray(b))
    return (
      a instanceof Tuple === b instanceof Tuple &&
      a.length === b.length &&
      a.every((item, i) => equal(item, b[i]!))
    );
  if (a instanceof Dict && b instanceof Dict)
    return a.size === b.size && a.pairs().every(([key, value]) => b.has(key) && equal(value, b.get(key)!));
  if (a instanceof Range && b instanceof Range) {
    const { length } = a;
    return (
      length === b.length && (length === 0 || (a.start === b.start && (length === 1 || a.step === b.step)))
    );
  }
  if (a instanceof DictView && b instanceof DictView && a.kind === b.kind && a.kind !== "values")
    return a.dict.size === b.dict.size && a.items().every((item) => contains(b, item));
  if (a instanceof Undefined && b instanceof Undefined) return true;
  return a === b;
}

/** Negative, zero or positive; NaN where a comparison with NaN is. */
export function compare(a: Value, b: Value): number {
  if (a instanceof Undefined) a.fail();
  if (b instanceof Undefined) b.fail();
  if (isNumber(a) && isNumber(b)) {
    const [x, y] = [numeric(a), numeric(b)];
    return x < y ? -1 : x > y ? 1 : equal(x, y) ? 0 : Number.NaN;
  }
  if (isText(a) && isText(b)) {
    look(Math.min(textOf(a).length, textOf(b).length));
    return compareText(textOf(a), textOf(b));
  }
  if (Array.isArray(a) && Array.isArray(b) && a instanceof Tuple === b instanceof Tuple) {
    for (let i = 0; i < Math.min(a.length, b.length); i++)
      if (!equal(a[i]!, b[i]!)) return compare(a[i]!, b[i]!);
    return a.length - b.length;
  }
  throw typeError(`'<' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
}

/** Python's `item in container`. */
export function contains(container: Value, item: Value): boolean {
  if (isText(container)) {
    if (item instanceof Undefined || !isText(item))
      throw typeError(`'in <string>' requires string as left operand, not ${typeName(item)}`);
    return textOf(container).includes(textOf(item));
  }
  if (container instanceof Dict) return container.has(item);
  if (container instanceof DictView && container.kind === "keys") return container.dict.has(item);
  if (container instanceof Range && isInteger(item)) {
    const { start, stop, step } = container;
    const value = numeric(item) as bigint;
    const inside = step > 0n ? value >= start && value < stop : value <= start && value > stop;
    return inside && (value - start) % step === 0n;
  }
  return iterate(container).some((other) => equal(item, other));
}

/** Everything that iterating over a value gives. */
export function iterate(value: Value): Value[] {
  if (Array.isArray(value)) return Array.from(value);
  if (typeof value === "string") return Array.from(value);
  if (value instanceof Markup) return Array.from(value.text);
  if (value instanceof Undefined) return [];
  if (value instanceof Dict) return value.keys();
  if (value instanceof Range) working?.make(value.length);
  if (value instanceof Range || value instanceof DictView) return value.items();
  if (value instanceof Generator) return value.rest();
  throw typeError(`'${typeName(value)}' object is not iterable`);
}

/** Python's `len()`. */
export function lengthOf(value: Value): number {
  if (isText(value)) return textLength(textOf(value));
  if (Array.isArray(value) || value instanceof Range) return value.length;
  if (value instanceof Dict) return value.size;
  if (value instanceof DictView) return value.dict.size;
  if (value instanceof Undefined) return 0;
  throw typeError(`object of type '${typeName(value)}' has no len()`);
}

// ------------------------------------------------------------------------------------------------------ subscripts

export interface SliceOf {
  start: Value;
  stop: Value;
  step: Value;
}

const asIndex = (value: Value): bigint => {
  if (isInteger(value)) return numeric(value) as bigint;
  if (value instanceof Undefined) value.fail();
  throw typeError("slice indices must be integers or None or have an __index__ method");
};

/** `value[start:stop:step]`; undefined for what cannot be sliced. */
export function sliceOf(value: Value, { start, stop, step }: SliceOf): Value | undefined {
  const items: ArrayLike<Value> | null = isText(value)
    ? codePoints(textOf(value))
    : Array.isArray(value)
      ? value
      : value instanceof Range
        ? value.items()
        : null;
  if (items === null) return undefined;
  const by = step === null ? 1n : asIndex(step);
  if (by === 0n) throw typeError("slice step cannot be zero");
  const size = BigInt(items.length);
  const [low, high] = by > 0n ? [0n, size] : [-1n, size - 1n];
  const bound = (given: Value, missing: bigint): bigint => {
    if (given === null) return missing;
    let at = asIndex(given);
    if (at < 0n) at += size;
    return at < low ? low : at > high ? high : at;
  };
  const from = bound(start, by > 0n ? low : high);
  const to = bound(stop, by > 0n ? high : low);
  const out: Value[] = [];
  for (let i = from; by > 0n ? i < to : i > to; i += by) out.push(items[Number(i)]!);
  if (value instanceof Range) {
    const at = (index: bigint) => value.start + index * value.step;
    return new Range(at(from), at(to), value.step * by);
  }
  if (isText(value)) return out.join("");
  return value instanceof Tuple ? Tuple.make(...out) : out;
}

/** `value[index]`; undefined where there is no such item. */
export function itemAt(value: Value, index: Value): Value | undefined {
  if (value instanceof Undefined) value.fail();
  if (value instanceof Dict) {
    if (Array.isArray(index) && !(index instanceof Tuple)) return undefined;
    return index instanceof Dict ? undefined : value.get(index);
  }
  const isSequence = isText(value) || Array.isArray(value) || value instanceof Range;
  if (!isSequence || !isInteger(index)) return undefined;
  const items: ArrayLike<Value> = isText(value)
    ? codePoints(textOf(value))
    : Array.isArray(value)
      ? value
      : value.items();
  const at = Number(numeric(index));
  return items[at < 0 ? at + items.length : at];
}

// ------------------------------------------------------------------------------------------------------ arithmetic

const unsupported = (operator: string, a: Value, b: Value): never => {
  throw typeError(`unsupported operand type(s) for ${operator}: '${typeName(a)}' and '${typeName(b)}'`);
};

/** Bits of the largest integer that is calculated. */
const maxBits = 100_000;
const bitsOf = (value: bigint): number => value.toString(16).length * 4;

function checkSize(bits: number): void {
  if (bits > maxBits)
    throw new TemplateError(`an integer has more than ${maxBits.toLocaleString("en-US")} bits`);
}

export function add(a: Value, b: Value, budget: Budget): Value {
  if (isNumber(a) && isNumber(b)) {
    const [x, y] = [numeric(a), numeric(b)];
    return typeof x === "bigint" && typeof y === "bigint" ? x + y : Number(x) + Number(y);
  }
  if (isText(a) && isText(b)) {
    const [x, y] = [textOf(a), textOf(b)];
    budget.make(x.length + y.length);
    return a instanceof Markup || b instanceof Markup
      ? new Markup(escapeHtml(a).text + escapeHtml(b).text)
      : x + y;
  }
  if (Array.isArray(a) && Array.isArray(b) && a instanceof Tuple === b instanceof Tuple) {
    budget.make(a.length + b.length);
    return a instanceof Tuple ? Tuple.make(...a, ...b) : [...a, ...b];
  }
  return unsupported("+", a, b);
}

export function subtract(a: Value, b: Value): Value {
  if (!isNumber(a) || !isNumber(b)) return unsupported("-", a, b);
  const [x, y] = [numeric(a), numeric(b)];
  return typeof x === "bigint" && typeof y === "bigint" ? x - y : Number(x) - Number(y);
}

export function multiply(a: Value, b: Value, budget: Budget): Value {
  if (isNumber(a) && isNumber(b)) {
    const [x, y] = [numeric(a), numeric(b)];
    if (typeof x !== "bigint" || typeof y !== "bigint") return Number(x) * Number(y);
    checkSize(bitsOf(x) + bitsOf(y));
    return x * y;
  }
  if (isInteger(a) && !isInteger(b)) return multiply(b, a, budget);
  if (!isInteger(b)) return unsupported("*", a, b);
  const times = Math.max(0, Number(numeric(b)));
  if (isText(a)) {
    budget.make(textOf(a).length * times);
    return textOf(a) === "" ? "" : textOf(a).repeat(times);
  }
  if (Array.isArray(a)) {
    budget.make(a.length * times);
    const out = Array.from({ length: a.length === 0 ? 0 : times }, () => Array.from(a)).flat(1) as Value[];
    return a instanceof Tuple ? Tuple.make(...out) : out;
  }
  return unsupported("*", a, b);
}

export function divide(a: Value, b: Value): Value {
  if (!isNumber(a) || !isNumber(b)) return unsupported("/", a, b);
  const [x, y] = [Number(numeric(a)), Number(numeric(b))];
  if (y === 0) throw typeError("division by zero");
  return x / y;
}

export function floorDivide(a: Value, b: Value): Value {
  if (!isNumber(a) || !isNumber(b)) return unsupported("//", a, b);
  const [x, y] = [numeric(a), numeric(b)];
  if (Number(y) === 0) throw typeError("integer division or modulo by zero");
  if (typeof x === "bigint" && typeof y === "bigint") return (x - floorMod(x, y)) / y;
  const [left, right] = [Number(x), Number(y)];
  return Math.floor((left - floatMod(left, right)) / right + 0.5);
}

export function modulo(a: Value, b: Value): Value {
  if (!isNumber(a) || !isNumber(b)) return unsupported("%", a, b);
  const [x, y] = [numeric(a), numeric(b)];
  if (Number(y) === 0) throw typeError("integer modulo by zero");
  if (typeof x === "bigint" && typeof y === "bigint") return floorMod(x, y);
  return floatMod(Number(x), Number(y));
}

/** The remainder with the sign of the divisor. */
const floorMod = (x: bigint, y: bigint): bigint => {
  const rest = x % y;
  return rest !== 0n && rest < 0n !== y < 0n ? rest + y : rest;
};
const floatMod = (x: number, y: number): number => {
  const rest = x % y;
  return rest !== 0 && rest < 0 !== y < 0 ? rest + y : rest === 0 ? Math.sign(y) * 0 : rest;
};

export function power(a: Value, b: Value): Value {
  if (!isNumber(a) || !isNumber(b)) return unsupported("** or pow()", a, b);
  const [x, y] = [numeric(a), numeric(b)];
  if (typeof x === "bigint" && typeof y === "bigint" && y >= 0n) {
    if (x > 1n || x < -1n) checkSize(bitsOf(x) * Number(y));
    return x ** y;
  }
  const [base, exponent] = [Number(x), Number(y)];
  if (base === 0 && exponent < 0) throw typeError("0.0 cannot be raised to a negative power");
  if (base < 0 && !Number.isInteger(exponent)) throw typeError("complex numbers are not supported");
  const result = base ** exponent;
  if (!Number.isFinite(result) && Number.isFinite(base) && Number.isFinite(exponent))
    throw typeError("(34, 'Numerical result out of range')");
  return result;
}

export function negate(value: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) throw typeError(`bad operand type for unary -: '${typeName(value)}'`);
  return -numeric(value) as bigint | number;
}

// ------------------------------------------------------------------------------------------------------------ html

const entities: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  "'": "&#39;",
  '"': "&#34;",
};

export function escapeHtml(value: Value): Markup {
  if (value instanceof Markup) return value;
  return new Markup(toText(value).replace(/[&<>'"]/g, (character) => entities[character]!));
}

// ------------------------------------------------------------------------------------------------------------ JSON

export interface DumpOptions {
  ensureAscii: boolean;
  /** Null for one line. */
  indent: string | null;
  itemSeparator: string;
  keySeparator: string;
  sortKeys: boolean;
}

/** Python's `json.dumps`. */
export function dumpJson(value: Value, options: DumpOptions, budget: Budget): string {
  const write = (item: Value, margin: string, depth: number): string => {
    budget.step();
    if (depth > 500) throw new TemplateError("a value nests too deeply for tojson");
    if (item === null) return "null";
    if (typeof item === "boolean") return String(item);
    if (typeof item === "bigint") return intText(item);
    if (typeof item === "number") return jsonFloat(item);
    if (isText(item)) return jsonString(textOf(item), options.ensureAscii);
    const inner = options.indent === null ? "" : margin + options.indent;
    const wrap = (parts: string[], [open, close]: [string, string]) => {
      if (parts.length === 0) return open + close;
      if (options.indent === null) return open + parts.join(options.itemSeparator) + close;
      return `${open}\n${inner}${parts.join(`${options.itemSeparator}\n${inner}`)}\n${margin}${close}`;
    };
    if (Array.isArray(item))
      return wrap(
        item.map((child) => write(child, inner, depth + 1)),
        ["[", "]"],
      );
    if (item instanceof Dict) {
      let pairs = item.pairs();
      if (options.sortKeys) pairs = pairs.sort(([a], [b]) => compare(a, b));
      const parts = pairs.map(
        ([key, child]) =>
          jsonString(keyText(key), options.ensureAscii) +
          options.keySeparator +
          write(child, inner, depth + 1),
      );
      return wrap(parts, ["{", "}"]);
    }
    throw typeError(`Object of type ${typeName(item)} is not JSON serializable`);
  };
  const text = write(value, "", 0);
  budget.make(text.length);
  return text;
}

function keyText(key: Value): string {
  if (isText(key)) return textOf(key);
  if (key === null) return "null";
  if (typeof key === "boolean") return String(key);
  if (typeof key === "bigint") return intText(key);
  if (typeof key === "number") return jsonFloat(key);
  throw typeError(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

const jsonFloat = (value: number): string =>
  Number.isFinite(value)
    ? floatText(value)
    : Number.isNaN(value)
      ? "NaN"
      : value > 0
        ? "Infinity"
        : "-Infinity";

const shortEscapes: Record<string, string> = {
  '"': '\\"',
  "\\": "\\\\",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

function jsonString(text: string, ensureAscii: boolean): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON escapes control characters
  const escaped = ensureAscii ? /["\\]|[^ -~]/g : /["\\\u0000-\u001f]/g;
  const body = text.replace(
    escaped,
    (unit) => shortEscapes[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `"${body}"`;
}
