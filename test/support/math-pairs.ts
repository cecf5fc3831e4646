// Pairs of final answers whose truth is known by construction, from a seed. A tree is grown at random and printed as the
// reference. Equal: known identities rewrite it before it is printed again, in another dress. Different: one sign, digit,
// operator, exponent, relation or bracket is changed. A plain evaluation of the trees in doubles, which shares nothing
// with the judge, makes sure that a change did change the value (0 x is not changed by its digit).
//
//   npx tsx test/support/math-pairs.ts --count 20000 --seed 1 --out pairs.jsonl

import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { RandomStream } from "../../src/base/random.js";

export interface Pair {
  reference: string;
  answer: string;
  isEqual: boolean;
  /** What surrounds the expression: value, interval, matrix, ... */
  dress: string;
}

type Tree =
  | { op: "number"; n: number; d: number }
  | { op: "name"; name: string }
  | { op: "pi" }
  | { op: "+" | "-" | "*" | "/"; a: Tree; b: Tree }
  | { op: "^"; a: Tree; k: number }
  | { op: "neg" | "sqrt" | "sin" | "cos" | "ln" | "exp" | "abs" | "!"; a: Tree };

/** Random choices from one stream. */
class Dice {
  private readonly stream: RandomStream;
  constructor(stream: RandomStream) {
    this.stream = stream;
  }
  unit = () => this.stream.uniform();
  below = (n: number) => Math.floor(this.unit() * n);
  between = (low: number, high: number) => low + this.below(high - low + 1);
  chance = (p: number) => this.unit() < p;
  pick = <T>(items: readonly T[]): T => items[this.below(items.length)]!;
}

const num = (n: number, d = 1): Tree => ({ op: "number", n, d });
const bin = (op: "+" | "-" | "*" | "/", a: Tree, b: Tree): Tree => ({ op, a, b });
const fn = (op: "neg" | "sqrt" | "sin" | "cos" | "ln" | "exp" | "abs" | "!", a: Tree): Tree => ({ op, a });

function factorial(n: number): number {
  return n < 0 || !Number.isInteger(n) ? Number.NaN : n < 2 ? 1 : n * factorial(n - 1);
}

/** The value in doubles where every name has the value that `at` says. */
function value(tree: Tree, at: Record<string, number>): number {
  const of = (t: Tree) => value(t, at);
  switch (tree.op) {
    case "number":
      return tree.n / tree.d;
    case "name":
      return at[tree.name]!;
    case "pi":
      return Math.PI;
    case "+":
      return of(tree.a) + of(tree.b);
    case "-":
      return of(tree.a) - of(tree.b);
    case "*":
      return of(tree.a) * of(tree.b);
    case "/":
      return of(tree.a) / of(tree.b);
    case "^":
      return of(tree.a) ** tree.k;
    case "neg":
      return -of(tree.a);
    case "sqrt":
      return Math.sqrt(of(tree.a));
    case "sin":
      return Math.sin(of(tree.a));
    case "cos":
      return Math.cos(of(tree.a));
    case "ln":
      return Math.log(of(tree.a));
    case "exp":
      return Math.exp(of(tree.a));
    case "abs":
      return Math.abs(of(tree.a));
    case "!":
      return factorial(of(tree.a));
  }
}

const points: Record<string, number>[] = [
  { x: 1.37, y: 0.71, a: 2.13, b: 1.91, n: 3.3 },
  { x: 0.59, y: 2.47, a: 0.83, b: 3.29, n: 1.7 },
  { x: 3.11, y: 1.13, a: 1.49, b: 0.37, n: 5.9 },
  { x: -0.77, y: 1.61, a: -1.27, b: 2.23, n: 2.6 },
  { x: 7.3, y: -2.9, a: 4.7, b: -3.1, n: 8.2 },
];

/** Both have values at some of the points, and they differ there by more than rounding. */
function differs(a: Tree, b: Tree): boolean {
  return points.some((at) => {
    const [x, y] = [value(a, at), value(b, at)];
    return (
      Number.isFinite(x) && Number.isFinite(y) && Math.abs(x - y) > 1e-6 * Math.max(Math.abs(x), Math.abs(y))
    );
  });
}

