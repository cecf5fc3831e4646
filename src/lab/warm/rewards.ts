// The rewards that are compared: one model, the weight average (one model too), and ensembles of predictions.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { mean, standardDeviation } from "../../base/statistics.js";
import type { ScalarModel, TokenIds } from "../../engine/contract.js";
import { averageCheckpoints } from "../../reward/average.js";
import { ensembleMean } from "../../reward/ensemble.js";
import { loadScalarModel } from "../../train/models.js";

/** Rewards of sequences under one model. */
export async function scoreWith(dir: string, sequences: readonly TokenIds[]): Promise<Float64Array> {
  const model = await loadScalarModel(dir, { frozen: true });
  const scores = await scoresOf(model, sequences);
  model.dispose();
  return scores;
}

async function scoresOf(model: ScalarModel, sequences: readonly TokenIds[]): Promise<Float64Array> {
  const values = await model.values(sequences, "last");
  return Float64Array.from(values, ([value]) => value!);
}

/** The weighted average of `dirs`, written to `out` unless it is there. */
export async function average(
  dirs: readonly string[],
  out: string,
  weights?: readonly number[],
): Promise<string> {
  if (!existsSync(join(out, "config.json")))
    await averageCheckpoints({ members: dirs.map((dir, i) => ({ dir, weight: weights?.[i] ?? 1 })), out });
  return out;
}

/** A reward of sequences. */
export interface RewardFunction {
  score(sequences: readonly TokenIds[]): Promise<Float64Array>;
  dispose(): void;
}

/** The mean raw reward of the models; of one model its own. */
export async function openReward(dirs: readonly string[]): Promise<RewardFunction> {
  const models: ScalarModel[] = [];
  for (const dir of dirs) models.push(await loadScalarModel(dir, { frozen: true }));
  return {
    async score(sequences) {
      const scores: Float64Array[] = [];
      for (const model of models) scores.push(await scoresOf(model, sequences));
      return ensembleMean(scores);
    },
    dispose() {
      for (const model of models) model.dispose();
    },
  };
}

/** The same in standard deviations over `reference`, 0 at their mean, so that the rewards of all arms have one scale. */
export async function standardised(
  raw: RewardFunction,
  reference: readonly TokenIds[],
): Promise<RewardFunction & { scale: number }> {
  const scores = await raw.score(reference);
  const [centre, scale] = [mean(scores), standardDeviation(scores)];
  return {
    ...raw,
    scale,
    score: async (sequences) => (await raw.score(sequences)).map((r) => (r - centre) / scale),
  };
}
