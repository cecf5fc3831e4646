// The recipes of one seed, as a user would write them: every path starts from the directory of the seed, where they lie.

import { join } from "node:path";
import { preferenceFile, promptFile, validationFile } from "./data.js";
import {
  judgedRuns,
  type OnlineRun,
  type RewardName,
  rewardOf,
  type Settings,
  sampling,
  type TaskDefinition,
  taskNames,
  tasks,
} from "./protocol.js";

type Recipe = Record<string, unknown>;

export interface RecipeContext {
  /** The base model, seen from the directory of the seed. */
  baseModel: string;
  seed: number;
  threads: number;
  settings: Settings;
}

export const dataDir = "data";
export const rewardModelDir = (name: RewardName): string => join("reward-models", name);
/** Where a reward model or a policy is saved in the directory of its run. */
export const finalModel = (runDir: string): string => join(runDir, "final");

/** Marks a name as a path. */
const path = (name: string): string => `./${name}`;

const common = ({ seed, threads }: RecipeContext): Recipe => ({
  seed,
  engine: { kind: "local", threads },
  save_steps: 20,
  save_total_limit: 1,
});

export function rewardRecipe(name: RewardName, context: RecipeContext): Recipe {
  const { baseModel, settings } = context;
  const { batch, learningRate, steps } = settings.rewardModels;
  return {
    ...common(context),
    output_dir: path(rewardModelDir(name)),
    model: baseModel,
    data: path(preferenceFile(dataDir, name)),
    eval_data: path(validationFile(dataDir, name)),
    steps: steps[name],
    batch_size: batch,
    learning_rate: learningRate,
  };
}

/** The warm-up, and DPO proper, which simply goes on from it (CGPO, 2409.20370, section 6.1). */
export function dpoRecipe(name: "warmup" | "dpo", context: RecipeContext): Recipe {
  const { baseModel, settings } = context;
  const { batch, learningRate, beta, warmupSteps, steps } = settings.dpo;
  return {
    ...common(context),
    output_dir: path(name),
    policy: name === "warmup" ? baseModel : path(finalModel("warmup")),
    reference: baseModel,
    steps: name === "warmup" ? warmupSteps : steps,
    learning_rate: learningRate,
    warmup_steps: 5,
    tasks: [
      {
        name: "preferences",
        prompts: path(preferenceFile(dataDir, "unified")),
        optimizer: { name: "dpo", beta, batch_prompts: batch },
      },
    ],
  };
}

export function onlineRecipe(run: OnlineRun, context: RecipeContext): Recipe {
  const { settings } = context;
  return {
    ...common(context),
    output_dir: path(run),
    policy: path(finalModel("warmup")),
    steps: settings.online.steps,
    learning_rate: settings.online.learningRate[optimizerOf(run)],
    lr_scheduler_type: "linear",
    warmup_steps: 5,
    tasks: taskNames.map((name) => ({
      name,
      prompts: path(promptFile(dataDir, name)),
      reward: {
        model: path(finalModel(rewardModelDir(rewardOf(run) === "unified" ? "unified" : tasks[name].reward))),
      },
      judges: judgedRuns.includes(run) ? tasks[name].judges : [],
      ...(run === "ppo_gated" && { judge_gate: {} }),
      optimizer: { ...optimizer(run, tasks[name], settings), ...sampling(name, settings) },
    })),
  };
}

const optimizerOf = (run: OnlineRun) =>
  run === "ppo_gated" ? "ppo" : run === "crpg_unjudged" ? "crpg" : run;

function optimizer(run: OnlineRun, { klMax }: TaskDefinition, { online: { ppo, codpo } }: Settings): Recipe {
  const name = optimizerOf(run);
  switch (name) {
    case "ppo":
      return {
        name,
        kl_coef: ppo.klCoefficient,
        ppo_epochs: ppo.epochs,
        mini_batches: ppo.miniBatches,
        critic_learning_rate: ppo.criticLearningRate,
      };
    case "codpo":
      return { name, ...codpo };
    default:
      return { name, kl_max: klMax };
  }
}
