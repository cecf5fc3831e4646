// One step of align as a whole: what each task adds to the shared step, and what must not change it.

import { rm } from "node:fs/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { openWorkshop, type Workshop } from "../../../test/support/workshop.js";
import { parseRecipe } from "../../recipe/recipe.js";
import { silent } from "../../run/context.js";
import { type MetricsRow, type Rollout, readJsonl } from "../../run/metrics.js";
import { runAlignRecipe } from "./stages.js";

let shop: Workshop;
beforeAll(async () => {
  shop = await openWorkshop();
});
beforeEach(() => rm(shop.path("run"), { recursive: true, force: true }));
afterAll(() => shop.remove());

const task = (name: string, changes: object = {}) => ({
  name,
  prompts: shop.data(`prompts/${name}.jsonl`),
  reward: { warm: shop.reward },
  judges: [{ kind: "length", max_words: 4 }],
  optimizer: { name: "crpg", generations: 3, batch_prompts: 2, max_new_tokens: 6 },
  ...changes,
});

interface Outcome {
  metrics: MetricsRow[];
  rollouts: Rollout[];
}

async function align(tasks: object[], changes: object = {}): Promise<Outcome> {
  const dir = shop.path("run");
  await rm(dir, { recursive: true, force: true });
  const recipe = { output_dir: dir, policy: shop.policy, steps: 2, learning_rate: 0.01, tasks, ...changes };
  await runAlignRecipe(parseRecipe("align", stringify(recipe), shop.path("recipe.yaml")), {
    reporter: silent,
    resume: false,
  });
  return {
    metrics: await readJsonl(`${dir}/metrics.jsonl`),
    rollouts: await readJsonl(`${dir}/rollouts.jsonl`),
  };
}

const number = (row: MetricsRow | undefined, key: string): number => row![key] as number;

describe("runAlignRecipe", () => {
  it("weighs a task's gradient by rho", async () => {
    const once = await align([task("writing")], { steps: 1 });
    const twice = await align([task("writing", { weight: 2 })], { steps: 1 });
    expect(number(once.metrics[0], "grad_norm")).toBeGreaterThan(0);
    expect(number(twice.metrics[0], "grad_norm") / number(once.metrics[0], "grad_norm")).toBeCloseTo(2, 5);
  });

  it("adds up the gradients of its tasks, each with its own samples", async () => {
    const { metrics: alone } = await align([task("writing")], { steps: 1 });
    // The same task under another name draws other samples; next to a task of weight almost 0 it changes nothing.
    const { metrics: beside } = await align([task("writing"), task("arithmetic", { weight: 1e-9 })], {
      steps: 1,
    });
    expect(number(beside[0], "grad_norm")).toBeCloseTo(number(alone[0], "grad_norm"), 6);
    for (const key of Object.keys(alone[0]!).filter((name) => name.startsWith("tasks/writing/")))
      expect(beside[0]![key], key).toBe(alone[0]![key]);
    const { metrics: both } = await align([task("writing"), task("arithmetic")], { steps: 1 });
    expect(Math.abs(number(both[0], "grad_norm") - number(alone[0], "grad_norm"))).toBeGreaterThan(1e-4);
  });

  it("logs the tokens of as many samples of a step as asked for, and changes nothing else", async () => {
    const plain = await align([task("writing")]);
    const logged = await align([task("writing")], { rollouts: { tokens: 2 } });
    expect(logged.metrics).toEqual(plain.metrics);
    const columns = ["token_texts", "token_log_ratios"];
    const withTokens = logged.rollouts.filter((row) => columns.every((column) => column in row));
    expect(withTokens.map(({ step }) => step)).toEqual([1, 1, 2, 2]);
    for (const row of withTokens) {
      const [texts, ratios] = columns.map((column) => row[column] as unknown[]);
      expect([texts!.length, ratios!.length]).toEqual([row.tokens, row.tokens]);
      expect(texts!.join("")).toBe(row.response);
      expect((ratios as number[]).reduce((sum, x) => sum + x, 0)).toBeCloseTo(row.log_ratio!, 4);
    }
    const stripped = logged.rollouts.map(({ token_texts, token_log_ratios, ...row }) => row);
    expect(stripped).toEqual(plain.rollouts);
  });

  it("does not depend on how its batches are cut", async () => {
    const whole = await align([task("writing")]);
    const pieces = await align([task("writing")], { engine: { max_batch_tokens: 64 } });
    expect(pieces.rollouts.map(({ response }) => response)).toEqual(
      whole.rollouts.map(({ response }) => response),
    );
    for (const key of ["grad_norm", "reward", "kl"])
      expect(number(pieces.metrics[1], key)).toBeCloseTo(number(whole.metrics[1], key), 4);
  });

  it("repeats itself for a seed, and differs for another", async () => {
    const first = await align([task("writing")], { seed: 5 });
    expect(await align([task("writing")], { seed: 5 })).toEqual(first);
    expect(await align([task("writing")], { seed: 6 })).not.toEqual(first);
  });

  it("writes every sample with its reward, verdict and log-ratio", async () => {
    const { metrics, rollouts } = await align([
      task("writing", { judges: [{ kind: "length", max_words: 2 }] }),
    ]);
    expect(rollouts).toHaveLength(2 * 2 * 3);
    for (const rollout of rollouts) {
      expect(rollout).toMatchObject({
        task: "writing",
        reward: expect.any(Number),
        tokens: expect.any(Number),
      });
      const { verdict, reason } = rollout.verdicts.length!;
      expect(["satisfied", "violated"]).toContain(verdict);
      expect(reason.length).toBeGreaterThan(0);
    }
    // The policy is the reference at the first step, and no longer at the second.
    const logRatios = (step: number) =>
      rollouts.filter((row) => row.step === step).map((row) => row.log_ratio!);
    for (const ratio of logRatios(1)) expect(ratio).toBeCloseTo(0, 4);
    expect(Math.max(...logRatios(2).map(Math.abs))).toBeGreaterThan(1e-3);
    const rewards = rollouts.filter(({ step }) => step === 1).map(({ reward }) => reward!);
    const mean = rewards.reduce((a, b) => a + b) / rewards.length;
    expect(number(metrics[0], "tasks/writing/rewards/mean")).toBeCloseTo(mean, 6);
  });

  it("skips the optimizer when no task has anything to learn from", async () => {
    // Every response is too short.
    const judges = [{ kind: "length", min_words: 1000 }];
    await expect(align([task("writing", { judges })])).rejects.toThrow(
      /^no step learned anything: in none of 2 did a sample enter the gradient/,
    );
    const metrics = await readJsonl(shop.path("run", "metrics.jsonl"));
    for (const row of metrics)
      expect(row).toMatchObject({ grad_norm: 0, "tasks/writing/constraints/satisfied_rate": 0 });
    expect(number(metrics[1], "kl")).toBeCloseTo(0, 5);
  });
});
