// Final answers and their equivalence: numbers, fractions, percentages, units, algebra, tuples, intervals, sets,
// matrices, equations, inequalities, and words. Two expressions are the same when their exact values are, or, if they
// have variables or irrational parts, when they agree at a set of fixed points (an identity of the functions that occur
// in answers that held at all of them by accident would be a coincidence of measure zero).

import { hash32, uniformAt } from "../../../base/random.js";
import { type Complex, type Expression, variablesOf } from "./expression.js";
import { parseExpression } from "./parse.js";
import { exactValue, valueAt } from "./value.js";

type Relation = "=" | "<" | "≤" | ">" | "≥" | "≠";

type Answer =
  | { kind: "words"; text: string }
  | { kind: "value"; expression: Expression; unit: string }
  /** Bracketed items in order: a tuple, a point or an interval. */
  | { kind: "tuple"; open: string; close: string; items: Answer[] }
  /** Unordered alternatives: `{1, 2}`, `1, 2`, `1 or 2`, `±1`. */
  | { kind: "set"; items: Answer[] }
  | { kind: "union"; items: Answer[] }
  | { kind: "matrix"; rows: Answer[][] }
  | { kind: "relation"; sides: Expression[]; relations: Relation[] };

const relativeTolerance = 1e-9;

const symbols: [RegExp, string][] = [
  [/\\(?:left|right|big|Big|bigg|Bigg|displaystyle|limits)(?![a-zA-Z])/g, ""],
  [/\\(?:dfrac|tfrac|cfrac)(?![a-zA-Z])/g, "\\frac"],
  [/\\(?:dbinom|tbinom)(?![a-zA-Z])/g, "\\binom"],
  [/\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}/g, " $1 "],
  [/\\(?:quad|qquad)(?![a-zA-Z])|(?<!\\)\\[,;:!> ]|~|\u00a0|\u202f/g, " "],
  [/(?:\^\s*\{?\s*\\circ\s*\}?|\\degree(?![a-zA-Z])|°)/g, " degrees "],
  [/\\cdot(?![a-zA-Z])|\\times(?![a-zA-Z])|[·×∙⋅]/g, "*"],
  [/\\div(?![a-zA-Z])|÷/g, "/"],
  [/[−–—]/g, "-"],
  [/\\pm(?![a-zA-Z])/g, "±"],
  [/\\(?:leq?|leqslant)(?![a-zA-Z])|<=/g, "≤"],
  [/\\(?:geq?|geqslant)(?![a-zA-Z])|>=/g, "≥"],
  [/\\(?:neq?)(?![a-zA-Z])|!=/g, "≠"],
  [/\\lt(?![a-zA-Z])/g, "<"],
  [/\\gt(?![a-zA-Z])/g, ">"],
  [/\\cup(?![a-zA-Z])/g, "∪"],
  [/\\in(?![a-zA-Z])/g, "∈"],
  [/∞/g, "\\infty "],
  [/π/g, "\\pi "],
  [/√\s*\(/g, "\\sqrt("],
  [/√\s*(\d+|[a-z])/g, "\\sqrt{$1}"],
  [/²/g, "^2"],
  [/³/g, "^3"],
  [/½/g, "\\frac{1}{2}"],
  [/\\%/g, "%"],
  [/\\\$/g, "$"],
  [/\\[{]/g, "⟨"],
  [/\\[}]/g, "⟩"],
  [/\\lvert|\\rvert|\\vert/g, "|"],
  [/\\lfloor(?![a-zA-Z])(.*?)\\rfloor(?![a-zA-Z])/g, "floor($1)"],
  [/\\lceil(?![a-zA-Z])(.*?)\\rceil(?![a-zA-Z])/g, "ceil($1)"],
  [/\*\*/g, "^"],
];

