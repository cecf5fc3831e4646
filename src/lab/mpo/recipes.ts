// The recipes of the runs, as a user would write them: the same but for the rubric, its rounds and the optimizer.

import { join } from "node:path";
import { baseModelDir } from "../quickstart.js";
import { definitions, type RunName, type Settings } from "./protocol.js";

/** Where the reward model and the meta reward model are reached, and what they are called there. */
export interface Endpoint {
  baseUrl: string;
  /** Environment variable that holds the key; scripted models need none. */
  apiKeyEnv?: string | undefined;
  rewardModel: string;
  metaRewardModel: string;
}

export interface RecipeContext {
  dir: string;
  seed: number;
  threads: number;
  settings: Settings;
  endpoint: Endpoint;
}

export const taskName = "writing";
export const dataDir = (dir: string) => join(dir, "data");
export const runDir = (dir: string, run: RunName) => join(dir, "runs", run);
export const taskFile = (dir: string, rubric: "flawed" | "expert") => join(dir, `${rubric}-rubric.yaml`);
export const rubricsDir = (dir: string, run: RunName) => join(runDir(dir, run), "rubrics", taskName);
export const metaLog = (dir: string, run: RunName) =>
  join(runDir(dir, run), "llm", "meta-reward-model.jsonl");

export function runRecipe(run: RunName, context: RecipeContext): Record<string, unknown> {
  const { dir, seed, threads, settings, endpoint } = context;
  const { optimizer, rubric, rounds } = definitions[run];
  const sampling = {
    batch_prompts: settings.batchPrompts,
    generations: settings.generations,
    max_new_tokens: settings.maxNewTokens,
  };
  const optimizers = {
    ppo: {
      name: "ppo",
      ...sampling,
      kl_coef: settings.ppo.klCoefficient,
      ppo_epochs: settings.ppo.epochs,
      critic_learning_rate: settings.ppo.criticLearningRate,
    },
    crpg: { name: "crpg", ...sampling, kl_max: settings.crpg.klMax },
  };
  const model = (name: string) => ({
    model: name,
    base_url: endpoint.baseUrl,
    ...(endpoint.apiKeyEnv !== undefined && { api_key_env: endpoint.apiKeyEnv }),
    concurrency: 16,
  });
  return {
    seed,
    output_dir: runDir(dir, run),
    engine: { kind: "local", device: "cpu", threads },
    policy: baseModelDir,
    steps: settings.steps,
    learning_rate: settings[optimizer].learningRate,
    warmup_steps: 5,
    save_steps: 0,
    tasks: [
      {
        name: taskName,
        // What fails is counted in the report.
        max_failed_rate: 1,
        prompts: join(dataDir(dir), "prompts", "writing.jsonl"),
        missing_eos_penalty: settings[optimizer].missingEosPenalty,
        reward: {
          rubric: taskFile(dir, rubric),
          judge_model: "reward-model",
          scale: optimizer === "ppo" ? "raw" : "normalised",
          ...(rounds !== "none" && {
            meta: {
              model: "meta-reward-model",
              interval: rounds === "once" ? "once" : settings.mpo.interval,
              samples: settings.mpo.samples,
            },
          }),
        },
        optimizer: optimizers[optimizer],
      },
    ],
    llm: {
      "reward-model": model(endpoint.rewardModel),
      "meta-reward-model": model(endpoint.metaRewardModel),
    },
  };
}