const isUsable = (tree: Tree) =>
  points.filter((at) => {
    const v = value(tree, at);
    return Number.isFinite(v) && Math.abs(v) < 1e9 && Math.abs(v) > 1e-6;
  }).length >= 2;

// Growing

function grow(dice: Dice, depth: number, names: readonly string[]): Tree {
  if (depth === 0 || dice.chance(0.15)) return leaf(dice, names);
  const next = () => grow(dice, depth - 1, names);
  const roll = dice.unit();
  if (roll < 0.26) return bin("+", next(), next());
  if (roll < 0.42) return bin("-", next(), next());
  if (roll < 0.62) return bin("*", next(), next());
  if (roll < 0.74) return bin("/", next(), next());
  if (roll < 0.82) return { op: "^", a: next(), k: dice.pick([2, 2, 3, -1]) };
  if (roll < 0.9) return fn("sqrt", next());
  if (roll < 0.93) return fn(dice.pick(["sin", "cos"]), next());
  if (roll < 0.96) return fn(dice.pick(["ln", "exp"]), next());
  return fn(dice.pick(["neg", "abs"]), next());
}

function leaf(dice: Dice, names: readonly string[]): Tree {
  if (names.length > 0 && dice.chance(0.5)) return { op: "name", name: dice.pick(names) };
  if (dice.chance(0.08)) return { op: "pi" };
  if (dice.chance(0.05)) return fn("!", num(dice.between(3, 6)));
  if (dice.chance(0.12)) return num(dice.between(1, 9), dice.pick([2, 3, 4, 5, 7, 8, 10]));
  if (dice.chance(0.08)) return num(dice.between(1000, 99999));
  return num(dice.between(1, 19));
}

// Rewriting by identities that hold wherever both sides are real

type Rewrite = (dice: Dice, tree: Tree) => Tree | undefined;

