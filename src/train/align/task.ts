// A task of an alignment run: its prompts, reward, judges and optimizer, and what of it belongs in a checkpoint.

import { UserError } from "../../base/errors.js";
import { RandomStream } from "../../base/random.js";
import { loadPrompts, PromptCursor } from "../../data/index.js";
import type { PromptRow } from "../../data/rows.js";
import type { LocalLanguageModel } from "../../engine/local/index.js";
import { checkNamedJudges } from "../../judges/applicability.js";
import type { Mixture } from "../../judges/mixture.js";
import { mixtureFrom } from "../../judges/registry.js";
import type { Outcome } from "../../objectives/index.js";
import type { AlignRecipe, OptimizerRecipe, TaskRecipe } from "../../recipe/recipe.js";
import type { Clock } from "../../run/clock.js";
import type { RunContext } from "../../run/context.js";
import type { RewardSource, RewardSources } from "../rewards/rewards.js";
import type { TextCodec } from "../text.js";
import type { Critic } from "./critic.js";

/** An optimizer that samples from the policy. */
export type SamplingOptimizer = Extract<OptimizerRecipe, { generations: number }>;

/** abar of a prompt (eq. 5). */
export interface Baseline {
  tokens: number[];
  isCutOff: boolean;
  /** What the judges say; absent until they have, in the step that takes it. */
  judged?: Outcome;
  /** Absent while no version of the reward has scored it. */
  score?: BaselineScore;
}

export interface BaselineScore {
  /** r_pair(s, abar). */
  reward: number;
  /** abar fails a gate of the reward's own. */
  isViolated: boolean;
  /** Of the reward (`RewardSource.versionFor`). */
  version: string;
}

export interface Task {
  recipe: TaskRecipe;
  optimizer: SamplingOptimizer;
  rows: readonly PromptRow[];
  cursor: PromptCursor<PromptRow>;
  /** Prompts of the step at hand. */
  batch: PromptRow[];
  /** Seeds of the samples. */
  random: RandomStream;
  reward: RewardSource;
  mixture: Mixture;
  baselines: Map<string, Baseline>;
}

export interface TaskContext extends RunContext {
  /** Directory that a judge module's path in the recipe starts from. Default: the working directory. */
  baseDir?: string;
  /** Directory of an earlier run: its language models' replies are repeated, and no server is asked. */
  replay?: string;
}

export async function openTask(
  recipe: TaskRecipe,
  { seed }: AlignRecipe,
  rewards: RewardSources,
  codec: TextCodec,
  context: TaskContext,
): Promise<Task> {
  const { name, optimizer } = recipe;
  if (!("generations" in optimizer)) throw new UserError(`task ${name}: ${optimizer.name} does not sample`);
  const { rows, description } = await loadPrompts(recipe.prompts.path, recipe.prompts);
  context.reporter.note(`task ${name}: ${description}`);
  const mixture = await mixtureFrom(
    recipe.judges,
    {
      baseDir: context.baseDir ?? ".",
      countTokens: (text) => codec.tokenizer.encode(text).length,
      llm: rewards.llm,
    },
    { runAll: recipe.runAllJudges },
  );
  checkNamedJudges(
    rows,
    mixture.members.map(({ judge }) => judge),
  );
  return {
    recipe,
    optimizer,
    rows,
    cursor: PromptCursor.start(rows, { seed, name: `prompts of ${name}` }),
    batch: [],
    random: new RandomStream(seed, `samples of ${name}`),
    reward: await rewards.open(recipe.reward, { name, rows, hasJudges: recipe.judges.length > 0 }),
    mixture,
    baselines: new Map(),
  };
}

export const taskState = ({ cursor, random, baselines, reward }: Task) => ({
  cursor: cursor.state(),
  random: random.state(),
  baselines: [...baselines],
  reward: reward.state(),
});

export function restoreTask(task: Task, state: ReturnType<typeof taskState>): void {
  task.cursor = PromptCursor.restore(task.rows, state.cursor);
  task.random = RandomStream.restore(state.random);
  task.baselines = new Map(state.baselines);
  task.reward.restore(state.reward);
}

/** What a step of a task works with. */
export interface Surroundings {
  policy: LocalLanguageModel;
  reference: LocalLanguageModel;
  /** Where a task learns by PPO. */
  critic?: Critic;
  codec: TextCodec;
  clock: Clock;
  context: TaskContext;
}

export function samplingOptions(
  { maxNewTokens, temperature, topK, topP }: SamplingOptimizer,
  codec: TextCodec,
) {
  return { maxNewTokens, temperature, topK, topP, stopIds: [codec.endId] };
}
