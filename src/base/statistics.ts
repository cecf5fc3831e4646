// Means, intervals, resampling, rank correlations and the two fits that a report of reward against KL needs.

import type { RandomStream } from "./random.js";

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

/** Variance with denominator n - `correction`; 0 where that is not positive. */
export function variance(values: ArrayLike<number>, correction = 1): number {
  if (values.length <= correction) return 0;
  const centre = mean(values);
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i]! - centre) ** 2;
  return squares / (values.length - correction);
}

export function standardDeviation(values: ArrayLike<number>, correction = 1): number {
  return Math.sqrt(variance(values, correction));
}

/** Quantile of sorted values, linear between neighbours. */
export function sortedQuantile(sorted: ArrayLike<number>, p: number): number {
  const position = p * (sorted.length - 1);
  const low = Math.floor(position);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low]! + (position - low) * (sorted[high]! - sorted[low]!);
}

export interface RunningState {
  count: number;
  mean: number;
  squares: number;
}

/** Mean and variance of a stream of numbers in one pass (Welford). */
export class RunningStatistics {
  private readonly current: RunningState;

  constructor(state: RunningState = { count: 0, mean: 0, squares: 0 }) {
    this.current = { ...state };
  }

  push(x: number): void {
    const s = this.current;
    const delta = x - s.mean;
    s.count++;
    s.mean += delta / s.count;
    s.squares += delta * (x - s.mean);
  }

  get count(): number {
    return this.current.count;
  }

  get mean(): number {
    return this.current.count === 0 ? Number.NaN : this.current.mean;
  }

  variance(correction = 1): number {
    return this.count > correction ? this.current.squares / (this.count - correction) : 0;
  }

  standardDeviation(correction = 1): number {
    return Math.sqrt(this.variance(correction));
  }

  /** A copy that the constructor takes back. */
  state(): RunningState {
    return { ...this.current };
  }
}

/** log Gamma(x) for x > 0 (Lanczos, g = 7, nine terms; relative error about 1e-15). */
export function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const coefficients = [
    676.5203681218851, -1259.1392167224028, 771.3234287776531, -176.6150291621406, 12.507343278686905,
    -0.13857109526572012, 9.984369578019572e-6, 1.5056327351493116e-7,
  ];
  const z = x - 1;
  let series = 0.9999999999998099;
  for (const [i, c] of coefficients.entries()) series += c / (z + i + 1);
  const t = z + 7.5;
  return 0.5 * Math.log(2 * Math.PI) + (z + 0.5) * Math.log(t) - t + Math.log(series);
}

/** The regularised incomplete beta function I_x(a, b), by Lentz's continued fraction. */
export function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The fraction converges fast below the mean of the distribution; above it the complement does.
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front =
    Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) / a;
  const tiny = 1e-300;
  const away = (v: number): number => (Math.abs(v) < tiny ? tiny : v);
  let c = 1;
  let d = 1 / away(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m <= 500; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away(1 + even * d);
    c = away(1 + even / c);
    fraction *= c * d;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away(1 + odd * d);
    c = away(1 + odd / c);
    fraction *= c * d;
    if (Math.abs(c * d - 1) < 1e-16) break;
  }
  return front * fraction;
}

/** P(T <= t) for Student's distribution. */
export function studentCdf(t: number, degreesOfFreedom: number): number {
  const tail = 0.5 * incompleteBeta(degreesOfFreedom / (degreesOfFreedom + t * t), degreesOfFreedom / 2, 0.5);
  return t > 0 ? 1 - tail : tail;
}

/** The t with P(T <= t) = p for Student's distribution with any positive degrees of freedom. */
export function studentQuantile(p: number, degreesOfFreedom: number): number {
  if (p === 0.5) return 0;
  if (p > 0.5) return -studentQuantile(1 - p, degreesOfFreedom);
  let low = -1;
  while (studentCdf(low, degreesOfFreedom) > p && low > -1e300) low *= 2;
  return bisect((t) => studentCdf(t, degreesOfFreedom) - p, low, 0);
}

/** The z with P(Z <= z) = p for the standard normal. */
export function normalQuantile(p: number): number {
  if (p === 0.5) return 0;
  if (p > 0.5) return -normalQuantile(1 - p);
  return bisect((z) => normalTail(-z) - p, -40, 0);
}

/** P(Z > z) for z >= 0. Power series near 0, continued fraction in the tail. */
function normalTail(z: number): number {
  const density = Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI);
  if (z < 4) {
    let term = z;
    let series = z;
    for (let k = 1; Math.abs(term) > 1e-18 * series && k < 400; k++) {
      term *= (z * z) / (2 * k + 1);
      series += term;
    }
    return 0.5 - density * series;
  }
  let fraction = z;
  for (let k = 200; k >= 1; k--) fraction = z + k / fraction;
  return density / fraction;
}

