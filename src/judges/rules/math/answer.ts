// Final answers: numbers, fractions, percentages, units, algebra, tuples, intervals, sets, matrices, equations,
// inequalities and words, read from LaTeX or plain text.

import { type Expression, variablesOf } from "./expression.js";
import { parseExpression } from "./parse.js";
import { isUnit } from "./units.js";

export type Relation = "=" | "<" | "≤" | ">" | "≥" | "≠";

export type Answer =
  | { kind: "words"; text: string }
  | { kind: "value"; expression: Expression; unit: string }
  /** Bracketed items in order: a tuple, a point or an interval. */
  | { kind: "tuple"; open: string; close: string; items: Answer[] }
  /** Unordered alternatives: `{1, 2}`, `1, 2`, `1 or 2`, `±1`. */
  | { kind: "set"; items: Answer[] }
  | { kind: "union"; items: Answer[] }
  | { kind: "matrix"; rows: Answer[][] }
  | { kind: "relation"; sides: Expression[]; relations: Relation[] };

/** Units in `\text{}` are marked, because nothing else tells `6\pi\text{ cm}` from a product of letters. */
const [unitOpen, unitClose] = ["⟦", "⟧"];

/** The decimal whose last digits repeat for ever, as a fraction. */
function repeating(_: string, whole: string, once: string, again: string): string {
  const [shifted, cut] = [BigInt(`${whole}${once}${again}`), BigInt(`${whole}${once}` || "0")];
  const below = (10n ** BigInt(again.length) - 1n) * 10n ** BigInt(once.length);
  return `\\frac{${shifted - cut}}{${below}}`;
}

type Replacement = string | ((match: string, ...groups: string[]) => string);

