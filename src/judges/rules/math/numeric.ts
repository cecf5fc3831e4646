// Real values in doubles with a bound on their error, by running error analysis: quick, and a difference beyond the bounds
// is a proof that two expressions differ.

import type { Field, Rule } from "./evaluate.js";
import { toNumber } from "./rational.js";

export interface Approximate {
  value: number;
  /** Absolute. */
  error: number;
}

const unit = 2 ** -52;

const approximate = (value: number, error: number): Approximate | undefined => {
  const bound = error + Math.abs(value) * unit;
  const isTiny = value !== 0 && Math.abs(value) < 1e-290;
  return Number.isFinite(value) && Number.isFinite(bound) && !isTiny ? { value, error: bound } : undefined;
};

/** A smooth function: its error is that of the argument times the derivative, doubled for its change over the error. */
const smooth =
  (f: (x: number) => number, derivative: (x: number) => number): Rule<Approximate> =>
  ([x]) =>
    approximate(
      f(x!.value),
      2 * Math.abs(derivative(x!.value)) * x!.error + 2 * unit * Math.abs(f(x!.value)),
    );

/** A function with steps has no value where the error reaches over one. */
const stepped =
  (f: (x: number) => number): Rule<Approximate> =>
  ([x]) => {
    const [low, high] = [f(x!.value - x!.error), f(x!.value + x!.error)];
    return low === high ? approximate(low, 0) : undefined;
  };

const wholeOf = ({ value, error }: Approximate) =>
  Number.isSafeInteger(value) && error < 0.25 ? value : undefined;

function factorial(n: number): number {
  let product = 1;
  for (let k = 2; k <= n; k++) product *= k;
  return product;
}

function power([base, exponent]: readonly Approximate[]): Approximate | undefined {
  const [a, b] = [base!.value, exponent!.value];
  const value = a ** b;
  // A value below the smallest double is none.
  if (Number.isNaN(value) || (a === 0 && b <= 0) || (a !== 0 && value === 0)) return undefined;
  const byBase =
    a === 0 ? (b >= 1 ? base!.error : Math.sqrt(base!.error)) : Math.abs(b * value * (base!.error / a));
  const isWhole = exponent!.error === 0 || (Number.isInteger(b) && a <= 0);
  const byExponent = isWhole ? 0 : Math.abs(value * Math.log(Math.abs(a)) * exponent!.error);
  return approximate(value, 2 * (byBase + byExponent) + 4 * unit * Math.abs(value));
}

const reciprocal = (f: (x: number) => number) => (x: number) => 1 / f(x);
const square = (x: number) => x * x;

