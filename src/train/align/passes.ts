// The passes through policy and reference that a step is made of, on the clock of their phase.

import type { PromptRow } from "../../data/rows.js";
import type { Sequence } from "../../engine/contract.js";
import { type PolicyGradient, rowsWithGradient } from "../../objectives/index.js";
import { timed } from "../../run/clock.js";
import type { Metrics } from "../../run/metrics.js";
import type { Codec } from "../text.js";
import type { SamplingLimits, StepContext } from "./parts.js";

/** What of a task's limits concerns the engine. */
export const samplingOptions = ({ maxNewTokens, temperature, topK, topP }: SamplingLimits) => ({
  maxNewTokens,
  temperature,
  topK,
  topP,
});

/** What the policy sees of a prompt. */
export function promptTokens(
  { prompt, metadata }: PromptRow,
  codec: Pick<Codec, "prompt">,
  { maxPromptTokens = Number.POSITIVE_INFINITY }: Pick<SamplingLimits, "maxPromptTokens">,
): number[] {
  const tokens = codec.prompt(prompt, metadata);
  return tokens.length > maxPromptTokens ? tokens.slice(-maxPromptTokens) : tokens;
}

/** log pi_w as the weights are now. */
export const logprobsNow = (
  sequences: readonly Sequence[],
  { policy, clock }: StepContext,
  signal?: AbortSignal,
) => timed(clock.logprobs, tokensOf(sequences), () => policy.logprobs(sequences, { signal }));

/** log pi_ref, by the same forward code. */
export const referenceLogprobsOf = (
  sequences: readonly Sequence[],
  { reference, clock }: StepContext,
  signal?: AbortSignal,
) => timed(clock.logprobs, tokensOf(sequences), () => reference.logprobs(sequences, { signal }));

export interface Learned {
  sequences: readonly Sequence[];
  baselineSequences?: readonly Sequence[];
}

/** Accumulates rho_l times the gradient of what has any; returns the number of sequences that entered. */
export async function accumulate(
  rho: number,
  { g, baselineG = [] }: Pick<PolicyGradient, "g" | "baselineG">,
  { sequences, baselineSequences = [] }: Learned,
  { policy, clock }: StepContext,
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