const rewrites: Rewrite[] = [
  (_, t) => (t.op === "+" || t.op === "*" ? { ...t, a: t.b, b: t.a } : undefined),
  (_, t) => (t.op === "-" ? bin("+", t.a, fn("neg", t.b)) : undefined),
  (_, t) => (t.op === "-" ? fn("neg", bin("-", t.b, t.a)) : undefined),
  (_, t) => (t.op === "/" ? bin("*", t.a, { op: "^", a: t.b, k: -1 }) : undefined),
  (_, t) =>
    t.op === "/" && t.a.op === "+" ? bin("+", bin("/", t.a.a, t.b), bin("/", t.a.b, t.b)) : undefined,
  (dice, t) => {
    const k = num(dice.between(2, 7));
    return t.op === "/" ? bin("/", bin("*", k, t.a), bin("*", k, t.b)) : undefined;
  },
  (_, t) =>
    t.op === "*" && (t.b.op === "+" || t.b.op === "-")
      ? bin(t.b.op, bin("*", t.a, t.b.a), bin("*", t.a, t.b.b))
      : undefined,
  (_, t) => (t.op === "+" && t.b.op === "+" ? bin("+", bin("+", t.a, t.b.a), t.b.b) : undefined),
  (_, t) => (t.op === "^" && t.k === 2 ? bin("*", t.a, t.a) : undefined),
  (_, t) => (t.op === "^" && t.k === 3 ? bin("*", t.a, { op: "^", a: t.a, k: 2 }) : undefined),
  (_, t) => (t.op === "^" && t.k === -1 ? bin("/", num(1), t.a) : undefined),
  (_, t) => {
    if (t.op !== "^" || t.k !== 2 || (t.a.op !== "+" && t.a.op !== "-")) return undefined;
    const { a, b } = t.a;
    const squares = bin("+", { op: "^", a, k: 2 }, { op: "^", a: b, k: 2 });
    return bin(t.a.op, squares, bin("*", num(2), bin("*", a, b)));
  },
  (_, t) =>
    t.op === "sqrt" && t.a.op === "number" ? bin("/", fn("sqrt", bin("*", num(4), t.a)), num(2)) : undefined,
  (_, t) => (t.op === "sqrt" && t.a.op === "number" && t.a.d === 1 ? bin("/", t.a, t) : undefined),
  (_, t) => (t.op === "sqrt" ? bin("/", fn("sqrt", bin("*", num(9), t.a)), num(3)) : undefined),
  (_, t) => {
    if (t.op !== "sin" || t.a.op !== "*" || t.a.a.op !== "number" || t.a.a.n !== 2) return undefined;
    return bin("*", num(2), bin("*", fn("sin", t.a.b), fn("cos", t.a.b)));
  },
  (_, t) => (t.op === "sin" ? fn("neg", fn("sin", fn("neg", t.a))) : undefined),
  (_, t) => (t.op === "cos" ? fn("cos", fn("neg", t.a)) : undefined),
  (_, t) => (t.op === "exp" && t.a.op === "+" ? bin("*", fn("exp", t.a.a), fn("exp", t.a.b)) : undefined),
  (_, t) => (t.op === "ln" && t.a.op === "number" ? fn("neg", fn("ln", num(t.a.d, t.a.n))) : undefined),
  (_, t) => (t.op === "ln" ? bin("/", fn("ln", { op: "^", a: t.a, k: 3 }), num(3)) : undefined),
  (_, t) => (t.op === "abs" && t.a.op === "-" ? fn("abs", bin("-", t.a.b, t.a.a)) : undefined),
  (_, t) => (t.op === "abs" ? fn("sqrt", { op: "^", a: t.a, k: 2 }) : undefined),
  (_, t) => (t.op === "neg" && t.a.op === "-" ? bin("-", t.a.b, t.a.a) : undefined),
  (_, t) => (t.op === "!" && t.a.op === "number" ? num(factorial(t.a.n)) : undefined),
  (dice, t) => {
    const k = dice.between(2, 6);
    return t.op === "number" && t.n < 1000 ? num(t.n * k, t.d * k) : undefined;
  },
  (dice, t) => {
    if (t.op !== "number" || t.d !== 1 || t.n < 3) return undefined;
    const part = dice.between(1, t.n - 1);
    return bin("+", num(part), num(t.n - part));
  },
  (_, t) => (t.op === "name" ? bin("-", bin("*", num(2), t), t) : undefined),
];

/** `change` applied to one node, chosen at random among those where it is possible. */
function changeOnce(dice: Dice, tree: Tree, change: (t: Tree) => Tree | undefined): Tree | undefined {
  const paths: string[][] = [];
  const visit = (t: Tree, path: string[]) => {
    if (change(t)) paths.push(path);
    if ("a" in t) visit(t.a, [...path, "a"]);
    if ("b" in t) visit(t.b, [...path, "b"]);
  };
  visit(tree, []);
  if (paths.length === 0) return undefined;
  const rebuild = (t: Tree, path: readonly string[]): Tree => {
    const [step, ...rest] = path;
    if (step === undefined) return change(t)!;
    return { ...t, [step]: rebuild((t as unknown as Record<string, Tree>)[step]!, rest) } as Tree;
  };
  return rebuild(tree, dice.pick(paths));
}

function rewritten(dice: Dice, tree: Tree): Tree {
  let result = tree;
  for (let left = dice.between(1, 5), tries = 0; left > 0 && tries < 60; tries++) {
    const rule = dice.pick(rewrites);
    const next = changeOnce(dice, result, (t) => rule(dice, t));
    if (!next || printed(next, plainStyle).length > 160) continue;
    result = next;
    left--;
  }
  return result;
}

// Changing the value

