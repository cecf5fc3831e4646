// Whether two expressions are equal, with a proof obligation. Exact fractions are compared exactly; rational functions at
// exact fractional points, where a difference of two that are not the same has too few roots to be met by chance (Schwartz
// and Zippel). Everything else is evaluated at many points of the common real domain: a difference in doubles beyond their
// error bounds refutes, and agreement is confirmed in decimals of 30 digits and more, relative to the terms that cancelled.

import { hash32, uniformAt } from "../../../base/random.js";
import { decimals, maxDigits, type Precise, sizeOf } from "./decimals.js";
import { evaluate, isArithmetic, type Point } from "./evaluate.js";
import { exactField, exactValue, isRationalFunction } from "./exact.js";
import { type Approximate, doubles } from "./numeric.js";
import { compare, integer, isEqual, type Rational, rational, toNumber } from "./rational.js";
import { isCall, key, type Node, some, unknowns } from "./tree.js";

const seed = 20240930;

const hashes = new Map<string, number>();

function uniform(unknown: string, k: number): number {
  let hash = hashes.get(unknown);
  if (hash === undefined) {
    if (hashes.size > 1000) hashes.clear();
    hashes.set(unknown, (hash = hash32(unknown)));
  }
  return uniformAt(seed, hash, k);
}

/** Points at which rational functions are compared: numerators of 30 bits. */
const exactPoints = 4;

function exactPoint(k: number): Point<Rational> {
  return (unknown) => {
    const n = BigInt(Math.floor(uniform(unknown, 1000 + k) * 2 ** 30)) + 1n;
    return integer(k % 2 === 0 ? n : -n);
  };
}

/** Undefined where the values are too large, or exist at too few points. */
function sameRationalFunctions(a: Node, b: Node): boolean | undefined {
  let compared = 0;
  for (let k = 0; k < exactPoints; k++) {
    const point = exactPoint(k);
    const [x, y] = [evaluate(a, point, exactField), evaluate(b, point, exactField)];
    if (x === undefined || y === undefined) continue;
    if (!isEqual(x, y)) return false;
    compared++;
  }
  return compared >= 2 ? true : undefined;
}

/** The size of a number, or of a power or factorial of numbers; Infinity or NaN beyond the doubles. */
function writtenNumber(node: Node): number | undefined {
  const isWritten =
    node.kind === "number" ||
    (node.kind === "call" && ["power", "factorial", "binomial"].includes(node.name));
  const value = isWritten ? exactValue(node) : undefined;
  return value && Math.abs(toNumber(value));
}

/** So large or small that it may hide from 30 digits: cos 10^{-30} is not 1. */
function isExtreme(node: Node): boolean {
  const size = writtenNumber(node);
  return size !== undefined && size !== 0 && !(size > 1e-8 && size < 1e8);
}

/** Numbers written in the expressions: steps and edges of domains are near them. */
function constantsOf(nodes: readonly Node[]): number[] {
  const found = new Set<number>();
  for (const node of nodes)
    some(node, (part) => {
      const value = writtenNumber(part);
      if (value !== undefined && value < 1e15) found.add(value);
      return found.size > 8;
    });
  return [...found];
}

const hasName = (names: string) => {
  const set = new Set(names.split(" "));
  return (node: Node) => (node.kind === "call" || node.kind === "binder") && set.has(node.name);
};

/** Has steps, corners, or a domain with an edge. */
const isPiecewise = hasName("abs max min floor ceil ln log arcsin arccos arcosh artanh power divide");
/** Is real between -1 and 1 alone. */
const isOfUnit = hasName("arcsin arccos artanh");
/** Is defined at whole numbers alone, or looks different there. */
const isOfWholeNumbers = hasName(
  "factorial doublefactorial binomial mod gcd lcm floor ceil power sum product sin cos tan",
);

/** Values whose parts are rounded the same way: the points are moved onto the grid on which `exactly` keeps them. */
const onGrid = (value: number) => Math.round(value * 2 ** 40) / 2 ** 40;

const scales = [1, 1, 3, 10, 40, 300];

