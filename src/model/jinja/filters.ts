// jinja2's filters (`jinja2/filters.py`) and tests (`jinja2/tests.py`), with `tojson` as `transformers` replaces it.
// Left out, and refused by name: random, urlize, pprint, xmlattr, whose output nobody could repeat or needs here.

import { formatPercent, formatValue, toFixed } from "./format.js";
import { pythonSpaces, TemplateError } from "./lexer.js";
import {
  capitalize,
  intArgument,
  lower,
  replace,
  splitLines,
  strip,
  textArgument,
  upper,
} from "./methods.js";
import {
  add,
  type Budget,
  Callable,
  codePoints,
  compare,
  contains,
  Dict,
  DictView,
  dumpJson,
  either,
  equal,
  escapeHtml,
  Generator,
  isInteger,
  isNumber,
  isText,
  isTrue,
  iterate,
  keyOf,
  lengthOf,
  Markup,
  modulo,
  type NamedArguments,
  Namespace,
  numeric,
  Range,
  sliceText,
  Tuple,
  textLength,
  textOf,
  toText,
  typeName,
  Undefined,
  type Value,
} from "./values.js";

/** What filters and tests need of the interpreter. */
export interface FilterContext {
  budget: Budget;
  attribute(value: Value, name: string): Value;
  item(value: Value, index: Value): Value;
  applyFilter(name: string, value: Value, args: Value[], named: NamedArguments): Value;
  applyTest(name: string, value: Value, args: Value[], named: NamedArguments): boolean;
}

type Filter = (value: Value, args: Parameters, context: FilterContext) => Value;

/** Arguments by position or name. */
class Parameters {
  constructor(
    readonly positional: Value[],
    readonly named: NamedArguments,
  ) {}

  get(index: number, name: string): Value | undefined;
  get(index: number, name: string, fallback: Value): Value;
  get(index: number, name: string, fallback?: Value): Value | undefined {
    return either(either(this.positional[index], this.named.get(name)), fallback);
  }
  require(index: number, name: string): Value {
    const value = this.get(index, name);
    if (value === undefined) throw new TemplateError(`the argument '${name}' is missing`);
    return value;
  }
}

/** The parameters that each filter has, in order; a call with others is an error as in Python. */
const signatures: Record<string, readonly string[] | null> = {
  abs: [],
  attr: ["name"],
  batch: ["linecount", "fill_with"],
  capitalize: [],
  center: ["width"],
  count: [],
  d: ["default_value", "boolean"],
  default: ["default_value", "boolean"],
  dictsort: ["case_sensitive", "by", "reverse"],
  e: [],
  escape: [],
  filesizeformat: ["binary"],
  first: [],
  float: ["default"],
  forceescape: [],
  format: null,
  groupby: ["attribute", "default", "case_sensitive"],
  indent: ["width", "first", "blank"],
  int: ["default", "base"],
  items: [],
  join: ["d", "attribute"],
  last: [],
  length: [],
  list: [],
  lower: [],
  map: null,
  max: ["case_sensitive", "attribute"],
  min: ["case_sensitive", "attribute"],
  reject: null,
  rejectattr: null,
  replace: ["old", "new", "count"],
  reverse: [],
  round: ["precision", "method"],
  safe: [],
  select: null,
  selectattr: null,
  slice: ["slices", "fill_with"],
  sort: ["reverse", "case_sensitive", "attribute"],
  string: [],
  striptags: [],
  sum: ["attribute", "start"],
  title: [],
  tojson: ["ensure_ascii", "indent", "separators", "sort_keys"],
  trim: ["chars"],
  truncate: ["length", "killwords", "end", "leeway"],
  unique: ["case_sensitive", "attribute"],
  upper: [],
  urlencode: [],
  wordcount: [],
  wordwrap: ["width", "break_long_words", "wrapstring", "break_on_hyphens"],
};

export const isFilter = (name: string): boolean => Object.hasOwn(signatures, name);
export const isTest = (name: string): boolean => Object.hasOwn(tests, name);