const changes: Rewrite[] = [
  (_, t) => (t.op === "+" || t.op === "-" ? { ...t, op: t.op === "+" ? "-" : "+" } : undefined),
  (_, t) => (t.op === "*" || t.op === "/" ? { ...t, op: t.op === "*" ? "/" : "*" } : undefined),
  (dice, t) => {
    if (t.op !== "number") return undefined;
    const place = 10 ** dice.below(String(t.n).length);
    return num(Math.floor(t.n / place) % 10 === 9 ? t.n - place : t.n + place, t.d);
  },
  (_, t) => (t.op === "number" ? fn("neg", t) : undefined),
  (_, t) => (t.op === "name" ? fn("neg", t) : undefined),
  (_, t) => (t.op === "^" ? { ...t, k: t.k === -1 ? 1 : t.k + 1 } : undefined),
  (_, t) => (t.op === "sin" || t.op === "cos" ? { ...t, op: t.op === "sin" ? "cos" : "sin" } : undefined),
  (_, t) => (t.op === "neg" || t.op === "sqrt" || t.op === "abs" ? t.a : undefined),
  (_, t) => (t.op === "name" ? { op: "name", name: t.name === "x" ? "y" : "x" } : undefined),
  (_, t) => (t.op === "pi" ? num(22, 7) : undefined),
];

function changed(dice: Dice, tree: Tree): Tree | undefined {
  for (let tries = 0; tries < 12; tries++) {
    const rule = dice.pick(changes);
    const next = changeOnce(dice, tree, (t) => rule(dice, t));
    if (next && differs(tree, next)) return next;
  }
  return undefined;
}

// Printing

interface Style {
  /** A random choice among spellings; the first is the plain one. */
  pick: <T>(items: readonly T[]) => T;
}

const plainStyle: Style = { pick: (items) => items[0]! };
const looseStyle = (dice: Dice): Style => ({
  pick: (items) => (dice.chance(0.6) ? items[0]! : dice.pick(items)),
});

/** Binding strength: sums 1, products and signs 2, powers 4, atoms 5. */
function strength(t: Tree): number {
  if (t.op === "+" || t.op === "-" || t.op === "neg") return 1;
  if (t.op === "*") return 2;
  if (t.op === "^" || t.op === "!") return 4;
  return t.op === "exp" ? 4 : 5;
}

function wrapped(t: Tree, atLeast: number, style: Style): string {
  const text = printed(t, style);
  const [open, close] = style.pick([
    ["(", ")"],
    ["\\left(", "\\right)"],
  ] as const);
  return strength(t) >= atLeast && !text.startsWith("-") ? text : `${open}${text}${close}`;
}

const fraction = (above: string, below: string, style: Style) =>
  `${style.pick(["\\frac", "\\dfrac", "\\tfrac"])}{${above}}{${below}}`;

function number(n: number, d: number, style: Style): string {
  if (d === 1)
    return n >= 1000
      ? String(n).replace(/(\d)(?=(\d{3})+$)/g, `$1${style.pick(["", "{,}", ",\\!"])}`)
      : String(n);
  const decimal = String(n / d);
  const isShort = decimal.length < 7 && Number.isInteger((n / d) * 1000);
  return isShort
    ? style.pick([fraction(String(n), String(d), style), decimal])
    : fraction(String(n), String(d), style);
}

function printed(t: Tree, style: Style): string {
  switch (t.op) {
    case "number":
      return number(t.n, t.d, style);
    case "name":
      return t.name;
    case "pi":
      return "\\pi ";
    case "+":
    case "-": {
      const gap = style.pick(["", " "]);
      return `${printed(t.a, style)}${gap}${t.op}${gap}${wrapped(t.b, 2, style)}`;
    }
    case "neg":
      return `-${wrapped(t.a, 2, style)}`;
    case "*":
      return `${wrapped(t.a, 2, style)}${style.pick([" \\cdot ", " \\times ", "\\cdot "])}${wrapped(t.b, 2, style)}`;
    case "/":
      return fraction(printed(t.a, style), printed(t.b, style), style);
    case "^":
      return `${wrapped(t.a, t.a.op === "name" ? 4 : 6, style)}^{${t.k}}`;
    case "sqrt":
      return `\\sqrt{${printed(t.a, style)}}`;
    case "exp":
      return `e^{${printed(t.a, style)}}`;
    case "abs":
      return style
        .pick(["|X|", "\\left|X\\right|", "\\lvert X\\rvert "])
        .replace("X", () => printed(t.a, style));
    case "!":
      return `${printed(t.a, style)}!`;
    default:
      return `\\${t.op}${style.pick(["(X)", "\\left(X\\right)"]).replace("X", () => printed(t.a, style))}`;
  }
}