/**
 * Real points, of either sign and several sizes and beside the numbers in the expressions; then whole points, for what is
 * defined there alone.
 */
function* candidatePoints(
  nodes: readonly Node[],
  names: readonly string[],
): Generator<Map<string, number>, undefined> {
  const place = (value: (name: string, k: number) => number) => (k: number) =>
    new Map(names.map((name) => [name, onGrid(value(name, k))]));
  const generic = place((name, k) => {
    const size = 0.2 + 2.7 * uniform(name, k);
    return size * scales[k % scales.length]! * (k % 4 < 2 || uniform(name, 500 + k) < 0.3 ? 1 : -1);
  });
  for (let k = 0; k < 24; k++) yield generic(k);
  const edges = constantsOf(nodes);
  const beside = place((name, k) => {
    const edge = edges[Math.floor(uniform(name, 2000 + k) * edges.length)] ?? 1;
    return (uniform(name, 3000 + k) < 0.5 ? -1 : 1) * edge + (uniform(name, 4000 + k) - 0.5) * 1.8;
  });
  // Nothing else is defined there alone.
  const unit = place((name, k) => 2 * uniform(name, 6000 + k) - 1);
  const needsUnit = nodes.some((node) => some(node, isOfUnit));
  for (let k = 0; k < 8 && needsUnit; k++) yield unit(k);
  const hasEdges = edges.length > 0 && nodes.some((node) => some(node, isPiecewise));
  for (let k = 0; k < 24 && hasEdges; k++) yield beside(k);
  const whole = place((name, k) =>
    k < 10
      ? k + 1 + Math.floor(uniform(name, 5000 + k) * (names.length > 1 ? 6 : 1))
      : Math.floor(uniform(name, 5000 + k) * 13),
  );
  const needsWhole = nodes.some((node) => some(node, isOfWholeNumbers));
  for (let k = 0; k < 16 && needsWhole; k++) yield whole(k);
  return undefined;
}

const agreesIn = (x: Approximate, y: Approximate) => Math.abs(x.value - y.value) <= 4 * (x.error + y.error);

/** How many points must be compared, and how many of them are confirmed in decimals. */
const [minAgreeing, confirmed] = [6, 2];

/** Points of the common real domain, or false as soon as the values differ at one. */
function realPoints(a: Node, b: Node, points: Iterable<Map<string, number>>): Map<string, number>[] | false {
  const common: Map<string, number>[] = [];
  for (const at of points) {
    const point: Point<Approximate> = (name) => {
      const value = at.get(name);
      return value === undefined ? undefined : { value, error: 0 };
    };
    const x = evaluate(a, point, doubles);
    const y = x && evaluate(b, point, doubles);
    if (!x || !y) continue;
    if (!agreesIn(x, y)) return false;
    common.push(at);
  }
  return common;
}

const startDigits = 30;
const digitsBesideExtremes = 120;

const digitsFor = (a: Node, b: Node) =>
  some(a, isExtreme) || some(b, isExtreme) ? digitsBesideExtremes : startDigits;

/**
 * Agreement of two values: they differ by no more than the error of their computation, and that error is 1e-12 of what
 * cancelled or less. Undefined where there is no value, or not enough digits to tell.
 */
function agreesPrecisely(
  a: Node,
  b: Node,
  at: ReadonlyMap<string, number>,
  digits = digitsFor(a, b),
): boolean | undefined {
  const field = decimals(digits);
  const point: Point<Precise> = (name) => {
    const value = at.get(name);
    return value === undefined ? undefined : field.number(exactly(value));
  };
  const x = evaluate(a, point, field);
  const y = x && evaluate(b, point, field);
  if (!x || !y) return undefined;
  const difference = field.rules.add!([x, field.rules.negate!([y], [])!], []);
  if (!difference) return undefined;
  const error = Math.max(difference.error, -1e15);
  const isApart = sizeOf(difference) > error + 1;
  if (isApart) return false;
  // A term that is smaller than the last digit of another one has not been compared.
  const needed = field.lostTerms > 0 ? Math.ceil(field.lostTerms) + 30 : 0;
  if (needed > digits) return needed > maxDigits ? undefined : agreesPrecisely(a, b, at, needed);
  const size = Math.max(sizeOf(x), sizeOf(y));
  const isSharp = error < size - 12 || (size < error + 2 && error < -12);
  if (isSharp) return true;
  return digits >= 200 ? undefined : agreesPrecisely(a, b, at, digits * 2);
}

