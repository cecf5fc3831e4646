// Best-of-n for every n up to N from one set of samples: exact distance bound, expected reward of the chosen answer and how
// often it beats a single answer, without resampling (see ../reward/best-of-n.ts for the estimator).

import { type Interval, tInterval } from "../base/statistics.js";
import { bestOfN, bestOfNKl } from "../reward/best-of-n.js";

export interface BestOfPoint {
  n: number;
  /** log n - (n - 1)/n, nats: exact where the ranking reward never ties, an upper bound otherwise. */
  kl: number;
  /** Expected ranking reward of the chosen answer. */
  reward: Interval;
  /** Probability that the chosen answer has a higher ranking reward than another single answer, ties one half. */
  winRate: Interval;
  /** The same two by the gold reward, where there is one. */
  gold?: { reward: Interval; winRate: Interval };
}

/** 1, 2, 4, ... up to N, and N. */
export function powersOfTwo(most: number): number[] {
  const ns: number[] = [];
  for (let n = 1; n < most; n *= 2) ns.push(n);
  return [...ns, most];
}

/**
 * P(gold of the best of n by proxy > gold of one more answer) + P(tie)/2, from the N + 1 answers of one prompt: each answer
 * in turn is the opponent, and the n are drawn from the others. Without bias for n <= N.
 */
export function bestOfNWinRate(proxy: ArrayLike<number>, gold: ArrayLike<number>, n: number): number {
  const size = proxy.length;
  let sum = 0;
  for (let opponent = 0; opponent < size; opponent++) {
    const others = Array.from({ length: size }, (_, i) => i).filter((i) => i !== opponent);
    const credits = others.map((i) => (1 + Math.sign(gold[i]! - gold[opponent]!)) / 2);
    sum += bestOfN(
      others.map((i) => proxy[i]!),
      credits,
      n,
    );
  }
  return sum / size;
}

const asShare = ({ estimate, low, high }: Interval): Interval => ({
  estimate,
  low: Math.max(low, 0),
  high: Math.min(high, 1),
});

/** One row of N + 1 answers for each prompt. Intervals are Student's over prompts. */
export function bestOfCurve(
  proxy: readonly ArrayLike<number>[],
  gold?: readonly ArrayLike<number>[],
): BestOfPoint[] {
  const most = proxy[0]!.length - 1;
  const over = (of: (row: ArrayLike<number>, prompt: number) => number) => tInterval(proxy.map(of));
  return powersOfTwo(most).map((n) => ({
    n,
    kl: bestOfNKl(n),
    reward: over((row) => bestOfN(row, row, n)),
    winRate: asShare(over((row) => bestOfNWinRate(row, row, n))),
    ...(gold && {
      gold: {
        reward: over((row, prompt) => bestOfN(row, gold[prompt]!, n)),
        winRate: asShare(over((row, prompt) => bestOfNWinRate(row, gold[prompt]!, n))),
      },
    }),
  }));
}
