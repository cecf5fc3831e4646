// Exact fractions of unbounded whole numbers, bounded where they would cost time.

/** In lowest terms, denominator positive. */
export interface Rational {
  n: bigint;
  d: bigint;
}

/** Whole numbers may grow to this many bits, and fractions, whose common divisors cost more, to fewer. */
const maxBits = 1 << 17;
const maxFractionBits = 1 << 12;

const absolute = (value: bigint) => (value < 0n ? -value : value);

/** Number of hexadecimal digits times 4: an upper bound that is linear in the length. */
const bitsOf = (value: bigint) => 4 * value.toString(16).length;

/** Of one machine word. */
const isShort = (value: bigint) => BigInt.asIntN(64, value) === value;

export function gcd(a: bigint, b: bigint): bigint {
  let [x, y] = [absolute(a), absolute(b)];
  while (y > 0n) [x, y] = [y, x % y];
  return x;
}

/** n / d in lowest terms; undefined for a denominator of 0 and for what is too large. */
export function rational(n: bigint, d = 1n): Rational | undefined {
  if (d === 0n) return undefined;
  if (d === 1n) return !isShort(n) && bitsOf(n) > maxBits ? undefined : { n, d };
  if (!(isShort(n) && isShort(d)) && bitsOf(n) + bitsOf(d) > maxFractionBits) return undefined;
  const common = gcd(n, d) * (d < 0n ? -1n : 1n);
  return { n: n / common, d: d / common };
}

export const integer = (value: number | bigint): Rational => ({ n: BigInt(value), d: 1n });
export const add = (a: Rational, b: Rational) => rational(a.n * b.d + b.n * a.d, a.d * b.d);
export const multiply = (a: Rational, b: Rational) => rational(a.n * b.n, a.d * b.d);
export const divide = (a: Rational, b: Rational) => rational(a.n * b.d, a.d * b.n);
export const negate = ({ n, d }: Rational): Rational => ({ n: -n, d });
export const compare = (a: Rational, b: Rational) => {
  const [x, y] = [a.n * b.d, b.n * a.d];
  return x < y ? -1 : x > y ? 1 : 0;
};
export const isEqual = (a: Rational, b: Rational) => a.n === b.n && a.d === b.d;
export const toNumber = ({ n, d }: Rational) => {
  const value = Number(n) / Number(d);
  // Both may be beyond the doubles while their quotient is not.
  return Number.isNaN(value) ? Number.NaN : value;
};
export const floor = ({ n, d }: Rational) => (n >= 0n ? n / d : -((-n + d - 1n) / d));

/** A decimal literal, exactly. */
export function decimal(text: string): Rational | undefined {
  const [whole = "", places = ""] = text.split(".");
  const digits = places.replace(/0+$/, "");
  return rational(BigInt(`${whole}${digits}` || "0"), 10n ** BigInt(digits.length));
}

/** The k-th root of a whole number that is a k-th power. */
function wholeRoot(value: bigint, k: number): bigint | undefined {
  if (value < 2n) return value;
  if (bitsOf(value) > maxFractionBits) return undefined;
  const power = BigInt(k);
  let x = 1n << BigInt(Math.ceil(value.toString(2).length / k));
  for (;;) {
    const next = ((power - 1n) * x + value / x ** (power - 1n)) / power;
    if (next >= x) break;
    x = next;
  }
  return x ** power === value ? x : undefined;
}

/** base^exponent where that is a fraction; the real root for an odd root of a negative number, as in school. */
export function power(base: Rational, exponent: Rational): Rational | undefined {
  if (exponent.d !== 1n) {
    if (exponent.d > 64n || (base.n < 0n && exponent.d % 2n === 0n)) return undefined;
    const k = Number(exponent.d);
    const [n, d] = [wholeRoot(absolute(base.n), k), wholeRoot(base.d, k)];
    if (n === undefined || d === undefined) return undefined;
    return power({ n: base.n < 0n ? -n : n, d }, integer(exponent.n));
  }
  const size = absolute(exponent.n);
  if (base.d === 1n && absolute(base.n) <= 1n) {
    if (base.n === 0n) return exponent.n > 0n ? base : undefined;
    return integer(base.n < 0n && size % 2n === 1n ? -1n : 1n);
  }
  const limit = BigInt(base.d === 1n && exponent.n >= 0n ? maxBits : maxFractionBits);
  if (BigInt(Math.max(bitsOf(base.n), bitsOf(base.d)) - 3) * size > limit) return undefined;
  const [n, d] = [base.n ** size, base.d ** size];
  return exponent.n < 0n ? rational(d, n) : { n, d };
}

export function factorial({ n, d }: Rational): Rational | undefined {
  if (d !== 1n || n < 0n || n > 3000n) return undefined;
  let product = 1n;
  for (let k = 2n; k <= n; k++) product *= k;
  return { n: product, d: 1n };
}

/** n (n - 1) ... (n - k + 1) / k!, for a fraction n and a whole number k. */
export function binomial(n: Rational, k: Rational): Rational | undefined {
  if (k.d !== 1n) return undefined;
  if (k.n < 0n) return integer(0);
  const isWhole = n.d === 1n && n.n >= 0n;
  const count = isWhole && k.n > n.n / 2n && k.n <= n.n ? n.n - k.n : k.n;
  if (count > 3000n || (isWhole && n.n > 1n << 20n) || (!isWhole && count > 60n)) return undefined;
  let [top, bottom] = [1n, 1n];
  for (let i = 0n; i < count; i++) {
    top *= n.n - i * n.d;
    bottom *= (i + 1n) * n.d;
    if (isWhole) [top, bottom] = [top / bottom, 1n];
  }
  return rational(top, bottom);
}