/** One spelling for each symbol; dollar signs stay only where they are a currency. */
function canonicalSpelling(text: string): string {
  let out = text.trim();
  for (const [open, close] of [
    ["$$", "$$"],
    ["$", "$"],
    ["\\(", "\\)"],
    ["\\[", "\\]"],
  ] as const) {
    const isWrapped = out.startsWith(open) && out.endsWith(close) && out.length >= open.length + close.length;
    if (isWrapped && !out.slice(open.length, -close.length).includes(close)) {
      out = out.slice(open.length, -close.length);
      break;
    }
  }
  out = out.replace(/(\d)\{,\}(?=\d{3})/g, "$1").replace(/\\!/g, "");
  for (const [pattern, replacement] of symbols) out = out.replace(pattern, replacement);
  return out
    .replace(/\s+/g, " ")
    .replace(/[.:;,]\s*$/, "")
    .trim();
}

/** Units by dimension, and the factor to the dimension's base unit. */
const unitTable: Record<string, [dimension: string, factor: number, ...names: string[]]> = {
  mm: ["length", 0.001, "millimeter", "millimetre"],
  cm: ["length", 0.01, "centimeter", "centimetre"],
  m: ["length", 1, "meter", "metre"],
  km: ["length", 1000, "kilometer", "kilometre"],
  inch: ["length", 0.0254, "in", "inches"],
  ft: ["length", 0.3048, "foot", "feet"],
  yd: ["length", 0.9144, "yard"],
  mile: ["length", 1609.344, "mi"],
  mg: ["mass", 1e-6, "milligram"],
  g: ["mass", 0.001, "gram"],
  kg: ["mass", 1, "kilogram"],
  lb: ["mass", 0.45359237, "pound"],
  s: ["time", 1, "sec", "second"],
  min: ["time", 60, "minute"],
  h: ["time", 3600, "hr", "hour"],
  day: ["time", 86400],
  week: ["time", 604800],
  ml: ["volume", 0.001, "milliliter", "millilitre"],
  l: ["volume", 1, "liter", "litre"],
  cent: ["money", 0.01, "¢"],
  dollar: ["money", 1, "$", "usd"],
};

const units = new Map(
  Object.entries(unitTable).flatMap(([unit, [dimension, factor, ...names]]) =>
    [unit, ...names].flatMap((name) =>
      [name, `${name}s`].map((key) => [key, { dimension, factor }] as const),
    ),
  ),
);

/** Factor from one unit to another: 1 when either is missing or both are the same, undefined when they differ. */
function conversion(from: string, to: string): number | undefined {
  const singular = (unit: string) => unit.replace(/\b(\w{3,}?)s\b/g, "$1");
  if (from === "" || to === "" || singular(from) === singular(to)) return 1;
  const [a, b] = [units.get(from), units.get(to)];
  return a && b && a.dimension === b.dimension ? a.factor / b.factor : undefined;
}

/** Splits at `separator` where no bracket is open. An interval may open with one kind and close with another. */
function splitTopLevel(text: string, separator: RegExp): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if ("([{⟨".includes(text[i]!)) depth++;
    else if (")]}⟩".includes(text[i]!)) depth--;
    if (depth !== 0) continue;
    separator.lastIndex = i;
    const match = separator.exec(text);
    if (!match) continue;
    parts.push(text.slice(start, i));
    start = i + match[0].length;
    i = start - 1;
  }
  parts.push(text.slice(start));
  return parts.map((part) => part.trim());
}

/** Index of the bracket that closes the one at the start, whatever its kind. */
function closingIndex(text: string): number {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    if ("([{⟨".includes(text[i]!)) depth++;
    else if (")]}⟩".includes(text[i]!) && --depth === 0) return i;
  }
  return -1;
}

const words = (text: string): Answer => ({
  kind: "words",
  text: text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, " ")
    .trim(),
});