/** The zero of an increasing function between low and high, to the last bit. */
function bisect(f: (x: number) => number, low: number, high: number): number {
  let [a, b] = [low, high];
  for (;;) {
    const middle = a + (b - a) / 2;
    if (middle <= a || middle >= b) return middle;
    if (f(middle) < 0) a = middle;
    else b = middle;
  }
}

export interface Interval {
  estimate: number;
  low: number;
  high: number;
}

/** Mean of independent values with its Student interval; infinitely wide for fewer than two values. */
export function tInterval(values: ArrayLike<number>, level = 0.95): Interval {
  const n = values.length;
  const estimate = mean(values);
  if (n < 2) return { estimate, low: -Infinity, high: Infinity };
  const half = studentQuantile((1 + level) / 2, n - 1) * Math.sqrt(variance(values) / n);
  return { estimate, low: estimate - half, high: estimate + half };
}

/** Wilson's score interval of a proportion; `successes` may hold halves. */
export function wilsonInterval(successes: number, trials: number, level = 0.95): Interval {
  if (trials === 0) return { estimate: Number.NaN, low: 0, high: 1 };
  const z = normalQuantile((1 + level) / 2);
  const p = successes / trials;
  const denominator = 1 + (z * z) / trials;
  const centre = (p + (z * z) / (2 * trials)) / denominator;
  const half = (z * Math.sqrt((p * (1 - p)) / trials + (z * z) / (4 * trials * trials))) / denominator;
  return { estimate: p, low: Math.max(centre - half, 0), high: Math.min(centre + half, 1) };
}

export interface WinRate extends Interval {
  wins: number;
  ties: number;
  losses: number;
}

/** Share of prompts on which a beats b, ties one half, with Wilson's interval (on the safe side where there are ties). */
export function winRate(a: ArrayLike<number>, b: ArrayLike<number>, level = 0.95): WinRate {
  requireSameLength(a, b);
  let wins = 0;
  let ties = 0;
  for (let i = 0; i < a.length; i++) {
    if (a[i]! > b[i]!) wins++;
    else if (a[i] === b[i]) ties++;
  }
  const losses = a.length - wins - ties;
  return { ...wilsonInterval(wins + ties / 2, a.length, level), wins, ties, losses };
}

export interface BootstrapOptions {
  stream: RandomStream;
  resamples?: number;
  level?: number;
}

export interface BootstrapInterval extends Interval {
  /** Standard deviation of the resampled estimates. */
  standardError: number;
}

function bootstrapInterval(
  estimate: number,
  resample: () => number,
  resamples: number,
  level: number,
): BootstrapInterval {
  const draws = Float64Array.from({ length: resamples }, resample).sort();
  return {
    estimate,
    low: sortedQuantile(draws, (1 - level) / 2),
    high: sortedQuantile(draws, (1 + level) / 2),
    standardError: standardDeviation(draws),
  };
}

/** Percentile interval of mean(a) - mean(b), resampling the pairs (a_i, b_i). */
export function pairedBootstrap(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  { stream, resamples = 2000, level = 0.95 }: BootstrapOptions,
): BootstrapInterval {
  requireSameLength(a, b);
  const differences = Float64Array.from({ length: a.length }, (_, i) => a[i]! - b[i]!);
  return hierarchicalBootstrap(differences, { stream, resamples, level });
}

/** Values in groups in groups, such as data seed -> RL seed -> prompt. */
export type Nested = ArrayLike<number> | readonly Nested[];

/** Percentile interval of the mean of group means, resampling with replacement at every level from the top down. */
export function hierarchicalBootstrap(
  values: Nested,
  { stream, resamples = 2000, level = 0.95 }: BootstrapOptions,
): BootstrapInterval {
  return bootstrapInterval(nestedMean(values), () => resampledMean(values, stream), resamples, level);
}

function nestedMean(values: Nested): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const item = values[i]!;
    sum += typeof item === "number" ? item : nestedMean(item);
  }
  return sum / values.length;
}

function resampledMean(values: Nested, stream: RandomStream): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const item = values[stream.integer(values.length)]!;
    sum += typeof item === "number" ? item : resampledMean(item, stream);
  }
  return sum / values.length;
}