export const doubles: Field<Approximate> = {
  number(value) {
    const number = toNumber(value);
    const isExact = value.d === 1n && Number.isSafeInteger(number);
    return isExact ? { value: number, error: 0 } : approximate(number, 0);
  },
  constant: (name) => {
    const values: Record<string, number> = { pi: Math.PI, e: Math.E };
    return Object.hasOwn(values, name) ? approximate(values[name]!, 0) : undefined;
  },
  whole: wholeOf,
  rules: {
    add(args) {
      let [value, error, size] = [0, 0, 0];
      for (const arg of args) {
        value += arg.value;
        error += arg.error;
        size += Math.abs(arg.value);
      }
      const isExact = error === 0 && Number.isSafeInteger(value) && size < 2 ** 53;
      return isExact ? { value, error: 0 } : approximate(value, error + size * unit);
    },
    multiply(args) {
      let product: Approximate | undefined = { value: 1, error: 0 };
      for (const { value, error } of args) {
        if (!product) return undefined;
        const next: number = product.value * value;
        if (next === 0 && product.value !== 0 && value !== 0) return undefined;
        const isExact: boolean = product.error === 0 && error === 0 && Number.isSafeInteger(next);
        product = isExact
          ? { value: next, error: 0 }
          : approximate(
              next,
              Math.abs(product.value) * error + Math.abs(value) * product.error + product.error * error,
            );
      }
      return product;
    },
    negate: ([a]) => ({ value: -a!.value, error: a!.error }),
    divide([a, b]) {
      if (Math.abs(b!.value) <= 2 * b!.error || b!.value === 0) return undefined;
      const quotient = a!.value / b!.value;
      if (quotient === 0 && a!.value !== 0) return undefined;
      return approximate(quotient, 2 * ((a!.error + Math.abs(quotient) * b!.error) / Math.abs(b!.value)));
    },
    power,
    abs: ([a]) => ({ value: Math.abs(a!.value), error: a!.error }),
    percent: ([a]) => approximate(a!.value / 100, a!.error / 100),
    degree: ([a]) =>
      approximate((a!.value * Math.PI) / 180, (a!.error * Math.PI) / 180 + unit * Math.abs(a!.value)),
    factorial([a]) {
      const n = wholeOf(a!);
      return n !== undefined && n >= 0 && n <= 170
        ? approximate(factorial(n), n * unit * factorial(n))
        : undefined;
    },
    doublefactorial([a]) {
      const n = wholeOf(a!);
      if (n === undefined || n < -1 || n > 170) return undefined;
      let product = 1;
      for (let k = n; k > 1; k -= 2) product *= k;
      return approximate(product, n * unit * product);
    },
    binomial([a, b]) {
      const [n, k] = [wholeOf(a!), wholeOf(b!)];
      if (k === undefined || n === undefined || n < 0 || n > 1000) return undefined;
      if (k < 0 || k > n) return { value: 0, error: 0 };
      let product = 1;
      for (let i = 0; i < Math.min(k, n - k); i++) product *= (n - i) / (i + 1);
      return approximate(product, 3 * n * unit * product);
    },
    floor: stepped(Math.floor),
    ceil: stepped(Math.ceil),
    max: (args) => args.reduce((best, arg) => (arg.value > best.value ? arg : best)),
    min: (args) => args.reduce((best, arg) => (arg.value < best.value ? arg : best)),
    gcd(args) {
      const values = args.map(wholeOf);
      return values.every((value) => value !== undefined)
        ? { value: values.map(Math.abs).reduce(commonDivisor), error: 0 }
        : undefined;
    },
    lcm(args) {
      const values = args.map(wholeOf);
      if (!values.every((value) => value !== undefined && value !== 0)) return undefined;
      return approximate(
        (values as number[]).map(Math.abs).reduce((a, b) => (a / commonDivisor(a, b)) * b),
        0,
      );
    },
    mod([a, b]) {
      const [x, m] = [wholeOf(a!), wholeOf(b!)];
      return x !== undefined && m !== undefined && m > 0 ? { value: ((x % m) + m) % m, error: 0 } : undefined;
    },
    exp: ([x]) => (x!.value < -600 ? undefined : smooth(Math.exp, Math.exp)([x!], [])),
    ln: ([a]) => (a!.value > 2 * a!.error ? smooth(Math.log, (x) => 1 / x)([a!], []) : undefined),
    log: ([a]) => (a!.value > 2 * a!.error ? smooth(Math.log10, (x) => 0.5 / x)([a!], []) : undefined),
    sin: smooth(Math.sin, () => 1),
    cos: smooth(Math.cos, () => 1),
    tan: smooth(Math.tan, (x) => 1 + square(Math.tan(x))),
    cot: smooth(reciprocal(Math.tan), (x) => 1 + 1 / square(Math.tan(x))),
    sec: smooth(reciprocal(Math.cos), (x) => 1 / square(Math.cos(x))),
    csc: smooth(reciprocal(Math.sin), (x) => 1 / square(Math.sin(x))),
    arcsin: smooth(Math.asin, (x) => 1 / Math.sqrt(1 - x * x)),
    arccos: smooth(Math.acos, (x) => 1 / Math.sqrt(1 - x * x)),
    arctan: smooth(Math.atan, () => 1),
    arccot: smooth(
      (x) => Math.PI / 2 - Math.atan(x),
      () => 2,
    ),
    sinh: smooth(Math.sinh, Math.cosh),
    cosh: smooth(Math.cosh, Math.sinh),
    tanh: smooth(Math.tanh, () => 1),
    coth: smooth(reciprocal(Math.tanh), (x) => 1 / square(Math.sinh(x))),
    arsinh: smooth(Math.asinh, () => 1),
    arcosh: smooth(Math.acosh, (x) => 1 / Math.sqrt(x * x - 1)),
    artanh: smooth(Math.atanh, (x) => 1 / (1 - x * x)),
  },
};

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}