// Dresses: what stands around the expressions of an answer

interface Dress {
  name: string;
  names: readonly string[];
  /** How many expressions it takes. */
  parts: number;
  print: (parts: readonly string[]) => string;
  /** The same with another relation or bracket. */
  broken?: (parts: readonly string[]) => string;
  /** The same in another order or spelling. */
  turned?: (parts: readonly string[]) => string;
}

const dresses: readonly Dress[] = [
  { name: "number", names: [], parts: 1, print: ([a]) => a! },
  { name: "number", names: [], parts: 1, print: ([a]) => a!, turned: ([a]) => `$${a}$` },
  { name: "algebra", names: ["x", "y"], parts: 1, print: ([a]) => a! },
  { name: "algebra", names: ["x"], parts: 1, print: ([a]) => a!, turned: ([a]) => `\\boldsymbol{${a}}` },
  { name: "algebra", names: ["a", "b", "n"], parts: 1, print: ([a]) => a!, turned: ([a]) => `{${a}}` },
  {
    name: "equation",
    names: ["x"],
    parts: 1,
    print: ([a]) => `y = ${a}`,
    turned: ([a]) => `${a} = y`,
    broken: ([a]) => `y \\ne ${a}`,
  },
  {
    name: "assignment",
    names: [],
    parts: 1,
    print: ([a]) => `k = ${a}`,
    turned: ([a]) => a!,
    broken: ([a]) => `k < ${a}`,
  },
  {
    name: "inequality",
    names: [],
    parts: 1,
    print: ([a]) => `x < ${a}`,
    turned: ([a]) => `(-\\infty, ${a})`,
    broken: ([a]) => `x \\le ${a}`,
  },
  {
    name: "inequality",
    names: [],
    parts: 1,
    print: ([a]) => `x \\ge ${a}`,
    turned: ([a]) => `${a} \\leq x`,
    broken: ([a]) => `x \\le ${a}`,
  },
  {
    name: "point",
    names: [],
    parts: 2,
    print: ([a, b]) => `(${a}, ${b})`,
    turned: ([a, b]) => `\\left(${a},${b}\\right)`,
    broken: ([a, b]) => `[${a}, ${b}]`,
  },
  {
    name: "set",
    names: [],
    parts: 2,
    print: ([a, b]) => `\\{${a}, ${b}\\}`,
    turned: ([a, b]) => `\\left\\{${b},${a}\\right\\}`,
  },
  {
    name: "list",
    names: [],
    parts: 2,
    print: ([a, b]) => `${a}, ${b}`,
    turned: ([a, b]) => `${b} \\text{ and } ${a}`,
  },
  {
    name: "matrix",
    names: [],
    parts: 2,
    print: ([a, b]) => `\\begin{pmatrix} ${a} & 1 \\\\ 0 & ${b} \\end{pmatrix}`,
    turned: ([a, b]) => `\\begin{bmatrix}${a}&1\\\\0&${b}\\end{bmatrix}`,
    broken: ([a, b]) => `\\begin{pmatrix} ${a} & 0 \\\\ 1 & ${b} \\end{pmatrix}`,
  },
  {
    name: "unit",
    names: [],
    parts: 1,
    print: ([a]) => `${a} \\text{ cm}`,
    turned: ([a]) => `${a}\\,\\mathrm{cm}`,
    broken: ([a]) => `${a} \\text{ kg}`,
  },
  { name: "congruence", names: [], parts: 0, print: () => "" },
  {
    name: "vectors",
    names: [],
    parts: 2,
    print: ([a, b]) => `${bracketed(a!)}\\hat{i} + ${bracketed(b!)}\\hat{j}`,
    turned: ([a, b]) => `${bracketed(b!)}\\hat{j} + ${bracketed(a!)}\\hat{i}`,
    broken: ([a, b]) => `${bracketed(a!)}\\hat{i} - ${bracketed(b!)}\\hat{j}`,
  },
];

const bracketed = (text: string) => `\\left(${text}\\right)`;

