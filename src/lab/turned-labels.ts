// Labels turned on purpose, more often where the worse answer tempts: both worlds' reward models learn from such pairs.

import type { RandomStream } from "../base/random.js";

interface LabelledPair {
  chosen: string;
  rejected: string;
  flipped: boolean;
}

/**
 * Turns exactly round(share * n) labels: a weighted sample without replacement (largest u^(1/w)) with weights
 * w = exp(temptation). One number of `random` a pair, in their order.
 */
export function turnTempting<P extends LabelledPair>(
  pairs: readonly P[],
  temptation: (pair: P) => number,
  share: number,
  random: RandomStream,
): P[] {
  const keys = pairs.map((pair) => Math.log(1 - random.uniform()) / Math.exp(temptation(pair)));
  const order = keys.map((_, i) => i).sort((i, j) => keys[j]! - keys[i]! || i - j);
  const turned = new Set(order.slice(0, Math.round(share * pairs.length)));
  return pairs.map((pair, i) =>
    turned.has(i) ? { ...pair, chosen: pair.rejected, rejected: pair.chosen, flipped: true } : pair,
  );
}
