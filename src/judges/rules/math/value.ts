// The exact value of a rational expression, and the numerical value of any expression at a point.

import type { Complex, Expression, Rational } from "./expression.js";

/** Exact integers may grow to this many bits; beyond it only the approximate value is used. */
const maxBits = 4096;

function gcd(a: bigint, b: bigint): bigint {
  let [x, y] = [a < 0n ? -a : a, b < 0n ? -b : b];
  while (y > 0n) [x, y] = [y, x % y];
  return x;
}

export function rational(n: bigint, d: bigint): Rational | undefined {
  if (d === 0n) return undefined;
  const common = gcd(n, d) * (d < 0n ? -1n : 1n);
  return { n: n / common, d: d / common };
}

const isSmall = ({ n, d }: Rational) => n.toString(2).length + d.toString(2).length < maxBits;

function exactPower(base: Rational, exponent: Rational): Rational | undefined {
  const bits = base.n.toString(2).length + base.d.toString(2).length;
  const size = exponent.n < 0n ? -exponent.n : exponent.n;
  if (exponent.d !== 1n || BigInt(bits) * size > BigInt(maxBits)) return undefined;
  const [n, d] = [base.n ** size, base.d ** size];
  return exponent.n < 0n ? rational(d, n) : rational(n, d);
}

function exactFactorial({ n, d }: Rational): Rational | undefined {
  if (d !== 1n || n < 0n || n > 300n) return undefined;
  let product = 1n;
  for (let k = 2n; k <= n; k++) product *= k;
  return { n: product, d: 1n };
}

function exactBinomial(n: Rational, k: Rational): Rational | undefined {
  if (n.d !== 1n || k.d !== 1n || k.n < 0n || k.n > n.n || n.n > 300n) return undefined;
  let value = 1n;
  for (let i = 1n; i <= k.n; i++) value = (value * (n.n - k.n + i)) / i;
  return { n: value, d: 1n };
}

const exactRules: Record<string, (...args: Rational[]) => Rational | undefined> = {
  add: (a, b) => rational(a.n * b.d + b.n * a.d, a.d * b.d),
  negate: (a) => ({ n: -a.n, d: a.d }),
  multiply: (a, b) => rational(a.n * b.n, a.d * b.d),
  divide: (a, b) => rational(a.n * b.d, a.d * b.n),
  abs: (a) => ({ n: a.n < 0n ? -a.n : a.n, d: a.d }),
  power: exactPower,
  factorial: exactFactorial,
  binomial: exactBinomial,
};

/** The value of a rational expression without variables; undefined for any other. */
export function exactValue(expression: Expression): Rational | undefined {
  if (expression.kind === "number") return expression.value;
  if (expression.kind !== "call") return undefined;
  const rule = Object.hasOwn(exactRules, expression.name) ? exactRules[expression.name] : undefined;
  if (!rule || rule.length !== expression.args.length) return undefined;
  const args = expression.args.map(exactValue);
  if (args.some((arg) => arg === undefined)) return undefined;
  const value = rule(...(args as Rational[]));
  return value && isSmall(value) ? value : undefined;
}

const real = (re: number): Complex => ({ re, im: 0 });

const multiply = (a: Complex, b: Complex): Complex => {
  if (a.im === 0 && b.im === 0) return real(a.re * b.re);
  return { re: a.re * b.re - a.im * b.im, im: a.re * b.im + a.im * b.re };
};

function divide(a: Complex, b: Complex): Complex {
  if (a.im === 0 && b.im === 0) return real(a.re / b.re);
  const size = b.re * b.re + b.im * b.im;
  return { re: (a.re * b.re + a.im * b.im) / size, im: (a.im * b.re - a.re * b.im) / size };
}

function exp(a: Complex): Complex {
  const size = Math.exp(a.re);
  return a.im === 0 ? real(size) : { re: size * Math.cos(a.im), im: size * Math.sin(a.im) };
}

const log = (a: Complex): Complex => ({ re: Math.log(Math.hypot(a.re, a.im)), im: Math.atan2(a.im, a.re) });

