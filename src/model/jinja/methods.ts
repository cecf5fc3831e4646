// The methods of Python's strings, lists, tuples, dicts and numbers. Those that change a list or a dict are refused, as the
// immutable sandbox of `transformers` refuses them.

import { type FieldAccess, formatBraces } from "./format.js";
import { pythonSpaces, TemplateError } from "./lexer.js";
import {
  type Budget,
  Callable,
  codePoints,
  Dict,
  DictView,
  either,
  equal,
  isInteger,
  isText,
  isTrue,
  iterate,
  Markup,
  type NamedArguments,
  numeric,
  sliceText,
  Tuple,
  textLength,
  textOf,
  typeName,
  Undefined,
  type Value,
} from "./values.js";

export interface MethodContext {
  budget: Budget;
  access: FieldAccess;
}

type Method<Self> = (self: Self, args: Value[], named: NamedArguments, context: MethodContext) => Value;

export function textArgument(value: Value | undefined, what: string): string {
  if (value instanceof Undefined) value.fail();
  if (value === undefined || !isText(value))
    throw new TemplateError(`${what} must be str, not ${value === undefined ? "missing" : typeName(value)}`);
  return textOf(value);
}

export function intArgument(value: Value | undefined, fallback: number): number {
  if (value === undefined || value === null) return fallback;
  if (value instanceof Undefined) value.fail();
  if (!isInteger(value))
    throw new TemplateError(`'${typeName(value)}' object cannot be interpreted as an integer`);
  return Number(numeric(value));
}

// ------------------------------------------------------------------------------------------------------------ text

type Sides = { left?: boolean; right?: boolean };

const oneSpace = new RegExp(`[${pythonSpaces}]`);
const spaces = new RegExp(`[${pythonSpaces}]+`);

/** Python's `str.strip(characters)` on the chosen sides. */
export function strip(
  text: string,
  characters: string | null,
  { left = true, right = true }: Sides = {},
): string {
  const points = codePoints(text);
  const set = characters === null ? null : new Set(characters);
  const isStripped = (point: string) => (set ? set.has(point) : oneSpace.test(point));
  let [start, end] = [0, points.length];
  if (left) while (start < end && isStripped(points[start]!)) start++;
  if (right) while (end > start && isStripped(points[end - 1]!)) end--;
  return typeof points === "string"
    ? points.slice(start, end)
    : Array.from(points).slice(start, end).join("");
}

const stripMethod =
  (sides: Sides): Method<string> =>
  (text, [characters]) =>
    strip(
      text,
      characters === undefined || characters === null ? null : textArgument(characters, "strip arg"),
      sides,
    );

/** Python's `str.split`; from the right where `fromRight`. */
function split(text: string, separator: Value | undefined, limit: number, fromRight: boolean): Value[] {
  if (separator === undefined || separator === null) return splitSpaces(text, limit, fromRight);
  const mark = textArgument(separator, "sep");
  if (mark === "") throw new TemplateError("empty separator");
  const parts = text.split(mark);
  if (limit < 0 || parts.length <= limit + 1) return parts;
  return fromRight
    ? [parts.slice(0, parts.length - limit).join(mark), ...parts.slice(parts.length - limit)]
    : [...parts.slice(0, limit), parts.slice(limit).join(mark)];
}

function splitSpaces(text: string, limit: number, fromRight: boolean): Value[] {
  const trimmed = strip(text, null, fromRight ? { left: limit < 0 } : { right: limit < 0 });
  if (limit < 0) return trimmed === "" ? [] : trimmed.split(spaces);
  const parts: string[] = [];
  let rest = trimmed;
  while (rest !== "" && parts.length < limit) {
    const at = fromRight ? lastSpaces(rest) : rest.search(oneSpace);
    if (at < 0) break;
    if (fromRight) {
      parts.unshift(rest.slice(at + 1));
      rest = strip(rest.slice(0, at), null, { left: false });
    } else {
      parts.push(rest.slice(0, at));
      rest = strip(rest.slice(at), null, { right: false });
    }
  }
  const last = strip(rest, null, fromRight ? { right: false } : { left: false });
  // What is left over keeps the blanks on its far side.
  const kept = parts.length < limit ? strip(rest, null) : fromRight ? rest : rest;
  if (last !== "") fromRight ? parts.unshift(kept) : parts.push(kept);
  return parts;
}

