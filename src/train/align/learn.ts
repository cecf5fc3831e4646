// The learning half of Algorithm 1 of CGPO: the gradients of a task's rollouts, accumulated in the policy. The on-policy
// objectives make one update of a batch of samples; those with an importance ratio may make several.

import type { Objective, SampleFinding } from "../../objectives/index.js";
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
