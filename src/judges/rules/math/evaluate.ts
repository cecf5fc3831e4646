// The value of an expression in some arithmetic: exact fractions, doubles with error bounds, decimals of many digits.

import type { Rational } from "./rational.js";
import { type Constant, key, type Node } from "./tree.js";

export type Rule<T> = (args: readonly T[], nodes: readonly Node[]) => T | undefined;

/** An arithmetic. Undefined is "no value here": a pole, a complex value in real arithmetic, a size out of bounds. */
export interface Field<T> {
  number(value: Rational): T | undefined;
  constant(name: Constant): T | undefined;
  rules: Readonly<Record<string, Rule<T>>>;
  /** The whole number that a value is, for the bounds of sums. */
  whole(value: T): number | undefined;
}

/** Sums and products of more terms than this are not evaluated. */
const maxRange = 400;
const maxOuterRange = 20;

/** Sums and products inside each other. */
function rangesIn(node: Node): number {
  if (node.kind === "call") return node.args.reduce((most, arg) => Math.max(most, rangesIn(arg)), 0);
  if (node.kind !== "binder") return 0;
  return 1 + [...node.scope, node.body].reduce((most, part) => Math.max(most, rangesIn(part)), 0);
}

const arithmetic = new Set([
  ..."add negate multiply divide power abs factorial doublefactorial binomial floor ceil max min gcd lcm mod percent degree det".split(
    " ",
  ),
  ..."sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh coth arsinh arcosh artanh exp ln log sum product".split(
    " ",
  ),
]);

/** Operators and functions whose values are known; every other node is an unknown. */
export const isArithmetic = (name: string) => arithmetic.has(name);

export type Point<T> = (unknown: string) => T | undefined;

export function evaluate<T>(node: Node, point: Point<T>, field: Field<T>): T | undefined {
  switch (node.kind) {
    case "number":
      return field.number(node.value);
    case "constant":
      return field.constant(node.name);
    case "name":
      return point(node.name);
    case "call":
      return callValue(node.name, node.args, node, point, field);
    case "binder": {
      if (node.name !== "sum" && node.name !== "product") return point(key(node));
      return rangeValue(node, point, field);
    }
    default:
      return point(key(node));
  }
}

function callValue<T>(
  name: string,
  args: readonly Node[],
  node: Node,
  point: Point<T>,
  field: Field<T>,
): T | undefined {
  if (!arithmetic.has(name)) return point(key(node));
  const matrix = args[0];
  if (name === "det") return matrix?.kind === "matrix" ? determinant(matrix.rows, point, field) : undefined;
  const rule = Object.hasOwn(field.rules, name) ? field.rules[name] : undefined;
  if (!rule) return undefined;
  const values: T[] = [];
  for (const arg of args) {
    const value = evaluate(arg, point, field);
    if (value === undefined) return undefined;
    values.push(value);
  }
  return values.length === 0 ? undefined : rule(values, args);
}

/** Laplace's expansion along the first row, for matrices of up to four rows. */
function determinant<T>(rows: readonly (readonly Node[])[], point: Point<T>, field: Field<T>): T | undefined {
  if (rows.length > 4 || rows.some((row) => row.length !== rows.length)) return undefined;
  if (rows.length === 1) return evaluate(rows[0]![0]!, point, field);
  const terms: T[] = [];
  for (const [j, cell] of rows[0]!.entries()) {
    const value = evaluate(cell, point, field);
    const minor = determinant(
      rows.slice(1).map((row) => row.filter((_, k) => k !== j)),
      point,
      field,
    );
    const product =
      value !== undefined && minor !== undefined ? field.rules.multiply!([value, minor], []) : undefined;
    const term = product !== undefined && j % 2 === 1 ? field.rules.negate!([product], []) : product;
    if (term === undefined) return undefined;
    terms.push(term);
  }
  return field.rules.add!(terms, []);
}

/** A sum or product from a whole number to a whole number. */
function rangeValue<T>(
  node: Extract<Node, { kind: "binder" }>,
  point: Point<T>,
  field: Field<T>,
): T | undefined {
  const [from, to] = node.scope;
  if (
    node.variable === "" ||
    from?.kind !== "call" ||
    from.name !== "=" ||
    to?.kind !== "call" ||
    to.name !== "above"
  )
    return undefined;
  const [first, last] = [evaluate(from.args[0]!, point, field), evaluate(to.args[0]!, point, field)];
  if (first === undefined || last === undefined) return undefined;
  const [low, high] = [field.whole(first), field.whole(last)];
  const inner = rangesIn(node.body);
  if (low === undefined || high === undefined || inner > 1) return undefined;
  if (high - low > (inner > 0 ? maxOuterRange : maxRange)) return undefined;
  const terms: T[] = [];
  for (let k = low; k <= high; k++) {
    const index = field.number({ n: BigInt(k), d: 1n });
    const term = evaluate(node.body, (name) => (name === node.variable ? index : point(name)), field);
    if (term === undefined) return undefined;
    terms.push(term);
  }
  if (terms.length === 0) return field.number({ n: node.name === "sum" ? 0n : 1n, d: 1n });
  return field.rules[node.name === "sum" ? "add" : "multiply"]!(terms, []);
}