export function applyFilter(
  name: string,
  value: Value,
  args: Value[],
  named: NamedArguments,
  context: FilterContext,
): Value {
  if (!isFilter(name)) throw new TemplateError(`No filter named '${name}'.`);
  const signature = signatures[name]!;
  if (signature) {
    const stranger = [...named.keys()].find(
      (key) => !signature.includes(key) || signature.indexOf(key) < args.length,
    );
    if (stranger !== undefined || args.length > signature.length)
      throw new TemplateError(`the filter ${name} has no such argument${stranger ? ` '${stranger}'` : ""}`);
  }
  context.budget.step();
  return filters[name]!(value, new Parameters(args, named), context);
}

export function applyTest(
  name: string,
  value: Value,
  args: Value[],
  _named: NamedArguments,
  context: FilterContext,
): boolean {
  if (!isTest(name)) throw new TemplateError(`No test named '${name}'.`);
  return tests[name]!(value, args, context);
}

// --------------------------------------------------------------------------------------------------------- helpers

const foldCase = (value: Value): Value => (isText(value) ? lower(textOf(value)) : value);

/** What `attribute="a.b"` reads of an item. */
function getter(
  attribute: Value | undefined,
  context: FilterContext,
  { fold = false, fallback }: { fold?: boolean; fallback?: Value } = {},
): (item: Value) => Value {
  const parts: Value[] =
    attribute === undefined || attribute === null
      ? []
      : isText(attribute)
        ? textOf(attribute)
            .split(".")
            .map((part) => (/^\d+$/.test(part) ? BigInt(part) : part))
        : [attribute];
  return (item) => {
    let value = item;
    for (const part of parts) {
      value = context.item(value, part);
      if (value instanceof Undefined && fallback !== undefined && fallback !== null) value = fallback;
    }
    return fold ? foldCase(value) : value;
  };
}

/** The keys that `sort(attribute="a,b")` sorts by. */
function sortKey(
  attribute: Value | undefined,
  context: FilterContext,
  fold: boolean,
): (item: Value) => Value {
  if (attribute === undefined || attribute === null || !isText(attribute))
    return getter(attribute, context, { fold });
  const getters = textOf(attribute)
    .split(",")
    .map((part) => getter(part, context, { fold }));
  return (item) => getters.map((get) => get(item));
}

function sorted(items: Value[], key: (item: Value) => Value, isReversed = false): Value[] {
  const keyed = items.map((item) => ({ item, key: key(item) }));
  const order = (a: Value, b: Value) => (equal(a, b) ? 0 : compare(a, b));
  keyed.sort((a, b) => (isReversed ? order(b.key, a.key) : order(a.key, b.key)));
  return keyed.map(({ item }) => item);
}

const items = (value: Value, { budget }: FilterContext): Value[] => {
  const all = iterate(value);
  budget.step(all.length);
  return all;
};

const softText = (value: Value): string => toText(value);

function realOf(value: Value): number {
  if (value instanceof Undefined) value.fail();
  if (isText(value)) return parseFloatText(textOf(value)) ?? fail(`could not convert string to float`);
  if (isNumber(value)) return Number(numeric(value));
  return fail(`float() argument must be a string or a real number, not '${typeName(value)}'`);
}

const fail = (message: string): never => {
  throw new TemplateError(message);
};

/** Python's `float(text)`; null for what is no number. */
function parseFloatText(text: string): number | null {
  const trimmed = strip(text, null);
  if (/^[+-]?(?:inf|infinity)$/i.test(trimmed)) return trimmed.startsWith("-") ? -Infinity : Infinity;
  if (/^[+-]?nan$/i.test(trimmed)) return Number.NaN;
  return /^[+-]?(?:\d(?:_?\d)*\.?(?:\d(?:_?\d)*)?|\.\d(?:_?\d)*)(?:e[+-]?\d(?:_?\d)*)?$/i.test(trimmed)
    ? Number(trimmed.replaceAll("_", ""))
    : null;
}

const digitsOfBase = (base: number): string => "0123456789abcdefghijklmnopqrstuvwxyz".slice(0, base);

