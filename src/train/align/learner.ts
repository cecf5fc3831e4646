// A task as the loop of align sees it: what it does in a step, and what of it belongs in a checkpoint.

import type { AlignRecipe, TaskRecipe } from "../../recipe/recipe.js";
import type { Metrics, Rollout } from "../../run/metrics.js";
import type { RewardSources } from "../rewards/rewards.js";
import type { TextCodec } from "../text.js";
import { openPreferenceLearner } from "./dpo.js";
import type { Learning } from "./learning.js";
import { rollOut, rolloutRows } from "./rollout.js";
import { openTask, restoreTask, type Surroundings, type Task, type TaskContext, taskState } from "./task.js";
import { learnFrom } from "./update.js";

export interface Learner {
  name: string;
  /** rho_l. */
  weight: number;
  /** Rows of the step at hand. */
  batch(): readonly { id: string }[];
  /** Begins step `step` (1 for the first) at the weights as they are now. */
  begin(step: number, around: Surroundings): Promise<TaskStep>;
  /** JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: every learner knows the shape of its own state
  state(): any;
  // biome-ignore lint/suspicious/noExplicitAny: what `state` gave
  restore(state: any): void;
}

export interface TaskStep {
  learning: Learning;
  /** After the last update: what else there is to say about the step. */
  finish(): Promise<{ metrics: Metrics; rollouts: Rollout[] }>;
}

export async function openLearner(
  recipe: TaskRecipe,
  run: AlignRecipe,
  rewards: RewardSources,
  codec: TextCodec,
  context: TaskContext,
): Promise<Learner> {
  if (recipe.optimizer.name === "dpo")
    return openPreferenceLearner(recipe, recipe.optimizer, run.seed, codec, context);
  return samplingLearner(await openTask(recipe, run, rewards, codec, context));
}

/** Learns from samples of the policy. */
function samplingLearner(task: Task): Learner {
  const { name, weight } = task.recipe;
  return {
    name,
    weight,
    batch: () => task.batch,
    state: () => taskState(task),
    restore: (state) => restoreTask(task, state),
    async begin(step, around) {
      if (step === 1 && task.reward.hasPreview) await task.reward.afterStep(0, await rollOut(task, around));
      const rollouts = await rollOut(task, around);
      const learning = await learnFrom(task, rollouts, step, around);
      return {
        learning,
        async finish() {
          const changes = await task.reward.afterStep(step, rollouts);
          return {
            metrics: { ...rollouts.metrics, ...changes },
            rollouts: rolloutRows(name, step, rollouts, learning.advantages()),
          };
        },
      };
    },
  };
}
