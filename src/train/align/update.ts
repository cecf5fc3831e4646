// The learning half of Algorithm 1 of CGPO: the gradients of a task's rollouts, accumulated in the policy. The on-policy
// objectives make one update of a batch of samples; those with an importance ratio may make several (the iterations of
// GRPO, the epochs and mini-batches of PPO).

import { judgeGatedRewards } from "./judge-gate.js";
import { accumulate, logprobsNow, type SampleLearning } from "./learning.js";
import { type ObjectiveOptimizer, policyGradient, type TaskBatch } from "./policy-objectives.js";
import { learnByPpo } from "./ppo.js";
import type { TaskRollouts } from "./rollout.js";
import type { Surroundings, Task } from "./task.js";

/** Learning from the rollouts of step `step`, by the optimizer that the task's recipe names. */
export async function learnFrom(
  task: Task,
  rollouts: TaskRollouts,
  step: number,
  around: Surroundings,
): Promise<SampleLearning> {
  const { optimizer, recipe } = task;
  const rewards = recipe.judgeGate && judgeGatedRewards(rollouts.batch, recipe.judgeGate);
  const batch: TaskBatch = { ...rollouts.batch, ...(rewards && { rewards }) };
  return optimizer.name === "ppo"
    ? learnByPpo(task, optimizer, batch, rollouts.sequences, step, around)
    : learnByObjective(task, optimizer, batch, rollouts, around);
}

function learnByObjective(
  { recipe }: Task,
  optimizer: ObjectiveOptimizer,
  batch: TaskBatch,
  { sequences, baselineSequences }: TaskRollouts,
  around: Surroundings,
): SampleLearning {
  let advantages: (number | null)[] = [];
  return {
    updates: optimizer.name === "grpo" ? optimizer.iterations : 1,
    async accumulate(update) {
      const current = update === 0 ? {} : { logprobs: await logprobsNow(sequences, around) };
      const result = policyGradient({ ...batch, ...current, oldLogprobs: batch.logprobs }, optimizer);
      if (update === 0) advantages = result.g.map((row) => (row.length > 0 ? -row[0]! : null));
      const learned = await accumulate(recipe.weight, result, { sequences, baselineSequences }, around);
      return { metrics: { ...result.metrics, loss: result.loss, learned_samples: learned }, learned };
    },
    advantages: () => advantages,
  };
}
