// The learning half of Algorithm 1 of CGPO: the gradient of a task's rollouts, accumulated in the policy.

import type { Sequence } from "../engine/contract.js";
import { rowsWithGradient } from "../objectives/index.js";
import type { Surroundings, Task } from "./align-task.js";
import { timed } from "./clock.js";
import type { Metrics } from "./metrics.js";
import { type PolicyGradient, policyGradient } from "./policy-objectives.js";
import type { TaskRollouts } from "./rollout.js";

export interface TaskUpdate {
  metrics: Metrics;
  /** Sequences that entered the gradient; none leaves the policy as it is. */
  learned: number;
  /** What each sample's first token was pushed by; null where nothing was learned from it. */
  advantages: (number | null)[];
}

/** Accumulates the gradient of one task, weighted by rho_l, at the weights as they are now. */
export async function accumulateTask(
  { recipe, optimizer }: Task,
  rollouts: TaskRollouts,
  around: Surroundings,
): Promise<TaskUpdate> {
  const result = policyGradient(rollouts.batch, optimizer);
  const learned = await accumulate(
    recipe.weight,
    result,
    rollouts.sequences,
    rollouts.baselineSequences,
    around,
  );
  return {
    metrics: { ...result.metrics, loss: result.loss, learned_samples: learned },
    learned,
    advantages: result.g.map((row) => (row.length > 0 ? -row[0]! : null)),
  };
}

/** Accumulates rho_l times the gradient of what has any; returns the number of sequences that entered. */
async function accumulate(
  rho: number,
  { g, baselineG = [] }: PolicyGradient,
  sequences: readonly Sequence[],
  baselineSequences: readonly Sequence[],
  { policy, clock }: Surroundings,
): Promise<number> {
  const chosen = [
    ...rowsWithGradient(g).map((i) => ({ sequence: sequences[i]!, g: g[i]! })),
    ...rowsWithGradient(baselineG).map((i) => ({ sequence: baselineSequences[i]!, g: baselineG[i]! })),
  ];
  if (chosen.length === 0) return 0;
  const tokens = chosen.reduce((sum, { sequence }) => sum + sequence.tokens.length, 0);
  await timed(clock.backward, tokens, () =>
    policy.backward(
      chosen.map(({ sequence }) => sequence),
      chosen.map((entry) => entry.g.map((x) => rho * x)),
    ),
  );
  return chosen.length;
}