function congruence(dice: Dice, isEqual: boolean): Pair {
  const modulus = dice.between(3, 30);
  const rest = dice.between(1, modulus - 1);
  const print = (r: number, m: number) => `x \\equiv ${r} ${dice.pick([`\\pmod{${m}}`, `\\pmod {${m}}`])}`;
  const other = isEqual ? rest + modulus * dice.pick([-1, 0, 1, 2]) : rest + dice.between(1, modulus - 1);
  const otherModulus = !isEqual && dice.chance(0.3) ? modulus + 1 : modulus;
  return {
    reference: print(rest, modulus),
    answer: print(other, otherModulus),
    isEqual,
    dress: "congruence",
  };
}

/** What the printer and doubles can show: factorials of numbers, whole numbers without rounding. */
function isPrintable(tree: Tree): boolean {
  if (tree.op === "number") return tree.n < 1e15 && tree.d < 1e15;
  if (tree.op === "!" && tree.a.op !== "number") return false;
  if (tree.op === "!" && tree.a.op === "number" && tree.a.d !== 1) return false;
  return (!("a" in tree) || isPrintable(tree.a)) && (!("b" in tree) || isPrintable(tree.b));
}

interface Drawn extends Pair {
  trees: readonly Tree[];
  originals: readonly Tree[];
}

function pairOf(dice: Dice, isEqual: boolean): Drawn | undefined {
  const dress = dice.pick(dresses);
  if (dress.name === "congruence") return { ...congruence(dice, isEqual), trees: [], originals: [] };
  const trees = Array.from({ length: dress.parts }, () => grow(dice, dice.between(1, 3), dress.names));
  if (!trees.every(isUsable)) return undefined;
  const plain = trees.map((tree) => printed(tree, plainStyle));
  if (plain.some((text) => text.length > 120)) return undefined;
  const reference = dress.print(plain);
  const spelled = (list: readonly Tree[]) => list.map((tree) => printed(tree, looseStyle(dice)));
  if (isEqual) {
    const others = trees.map((tree) => rewritten(dice, tree));
    const texts = spelled(others);
    const answer = dress.turned && dice.chance(0.5) ? dress.turned(texts) : dress.print(texts);
    return { reference, answer, isEqual, dress: dress.name, trees: others, originals: trees };
  }
  if (dress.broken && dice.chance(0.3)) {
    return {
      reference,
      answer: dress.broken(spelled(trees)),
      isEqual,
      dress: dress.name,
      trees,
      originals: trees,
    };
  }
  const at = dice.below(trees.length);
  const other = changed(dice, trees[at]!);
  if (!other) return undefined;
  const mixed = trees.map((tree, i) => (i === at ? other : tree));
  // {a, b} with b changed to a, or (a, b) whose parts changed places, would be another question.
  const isSwap = trees.length > 1 && !differs(other, trees[1 - at]!);
  if (isSwap) return undefined;
  return {
    reference,
    answer: dress.print(spelled(mixed)),
    isEqual,
    dress: dress.name,
    trees: mixed,
    originals: trees,
  };
}

/** Half of them equal, in turn. */
export function mathPairs(count: number, seed: number): Pair[] {
  const dice = new Dice(new RandomStream(seed, "math-pairs"));
  const pairs: Pair[] = [];
  for (let drawn = 0; pairs.length < count; ) {
    const pair = pairOf(dice, drawn % 2 === 0);
    if (!pair) continue;
    drawn++;
    const { trees, originals, ...shown } = pair;
    // A rewriting that this tree does not bear (the factorial of an unreduced fraction) shows in its value.
    const isSound = !shown.isEqual || trees.every((tree, i) => !differs(tree, originals[i]!));
    if (isSound && trees.every(isPrintable)) pairs.push(shown);
  }
  return pairs;
}

if (process.argv[1]?.endsWith("math-pairs.ts")) {
  const { values } = parseArgs({
    options: {
      count: { type: "string", default: "20000" },
      seed: { type: "string", default: "1" },
      out: { type: "string" },
    },
  });
  const pairs = mathPairs(Number(values.count), Number(values.seed));
  writeFileSync(values.out ?? "pairs.jsonl", `${pairs.map((pair) => JSON.stringify(pair)).join("\n")}\n`);
}
