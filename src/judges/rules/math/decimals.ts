// Complex values in decimals of many digits (decimal.js), with a bound on their error. What doubles cannot tell apart is
// decided here: nested roots, large and small terms together, values below the smallest double.

import { Decimal } from "decimal.js";
import type { Field, Rule } from "./evaluate.js";
import { exactValue } from "./exact.js";
import type { Rational } from "./rational.js";
import type { Node } from "./tree.js";

export interface Precise {
  re: Decimal;
  im: Decimal;
  /** log10 of the absolute error; -Infinity for an exact value. */
  error: number;
}

/** An arithmetic of `digits` digits. `lostTerms`: by how many digits some term was smaller than all digits of the other. */
export interface Decimals extends Field<Precise> {
  digits: number;
  lostTerms: number;
}

/** log10 of a sum of two errors. */
const joined = (a: number, b: number) => {
  const [large, small] = a > b ? [a, b] : [b, a];
  return !(small > large - 17) ? large : large + Math.log10(1 + 10 ** (small - large));
};

/** log10 of the size, within a thousandth. */
function logSize(value: Decimal): number {
  if (value.isZero()) return Number.NEGATIVE_INFINITY;
  if (!value.isFinite()) return Number.POSITIVE_INFINITY;
  const [first, second = 0] = value.d;
  const leading = Math.log10(first! + second / 1e7);
  return value.e + leading - Math.floor(Math.log10(first! + 0.5));
}

const isE = (node: Node | undefined) => node?.kind === "constant" && node.name === "e";

export const sizeOf = ({ re, im }: Precise) => Math.max(logSize(re), logSize(im)) + (im.isZero() ? 0 : 0.16);

const isBounded = ({ re, im }: Precise) => re.isFinite() && im.isFinite();

/** How many digits to work with so that differences of this size count, and no more. */
export const maxDigits = 1000;

const made = new Map<number, Decimals>();

export function decimals(digits: number): Decimals {
  let field = made.get(digits);
  if (!field) made.set(digits, (field = create(digits)));
  field.lostTerms = 0;
  return field;
}

