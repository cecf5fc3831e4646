// How good an average of reward models and its members are on held-out pairs, and the greedy soup, which keeps the members
// that it does not lose by (named in WARM, 2401.12187, section 3.1, and not tried there).

import { RandomStream } from "../base/random.js";
import type { Interval } from "../base/statistics.js";
import { type Connection, gainOf } from "./diagnostics/connectivity.js";
import { bestFirst, greedySoup, uniformOver } from "./diagnostics/orders.js";
import { accuracyInterval, type PairScores, qualityOf } from "./diagnostics/pair-scores.js";
import type { LinearMerge } from "./mergekit.js";

export interface HeldOutResult {
  /** In the order in which they were named. */
  members: (Interval & { member: string; loss: number; kept: boolean })[];
  average: Interval & { loss: number };
  /** Accuracy of the average less its members', weighted as they are. */
  gain: Interval;
  connection: Connection;
}

export interface HeldOutOptions {
  /** The scores of sum_i w_i phi_i on the pairs; `label` is for a person. */
  score: (label: string, weights: readonly number[]) => Promise<PairScores>;
  /** The average is that of the greedy soup's members. Default: of all, weighted as given. */
  greedy?: boolean;
}

/** Scores every member and the average. */
export async function evaluateAverage(
  { models, normalize = true }: LinearMerge,
  { score, greedy = false }: HeldOutOptions,
): Promise<HeldOutResult> {
  const singles: PairScores[] = [];
  for (const [i, { model }] of models.entries())
    singles.push(await score(model, uniformOver([i], models.length)));
  const qualities = singles.map(qualityOf);
  let kept = models.map((_, i) => i);
  let weights = normalised(
    models.map(({ weight }) => weight),
    normalize,
  );
  if (greedy) {
    const soup = await greedySoup(bestFirst(qualities), async (subset) => {
      if (subset.length === 1) return qualities[subset[0]!]!.accuracy;
      const scored = await score(`an average of ${subset.length}`, uniformOver(subset, models.length));
      return qualityOf(scored).accuracy;
    });
    kept = soup.members;
    weights = uniformOver(kept, models.length);
  }
  const all = await score("the average", weights);
  const { connection, ...gain } = gainOf(all, singles, { weights, stream: new RandomStream(0, "bootstrap") });
  return {
    members: models.map(({ model }, i) => ({
      member: model,
      ...accuracyInterval(singles[i]!),
      loss: qualities[i]!.loss,
      kept: kept.includes(i),
    })),
    average: { ...accuracyInterval(all), loss: qualityOf(all).loss },
    gain,
    connection,
  };
}

function normalised(weights: readonly number[], normalize: boolean): number[] {
  const sum = weights.reduce((a, b) => a + b, 0);
  return normalize ? weights.map((weight) => weight / sum) : [...weights];
}