/** Python's `int(text, base)`; null for what is no integer. */
function parseIntText(text: string, base: number): bigint | null {
  const trimmed = strip(text, null).toLowerCase();
  const [, sign = "", prefix = "", body = ""] = /^([+-]?)(0[xob])?([0-9a-z_]+)$/.exec(trimmed) ?? [];
  const bases: Record<string, number> = { "0x": 16, "0o": 8, "0b": 2 };
  const used = base === 0 ? (bases[prefix] ?? 10) : base;
  if (prefix !== "" && bases[prefix] !== used) return null;
  const digits = body.replaceAll("_", "");
  if (digits === "" || /^_|__|_$/.test(prefix ? `0${body}` : body)) return null;
  const known = digitsOfBase(used);
  if (![...digits].every((digit) => known.includes(digit))) return null;
  if (used === 10 && digits.length > 4300)
    return fail("Exceeds the limit (4300 digits) for integer string conversion");
  let value = 0n;
  if (used === 10) value = BigInt(digits);
  else for (const digit of digits) value = value * BigInt(used) + BigInt(known.indexOf(digit));
  return sign === "-" ? -value : value;
}

function toInt(value: Value, base: number): bigint | null {
  if (value instanceof Undefined) value.fail();
  if (isText(value)) {
    const whole = parseIntText(textOf(value), base);
    if (whole !== null) return whole;
    const number = parseFloatText(textOf(value));
    return number === null || !Number.isFinite(number) ? null : BigInt(Math.trunc(number));
  }
  if (!isNumber(value)) return null;
  const number = numeric(value);
  if (typeof number === "bigint") return number;
  if (!Number.isFinite(number))
    return Number.isNaN(number) ? null : fail("cannot convert float infinity to integer");
  return BigInt(Math.trunc(number));
}

/** Python's `round(value, digits)`. */
function round(value: Value, digits: number): Value {
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) return fail(`type ${typeName(value)} doesn't define __round__ method`);
  const number = numeric(value);
  if (typeof number === "bigint") {
    if (digits >= 0) return number;
    const unit = 10n ** BigInt(-digits);
    const rest = ((number % unit) + unit) % unit;
    const down = number - rest;
    const up = rest * 2n > unit || (rest * 2n === unit && (down / unit) % 2n !== 0n);
    return up ? down + unit : down;
  }
  if (!Number.isFinite(number)) return number;
  if (digits >= 0) return Number(toFixed(number, digits));
  const unit = 10 ** -digits;
  return Number(toFixed(number / unit, 0)) * unit;
}

const lazily = (make: () => Iterable<Value>): Generator =>
  new Generator({ [Symbol.iterator]: () => make()[Symbol.iterator]() });

const mapping = (value: Value, each: (item: Value) => Value, context: FilterContext): Generator =>
  lazily(function* () {
    if (isTrue(value)) for (const item of items(value, context)) yield each(item);
  });

function selecting(keep: boolean, byAttribute: boolean): Filter {
  return (value, { positional, named }, context) => {
    const get = byAttribute
      ? getter(positional[0] ?? fail("Missing parameter for attribute name"), context)
      : (item: Value) => item;
    const [test, ...rest] = positional.slice(byAttribute ? 1 : 0);
    const passes = (item: Value) =>
      test === undefined
        ? isTrue(item)
        : context.applyTest(textArgument(test, "the test"), item, rest, named);
    return lazily(function* () {
      if (!isTrue(value)) return;
      for (const item of items(value, context)) if (passes(get(item)) === keep) yield item;
    });
  };
}

const extreme =
  (sign: 1 | -1): Filter =>
  (value, args, context) => {
    const key = getter(args.get(1, "attribute"), context, {
      fold: !isTrue(args.get(0, "case_sensitive", false)),
    });
    const all = items(value, context);
    if (all.length === 0) return new Undefined("min or max", "No aggregated item, sequence was empty.");
    return all.reduce((best, item) => (compare(key(item), key(best)) * sign > 0 ? item : best));
  };

