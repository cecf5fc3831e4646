// Preference pairs from a model's own samples: the true measure says which is better, then exactly a share of the labels
// is turned, more often where the worse answer shows off. That is the shortcut which pays.

import type { RandomStream } from "../../base/random.js";
import { turnTempting } from "../turned-labels.js";
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

/** Turns that share of the labels, exactly; tempting is what the worse answer shows off more than the better. */
export function turnLabels(
  pairs: readonly RealPair[],
  random: RandomStream,
  { share = 0.25, gullibility = 0.8 }: { share?: number; gullibility?: number } = {},
): RealPair[] {
  const temptation = ({ chosen, rejected }: RealPair) =>
    gullibility * (showingOff(rejected) - showingOff(chosen));
  return turnTempting(pairs, temptation, share, random);
}
