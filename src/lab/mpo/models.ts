// Who plays the reward model and the meta reward model: a scripted server on this machine, or a real language model at an
// OpenAI-compatible endpoint (options baseUrl, model, apiKeyEnv).

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../../base/atomic.js";
import { UserError } from "../../base/errors.js";
import { openServer } from "../../llm/models.js";
import { RubricReward } from "../../mpo/rubric-reward.js";
import { startScriptedServer } from "../../mpo/scripted/server.js";
import { initialRubric, rewardOptions } from "../../mpo/task.js";
import type { Endpoint } from "./recipes.js";
import { writingReviewer } from "./reviewer.js";
import { type Wording, writingTask } from "./writing-task.js";

export interface OpenedModels {
  endpoint: Endpoint;
  /** Scripted models need rubrics that a program can execute. */
  wording: Wording;
  close(): Promise<void>;
}

export async function openModels(
  dir: string,
  { baseUrl, model, apiKeyEnv }: Readonly<Record<string, string | undefined>>,
): Promise<OpenedModels> {
  if (baseUrl === undefined) {
    if (model !== undefined) throw new UserError("--model goes with --base-url, the address of its endpoint");
    return await openScripted(dir);
  }
  if (model === undefined)
    throw new UserError("--base-url needs --model, the name of a model at that endpoint");
  const endpoint = { baseUrl, apiKeyEnv, rewardModel: model, metaRewardModel: model };
  return { endpoint, wording: "plain", close: async () => {} };
}

/** Keeps the port of an interrupted seed: the address stands in the recipes of its runs. */
async function openScripted(dir: string): Promise<OpenedModels> {
  const file = join(dir, "port");
  const known = existsSync(file) ? Number(await readFile(file, "utf8")) : 0;
  const server = await startScriptedServer({ port: known, reviewer: writingReviewer }).catch(
    (error: NodeJS.ErrnoException) => {
      throw error.code === "EADDRINUSE"
        ? new UserError(
            `port ${known}, which this seed's scripted models had, is taken; free it or choose another --out`,
          )
        : error;
    },
  );
  await writeFileAtomic(file, new URL(server.baseUrl).port);
  const endpoint = {
    baseUrl: server.baseUrl,
    rewardModel: "rm",
    metaRewardModel: "mrm",
  };
  return { endpoint, wording: "scripted", close: server.close };
}

/** Scores by the flawed rubric: the proxy that all policies are measured by. A score that could not be had is NaN. */
export function flawedProxy({ endpoint, wording }: OpenedModels) {
  const task = writingTask("flawed", wording);
  const rubric = initialRubric(task);
  const { baseUrl, apiKeyEnv, rewardModel: model } = endpoint;
  const reward = new RubricReward({
    ...rewardOptions(task),
    client: openServer({ baseUrl, apiKeyEnv, model, concurrency: 16 }),
    model,
  });
  return async (samples: readonly { prompt: string; response: string }[]): Promise<number[]> => {
    const scores = await reward.scoreAll(
      samples.map((sample) => ({ promptId: sample.prompt, ...sample })),
      rubric,
    );
    return scores.map((score) => (score.status === "scored" ? score.reward : Number.NaN));
  };
}