/** A double as a fraction. */
function exactly(value: number): Rational {
  if (Number.isSafeInteger(value)) return integer(value);
  const scale = 2n ** 40n;
  return rational(BigInt(Math.round(value * 2 ** 40)), scale)!;
}

const isImaginary = (node: Node) => node.kind === "constant" && node.name === "i";
const isInfinite = (node: Node) => node.kind === "constant" && node.name === "infinity";
const isEllipsis = (node: Node) => node.kind === "name" && node.name === "…";

/** Equality of two expressions that are not the same text. */
export function sameValue(a: Node, b: Node): boolean {
  if (key(a) === key(b)) return true;
  // What dots stand for, and what infinity does in a sum, is not known: only the same tree is equal.
  if ([a, b].some((node) => some(node, (part) => isEllipsis(part) || isInfinite(part)))) return false;
  const [x, y] = [exactValue(a), exactValue(b)];
  if (x && y) return isEqual(x, y);
  const names = [...unknowns(b, isArithmetic, unknowns(a, isArithmetic))].sort();
  if (names.length > 24) return false;
  if (names.length > 0 && isRationalFunction(a) && isRationalFunction(b)) {
    const isSame = sameRationalFunctions(a, b);
    if (isSame !== undefined) return isSame;
  }
  return names.length === 0 ? sameConstants(a, b) : sameFunctions(a, b, names);
}

function sameConstants(a: Node, b: Node): boolean {
  if (realPoints(a, b, [new Map()]) === false) return false;
  return agreesPrecisely(a, b, new Map()) === true;
}

function sameFunctions(a: Node, b: Node, names: readonly string[]): boolean {
  const isComplex = [a, b].some((node) => some(node, isImaginary));
  const common = realPoints(a, b, candidatePoints([a, b], names));
  if (common === false) return false;
  if (common.length >= minAgreeing && !isComplex)
    return confirm(a, b, common) >= Math.min(confirmed, common.length);
  // Nowhere real together, or with an i in them: as complex functions.
  const complex = [...candidatePoints([a, b], names)].slice(0, 8);
  const results = complex.map((at) => agreesPrecisely(a, b, at));
  return !results.includes(false) && results.filter((result) => result === true).length >= minAgreeing;
}

/** How many of some points agree in decimals; -1 when one differs. */
function confirm(a: Node, b: Node, points: readonly Map<string, number>[]): number {
  let agreeing = 0;
  for (const at of points.slice(0, confirmed)) {
    const result = agreesPrecisely(a, b, at);
    if (result === false) return -1;
    if (result) agreeing++;
  }
  return agreeing;
}

/** Whether a number is below, at or above another; undefined when it cannot be told. */
export function order(a: Node, b: Node): number | undefined {
  const infinite = [a, b].map((node) =>
    isInfinite(node) ? 1 : isCall(node, "negate") && isInfinite(node.args[0]!) ? -1 : 0,
  );
  if (infinite[0] !== 0 || infinite[1] !== 0) return Math.sign(infinite[0]! - infinite[1]!);
  const exact = [exactValue(a), exactValue(b)];
  if (exact[0] && exact[1]) return compare(exact[0], exact[1]);
  if (sameValue(a, b)) return 0;
  const field = decimals(startDigits);
  const nowhere: Point<Precise> = () => undefined;
  const [x, y] = [evaluate(a, nowhere, field), evaluate(b, nowhere, field)];
  if (!x || !y || !x.im.isZero() || !y.im.isZero()) return undefined;
  const difference = x.re.cmp(y.re);
  return difference === 0 ? undefined : difference;
}
