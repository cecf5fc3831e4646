// Exact values: of numbers, and of rational functions at fractional points.

import { evaluate, type Field, type Point } from "./evaluate.js";
import type { Rational } from "./rational.js";
import * as rationals from "./rational.js";
import type { Node } from "./tree.js";

const total = (operator: (a: Rational, b: Rational) => Rational | undefined) => (args: readonly Rational[]) =>
  args.reduce<Rational | undefined>((sum, arg) => sum && operator(sum, arg), args[0] && neutral(operator));

const neutral = (operator: unknown) => rationals.integer(operator === rationals.add ? 0 : 1);

const pick = (sign: number) => (args: readonly Rational[]) =>
  args.reduce((best, arg) => (rationals.compare(arg, best) * sign > 0 ? arg : best));

const wholes = (rule: (a: bigint, b: bigint) => bigint) => (args: readonly Rational[]) => {
  if (args.some(({ n, d }) => d !== 1n || n.toString(16).length > 256)) return undefined;
  return rationals.integer(args.map(({ n }) => (n < 0n ? -n : n)).reduce(rule));
};

export const exactField: Field<Rational> = {
  number: (value) => value,
  constant: () => undefined,
  whole: ({ n, d }) => (d === 1n && n > -(1n << 30n) && n < 1n << 30n ? Number(n) : undefined),
  rules: {
    add: total(rationals.add),
    multiply: total(rationals.multiply),
    negate: ([a]) => rationals.negate(a!),
    divide: ([a, b]) => rationals.divide(a!, b!),
    power: ([a, b]) => rationals.power(a!, b!),
    abs: ([a]) => (a!.n < 0n ? rationals.negate(a!) : a!),
    percent: ([a]) => rationals.divide(a!, rationals.integer(100)),
    factorial: ([a]) => rationals.factorial(a!),
    binomial: ([n, k]) => rationals.binomial(n!, k!),
    floor: ([a]) => rationals.integer(rationals.floor(a!)),
    ceil: ([a]) => rationals.integer(-rationals.floor(rationals.negate(a!))),
    max: pick(1),
    min: pick(-1),
    gcd: wholes(rationals.gcd),
    lcm: wholes((a, b) => (a === 0n ? 0n : (a / rationals.gcd(a, b)) * b)),
    mod: ([a, b]) =>
      a!.d === 1n && b!.d === 1n && b!.n > 0n ? rationals.integer(((a!.n % b!.n) + b!.n) % b!.n) : undefined,
  },
};

const nowhere: Point<Rational> = () => undefined;

/** The exact value of an expression without unknowns; undefined for any other, and beyond the bounds. */
export const exactValue = (node: Node): Rational | undefined => evaluate(node, nowhere, exactField);

/** Built of unknowns and numbers by the four operations and small whole powers alone. */
export function isRationalFunction(node: Node): boolean {
  switch (node.kind) {
    case "number":
    case "name":
      return true;
    case "call": {
      if (node.name === "power") {
        const exponent = exactValue(node.args[1]!);
        const isSmall =
          exponent !== undefined && exponent.d === 1n && exponent.n <= 60n && exponent.n >= -60n;
        return isSmall && isRationalFunction(node.args[0]!);
      }
      return (
        ["add", "negate", "multiply", "divide"].includes(node.name) && node.args.every(isRationalFunction)
      );
    }
    default:
      return false;
  }
}
