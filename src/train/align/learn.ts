// The learning half of Algorithm 1 of CGPO: the gradients of a task's rollouts, accumulated in the policy. The on-policy
// objectives make one update of a batch of samples; those with an importance ratio may make several.

import type { DropReason, Objective, SampleFinding } from "../../objectives/index.js";
import { gated } from "./judge-gate.js";
import type { PpoObjective, SampledTask, SampleLearning, StepContext, TaskRollouts } from "./parts.js";
import { accumulate, logprobsNow } from "./passes.js";
import { learnByPpo } from "./ppo.js";

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

const FATES: Record<DropReason, string> = {
  failed: "failed",
  violated: "violate a judge",
  "beyond kl_max": "are beyond kl_max",
  outranked: "are outranked by another of their prompt",
  unpaired: "have no pair",
};
const ALIKE = "have advantage 0, for their rewards are alike";

/** Why none of the samples entered the gradient: "of 8 samples 6 violate a judge, 2 failed (judge style: 401)". */
export function whyNothing(findings: readonly SampleFinding[], failure?: string): string {
  const counts = new Map<string, number>();
  for (const { dropped } of findings) {
    const fate = dropped === null ? ALIKE : FATES[dropped];
    counts.set(fate, (counts.get(fate) ?? 0) + 1);
  }
  const said = (fate: string) =>
    fate === FATES.failed && failure !== undefined ? `${fate} (${failure})` : fate;
  const [only, ...others] = [...counts].sort(([, a], [, b]) => b - a);
  if (!only) return "there were no samples";
  if (others.length === 0) return `all ${findings.length} samples ${said(only[0])}`;
  return `of ${findings.length} samples ${[only, ...others].map(([fate, count]) => `${count} ${said(fate)}`).join(", ")}`;
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
