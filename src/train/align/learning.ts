// What learning means for every optimizer: one or several updates of the policy at a step, each an accumulated gradient.

import type { Sequence } from "../../engine/contract.js";
import { rowsWithGradient } from "../../objectives/index.js";
import { timed } from "../../run/clock.js";
import type { Metrics } from "../../run/metrics.js";
import type { PolicyGradient } from "./policy-objectives.js";
import type { Surroundings } from "./task.js";

/** What a task does to the policy in one step of the run. */
export interface Learning {
  /** Updates that the task takes part in. */
  updates: number;
  /** Accumulates rho_l g_l of update `update` (from 0) at the weights as they are then. */
  accumulate(update: number): Promise<Update>;
}

export interface Update {
  metrics: Metrics;
  /** Sequences that entered the gradient; 0 leaves the policy as it is. */
  learned: number;
}

/** Learning from samples. */
export interface SampleLearning extends Learning {
  /** What each sample's first token is pushed by at the first update; null where nothing is learned from it. */
  advantages(): (number | null)[];
}

/** log pi_w as the weights are now. */
export const logprobsNow = (sequences: readonly Sequence[], { policy, clock }: Surroundings) =>
  timed(clock.logprobs, tokensOf(sequences), () => policy.logprobs(sequences));

/** log pi_ref, by the same forward code. */
export const referenceLogprobsOf = (sequences: readonly Sequence[], { reference, clock }: Surroundings) =>
  timed(clock.logprobs, tokensOf(sequences), () => reference.logprobs(sequences));

export interface Learned {
  sequences: readonly Sequence[];
  baselineSequences?: readonly Sequence[];
}

/** Accumulates rho_l times the gradient of what has any; returns the number of sequences that entered. */
export async function accumulate(
  rho: number,
  { g, baselineG = [] }: Pick<PolicyGradient, "g" | "baselineG">,
  { sequences, baselineSequences = [] }: Learned,
  { policy, clock }: Surroundings,
): Promise<number> {
  const chosen = [
    ...rowsWithGradient(g).map((i) => ({ sequence: sequences[i]!, g: g[i]! })),
    ...rowsWithGradient(baselineG).map((i) => ({ sequence: baselineSequences[i]!, g: baselineG[i]! })),
  ];
  if (chosen.length === 0) return 0;
  const rows = chosen.map(({ sequence }) => sequence);
  await timed(clock.backward, tokensOf(rows), () =>
    policy.backward(
      rows,
      chosen.map((entry) => entry.g.map((x) => rho * x)),
    ),
  );
  return chosen.length;
}

export const tokensOf = (sequences: readonly Sequence[]): number =>
  sequences.reduce((sum, { tokens }) => sum + tokens.length, 0);

/** The mean of every metric over the updates that have it. */
export function meanMetrics(updates: readonly Metrics[]): Metrics {
  const keys = new Set(updates.flatMap((metrics) => Object.keys(metrics)));
  return Object.fromEntries(
    [...keys].map((key) => {
      const values = updates.map((metrics) => metrics[key]).filter((value) => typeof value === "number");
      const sum = values.reduce((total, value) => total + value, 0);
      return [key, values.length > 0 ? sum / values.length : undefined];
    }),
  );
}