/** An expression with an optional currency before it or unit after it. */
function parseValue(text: string): Answer {
  const money = /^(-?)\s*\$\s*(.+)$/.exec(text);
  if (money) return { kind: "value", expression: parseExpression(`${money[1]}${money[2]}`), unit: "dollar" };
  const measured =
    /^(.*[\d)}⟩])\s*((?:[a-zA-Z]+|¢)(?:\s*[/*]\s*[a-zA-Z]+|\s+[a-zA-Z]+){0,4}(?:\s*\^\s*\{?\d\}?)?)$/.exec(
      text,
    );
  if (measured && isUnit(measured[2]!)) {
    const unit = measured[2]!
      .toLowerCase()
      .replace(/\s+/g, " ")
      .replace(/[{}\s]*\^[{}\s]*/g, "^")
      .replace(/\}$/, "");
    return { kind: "value", expression: parseExpression(measured[1]!), unit };
  }
  return { kind: "value", expression: parseExpression(text), unit: "" };
}

/** A known unit, or words that are too long to be variables. */
function isUnit(text: string): boolean {
  const name = text.replace(/\s*\^.*$/, "").toLowerCase();
  if (/^(?:pi|sin|cos|tan|ln|log|sqrt|frac)\b/.test(name)) return false;
  return (
    /[a-z]{4,}|¢/.test(name) ||
    (name.length > 1 && units.has(name)) ||
    ["m", "g", "s", "h", "l"].includes(text)
  );
}

const relationPattern = /[=<>≤≥≠]/y;

function parseRelation(text: string): Answer | undefined {
  const sides = splitTopLevel(text, relationPattern);
  if (sides.length === 1) return undefined;
  const relations = [...text].filter((char) => "=<>≤≥≠".includes(char)) as Relation[];
  if (relations.length !== sides.length - 1) return undefined;
  const isNamed =
    sides.length === 2 &&
    relations[0] === "=" &&
    /^(?:[a-zA-Z]|\\?[a-zA-Z]+)(?:_\w|_\{\w+\}|\([a-z]\))?$/.test(sides[0]!);
  // "x = 5" answers "5", whatever stands for the unknown.
  if (isNamed && !/[a-zA-Z]/.test(sides[1]!.replace(/\\?(?:frac|sqrt|pi|infty)/g, "")))
    return parseAnswer(sides[1]!);
  return { kind: "relation", sides: sides.map((side) => parseExpression(side)), relations };
}

function parseMatrix(text: string): Answer | undefined {
  const match = /^\\begin\{([pbvBV]?matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\1\}$/s.exec(text);
  if (!match) return undefined;
  const rows = match[2]!.split("\\\\").map((row) => row.trim());
  if (rows.at(-1) === "") rows.pop();
  return { kind: "matrix", rows: rows.map((row) => row.split("&").map(parseAnswer)) };
}

function parseBracketed(text: string): Answer | undefined {
  if (!"([⟨".includes(text[0] ?? " ") || closingIndex(text) !== text.length - 1) return undefined;
  const [open, close] = [text[0]!, text.at(-1)!];
  const inside = text.slice(1, -1).trim();
  const items = inside === "" ? [] : splitTopLevel(inside, /,/y);
  if (open === "⟨") return { kind: "set", items: items.map(parseAnswer) };
  if (items.length === 1 && open === "(" && close === ")") return parseAnswer(items[0]!);
  return items.length === 1 ? undefined : { kind: "tuple", open, close, items: items.map(parseAnswer) };
}

/** Never throws: what is nothing else is words. */
function parseAnswer(text: string): Answer {
  const trimmed = text.trim();
  try {
    const membership = /^[a-zA-Z]\s*∈(.*)$/.exec(trimmed);
    if (membership) return parseAnswer(membership[1]!);
    const matrix = parseMatrix(trimmed);
    if (matrix) return matrix;
    const unions = splitTopLevel(trimmed, /∪/y);
    if (unions.length > 1) return { kind: "union", items: unions.map(parseAnswer) };
    const items = splitTopLevel(trimmed, /\s*,\s*(?:and|or)\s+|\s+(?:and|or)\s+|,/y);
    if (items.length > 1) return { kind: "set", items: items.map(parseAnswer) };
    if (trimmed.includes("±")) {
      return { kind: "set", items: ["+", "-"].map((sign) => parseAnswer(trimmed.replaceAll("±", sign))) };
    }
    return parseBracketed(trimmed) ?? parseRelation(trimmed) ?? parseValue(trimmed);
  } catch {
    return words(trimmed);
  }
}

/** The ways to read an answer: commas may separate thousands or items, and 50 % may be meant as 50. */
function readings(text: string): Answer[] {
  const spelled = canonicalSpelling(text);
  const thousands = spelled.replace(/(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])/g, (number) =>
    number.replaceAll(",", ""),
  );
  const spellings = new Set([thousands, spelled]);
  for (const spelling of [...spellings]) {
    if (/[\d})]\s*(?:%|percent)$/i.test(spelling)) {
      spellings.delete(spelling);
      const bare = spelling.replace(/\s*(?:%|percent)$/i, "");
      spellings.add(bare).add(`(${bare})/100`);
    }
  }
  return [...spellings].map(parseAnswer);
}

