// Figures with intervals. Several values of one prompt (samples, instructions) are not independent: the prompt is the
// unit that is resampled.

import { RandomStream } from "../base/random.js";
import { type Interval, sortedQuantile, wilsonInterval } from "../base/statistics.js";

/** The values of one metric, prompt by prompt; a prompt without values does not count. */
export type Clusters = readonly (readonly number[])[];

const sumOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);

const resamples = 2000;

/** Percentile interval of a statistic of (sum, count) pairs, prompts resampled with replacement. */
function bootstrap(prompts: number, estimate: (chosen: Int32Array) => number): [low: number, high: number] {
  const stream = new RandomStream(0, "evaluation interval");
  const chosen = new Int32Array(prompts);
  const draws: number[] = [];
  for (let r = 0; r < resamples; r++) {
    for (let i = 0; i < prompts; i++) chosen[i] = stream.integer(prompts);
    const draw = estimate(chosen);
    if (!Number.isNaN(draw)) draws.push(draw);
  }
  const sorted = Float64Array.from(draws).sort();
  return [sortedQuantile(sorted, 0.025), sortedQuantile(sorted, 0.975)];
}

/**
 * Mean over all values with its 95 % interval. Wilson's where every prompt has one value of 0 or 1, else a bootstrap over
 * prompts; where all values are equal, which a bootstrap cannot see past, Wilson's over as many trials as prompts.
 */
export function pooledMean(clusters: Clusters): Interval {
  return averagedMean([clusters]);
}

/** Mean of the pooled means of several metrics of the same prompts. */
export function averagedMean(parts: readonly Clusters[]): Interval {
  const prompts = parts[0]!.length;
  const counted = parts.map((clusters) => clusters.filter((values) => values.length > 0));
  const values = counted.flat(2);
  if (values.length === 0) return { estimate: Number.NaN, low: Number.NaN, high: Number.NaN };
  const isShare = values.every((value) => value >= 0 && value <= 1);
  const isBinary = values.every((value) => value === 0 || value === 1);
  const isConstant = values.every((value) => value === values[0]);
  const isSingle = parts.length === 1 && counted[0]!.every(({ length }) => length === 1);
  if (isShare && (isConstant || (isBinary && isSingle))) {
    const trials = counted[0]!.length;
    return wilsonInterval(isSingle ? sumOf(values) : trials * values[0]!, trials);
  }
  const tallies = parts.map((clusters) =>
    clusters.map((cluster) => ({ sum: sumOf(cluster), count: cluster.length })),
  );
  const all = Int32Array.from({ length: prompts }, (_, i) => i);
  const estimate = (chosen: Int32Array) => {
    let total = 0;
    for (const tally of tallies) {
      let [sum, count] = [0, 0];
      for (const i of chosen) {
        sum += tally[i]!.sum;
        count += tally[i]!.count;
      }
      total += sum / count;
    }
    return total / tallies.length;
  };
  const [low, high] = bootstrap(prompts, estimate);
  return { estimate: estimate(all), low, high };
}

/**
 * Probability that at least one of k samples passes, without bias from n >= k samples of which `passed` did (Chen et al.,
 * 2107.03374): 1 - C(n - passed, k) / C(n, k).
 */
export function passAtK(n: number, passed: number, k: number): number {
  let allFail = 1;
  for (let i = 0; i < k; i++) allFail *= Math.max(n - passed - i, 0) / (n - i);
  return 1 - allFail;
}

/** The k of which pass@k is reported with n samples: 1, 10, 100 and n. */
export const passKs = (n: number) =>
  [...new Set([1, 10, 100, n])].filter((k) => k <= n).sort((a, b) => a - b);
