// Every optimizer of align: that it runs, that it learns, and that a run of it can be killed and resumed.

import { rm } from "node:fs/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { runAlign } from "../src/train/align.js";
import { silent } from "../src/train/context.js";
import { type MetricsRow, type Rollout, readJsonl } from "../src/train/metrics.js";
import { parseRecipe } from "../src/train/recipe.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
beforeAll(async () => {
  shop = await openWorkshop();
});
beforeEach(() => rm(shop.path("run"), { recursive: true, force: true }));
afterAll(() => shop.remove());

interface Outcome {
  metrics: MetricsRow[];
  rollouts: Rollout[];
}

const shortWords = [{ kind: "length", max_words: 4 }];

const task = (name: string, changes: object = {}) => ({
  name,
  // Preferences are prompts too.
  prompts: shop.data("preferences.jsonl"),
  reward: { model: shop.reward },
  judges: shortWords,
  ...changes,
});

async function align(tasks: object[], changes: object = {}): Promise<Outcome> {
  const dir = shop.path("run");
  await rm(dir, { recursive: true, force: true });
  const recipe = {
    output_dir: dir,
    policy: shop.policy,
    steps: 2,
    learning_rate: 0.01,
    warmup_steps: 0,
    tasks,
    ...changes,
  };
  await runAlign(parseRecipe("align", stringify(recipe), shop.path("recipe.yaml")), {
    reporter: silent,
    resume: false,
  });
  return {
    metrics: await readJsonl(`${dir}/metrics.jsonl`),
    rollouts: await readJsonl(`${dir}/rollouts.jsonl`),
  };
}

const number = (row: MetricsRow | undefined, key: string): number => row![key] as number;

describe("one recipe", () => {
  const optimizers = "crpg crraft codpo ppo grpo rloo reinforce raft dpo online_dpo".split(" ");

  it.each(optimizers)("runs with %s by its name alone", async (name) => {
    const sampling = name === "dpo" ? {} : { max_new_tokens: 6 };
    const { metrics, rollouts } = await align([
      task("writing", { optimizer: { name, batch_prompts: 4, ...sampling } }),
    ]);
    expect(metrics).toHaveLength(2);
    for (const row of metrics) {
      expect(number(row, "grad_norm")).toBeGreaterThan(0);
      expect(Number.isFinite(number(row, "tasks/writing/loss"))).toBe(true);
    }
    expect(rollouts.length > 0).toBe(name !== "dpo");
    // What the first step learned moves the policy away from the reference.
    if (name !== "dpo") expect(Math.abs(number(metrics[1], "kl"))).toBeGreaterThan(1e-5);
  });
});