const quoteUrl = (value: Value, forQuery: boolean): string => {
  const bytes = Buffer.from(toText(value), "utf8");
  let out = "";
  for (const byte of bytes) {
    const character = String.fromCharCode(byte);
    if (/[A-Za-z0-9_.~-]/.test(character) || (character === "/" && !forQuery)) out += character;
    else out += forQuery && character === " " ? "+" : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
};

/** The separators of `json.dumps`. */
function dumpOptions(args: Parameters) {
  const indent = args.get(1, "indent", null);
  const given = args.get(2, "separators", null);
  const separators = given === null ? [indent === null ? ", " : ",", ": "] : iterate(given).map(softText);
  return {
    ensureAscii: isTrue(args.get(0, "ensure_ascii", false)),
    indent:
      indent === null
        ? null
        : isText(indent)
          ? textOf(indent)
          : " ".repeat(Math.max(0, Math.min(100, intArgument(indent, 0)))),
    itemSeparator: separators[0]!,
    keySeparator: separators[1]!,
    sortKeys: isTrue(args.get(3, "sort_keys", false)),
  };
}

/** Python's `textwrap.wrap` of one line, as jinja2 calls it. */
function wrapLine(line: string, width: number, breakLong: boolean, breakOnHyphens: boolean): string[] {
  if (width <= 0) fail(`invalid width ${width} (must be > 0)`);
  const space = "[\\t\\n\\x0b\\f\\r ]";
  const word = "[\\p{L}\\p{N}_!\"'&.,?]";
  const letter = "[\\p{L}_]";
  const pattern = breakOnHyphens
    ? `(${space}+|(?<=${word})-{2,}(?=[\\p{L}\\p{N}_])|[^\\t\\n\\x0b\\f\\r ](?:[^\\t\\n\\x0b\\f\\r ]*?)(?:-(?:(?<=${letter}{2}-)|(?<=${letter}-${letter}-))(?=${letter}-?${letter})|(?=${space}|$)|(?<=${word})(?=-{2,}[\\p{L}\\p{N}_])))`
    : `(${space}+)`;
  const chunks = line.split(new RegExp(pattern, "u")).filter((chunk) => chunk !== "" && chunk !== undefined);
  chunks.reverse();
  const lines: string[] = [];
  const isBlank = (chunk: string) => new RegExp(`^${space}*$`).test(chunk);
  while (chunks.length > 0) {
    const current: string[] = [];
    let length = 0;
    if (lines.length > 0 && isBlank(chunks.at(-1)!)) chunks.pop();
    while (chunks.length > 0 && length + textLength(chunks.at(-1)!) <= width) {
      length += textLength(chunks.at(-1)!);
      current.push(chunks.pop()!);
    }
    if (chunks.length > 0 && textLength(chunks.at(-1)!) > width) {
      const room = width < 1 ? 1 : width - length;
      if (breakLong) {
        const chunk = chunks.pop()!;
        let end = room;
        if (breakOnHyphens && textLength(chunk) > room) {
          const hyphen = sliceText(chunk, 0, room).lastIndexOf("-");
          if (hyphen > 0 && [...chunk.slice(0, hyphen)].some((c) => c !== "-")) end = hyphen + 1;
        }
        current.push(sliceText(chunk, 0, end));
        chunks.push(sliceText(chunk, end));
      } else if (current.length === 0) current.push(chunks.pop()!);
    }
    if (current.length > 0 && isBlank(current.at(-1)!)) current.pop();
    if (current.length > 0) lines.push(current.join(""));
  }
  return lines;
}

// --------------------------------------------------------------------------------------------------------- filters

const wordBeginning = new RegExp(`([-${pythonSpaces}({\\[<]+)`);

const filters: Record<string, Filter> = {
  abs: (value) => {
    if (value instanceof Undefined) value.fail();
    if (!isNumber(value)) return fail(`bad operand type for abs(): '${typeName(value)}'`);
    const number = numeric(value);
    return number < 0 ? (-number as bigint | number) : number;
  },
  attr: (value, args, context) => {
    const name = textArgument(args.get(0, "name"), "the attribute name");
    // Fields, but not the items of a dict.
    const found =
      value instanceof Dict && value.has(name)
        ? context.attribute(new Dict(), name)
        : context.attribute(value, name);
    return found;
  },
  batch: (value, args, context) => {
    const size = intArgument(args.get(0, "linecount"), 1);
    const fill = args.get(1, "fill_with", null);
    return lazily(function* () {
      let row: Value[] = [];
      for (const item of items(value, context)) {
        if (row.length === size) {
          yield row;
          row = [];
        }
        row.push(item);
      }
      if (row.length === 0) return;
      if (fill !== null) context.budget.make(size);
      while (fill !== null && row.length < size) row.push(fill);
      yield row;
    });
  },
  capitalize: (value) => capitalize(softText(value)),
  center: (value, args, context) =>
    (context.attribute(softText(value), "center") as Callable).call([args.get(0, "width", 80n)], new Map()),
  default: (value, args) => {
    const isMissing = value instanceof Undefined || (isTrue(args.get(1, "boolean", false)) && !isTrue(value));
    return isMissing ? args.get(0, "default_value", "") : value;
  },
  dictsort: (value, args) => {
    if (!(value instanceof Dict)) {
      if (value instanceof Undefined) value.fail();
      return fail(`'${typeName(value)}' object has no attribute 'items'`);
    }
    const isCaseSensitive = isTrue(args.get(0, "case_sensitive", false));
    const by = softText(args.get(1, "by", "key"));
    if (by !== "key" && by !== "value") fail('You can only sort by either "key" or "value"');
    const key = (pair: Value) => {
      const part = (pair as Value[])[by === "key" ? 0 : 1]!;
      return isCaseSensitive ? part : foldCase(part);
    };
    const pairs = value.pairs().map((pair) => Tuple.make(...pair));
    return sorted(pairs, key, isTrue(args.get(2, "reverse", false)));
  },
  escape: (value) => escapeHtml(value),
  filesizeformat: (value, args, { budget }) => {
    const bytes = realOf(value);
    const isBinary = isTrue(args.get(0, "binary", false));
    const base = isBinary ? 1024 : 1000;
    if (bytes === 1) return "1 Byte";
    if (bytes < base) return `${Math.trunc(bytes)} Bytes`;
    const letters = [...(isBinary ? "KMGTPEZY" : "kMGTPEZY")];
    const last = letters.findIndex((_, i) => bytes < base ** (i + 2));
    const at = last < 0 ? letters.length - 1 : last;
    return `${formatValue((base * bytes) / base ** (at + 2), ".1f", budget)} ${letters[at]}${isBinary ? "iB" : "B"}`;
  },
  first: (value) => {
    const first = value instanceof Generator ? value.take() : iterate(value)[0];
    return either(first, new Undefined("first", "No first item, sequence was empty."));
  },
  float: (value, args) => {
    if (value instanceof Undefined) value.fail();
    const number = isText(value)
      ? parseFloatText(textOf(value))
      : isNumber(value)
        ? Number(numeric(value))
        : null;
    return number === null ? args.get(0, "default", 0) : number;
  },
  forceescape: (value) => escapeHtml(toText(value)),
  format: (value, { positional, named }, { budget }) => {
    if (positional.length > 0 && named.size > 0)
      fail("can't handle positional and keyword arguments at the same time");
    return formatPercent(
      softText(value),
      named.size > 0 ? new Dict(named) : Tuple.make(...positional),
      budget,
    );
  },
  groupby: (value, args, context) => {
    const attribute = args.get(0, "attribute");
    const fallback = args.get(1, "default");
    const fold = !isTrue(args.get(2, "case_sensitive", false));
    const key = getter(attribute, context, { fold, fallback });
    const shown = getter(attribute, context, { fallback });
    const groups: { key: Value; members: Value[] }[] = [];
    for (const item of sorted(items(value, context), key)) {
      const own = key(item);
      if (groups.length > 0 && equal(groups.at(-1)!.key, own)) groups.at(-1)!.members.push(item);
      else groups.push({ key: own, members: [item] });
    }
    return groups.map(({ key: own, members }) => new Group(fold ? shown(members[0]!) : own, members));
  },
  indent: (value, args, { budget }) => {
    if (value instanceof Undefined) value.fail();
    if (!isText(value)) return fail(`unsupported operand type(s) for +=: '${typeName(value)}' and 'str'`);
    const width = args.get(0, "width", 4n);
    const columns = isText(width) ? 0 : Math.max(0, intArgument(width, 4));
    const text = `${textOf(value)}\n`;
    const lines = splitLines(text);
    budget.make((isText(width) ? textOf(width).length : columns) * lines.length + text.length);
    const margin = isText(width) ? textOf(width) : " ".repeat(columns);
    const isBlank = isTrue(args.get(2, "blank", false));
    const out = isBlank
      ? lines.join(`\n${margin}`)
      : [lines[0]!, ...lines.slice(1).map((line) => (line === "" ? line : margin + line))].join("\n");
    return isTrue(args.get(1, "first", false)) ? margin + out : out;
  },
  int: (value, args) => {
    const fallback = args.get(0, "default", 0n);
    const number = toInt(value, intArgument(args.get(1, "base"), 10));
    return number === null ? fallback : number;
  },
  items: (value) =>
    lazily(function* () {
      if (value instanceof Undefined) return;
      if (!(value instanceof Dict)) fail("Can only get item pairs from a mapping.");
      else for (const pair of value.pairs()) yield Tuple.make(...pair);
    }),
  join: (value, args, context) => {
    const separator = toText(args.get(0, "d", ""));
    const get = getter(args.get(1, "attribute"), context);
    const parts = items(value, context).map((item) => toText(get(item)));
    context.budget.make(parts.reduce((sum, part) => sum + part.length + separator.length, 0));
    return parts.join(separator);
  },
  last: (value) => {
    if (value instanceof Generator) return fail(`'${typeName(value)}' object is not reversible`);
    return either(iterate(value).at(-1), new Undefined("last", "No last item, sequence was empty."));
  },
  length: (value) => BigInt(lengthOf(value)),
  list: (value, _, context) => items(value, context),
  lower: (value) => lower(softText(value)),
  map: (value, { positional, named }, context) => {
    if (positional.length === 0 && named.has("attribute")) {
      const get = getter(named.get("attribute"), context, { fallback: named.get("default") });
      return mapping(value, get, context);
    }
    const [name, ...rest] = positional;
    const filter = textArgument(name ?? fail("map requires a filter argument"), "the filter");
    return mapping(value, (item) => context.applyFilter(filter, item, rest, named), context);
  },
  max: extreme(1),
  min: extreme(-1),
  reject: selecting(false, false),
  rejectattr: selecting(false, true),
  replace: (value, args, { budget }) =>
    replace(
      toText(value),
      toText(args.require(0, "old")),
      toText(args.require(1, "new")),
      intArgument(args.get(2, "count"), -1),
      budget,
    ),
  reverse: (value, _, context) => {
    if (isText(value)) return Array.from(textOf(value)).reverse().join("");
    return new Generator(items(value, context).reverse(), "list_reverseiterator");
  },
  round: (value, args) => {
    const digits = intArgument(args.get(0, "precision"), 0);
    const method = softText(args.get(1, "method", "common"));
    if (method === "common") return round(value, digits);
    if (method !== "ceil" && method !== "floor") return fail("method must be common, ceil or floor");
    const unit = 10 ** digits;
    return Math[method](realOf(value) * unit) / unit;
  },
  safe: (value) => new Markup(toText(value)),
  select: selecting(true, false),
  selectattr: selecting(true, true),
  slice: (value, args, context) => {
    const count = intArgument(args.get(0, "slices"), 1);
    const fill = args.get(1, "fill_with", null);
    return lazily(function* () {
      const all = items(value, context);
      if (count === 0) fail("integer division or modulo by zero");
      context.budget.make(Math.max(0, count));
      const [size, longer] = [Math.floor(all.length / count), all.length % count];
      let start = 0;
      for (let i = 0; i < count; i++) {
        const end = start + size + (i < longer ? 1 : 0);
        const piece = all.slice(start, end);
        if (fill !== null && i >= longer) piece.push(fill);
        yield piece;
        start = end;
      }
    });
  },
  sort: (value, args, context) => {
    const key = sortKey(args.get(2, "attribute"), context, !isTrue(args.get(1, "case_sensitive", false)));
    return sorted(items(value, context), key, isTrue(args.get(0, "reverse", false)));
  },
  string: (value) => (value instanceof Markup ? value : toText(value)),
  striptags: (value) => {
    let text = toText(value);
    for (let start = text.indexOf("<!--"); start >= 0; start = text.indexOf("<!--")) {
      const end = text.indexOf("-->", start);
      if (end < 0) break;
      text = text.slice(0, start) + text.slice(end + 3);
    }
    for (let start = text.indexOf("<"); start >= 0; start = text.indexOf("<")) {
      const end = text.indexOf(">", start);
      if (end < 0) break;
      text = text.slice(0, start) + text.slice(end + 1);
    }
    const bare = strip(text, null)
      .split(new RegExp(`[${pythonSpaces}]+`))
      .join(" ");
    return bare.replace(/&(amp|lt|gt|quot|#39|#34);/g, (entity) => unescaped[entity]!);
  },
  sum: (value, args, context) => {
    const get = getter(args.get(0, "attribute"), context);
    const start = args.get(1, "start", 0n);
    if (isText(start)) return fail("sum() can't sum strings [use ''.join(seq) instead]");
    return items(value, context)
      .map(get)
      .reduce((sum, item) => {
        if (item instanceof Undefined) item.fail();
        return add(sum, item, context.budget);
      }, start);
  },
  title: (value) =>
    softText(value)
      .split(wordBeginning)
      .map((part) => {
        const [first = "", ...rest] = Array.from(part);
        return upper(first) + lower(rest.join(""));
      })
      .join(""),
  tojson: (value, args, { budget }) => dumpJson(value, dumpOptions(args), budget),
  trim: (value, args) => {
    const characters = args.get(0, "chars", null);
    return strip(softText(value), characters === null ? null : textArgument(characters, "strip arg"));
  },
  truncate: (value, args) => {
    const length = intArgument(args.get(0, "length"), 255);
    const end = softText(args.get(2, "end", "..."));
    const leeway = intArgument(args.get(3, "leeway"), 5);
    if (length < textLength(end)) fail(`expected length >= ${textLength(end)}, got ${length}`);
    if (leeway < 0) fail(`expected leeway >= 0, got ${leeway}`);
    if (lengthOf(value) <= length + leeway) return value;
    const text = isText(value) ? textOf(value) : fail(`a ${typeName(value)} cannot be truncated`);
    const cut = sliceText(text, 0, length - textLength(end));
    if (isTrue(args.get(1, "killwords", false))) return cut + end;
    const blank = cut.lastIndexOf(" ");
    return (blank < 0 ? cut : cut.slice(0, blank)) + end;
  },
  unique: (value, args, context) => {
    const key = getter(args.get(1, "attribute"), context, {
      fold: !isTrue(args.get(0, "case_sensitive", false)),
    });
    return lazily(function* () {
      const seen = new Set<unknown>();
      for (const item of items(value, context)) {
        const own = keyOf(key(item));
        if (!seen.has(own)) yield item;
        seen.add(own);
      }
    });
  },
  upper: (value) => upper(softText(value)),
  urlencode: (value, _, context) => {
    const isPairs = value instanceof Dict || Array.isArray(value) || value instanceof DictView;
    if (!isPairs) return quoteUrl(value, false);
    const pairs = value instanceof Dict ? value.pairs() : items(value, context).map((pair) => iterate(pair));
    return pairs.map(([key, item]) => `${quoteUrl(key!, true)}=${quoteUrl(item!, true)}`).join("&");
  },
  wordcount: (value) => BigInt((softText(value).match(/[\p{L}\p{N}_]+/gu) ?? []).length),
  wordwrap: (value, args) => {
    const text = isText(value)
      ? textOf(value)
      : fail(`'${typeName(value)}' object has no attribute 'splitlines'`);
    const width = intArgument(args.get(0, "width"), 79);
    const join = softText(args.get(2, "wrapstring", "\n"));
    const [breakLong, breakOnHyphens] = [args.get(1, "break_long_words"), args.get(3, "break_on_hyphens")];
    return splitLines(text)
      .map((line) =>
        wrapLine(line, width, isTrue(either(breakLong, true)), isTrue(either(breakOnHyphens, true))).join(
          join,
        ),
      )
      .join(join);
  },
};
filters.d = filters.default!;
filters.e = filters.escape!;
filters.count = filters.length!;

const unescaped: Record<string, string> = {
  "&amp;": "&",
  "&lt;": "<",
  "&gt;": ">",
  "&quot;": '"',
  "&#39;": "'",
  "&#34;": '"',
};

/** What `groupby` gives: a tuple whose parts also have names. */
export class Group extends Tuple {
  constructor(
    readonly grouper: Value,
    readonly list: Value[],
  ) {
    super();
    this.push(grouper, list);
  }
}

// ----------------------------------------------------------------------------------------------------------- tests

type Test = (value: Value, args: Value[], context: FilterContext) => boolean;

const comparing =
  (accept: (order: number) => boolean): Test =>
  (value, [other]) =>
    accept(compare(value, other!));
const same: Test = (value, [other]) => equal(value, other!);
const greater = comparing((order) => order > 0);
const less = comparing((order) => order < 0);
const remainder = (value: Value, by: Value): Value => {
  if (value instanceof Undefined) value.fail();
  return modulo(value, by);
};

const isIterable = (value: Value): boolean =>
  isText(value) ||
  Array.isArray(value) ||
  value instanceof Dict ||
  value instanceof DictView ||
  value instanceof Range ||
  value instanceof Generator ||
  value instanceof Undefined;

const tests: Record<string, Test> = {
  boolean: (value) => typeof value === "boolean",
  callable: (value) =>
    value instanceof Undefined ||
    value instanceof Callable ||
    (value instanceof Namespace && value.call !== undefined),
  defined: (value) => !(value instanceof Undefined),
  divisibleby: (value, [by]) => equal(remainder(value, by!), 0n),
  eq: same,
  escaped: (value) => value instanceof Markup,
  even: (value) => equal(remainder(value, 2n), 0n),
  false: (value) => value === false,
  filter: (value) => isText(value) && isFilter(textOf(value)),
  float: (value) => typeof value === "number",
  ge: comparing((order) => order >= 0),
  gt: greater,
  in: (value, [container]) => contains(container!, value),
  integer: (value) => typeof value === "bigint",
  iterable: isIterable,
  le: comparing((order) => order <= 0),
  lower: (value) => /[\p{Lowercase}]/u.test(toText(value)) && !/[\p{Uppercase}\p{Lt}]/u.test(toText(value)),
  lt: less,
  mapping: (value) => value instanceof Dict,
  ne: (value, [other]) => !equal(value, other!),
  none: (value) => value === null,
  number: isNumber,
  odd: (value) => equal(remainder(value, 2n), 1n),
  sameas: (value, [other]) =>
    value === other || (isInteger(value) && typeof value === typeof other && equal(value, other!)),
  sequence: (value) =>
    isText(value) ||
    Array.isArray(value) ||
    value instanceof Dict ||
    value instanceof Range ||
    value instanceof Undefined,
  string: isText,
  test: (value) => isText(value) && isTest(textOf(value)),
  true: (value) => value === true,
  undefined: (value) => value instanceof Undefined,
  upper: (value) => /[\p{Uppercase}]/u.test(toText(value)) && !/[\p{Lowercase}\p{Lt}]/u.test(toText(value)),
};
Object.assign(tests, {
  "==": same,
  equalto: same,
  "!=": tests.ne,
  ">": greater,
  greaterthan: greater,
  ">=": tests.ge,
  "<": less,
  lessthan: less,
  "<=": tests.le,
});

/** Code points of a text, for what iterates over one. */
export const characters = (text: string): string[] => Array.from(codePoints(text) as ArrayLike<string>);
