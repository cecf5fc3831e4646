// The recipes of one seed, as a user would write them.

import { join } from "node:path";
import { baseModelDir } from "../quickstart.js";
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
  /** Directory of the seed. */
  dir: string;
  seed: number;
  threads: number;
  settings: Settings;
}

export const dataDir = (dir: string): string => join(dir, "data");
export const rewardModelDir = (dir: string, name: RewardName): string => join(dir, "reward-models", name);
/** Where a reward model or a policy is saved in the directory of its run. */
export const finalModel = (runDir: string): string => join(runDir, "final");

const common = ({ seed, threads }: RecipeContext): Recipe => ({
  seed,
  engine: { kind: "local", threads },
  save_steps: 20,
  save_total_limit: 1,
});

export function rewardRecipe(name: RewardName, context: RecipeContext): Recipe {
  const { dir, settings } = context;
  const { batch, learningRate, steps } = settings.rewardModels;
  return {
    ...common(context),
    output_dir: rewardModelDir(dir, name),
    model: baseModelDir,
    data: preferenceFile(dataDir(dir), name),
    eval_data: validationFile(dataDir(dir), name),
    steps: steps[name],
    batch_size: batch,
    learning_rate: learningRate,
  };
}

/** The warm-up, and DPO proper, which simply goes on from it (cgpo.md, section 6). */
export function dpoRecipe(name: "warmup" | "dpo", context: RecipeContext): Recipe {
  const { dir, settings } = context;
  const { batch, learningRate, beta, warmupSteps, steps } = settings.dpo;
  return {
    ...common(context),
    output_dir: join(dir, name),
    policy: name === "warmup" ? baseModelDir : finalModel(join(dir, "warmup")),
    reference: baseModelDir,
    steps: name === "warmup" ? warmupSteps : steps,
    learning_rate: learningRate,
    warmup_steps: 5,
    tasks: [
      {
        name: "preferences",
        prompts: preferenceFile(dataDir(dir), "unified"),
        optimizer: { name: "dpo", beta, batch_prompts: batch },
      },
    ],
  };
}

export function onlineRecipe(run: OnlineRun, context: RecipeContext): Recipe {
  const { dir, settings } = context;
  return {
    ...common(context),
    output_dir: join(dir, run),
    policy: finalModel(join(dir, "warmup")),
    steps: settings.online.steps,
    learning_rate: run.startsWith("ppo") ? settings.online.ppo.learningRate : settings.online.learningRate,
    warmup_steps: 5,
    tasks: taskNames.map((name) => ({
      name,
      prompts: promptFile(dataDir(dir), name),
      reward: {
        model: finalModel(rewardModelDir(dir, rewardOf(run) === "unified" ? "unified" : tasks[name].reward)),
      },
      judges: judgedRuns.includes(run) ? tasks[name].judges : [],
      ...(run === "ppo_gated" && { judge_gate: {} }),
      optimizer: { ...optimizer(run, tasks[name], settings), ...sampling(name, settings) },
    })),
  };
}

function optimizer(run: OnlineRun, { klMax }: TaskDefinition, { online: { ppo, codpo } }: Settings): Recipe {
  switch (run) {
    case "ppo":
    case "ppo_gated":
      return {
        name: "ppo",
        kl_coef: ppo.klCoefficient,
        ppo_epochs: ppo.epochs,
        critic_learning_rate: ppo.criticLearningRate,
      };
    case "crpg":
    case "crpg_unjudged":
      return { name: "crpg", kl_max: klMax };
    case "crraft":
      return { name: "crraft", kl_max: klMax };
    case "codpo":
      return { name: "codpo", ...codpo };
  }
}