function lastSpaces(text: string): number {
  for (let at = text.length - 1; at >= 0; at--) if (oneSpace.test(text[at]!)) return at;
  return -1;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the line ends of Python's splitlines
const lineEnd = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g;

/** Python's `str.splitlines`. */
export function splitLines(text: string, keepEnds = false): string[] {
  const lines: string[] = [];
  let start = 0;
  for (const match of text.matchAll(lineEnd)) {
    const end = match.index + match[0].length;
    lines.push(text.slice(start, keepEnds ? end : match.index));
    start = end;
  }
  if (start < text.length) lines.push(text.slice(start));
  return lines;
}

export const capitalize = (text: string): string => {
  const [first = "", ...rest] = Array.from(text);
  return titleCase(first) + lower(rest.join(""));
};

/** The title form of one character: that of the digraphs is not their upper case. */
const titleCase = (character: string): string => {
  const upper = character.toUpperCase();
  if (/^[\u01c4-\u01cc\u01f1-\u01f3]$/.test(character))
    return upper.length === 1 ? (digraphTitles[upper] ?? upper) : upper;
  return Array.from(upper).length > 1 ? upper[0]! + upper.slice(1).toLowerCase() : upper;
};
const digraphTitles: Record<string, string> = {
  "\u01c4": "\u01c5",
  "\u01c7": "\u01c8",
  "\u01ca": "\u01cb",
  "\u01f1": "\u01f2",
};

export const lower = (text: string): string => text.toLowerCase();
export const upper = (text: string): string => text.toUpperCase();

/** Words are runs of cased characters. */
function title(text: string): string {
  let out = "";
  let isInside = false;
  for (const character of text) {
    out += isInside ? lower(character) : titleCase(character);
    isInside = isCased(character);
  }
  return out;
}

const isCased = (character: string): boolean => /[\p{Uppercase}\p{Lowercase}\p{Lt}]/u.test(character);

const every =
  (pattern: RegExp): Method<string> =>
  (text) =>
    text !== "" && pattern.test(text);

/** Whether the cased characters are all of one kind, and there is one. */
const cased =
  (wanted: RegExp, unwanted: RegExp): Method<string> =>
  (text) =>
    wanted.test(text) && !unwanted.test(text);
const upperLetter = /[\p{Uppercase}]/u;
const lowerLetter = /[\p{Lowercase}]/u;

function isTitle(text: string): boolean {
  let [isInside, hasAny] = [false, false];
  for (const character of text) {
    const isUpper = /[\p{Lu}\p{Lt}]/u.test(character);
    if (isUpper === isInside && (isUpper || /\p{Ll}/u.test(character))) return false;
    isInside = isUpper || /\p{Ll}/u.test(character);
    hasAny ||= isInside;
  }
  return hasAny;
}

function justified(side: "left" | "right" | "center"): Method<string> {
  return (text, [width, fill], _, { budget }) => {
    const mark = fill === undefined ? " " : textArgument(fill, "the fill character");
    if (textLength(mark) !== 1)
      throw new TemplateError("The fill character must be exactly one character long");
    const length = textLength(text);
    const columns = intArgument(width, 0);
    const missing = columns - length;
    if (missing <= 0) return text;
    budget.make(missing);
    // Python puts the odd blank to the left where the width is odd.
    const before =
      side === "left" ? 0 : side === "right" ? missing : Math.floor(missing / 2) + (missing & columns & 1);
    return mark.repeat(before) + text + mark.repeat(missing - before);
  };
}

/** Where `part` is within code points [start, end); -1 where it is not. */
function find(text: string, [part, start, end]: Value[], fromRight: boolean): number {
  const [from, to] = bounds(text, start, end);
  if (from > textLength(text)) return -1;
  const window = sliceText(text, from, Math.max(from, to));
  const wanted = textArgument(part, "the substring");
  const at = fromRight ? window.lastIndexOf(wanted) : window.indexOf(wanted);
  return at < 0 || from > to ? -1 : from + textLength(window.slice(0, at));
}

function bounds(text: string, start: Value | undefined, end: Value | undefined): [number, number] {
  const size = textLength(text);
  const settle = (value: number) => (value < 0 ? Math.max(0, value + size) : value);
  return [settle(intArgument(start, 0)), Math.min(size, settle(intArgument(end, size)))];
}

const finding =
  (fromRight: boolean, isStrict: boolean): Method<string> =>
  (text, args) => {
    const at = find(text, args, fromRight);
    if (at < 0 && isStrict) throw new TemplateError("substring not found");
    return BigInt(at);
  };

const affix =
  (test: (window: string, affix: string) => boolean): Method<string> =>
  (text, [affixes, start, end]) => {
    const [from, to] = bounds(text, start, end);
    if (from > textLength(text)) return false;
    const window = start === undefined ? text : sliceText(text, from, Math.max(from, to));
    const choices = affixes instanceof Tuple ? Array.from(affixes) : [affixes!];
    return choices.some((choice) => test(window, textArgument(choice, "the affix")));
  };

const partition =
  (fromRight: boolean): Method<string> =>
  (text, [separator]) => {
    const mark = textArgument(separator, "sep");
    if (mark === "") throw new TemplateError("empty separator");
    const at = fromRight ? text.lastIndexOf(mark) : text.indexOf(mark);
    if (at < 0) return fromRight ? Tuple.make("", "", text) : Tuple.make(text, "", "");
    return Tuple.make(text.slice(0, at), mark, text.slice(at + mark.length));
  };

/** Python's `str.replace(old, new, count)`. */
export function replace(text: string, from: string, to: string, count: number, budget: Budget): string {
  if (count < 0) {
    const parts = from === "" ? ["", ...Array.from(text), ""] : text.split(from);
    budget.make(text.length + parts.length * to.length);
    return parts.join(to);
  }
  const parts = from === "" ? ["", ...Array.from(text), ""] : text.split(from);
  const used = Math.min(count, parts.length - 1);
  budget.make(text.length + used * to.length);
  return (
    parts.slice(0, used + 1).join(to) +
    parts
      .slice(used + 1)
      .map((part) => from + part)
      .join("")
  );
}

function countIn(text: string, args: Value[]): number {
  const [part, start, end] = args;
  const [from, to] = bounds(text, start, end);
  if (from > textLength(text) || from > to) return 0;
  const window = sliceText(text, from, to);
  const wanted = textArgument(part, "the substring");
  return wanted === "" ? textLength(window) + 1 : window.split(wanted).length - 1;
}

const named = (args: Value[], keywords: NamedArguments, index: number, name: string): Value | undefined =>
  either(args[index], keywords.get(name));

const textMethods: Record<string, Method<string>> = {
  capitalize: (text) => capitalize(text),
  casefold: (text) => lower(text).replaceAll("\u00df", "ss"),
  center: justified("center"),
  count: (text, args) => BigInt(countIn(text, args)),
  endswith: affix((window, end) => window.endsWith(end)),
  expandtabs: (text, args, keywords, { budget }) => {
    const size = intArgument(named(args, keywords, 0, "tabsize"), 8);
    let column = 0;
    return text.replace(/[\t\n\r]|[^\t\n\r]+/gu, (part) => {
      if (part === "\n" || part === "\r") column = 0;
      else if (part !== "\t") column += textLength(part);
      else if (size <= 0) return "";
      else {
        const width = size - (column % size);
        column += width;
        budget.make(width);
        return " ".repeat(width);
      }
      return part;
    });
  },
  find: finding(false, false),
  format: (text, args, keywords, { access, budget }) =>
    formatBraces(text, {
      args,
      named: (name) => {
        const value = keywords.get(name);
        if (value === undefined) throw new TemplateError(`KeyError: '${name}'`);
        return value;
      },
      access,
      budget,
    }),
  format_map: (text, [map], _, { access, budget }) =>
    formatBraces(text, {
      args: [],
      named: (name) => {
        const value = map instanceof Dict ? map.get(name) : undefined;
        if (value === undefined) throw new TemplateError(`KeyError: '${name}'`);
        return value;
      },
      access,
      budget,
    }),
  index: finding(false, true),
  isalnum: every(/^[\p{L}\p{N}]+$/u),
  isalpha: every(/^\p{L}+$/u),
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII begins with them
  isascii: (text) => /^[\x00-\x7f]*$/.test(text),
  isdecimal: every(/^\p{Nd}+$/u),
  isdigit: every(/^[\p{Nd}\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468]+$/u),
  isidentifier: every(/^[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*$/u),
  islower: cased(lowerLetter, /[\p{Uppercase}\p{Lt}]/u),
  isnumeric: every(/^\p{N}+$/u),
  isprintable: (text) => !/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u.test(text),
  isspace: every(new RegExp(`^[${pythonSpaces}]+$`)),
  istitle: (text) => isTitle(text),
  isupper: cased(upperLetter, /[\p{Lowercase}\p{Lt}]/u),
  join: (text, [items], _, { budget }) => {
    const parts = iterate(items!).map((item, i) => textArgument(item, `sequence item ${i}`));
    budget.make(parts.reduce((sum, part) => sum + part.length + text.length, 0));
    return parts.join(text);
  },
  ljust: justified("left"),
  lower: (text) => lower(text),
  lstrip: stripMethod({ right: false }),
  partition: partition(false),
  removeprefix: (text, [prefix]) => {
    const start = textArgument(prefix, "the prefix");
    return text.startsWith(start) ? text.slice(start.length) : text;
  },
  removesuffix: (text, [suffix]) => {
    const end = textArgument(suffix, "the suffix");
    return end !== "" && text.endsWith(end) ? text.slice(0, -end.length) : text;
  },
  replace: (text, args, keywords, { budget }) =>
    replace(
      text,
      textArgument(args[0], "replace() argument 1"),
      textArgument(args[1], "replace() argument 2"),
      intArgument(named(args, keywords, 2, "count"), -1),
      budget,
    ),
  rfind: finding(true, false),
  rindex: finding(true, true),
  rjust: justified("right"),
  rpartition: partition(true),
  rsplit: (text, args, keywords) =>
    split(text, named(args, keywords, 0, "sep"), intArgument(named(args, keywords, 1, "maxsplit"), -1), true),
  rstrip: stripMethod({ left: false }),
  split: (text, args, keywords) =>
    split(
      text,
      named(args, keywords, 0, "sep"),
      intArgument(named(args, keywords, 1, "maxsplit"), -1),
      false,
    ),
  splitlines: (text, args, keywords) =>
    splitLines(text, isTrue(either(named(args, keywords, 0, "keepends"), false))),
  startswith: affix((window, start) => window.startsWith(start)),
  strip: stripMethod({}),
  swapcase: (text) => Array.from(text, (c) => (upperLetter.test(c) ? lower(c) : upper(c))).join(""),
  title: (text) => title(text),
  upper: (text) => upper(text),
  zfill: (text, [width], _, { budget }) => {
    const missing = intArgument(width, 0) - textLength(text);
    if (missing <= 0) return text;
    budget.make(missing);
    const sign = /^[+-]/.test(text) ? text[0]! : "";
    return sign + "0".repeat(missing) + text.slice(sign.length);
  },
};

// ------------------------------------------------------------------------------------------------- lists and dicts

const positionOf: Method<Value[]> = (list, [item, start, end]) => {
  const settle = (value: number) => (value < 0 ? Math.max(0, value + list.length) : value);
  const [from, to] = [settle(intArgument(start, 0)), settle(intArgument(end, list.length))];
  const at = list.findIndex((other, i) => i >= from && i < to && equal(other, item!));
  if (at < 0) throw new TemplateError("the item is not in the list");
  return BigInt(at);
};
const countOf: Method<Value[]> = (list, [item]) =>
  BigInt(Array.from(list).filter((other) => equal(other, item!)).length);

const listMethods: Record<string, Method<Value[]>> = {
  copy: (list) => [...list],
  count: countOf,
  index: positionOf,
};
const tupleMethods: Record<string, Method<Value[]>> = { count: countOf, index: positionOf };

const dictMethods: Record<string, Method<Dict>> = {
  copy: (dict) => new Dict(dict.pairs()),
  get: (dict, args) => {
    if (args.length === 0) throw new TemplateError("get expected at least 1 argument, got 0");
    return either(either(dict.get(args[0]!), args[1]), null);
  },
  items: (dict) => new DictView(dict, "items"),
  keys: (dict) => new DictView(dict, "keys"),
  values: (dict) => new DictView(dict, "values"),
};

const integerMethods: Record<string, Method<bigint>> = {
  bit_length: (value) => BigInt(value === 0n ? 0 : (value < 0n ? -value : value).toString(2).length),
  conjugate: (value) => value,
};
const floatMethods: Record<string, Method<number>> = {
  is_integer: (value) => Number.isInteger(value),
  conjugate: (value) => value,
};

/** Least and most arguments of each method, where that is not none; and those that may be given by name. */
const arity: Record<string, [least: number, most: number, ...names: string[]]> = {
  center: [1, 2],
  count: [1, 3],
  endswith: [1, 3],
  expandtabs: [0, 1, "tabsize"],
  find: [1, 3],
  format: [0, Number.POSITIVE_INFINITY],
  format_map: [1, 1],
  get: [1, 2],
  index: [1, 3],
  join: [1, 1],
  ljust: [1, 2],
  lstrip: [0, 1],
  partition: [1, 1],
  removeprefix: [1, 1],
  removesuffix: [1, 1],
  replace: [2, 3],
  rfind: [1, 3],
  rindex: [1, 3],
  rjust: [1, 2],
  rpartition: [1, 1],
  rsplit: [0, 2, "sep", "maxsplit"],
  rstrip: [0, 1],
  split: [0, 2, "sep", "maxsplit"],
  splitlines: [0, 1, "keepends"],
  startswith: [1, 3],
  strip: [0, 1],
  zfill: [1, 1],
};

function checkArguments(method: string, args: Value[], keywords: NamedArguments): void {
  const [least, most, ...names] = arity[method] ?? [0, 0];
  const stranger = [...keywords.keys()].find((name) => !names.includes(name) && method !== "format");
  if (stranger !== undefined) throw new TemplateError(`${method}() takes no keyword argument '${stranger}'`);
  const count = args.length + (method === "format" ? 0 : keywords.size);
  if (count < least || count > most) throw new TemplateError(`${method}() does not take ${count} arguments`);
}

/** What methods of `Markup` give is `Markup` again. */
const asMarkup = (value: Value): Value =>
  typeof value === "string"
    ? new Markup(value)
    : value instanceof Tuple
      ? Tuple.make(...Array.from(value, asMarkup))
      : Array.isArray(value)
        ? value.map(asMarkup)
        : value;

const changing = {
  list: ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"],
  dict: ["clear", "pop", "popitem", "setdefault", "update"],
};

/** The method `name` of a value, bound to it; undefined where it has none. */
export function methodOf(value: Value, name: string, context: MethodContext): Value | undefined {
  const bind = <Self>(self: Self, table: Record<string, Method<Self>>): Value | undefined => {
    const method = Object.hasOwn(table, name) ? table[name]! : undefined;
    if (!method) return undefined;
    return new Callable(name, (args, keywords) => {
      checkArguments(name, args, keywords);
      return method(self, args, keywords, context);
    });
  };
  if (typeof value === "string") return bind(value, textMethods);
  if (value instanceof Markup) {
    const method = bind(value.text, textMethods) as Callable | undefined;
    return (
      method &&
      new Callable(name, (args, keywords) => {
        // Its arguments would have to be escaped, which no chat template needs.
        if (args.some((arg) => typeof arg === "string" && /[&<>'"]/.test(arg)) || /^format/.test(name))
          throw new TemplateError(`${name}() of escaped text is not supported`);
        return asMarkup(method.call(args, keywords));
      })
    );
  }
  if (value instanceof Tuple) return bind(value as Value[], tupleMethods);
  if (Array.isArray(value))
    return changing.list.includes(name) ? unsafe(value, name) : bind(value, listMethods);
  if (value instanceof Dict)
    return changing.dict.includes(name) ? unsafe(value, name) : bind(value, dictMethods);
  if (typeof value === "bigint") return bind(value, integerMethods);
  if (typeof value === "number") return bind(value, floatMethods);
  return undefined;
}

const unsafe = (value: Value, name: string): Value =>
  new Undefined(name, `access to attribute '${name}' of '${typeName(value)}' object is unsafe.`);