/** Principal power, but the real root for an odd root of a negative number, as school mathematics has it. */
function power(a: Complex, b: Complex): Complex {
  if (a.im === 0 && b.im === 0) {
    const value = a.re ** b.re;
    if (!Number.isNaN(value)) return real(value);
    const root = 1 / b.re;
    if (Math.abs(root - Math.round(root)) < 1e-12 && Math.round(root) % 2 !== 0)
      return real(-((-a.re) ** b.re));
  }
  if (b.im === 0 && Number.isInteger(b.re) && Math.abs(b.re) <= 64) {
    let value = real(1);
    for (let i = 0; i < Math.abs(b.re); i++) value = multiply(value, a);
    return b.re < 0 ? divide(real(1), value) : value;
  }
  return exp(multiply(b, log(a)));
}

/** Coefficients of Lanczos' approximation for g = 7, good to 15 digits. */
const lanczos = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** Gamma(x + 1), so that factorials of variables can be compared at points. */
function factorial(x: number): number {
  if (x > 170 || (x < 0 && Number.isInteger(x))) return Number.NaN;
  if (!Number.isInteger(x)) {
    if (x < -0.5) return Math.PI / Math.sin(-Math.PI * x) / factorial(-x - 1);
    const t = x + 7.5;
    const series = lanczos.reduce(
      (sum, coefficient, k) => sum + (k === 0 ? coefficient : coefficient / (x + k)),
      0,
    );
    return Math.sqrt(2 * Math.PI) * t ** (x + 0.5) * Math.exp(-t) * series;
  }
  let product = 1;
  for (let k = 2; k <= x; k++) product *= k;
  return product;
}

/** n (n - 1) ... (n - k + 1) / k! */
function binomial(n: number, k: number): number {
  if (!Number.isInteger(k) || k < 0 || k > 170) return Number.NaN;
  let product = 1;
  for (let i = 0; i < k; i++) product *= (n - i) / (i + 1);
  return product;
}

function integers(rule: (a: number, b: number) => number) {
  return (...values: number[]) =>
    values.every((value) => Number.isSafeInteger(value)) ? values.map(Math.abs).reduce(rule) : Number.NaN;
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}

/** Functions of real numbers; a complex argument gives NaN. */
const realRules: Record<string, (...args: number[]) => number> = {
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
  cot: (x) => 1 / Math.tan(x),
  sec: (x) => 1 / Math.cos(x),
  csc: (x) => 1 / Math.sin(x),
  arcsin: Math.asin,
  arccos: Math.acos,
  arctan: Math.atan,
  sinh: Math.sinh,
  cosh: Math.cosh,
  tanh: Math.tanh,
  floor: Math.floor,
  ceil: Math.ceil,
  max: Math.max,
  min: Math.min,
  gcd: integers(commonDivisor),
  lcm: integers((a, b) => (a === 0 ? 0 : (a / commonDivisor(a, b)) * b)),
  factorial,
  binomial,
};

const complexRules: Record<string, (...args: Complex[]) => Complex> = {
  add: (a, b) => ({ re: a.re + b.re, im: a.im + b.im }),
  negate: (a) => ({ re: -a.re, im: -a.im }),
  multiply,
  divide,
  power,
  exp,
  ln: log,
  log: (a) => divide(log(a), real(Math.LN10)),
  lg: (a) => divide(log(a), real(Math.LN10)),
  sqrt: (a) => power(a, real(0.5)),
  abs: (a) => real(Math.hypot(a.re, a.im)),
};

const isBounded = ({ re, im }: Complex) => Number.isFinite(re) && Number.isFinite(im);

const onReals =
  (rule: (...args: number[]) => number) =>
  (...args: Complex[]) =>
    real(args.every(({ im }) => im === 0) ? rule(...args.map(({ re }) => re)) : Number.NaN);

/** The value where each variable has the value that `point` gives it; NaN where the expression has none. */
export function valueAt(expression: Expression, point: (variable: string) => number): Complex {
  switch (expression.kind) {
    case "number":
      return real(Number(expression.value.n) / Number(expression.value.d));
    case "constant":
      return expression.value;
    case "variable":
      return real(point(expression.name));
    case "call": {
      const args = expression.args.map((arg) => valueAt(arg, point));
      const rule = complexRules[expression.name] ?? onReals(realRules[expression.name]!);
      const value = rule(...args);
      // Overflow and division by zero give no value; only a written infinity is one.
      const isOverflow = args.every(isBounded) && !isBounded(value);
      return isOverflow ? real(Number.NaN) : value;
    }
  }
}
