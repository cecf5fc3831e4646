// MPO inside align: a tiny policy, rewarded by a rubric over real HTTP, with the scripted models on the other side.

import { readFile, rm } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { readRounds } from "../src/mpo/history.js";
import { readHistory } from "../src/mpo/rubric-file.js";
import { type ScriptedServer, type ScriptedServerOptions, startScriptedServer } from "../src/mpo/scripted/server.js";
import { runAlign } from "../src/train/align.js";
import { silent } from "../src/train/context.js";
import { type MetricsRow, type Rollout, readJsonl } from "../src/train/metrics.js";
import { parseRecipe } from "../src/train/recipe.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

const level = (points: number, text: string) => ({ points, text });
/** Counts words; a random policy reaches it now and then. */
const rubric = {
  items: [
    { name: "Effort", levels: [level(6, "at least 4 words"), level(5, "at least 3 words"), level(0, "otherwise")] },
  ],
};

let shop: Workshop;
let server: ScriptedServer;
beforeAll(async () => {
  shop = await openWorkshop();
  await shop.recipe("rubric.yaml", rubric);
});
afterAll(() => shop.remove());
beforeEach(async () => {
  await rm(shop.path("run"), { recursive: true, force: true });
  await start();
});
afterEach(() => server.close());

async function start(options: ScriptedServerOptions = {}) {
  await server?.close();
  server = await startScriptedServer(options);
}

const meta = { model: "mrm", interval: 2, samples: 4, refinement: "single-shot", flagged_score_lower: false };

const recipeOf = ({ reward = {}, task = {}, optimizer = {}, ...changes }: Record<string, object | number> = {}) => {
  const endpoint = (model: string) => ({ model, base_url: server.baseUrl, max_retries: 1, retry_seconds: 0 });
  return {
    output_dir: shop.path("run"),
    policy: shop.policy,
    steps: 4,
    learning_rate: 0.01,
    engine: { threads: 1 },
    llm: { rm: endpoint("rm"), mrm: endpoint("mrm") },
    tasks: [
      {
        name: "writing",
        prompts: shop.data("prompts/writing.jsonl"),
        reward: { rubric: shop.path("rubric.yaml"), judge_model: "rm", meta, ...(reward as object) },
        optimizer: { name: "crpg", generations: 3, batch_prompts: 2, max_new_tokens: 10, ...(optimizer as object) },
        ...(task as object),
      },
    ],
    ...changes,
  };
};

async function align(recipe: object, options: { resume?: boolean; replay?: string } = {}) {
  const parsed = parseRecipe("align", stringify(recipe), shop.path("recipe.yaml"));
  await runAlign(parsed, { reporter: silent, resume: false, ...options });
  const dir = parsed.outputDir;
  return {
    dir,
    metrics: await readJsonl<MetricsRow>(`${dir}/metrics.jsonl`),
    rollouts: await readJsonl<Rollout & { rubric: { version: number; failed?: string } }>(`${dir}/rollouts.jsonl`),
    rubrics: `${dir}/rubrics/writing`,
  };
}

describe("smoke", () => {
  it("runs", async () => {
    const { metrics, rollouts, rubrics } = await align(recipeOf());
    console.log(metrics);
    console.log(rollouts.slice(0, 3).map((r) => JSON.stringify(r)));
    console.log(await readRounds(rubrics));
    console.log(await readHistory(rubrics));
    console.log(server.requests.length);
    console.log((await readFile(`${shop.path("run")}/llm/rm.jsonl`, "utf8")).slice(0, 500));
  }, 60_000);
});