function isClose(a: Complex, b: Complex): boolean {
  if (a.re === b.re && a.im === b.im) return true;
  if (![a.re, a.im, b.re, b.im].every(Number.isFinite)) return false;
  const size = Math.max(Math.hypot(a.re, a.im), Math.hypot(b.re, b.im));
  return Math.hypot(a.re - b.re, a.im - b.im) <= relativeTolerance * Math.max(size, 1e-6);
}

/** Fixed points to compare functions at: a value for each variable, of either sign, none of them special. */
const points = Array.from({ length: 8 }, (_, k) => (variable: string) => {
  const value = 0.3 + 2.6 * uniformAt(20240930, hash32(variable), k);
  return k % 2 === 0 ? value : -value;
});

const isNumber = ({ re, im }: Complex) => !Number.isNaN(re) && !Number.isNaN(im);

/** Both have a value at the same points, at least two of them, and the values agree. */
function agreeAtPoints(a: Expression, b: Expression): boolean {
  let compared = 0;
  for (const point of points) {
    const [x, y] = [valueAt(a, point), valueAt(b, point)];
    if (isNumber(x) !== isNumber(y)) return false;
    if (!isNumber(x)) continue;
    if (!isClose(x, y)) return false;
    compared++;
  }
  return compared >= 2;
}

export function sameExpression(a: Expression, b: Expression): boolean {
  const [x, y] = [exactValue(a), exactValue(b)];
  if (x && y && x.n === y.n && x.d === y.d) return true;
  // A decimal with many digits may stand for an irrational number, but never an integer for another.
  if (x && y && x.d === 1n && y.d === 1n) return false;
  return agreeAtPoints(a, b);
}

const difference = (left: Expression, right: Expression): Expression => ({
  kind: "call",
  name: "add",
  args: [left, { kind: "call", name: "negate", args: [right] }],
});

/** Both equations hold for the same values: their differences are a constant multiple of each other. */
function sameEquation(a: readonly Expression[], b: readonly Expression[]): boolean {
  const [f, g] = [difference(a[0]!, a[1]!), difference(b[0]!, b[1]!)];
  const ratios: number[] = [];
  for (const point of points) {
    const [x, y] = [valueAt(f, point), valueAt(g, point)];
    if (!isNumber(x) || !isNumber(y) || x.im !== 0 || y.im !== 0) continue;
    if (Math.abs(y.re) > 1e-9) ratios.push(x.re / y.re);
  }
  const [first] = ratios;
  if (first === undefined || ratios.length < 2 || Math.abs(first) < 1e-9) return false;
  return ratios.every((ratio) => Math.abs(ratio - first) <= 1e-7 * Math.abs(first));
}

const mirrored: Record<Relation, Relation> = { "=": "=", "<": ">", "≤": "≥", ">": "<", "≥": "≤", "≠": "≠" };

type RelationAnswer = Extract<Answer, { kind: "relation" }>;

const mirror = ({ sides, relations }: RelationAnswer): RelationAnswer => ({
  kind: "relation",
  sides: sides.toReversed(),
  relations: relations.toReversed().map((relation) => mirrored[relation]),
});

