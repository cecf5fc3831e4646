// The learning half of Algorithm 1 of CGPO: the gradients of a task's rollouts, accumulated in the policy. The on-policy
// objectives make one update of a batch of samples; those with an importance ratio may make several.

import type { Sequence } from "../../engine/contract.js";
import {
  type Objective,
  type PolicyGradient,
  rowsWithGradient,
  type SampleFinding,
} from "../../objectives/index.js";
import { timed } from "../../run/clock.js";
import type { Metrics } from "../../run/metrics.js";
import { gated } from "./judge-gate.js";
import type { PpoObjective, StepContext, TaskRollouts, TaskStep } from "./parts.js";
import { learnByPpo } from "./ppo.js";
import type { SampledTask } from "./task.js";

/** Learning from samples. */
export interface SampleLearning extends Pick<TaskStep, "updates" | "accumulate"> {
  /** What the first update made of each sample. */
  findings(): readonly SampleFinding[];
  /** Columns of rollouts.jsonl of its own. */
  columns?: readonly Readonly<Record<string, unknown>>[];
}

/** Learning from the rollouts of step `step` by the task's objective, on rewards gated by the judges where it says so. */
export async function learnFrom(
  task: SampledTask,
  rollouts: TaskRollouts,
  step: number,
  context: StepContext,
): Promise<SampleLearning> {
  const { objective, judgeGate } = task;
  const { batch, calibrated } = gated(rollouts.batch, judgeGate);
  const own = { ...rollouts, batch };
  const learning = isPpo(objective)
    ? await learnByPpo(task, objective.critic, own, step, context)
    : learnByObjective(task, objective, own, context);
  if (!calibrated) return learning;
  const findings = () =>
    learning.findings().map((finding, i) => ({ ...finding, calibratedReward: calibrated[i]! }));
  return { ...learning, findings };
}

const isPpo = (objective: Objective | PpoObjective): objective is PpoObjective => "critic" in objective;

function learnByObjective(
  { weight: rho }: SampledTask,
  { updates = 1, gradient }: Objective,
  { batch, sequences, baselineSequences }: TaskRollouts,
  context: StepContext,
): SampleLearning {
  let findings: readonly SampleFinding[] = [];
  return {
    updates,
    async accumulate(update) {
      const current = update === 0 ? {} : { logprobs: await logprobsNow(sequences, context) };
      const result = gradient({ ...batch, ...current, oldLogprobs: batch.logprobs });
      if (update === 0) findings = result.findings;
      const learned = await accumulate(rho, result, { sequences, baselineSequences }, context);
      return { metrics: { ...result.metrics, loss: result.loss, learned_samples: learned }, learned };
    },
    findings: () => findings,
  };
}

/** log pi_w as the weights are now. */
export const logprobsNow = (sequences: readonly Sequence[], { policy, clock }: StepContext) =>
  timed(clock.logprobs, tokensOf(sequences), () => policy.logprobs(sequences));

/** log pi_ref, by the same forward code. */
export const referenceLogprobsOf = (sequences: readonly Sequence[], { reference, clock }: StepContext) =>
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