function create(digits: number): Decimals {
  const D = Decimal.clone({ precision: digits, maxE: 9e15, minE: -9e15, toExpPos: 9e15, toExpNeg: -9e15 });
  const zero = new D(0);
  const one = new D(1);
  const pi = new D(
    Decimal.clone({ precision: digits + 5 })
      .acos(-1)
      .toString(),
  );
  const exact = (value: Decimal): Precise => ({ re: value, im: zero, error: Number.NEGATIVE_INFINITY });
  const rounded = (re: Decimal, im: Decimal, error: number): Precise | undefined => {
    const value = { re, im, error };
    if (!isBounded(value) || Number.isNaN(error)) return undefined;
    return { ...value, error: joined(error, sizeOf(value) - digits + 1) };
  };
  const real = (re: Decimal, error: number) => rounded(re, zero, error);
  const isReal = ({ im }: Precise) => im.isZero();

  const add = (a: Precise, b: Precise) => {
    const [x, y] = [sizeOf(a), sizeOf(b)];
    const gap = Math.abs(x - y);
    // What is smaller than its own error is noise, and no term that could be lost.
    const isTerm = x < y ? x > a.error + 1 : y > b.error + 1;
    if (gap > digits - 10 && Number.isFinite(gap) && isTerm) field.lostTerms = Math.max(field.lostTerms, gap);
    const error = joined(joined(a.error, b.error), Math.max(x, y) - digits);
    const value = { re: a.re.plus(b.re), im: a.im.plus(b.im), error };
    return isBounded(value) ? value : undefined;
  };
  const negate = (a: Precise): Precise => ({ re: a.re.neg(), im: a.im.neg(), error: a.error });
  const multiply = (a: Precise, b: Precise) => {
    const error = joined(sizeOf(a) + b.error, sizeOf(b) + a.error);
    if (isReal(a) && isReal(b)) return real(a.re.times(b.re), error);
    const re = a.re.times(b.re).minus(a.im.times(b.im));
    const im = a.re.times(b.im).plus(a.im.times(b.re));
    return rounded(re, im, joined(error, sizeOf(a) + sizeOf(b) - digits + 1));
  };
  const invert = (a: Precise) => {
    const size = sizeOf(a);
    if (a.error > size - 3) return undefined;
    if (isReal(a)) return real(one.div(a.re), a.error - 2 * size + 0.3);
    const norm = a.re.times(a.re).plus(a.im.times(a.im));
    return rounded(a.re.div(norm), a.im.neg().div(norm), a.error - 2 * size + 0.5);
  };
  const exp = (a: Precise) => {
    const size = a.re.exp();
    if (!size.isFinite()) return undefined;
    const error = logSize(size) + Math.max(a.error, logSize(a.re) - digits, logSize(a.im) - digits) + 0.5;
    if (isReal(a)) return real(size, error);
    return rounded(size.times(a.im.cos()), size.times(a.im.sin()), error);
  };
  const ln = (a: Precise) => {
    const size = sizeOf(a);
    if (a.error > size - 3) return undefined;
    const error = a.error - size + 0.5;
    if (isReal(a) && a.re.isPositive()) return real(a.re.ln(), error);
    if (isReal(a)) return rounded(a.re.neg().ln(), pi, error);
    const modulus = a.re.times(a.re).plus(a.im.times(a.im)).ln().div(2);
    return rounded(modulus, D.atan2(a.im, a.re), joined(error, -digits + 2));
  };
  const power = (a: Precise, b: Precise, exponent: Rational | undefined): Precise | undefined => {
    if (a.re.isZero() && isReal(a)) {
      if (!isReal(b) || !b.re.isPositive() || b.re.isZero()) return undefined;
      return { ...a, error: a.error * b.re.toNumber() };
    }
    if (exponent?.d === 1n && exponent.n >= -(1n << 53n) && exponent.n <= 1n << 53n)
      return wholePower(a, Number(exponent.n));
    // The real root of an odd root of a negative number.
    const isOddRoot =
      exponent && exponent.d % 2n === 1n && exponent.d !== 1n && isReal(a) && a.re.isNegative();
    if (isOddRoot) {
      const root = power(negate(a), b, undefined);
      return root && exponent.n % 2n !== 0n ? negate(root) : root;
    }
    if (exponent?.n === 1n && exponent.d === 2n && isReal(a)) {
      const error = a.error - sizeOf(a) / 2 + 0.3;
      const root = a.re.abs().sqrt();
      return a.re.isNegative() ? rounded(zero, root, error) : real(root, error);
    }
    const logarithm = logarithmOf(a);
    const product = logarithm && multiply(b, logarithm);
    return product && exp(product);
  };
  /** Of exact bases, which come again at every point. */
  const logarithms = new Map<string, Precise | undefined>();
  const logarithmOf = (a: Precise): Precise | undefined => {
    if (a.error !== Number.NEGATIVE_INFINITY || a.re.precision() > 15) return ln(a);
    const name = `${a.re.toString()} ${a.im.toString()}`;
    if (!logarithms.has(name)) {
      if (logarithms.size >= 200) logarithms.clear();
      logarithms.set(name, ln(a));
    }
    return logarithms.get(name);
  };
  const wholePower = (a: Precise, n: number): Precise | undefined => {
    if (isReal(a)) {
      const value = a.re.pow(n);
      const relative = Math.max(a.error - sizeOf(a), -digits) + Math.log10(Math.abs(n) + 1) + 0.5;
      return real(value, logSize(value) + relative);
    }
    if (Math.abs(n) > 200) return undefined;
    let value: Precise | undefined = exact(one);
    for (let i = 0; i < Math.abs(n); i++) value = value && multiply(value, a);
    return n < 0 && value ? invert(value) : value;
  };
  /** `isBent`: at the edge of its domain it grows with the root of its argument. */
  const ofReal =
    (f: (x: Decimal) => Decimal, logDerivative: (x: Decimal) => number, isBent = false): Rule<Precise> =>
    ([x]) => {
      if (!isReal(x!)) return undefined;
      const value = f(x!.re);
      if (value.isNaN()) return undefined;
      // The argument itself is rounded while it is reduced.
      const before = Math.max(x!.error, sizeOf(x!) - digits);
      const error = before + logDerivative(x!.re) + 0.5;
      return real(value, isBent ? Math.min(error, before / 2 + 0.5) : error);
    };
  const wholeOf = ({ re, im, error }: Precise) =>
    im.isZero() && re.isInteger() && error < -1 && re.abs().lt(2 ** 30) ? re.toNumber() : undefined;
  const fixed = (value: number) => () => value;
  const sloped = (f: (x: Decimal) => Decimal) => (x: Decimal) => 2 * Math.max(0, logSize(f(x)));
  const ratio =
    (above: Rule<Precise>, below: Rule<Precise>): Rule<Precise> =>
    (args, nodes) => {
      const [x, y] = [above(args, nodes), below(args, nodes)];
      const inverse = y && invert(y);
      return x && inverse && multiply(x, inverse);
    };
  const unity: Rule<Precise> = () => exact(one);
  /** sin and cos of a complex argument by e^(iz). */
  const circular = (isSine: boolean): Rule<Precise> => {
    const ofReals = ofReal((x) => (isSine ? x.sin() : x.cos()), fixed(0));
    return (args, nodes) => {
      const z = args[0]!;
      if (isReal(z)) return ofReals(args, nodes);
      const turned: Precise = { re: z.im.neg(), im: z.re, error: z.error };
      const [up, down] = [exp(turned), exp(negate(turned))];
      const sum = up && down && add(up, isSine ? negate(down) : down);
      if (!sum) return undefined;
      const half = multiply(sum, exact(new D("0.5")))!;
      return isSine ? { re: half.im, im: half.re.neg(), error: half.error } : half;
    };
  };
  const [sine, cosine] = [circular(true), circular(false)];
  const inverseSlope = (x: Decimal) => -logSize(one.minus(x.times(x))) / 2;

  const rules: Record<string, Rule<Precise>> = {
    add: (args) => args.reduce<Precise | undefined>((sum, arg) => sum && add(sum, arg), exact(zero)),
    multiply: (args) =>
      args.reduce<Precise | undefined>((product, arg) => product && multiply(product, arg), exact(one)),
    negate: ([a]) => negate(a!),
    divide: ([a, b]) => {
      const inverse = invert(b!);
      return inverse && multiply(a!, inverse);
    },
    power: ([a, b], nodes) => (isE(nodes[0]) ? exp(b!) : power(a!, b!, exponentOf(nodes[1], b!))),
    percent: ([a]) => multiply(a!, exact(new D("0.01"))),
    degree: ([a]) => multiply(a!, rounded(pi.div(180), zero, -digits)!),
    abs: ([a]) => {
      if (isReal(a!)) return { re: a!.re.abs(), im: zero, error: a!.error };
      return real(a!.re.times(a!.re).plus(a!.im.times(a!.im)).sqrt(), a!.error + 0.3);
    },
    exp: ([a]) => exp(a!),
    ln: ([a]) => ln(a!),
    log: ([a]) => {
      const value = ln(a!);
      const inverse = invert(rounded(D.ln(10), zero, -digits)!);
      return value && inverse && multiply(value, inverse);
    },
    sin: sine,
    cos: cosine,
    tan: ratio(sine, cosine),
    cot: ratio(cosine, sine),
    sec: ratio(unity, cosine),
    csc: ratio(unity, sine),
    arcsin: ofReal((x) => x.asin(), inverseSlope, true),
    arccos: ofReal((x) => x.acos(), inverseSlope, true),
    arctan: ofReal((x) => x.atan(), fixed(0)),
    arccot: ofReal((x) => pi.div(2).minus(x.atan()), fixed(0)),
    sinh: ofReal(
      (x) => x.sinh(),
      (x) => logSize(x.cosh()),
    ),
    cosh: ofReal(
      (x) => x.cosh(),
      (x) => logSize(x.cosh()),
    ),
    tanh: ofReal((x) => x.tanh(), fixed(0)),
    coth: ofReal(
      (x) => one.div(x.tanh()),
      sloped((x) => one.div(x.sinh())),
    ),
    arsinh: ofReal((x) => x.asinh(), fixed(0)),
    arcosh: ofReal(
      (x) => x.acosh(),
      (x) => -logSize(x.times(x).minus(1)) / 2,
    ),
    artanh: ofReal(
      (x) => x.atanh(),
      (x) => -logSize(one.minus(x.times(x))),
    ),
    max: (args) => extreme(args, 1),
    min: (args) => extreme(args, -1),
    floor: ([a]) => step(a!, (x) => x.floor()),
    ceil: ([a]) => step(a!, (x) => x.ceil()),
    factorial: ([a]) => {
      const n = wholeOf(a!);
      if (n === undefined || n < 0 || n > 20_000) return undefined;
      let product = one;
      for (let k = 2; k <= n; k++) product = product.times(k);
      return real(product, logSize(product) + Math.log10(n + 1) - digits);
    },
    binomial: ([a, b]) => {
      const [n, k] = [wholeOf(a!), wholeOf(b!)];
      if (n === undefined || k === undefined || n < 0) return undefined;
      if (k < 0 || k > n) return exact(zero);
      const count = Math.min(k, n - k);
      if (count > 20_000) return undefined;
      let product = one;
      for (let i = 0; i < count; i++) product = product.times(n - i).div(i + 1);
      return real(product, logSize(product) + Math.log10(count + 1) - digits + 0.5);
    },
  };
  const extreme = (args: readonly Precise[], sign: number) =>
    args.every(isReal)
      ? args.reduce((best, arg) => (arg.re.cmp(best.re) * sign > 0 ? arg : best))
      : undefined;
  /** No value where the error reaches over a step. */
  const step = (a: Precise, f: (x: Decimal) => Decimal) => {
    if (!isReal(a)) return undefined;
    const reach = a.error === Number.NEGATIVE_INFINITY ? zero : D.pow(10, Math.ceil(a.error));
    const [low, high] = [f(a.re.minus(reach)), f(a.re.plus(reach))];
    return low.eq(high) ? exact(low) : undefined;
  };
  const field: Decimals = {
    digits,
    lostTerms: 0,
    number: ({ n, d }) => {
      const above = new D(n.toString());
      const isWhole = d === 1n;
      const value = isWhole ? above : above.div(d.toString());
      const isExact = isWhole && above.precision() < digits;
      return isExact ? exact(value) : real(value, Number.NEGATIVE_INFINITY);
    },
    constant: (name) => {
      if (name === "pi") return rounded(pi, zero, -digits + 1);
      if (name === "e") return rounded(D.exp(1), zero, -digits + 1);
      return name === "i" ? { re: zero, im: one, error: Number.NEGATIVE_INFINITY } : undefined;
    },
    whole: wholeOf,
    rules,
  };
  return field;
}

/** The exponent as a fraction: written as one, or a whole value. */
function exponentOf(node: Node | undefined, value: Precise): Rational | undefined {
  const written = node && exactValue(node);
  if (written) return written;
  const isWhole =
    value.im.isZero() &&
    value.re.isInteger() &&
    value.error === Number.NEGATIVE_INFINITY &&
    value.re.abs().lt(1e9);
  return isWhole ? { n: BigInt(value.re.toNumber()), d: 1n } : undefined;
}