function sameRelation(a: RelationAnswer, b: RelationAnswer): boolean {
  const direct = (x: RelationAnswer, y: RelationAnswer) =>
    x.sides.length === y.sides.length &&
    x.relations.every((relation, i) => relation === y.relations[i]) &&
    x.sides.every((side, i) => sameExpression(side, y.sides[i]!));
  if (direct(a, b) || direct(a, mirror(b))) return true;
  const isEquation = (x: RelationAnswer) => x.relations.length === 1 && x.relations[0] === "=";
  return isEquation(a) && isEquation(b) && sameEquation(a.sides, b.sides);
}

/** `a < x ≤ b` and `x > a` as intervals. */
function asInterval(relation: RelationAnswer): Answer | undefined {
  const rising = relation.relations.every((r) => r === "<" || r === "≤") ? relation : mirror(relation);
  const { sides, relations } = rising;
  if (!relations.every((r) => r === "<" || r === "≤")) return undefined;
  const at = sides.findIndex(({ kind }) => kind === "variable");
  const bounded = sides.filter((_, i) => i !== at);
  if (at < 0 || bounded.some((side) => variablesOf(side).size > 0) || sides.length - 1 < at) return undefined;
  const infinity: Expression = { kind: "constant", value: { re: Number.POSITIVE_INFINITY, im: 0 } };
  const value = (expression: Expression): Answer => ({ kind: "value", expression, unit: "" });
  const low = at === 0 ? undefined : sides[at - 1];
  const high = sides[at + 1];
  return {
    kind: "tuple",
    open: low && relations[at - 1] === "≤" ? "[" : "(",
    close: high && relations[at] === "≤" ? "]" : ")",
    items: [value(low ?? { kind: "call", name: "negate", args: [infinity] }), value(high ?? infinity)],
  };
}

/** Every member of either side has an equal on the other. */
function sameMembers(a: readonly Answer[], b: readonly Answer[]): boolean {
  const covers = (x: readonly Answer[], y: readonly Answer[]) =>
    x.every((item) => y.some((other) => same(item, other)));
  return covers(a, b) && covers(b, a);
}

const sameItems = (a: readonly Answer[], b: readonly Answer[]) =>
  a.length === b.length && a.every((item, i) => same(item, b[i]!));

function scaled(expression: Expression, factor: number): Expression {
  if (factor === 1) return expression;
  const constant: Expression = { kind: "constant", value: { re: factor, im: 0 } };
  return { kind: "call", name: "multiply", args: [expression, constant] };
}

function same(a: Answer, b: Answer): boolean {
  if (a.kind === "relation" && b.kind !== "relation") return b.kind === "tuple" && sameAsInterval(a, b);
  if (b.kind === "relation" && a.kind !== "relation") return a.kind === "tuple" && sameAsInterval(b, a);
  if (a.kind === "words" && b.kind === "words") return a.text === b.text && a.text !== "";
  if (a.kind === "value" && b.kind === "value") {
    const factor = conversion(a.unit, b.unit);
    return factor !== undefined && sameExpression(scaled(a.expression, factor), b.expression);
  }
  if (a.kind === "tuple" && b.kind === "tuple") {
    return a.open === b.open && a.close === b.close && sameItems(a.items, b.items);
  }
  if (a.kind === "set" && b.kind === "set") return sameMembers(a.items, b.items);
  if (a.kind === "union" && b.kind === "union") return sameMembers(a.items, b.items);
  if (a.kind === "matrix" && b.kind === "matrix") {
    return a.rows.length === b.rows.length && a.rows.every((row, i) => sameItems(row, b.rows[i]!));
  }
  if (a.kind === "relation" && b.kind === "relation") return sameRelation(a, b);
  return false;
}

function sameAsInterval(relation: RelationAnswer, interval: Answer): boolean {
  const converted = asInterval(relation);
  return converted !== undefined && same(converted, interval);
}

/** Whether two final answers mean the same. */
export function equivalent(a: string, b: string): boolean {
  const [left, right] = [readings(a), readings(b)];
  return left.some((x) => right.some((y) => same(x, y)));
}
