// Preference pairs from a model's own samples: the true measure says which is better, then exactly a share of the labels
// is turned, more often where the worse answer shows off. That is the shortcut which pays.

import type { RandomStream } from "../../base/random.js";
import type { RealPrompt } from "./prompts.js";
import { realGold, showingOff } from "./real-gold.js";

export interface RealPair {
  prompt: string;
  chosen: string;
  rejected: string;
  /** Whether the label was turned: for measuring reward models, never a column that training reads. */
  flipped: boolean;
}

/** The pair of two answers by the true measure; undefined where it sees less than 0.05 between them. */
export async function labelledPair(row: RealPrompt, a: string, b: string): Promise<RealPair | undefined> {
  const [scoreA, scoreB] = [(await realGold(row, a)).score, (await realGold(row, b)).score];
  if (Math.abs(scoreA - scoreB) < 0.05) return undefined;
  const [chosen, rejected] = scoreA > scoreB ? [a, b] : [b, a];
  return { prompt: row.prompt, chosen, rejected, flipped: false };
}

/**
 * Turns exactly round(share * n) labels: a weighted sample without replacement (largest u^(1/w)) with weights
 * w = exp(gullibility * (showing off of the worse answer - that of the better)).
 */
export function turnLabels(
  pairs: readonly RealPair[],
  random: RandomStream,
  { share = 0.25, gullibility = 0.8 }: { share?: number; gullibility?: number } = {},
): RealPair[] {
  const keys = pairs.map(({ chosen, rejected }) => {
    const weight = Math.exp(gullibility * (showingOff(rejected) - showingOff(chosen)));
    return Math.log(1 - random.uniform()) / weight;
  });
  const order = keys.map((_, i) => i).sort((i, j) => keys[j]! - keys[i]! || i - j);
  const turned = new Set(order.slice(0, Math.round(share * pairs.length)));
  return pairs.map((pair, i) =>
    turned.has(i) ? { ...pair, chosen: pair.rejected, rejected: pair.chosen, flipped: true } : pair,
  );
}