const symbols: [RegExp, Replacement][] = [
  [/(\d)(?:\\,|\\;|\\ )(?=\d{3}(?!\d))/g, "$1"],
  [/(\d*)\.(\d*)\\overline\s*\{(\d+)\}/g, repeating],
  [/(?<![\\\w.])(\d+(?:\.\d+)?)[eE]([+-]?\d+)(?!\w)/g, "$1*10^{$2}"],
  [/\{([^{}]*)\\over(?![a-zA-Z])([^{}]*)\}/g, "\\frac{$1}{$2}"],
  [/\\mathbb\s*\{?\s*R\s*\}?|ℝ/g, "(-\\infty,\\infty)"],
  [/\\(?:emptyset|varnothing)(?![a-zA-Z])|∅/g, "⟨⟩"],
  [/\\langle(?![a-zA-Z])/g, "("],
  [/\\rangle(?![a-zA-Z])/g, ")"],
  [/\\(?:left|right|big|Big|bigg|Bigg|displaystyle|limits)(?![a-zA-Z])/g, ""],
  [/\\(?:dfrac|tfrac|cfrac)(?![a-zA-Z])/g, "\\frac"],
  [/\\(?:dbinom|tbinom)(?![a-zA-Z])/g, "\\binom"],
  [
    /\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}/g,
    (_, inside) => (isUnit(inside!.trim()) ? ` ${unitOpen}${inside!.trim()}${unitClose} ` : ` ${inside} `),
  ],
  [/\\(?:quad|qquad)(?![a-zA-Z])|(?<!\\)\\[,;:!> ]|~|\u00a0|\u202f/g, " "],
  [/(?:\^\s*\{?\s*\\circ\s*\}?|\\degree(?![a-zA-Z])|°)/g, " degrees "],
  [/(\\?(?:sin|cos|tan|cot|sec|csc))\s*\(?\s*(\d+(?:\.\d+)?) degrees\s*\)?/g, "$1($2*\\pi/180)"],
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
    if (isWrapped && !out.slice(open.length, -close.length).replaceAll("\\$", "").includes(close)) {
      out = out.slice(open.length, -close.length);
      break;
    }
  }
  out = out.replace(/(\d)\{,\}(?=\d{3})/g, "$1").replace(/\\!/g, "");
  for (const [pattern, replacement] of symbols) out = out.replace(pattern, replacement as string);
  return out
    .replace(/^\](.*,.*[[\])])$/, "($1")
    .replace(/^([[\](].*,.*)\[$/, "$1)")
    .replace(/\s+/g, " ")
    .replace(/[.:;,]\s*$/, "")
    .trim();
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

const unitNamed = (text: string) =>
  text
    .toLowerCase()
    .replace(/\s+/g, " ")
    .replace(/[{}\s]*\^[{}\s]*/g, "^")
    .replace(/\}$/, "")
    .replace(/^(?:square|sq) (.+)$/, "$1^2")
    .replace(/^cubic (.+)$/, "$1^3");

/** An expression with an optional currency before it or unit after it. */
function parseValue(text: string): Answer {
  const money = /^(-?)\s*\$\s*(.+)$/.exec(text);
  if (money) return { kind: "value", expression: parseExpression(`${money[1]}${money[2]}`), unit: "dollar" };
  const marked = /^([^⟦]*\S)\s*⟦([^⟧]+)⟧\s*((?:\^\s*\{?\d\}?)?)$/.exec(text);
  if (marked)
    return {
      kind: "value",
      expression: parseExpression(marked[1]!),
      unit: unitNamed(marked.slice(2).join("")),
    };
  const measured =
    /^(.*[\d)}⟩])\s*((?:[a-zA-Z]+|¢)(?:\s*[/*]\s*[a-zA-Z]+|\s+[a-zA-Z]+){0,4}(?:\s*\^\s*\{?\d\}?)?)$/.exec(
      text,
    );
  if (measured && isUnit(measured[2]!)) {
    const expression = parseExpression(measured[1]!);
    // The h of \pi r^2 h is no hour.
    const isFactor = measured[2]!.length === 1 && variablesOf(expression).size > 0;
    if (!isFactor) return { kind: "value", expression, unit: unitNamed(measured[2]!) };
  }
  return { kind: "value", expression: parseExpression(text), unit: "" };
}

const relationPattern = /[=<>≤≥≠]/y;

/** The left side of an equation that only names its right side: x, x_1, f(x). */
const namePattern = /^(?:[a-zA-Z]|\\[a-zA-Z]+)(?:_\w|_\{\w+\}|\([a-z]\))?$/;

const isConstant = (text: string) =>
  !/[a-zA-Z]/.test(text.replace(/⟦[^⟧]*⟧/g, "").replace(/\\?(?:frac|sqrt|pi|infty)/g, ""));

/** `x = 1, y = 2`: values of several unknowns, in the order of their names; undefined when it is something else. */
function parseAssignments(items: readonly string[]): Answer | undefined {
  const pairs = items.map((item) => item.split("=").map((side) => side.trim()));
  const isAssignment = ([name, value, ...more]: string[]) =>
    more.length === 0 && value !== undefined && /^[a-zA-Z]$/.test(name!) && isConstant(value);
  const names = new Set(pairs.map(([name]) => name));
  if (!pairs.every(isAssignment) || names.size < pairs.length) return undefined;
  const values = pairs.toSorted(([a], [b]) => (a! < b! ? -1 : 1)).map(([, value]) => parseAnswer(value!));
  return { kind: "tuple", open: "(", close: ")", items: values };
}

function parseRelation(text: string): Answer | undefined {
  const sides = splitTopLevel(text, relationPattern);
  if (sides.length === 1) return undefined;
  const relations = [...text].filter((char) => "=<>≤≥≠".includes(char)) as Relation[];
  if (relations.length !== sides.length - 1) return undefined;
  const isEquation = sides.length === 2 && relations[0] === "=";
  const value = sides.find((_, i) => isEquation && namePattern.test(sides[1 - i]!));
  // "x = 5" answers "5", whatever stands for the unknown.
  if (value !== undefined && isConstant(value)) return parseAnswer(value);
  const isPoint = isEquation && /^\(\s*[a-zA-Z](?:\s*,\s*[a-zA-Z])+\s*\)$/.test(sides[0]!);
  if (isPoint) return parseAnswer(sides[1]!);
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
    if (items.length > 1) return parseAssignments(items) ?? { kind: "set", items: items.map(parseAnswer) };
    if (trimmed.includes("±")) {
      return { kind: "set", items: ["+", "-"].map((sign) => parseAnswer(trimmed.replaceAll("±", sign))) };
    }
    return parseBracketed(trimmed) ?? parseRelation(trimmed) ?? parseValue(trimmed);
  } catch {
    return words(trimmed);
  }
}

const percentPattern = /([\d})])\s*\\?(?:%|percent)\.?\$?$/i;

export const isPercentage = (text: string) => percentPattern.test(text.trim());

/** A word in `\text{}`, or letters that may be a word as well as a product. */
const wordPattern =
  /^\$?(?:(\\(?:text|textbf|textit|textrm|mathrm|mbox)\s*\{)\s*([a-zA-Z][a-zA-Z ]+?)\s*\}|([a-zA-Z]{2,}))[.!]?\$?$/;

/**
 * The ways to read an answer: commas may separate thousands or items, letters may be a word or a product, and 50 % may
 * be meant as 50, unless `isAmongPercentages`.
 */
export function readings(text: string, isAmongPercentages = false): Answer[] {
  const word = wordPattern.exec(text.trim());
  if (word?.[1]) return [words(word[2]!)];
  const spelled = canonicalSpelling(text);
  const thousands = spelled.replace(/(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])/g, (number) =>
    number.replaceAll(",", ""),
  );
  const spellings = new Set([thousands, spelled]);
  for (const spelling of [...spellings]) {
    if (!percentPattern.test(spelling)) continue;
    spellings.delete(spelling);
    const bare = spelling.replace(percentPattern, "$1");
    spellings.add(bare);
    if (!isAmongPercentages) spellings.add(`(${bare})/100`);
  }
  return [...[...spellings].map(parseAnswer), ...(word ? [words(word[3]!)] : [])];
}