/** Pearson's correlation; NaN where one side is constant. */
export function pearson(x: ArrayLike<number>, y: ArrayLike<number>): number {
  requireSameLength(x, y);
  const meanX = mean(x);
  const meanY = mean(y);
  let xx = 0;
  let yy = 0;
  let xy = 0;
  for (let i = 0; i < x.length; i++) {
    const dx = x[i]! - meanX;
    const dy = y[i]! - meanY;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  return xy / Math.sqrt(xx * yy);
}

/** Ranks 1 .. n; ties share the mean of their ranks. */
export function ranks(values: ArrayLike<number>): Float64Array {
  const order = Array.from({ length: values.length }, (_, i) => i).sort((i, j) => values[i]! - values[j]!);
  const out = new Float64Array(values.length);
  for (let start = 0; start < order.length; ) {
    let end = start;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++;
    for (let k = start; k < end; k++) out[order[k]!] = (start + end + 1) / 2;
    start = end;
  }
  return out;
}

/** Spearman's rank correlation, ties averaged. */
export function spearman(x: ArrayLike<number>, y: ArrayLike<number>): number {
  return pearson(ranks(x), ranks(y));
}

/** Kendall's tau-b. Quadratic in the number of values. */
export function kendall(x: ArrayLike<number>, y: ArrayLike<number>): number {
  requireSameLength(x, y);
  let agreement = 0;
  let untiedX = 0;
  let untiedY = 0;
  for (let i = 0; i < x.length; i++) {
    for (let j = 0; j < i; j++) {
      const dx = Math.sign(x[i]! - x[j]!);
      const dy = Math.sign(y[i]! - y[j]!);
      agreement += dx * dy;
      untiedX += dx * dx;
      untiedY += dy * dy;
    }
  }
  return agreement / Math.sqrt(untiedX * untiedY);
}

/** A fit of one of Gao's laws for the gold reward R at distance d = sqrt(KL). */
export interface OveroptimisationFit {
  a: number;
  b: number;
  /** d* where the law turns down; undefined where it does not (a or b not positive). */
  peakDistance?: number;
  /** R at d*. */
  peakReward?: number;
  /** Share of the variance of R that the law explains. */
  rSquared: number;
}

/** Least squares of R(d) = d (a - b d), best-of-n (Gao et al., 2210.10760); peak a^2 / (4b) at a / (2b). */
export function fitBestOfNLaw(d: ArrayLike<number>, reward: ArrayLike<number>): OveroptimisationFit {
  const { a, b, rSquared } = fitTwoTerms(d, reward, (x) => x * x);
  if (a <= 0 || b <= 0) return { a, b, rSquared };
  return { a, b, peakDistance: a / (2 * b), peakReward: (a * a) / (4 * b), rSquared };
}

/** Least squares of R(d) = d (a - b log d), reinforcement learning (Gao et al.); peak b e^(a/b - 1) at e^(a/b - 1). */
export function fitReinforcementLaw(d: ArrayLike<number>, reward: ArrayLike<number>): OveroptimisationFit {
  const { a, b, rSquared } = fitTwoTerms(d, reward, (x) => (x === 0 ? 0 : x * Math.log(x)));
  if (b <= 0) return { a, b, rSquared };
  const peakDistance = Math.exp(a / b - 1);
  return { a, b, peakDistance, peakReward: b * peakDistance, rSquared };
}

/** Least squares of y = a x - b f(x) through the normal equations. */
function fitTwoTerms(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  f: (x: number) => number,
): { a: number; b: number; rSquared: number } {
  requireSameLength(x, y);
  let uu = 0;
  let uv = 0;
  let vv = 0;
  let uy = 0;
  let vy = 0;
  for (let i = 0; i < x.length; i++) {
    const u = x[i]!;
    const v = -f(u);
    uu += u * u;
    uv += u * v;
    vv += v * v;
    uy += u * y[i]!;
    vy += v * y[i]!;
  }
  const determinant = uu * vv - uv * uv;
  if (!(determinant > 1e-12 * uu * vv)) {
    throw new Error("The fit needs at least two different distances greater than 0.");
  }
  const a = (uy * vv - vy * uv) / determinant;
  const b = (vy * uu - uy * uv) / determinant;
  let residual = 0;
  for (let i = 0; i < x.length; i++) residual += (y[i]! - a * x[i]! + b * f(x[i]!)) ** 2;
  return { a, b, rSquared: 1 - residual / (variance(y, 0) * y.length) };
}

function requireSameLength(a: ArrayLike<number>, b: ArrayLike<number>): void {
  if (a.length !== b.length) {
    throw new Error(`Two lists of equal length are needed, not ${a.length} and ${b.length} values.`);
  }
}

/** The most frequent of some texts, the first of several; undefined where there is none. */
export function mostFrequent(texts: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0];
}
