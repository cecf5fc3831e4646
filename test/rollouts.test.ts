// rollouts.jsonl tells the truth: what it says an optimizer made of each sample follows from its other columns, by
// formulas written down here once more, straight from the papers.

import { rm, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { parseRecipe } from "../src/recipe/recipe.js";
import { silent } from "../src/run/context.js";
import { type Rollout, readJsonl } from "../src/run/metrics.js";
import { runAlignRecipe } from "../src/train/align/stages.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

/** A line of rollouts.jsonl whose sample has everything. */
type Sample = Rollout & { reward: number; baseline_reward: number; log_ratio: number };

let shop: Workshop;
beforeAll(async () => {
  shop = await openWorkshop();
  // Some responses pass, some violate, some cannot be judged.
  await writeFile(
    shop.path("judge.mjs"),
    `export default ({ response }) => {
      const n = [...response].reduce((sum, c) => sum + c.codePointAt(0), 0) % 5;
      if (n === 0) throw new Error("no verdict");
      return { verdict: n < 3 ? "satisfied" : "violated", reason: "by its letters" };
    };\n`,
  );
});
afterAll(() => shop.remove());

async function rolloutsOf(optimizer: object, changes: object = {}): Promise<Sample[]> {
  await rm(shop.path("run"), { recursive: true, force: true });
  const recipe = stringify({
    output_dir: shop.path("run"),
    engine: { threads: 1 },
    policy: shop.policy,
    learning_rate: 0.02,
    warmup_steps: 0,
    save_steps: 0,
    steps: 2,
    tasks: [
      {
        name: "letters",
        prompts: shop.data("preferences.jsonl"),
        reward: { model: shop.reward },
        judges: [{ module: shop.path("judge.mjs"), name: "letters" }],
        max_failed_rate: 1,
        optimizer: { generations: 4, batch_prompts: 4, max_new_tokens: 6, ...optimizer },
        ...changes,
      },
    ],
  });
  await runAlignRecipe(parseRecipe("align", recipe, shop.path("recipe.yaml")), {
    reporter: silent,
    resume: false,
  });
  const rows = await readJsonl<Sample>(shop.path("run", "rollouts.jsonl"));
  expect(rows).toHaveLength(32);
  for (const outcome of ["satisfied", "violated", "failed"])
    expect(rows.filter((row) => row.outcome === outcome).length).toBeGreaterThan(0);
  return rows;
}

const sigma = (x: number) => 1 / (1 + Math.exp(-x));
const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const deviation = (values: number[]) =>
  Math.sqrt(values.reduce((sum, x) => sum + (x - mean(values)) ** 2, 0) / (values.length - 1));
const judged = (rows: Sample[]) => rows.filter(({ outcome }) => outcome !== "failed");
const satisfied = (row: Sample) => row.outcome === "satisfied";
const calibrated = (row: Sample) => sigma(row.reward - row.baseline_reward);
/** The samples of a row's prompt among `rows`; in this file a prompt comes up once a step. */
const group = (row: Sample, rows: Sample[]) => rows.filter(({ prompt_id }) => prompt_id === row.prompt_id);
const best = (rows: Sample[], by: (row: Sample) => number): Sample | undefined =>
  rows.reduce<Sample | undefined>(
    (top, row) => (top === undefined || by(row) > by(top) ? row : top),
    undefined,
  );

/** The expected advantage of a judged sample among the judged samples of its step; null: it is dropped. */
type Advantage = (row: Sample, rows: Sample[]) => number | null;

const pushes = (chosen: Sample | undefined, rejected: Sample | undefined, row: Sample, extra: number) => {
  if (!chosen || !rejected || chosen === rejected) return null;
  const push = 0.1 * sigma(-(0.1 * chosen.log_ratio - 0.1 * rejected.log_ratio));
  return row === chosen ? push + extra : row === rejected ? -push : null;
};

const cases: [string, object, Advantage, object?][] = [
  [
    "crpg",
    { kl_max: 2 },
    (row, rows) => {
      const r = (s: Sample) => Math.max(0, 1 - s.log_ratio / 2) * (satisfied(s) ? calibrated(s) : 0);
      return r(row) - mean(rows.map(r));
    },
  ],
  [
    "crpg",
    { kl_max: 2, baseline: "group" },
    (row, rows) => {
      const r = (s: Sample) => Math.max(0, 1 - s.log_ratio / 2) * (satisfied(s) ? calibrated(s) : 0);
      const others = group(row, rows).filter((other) => other !== row);
      return others.length === 0 ? 0 : r(row) - mean(others.map(r));
    },
  ],
  [
    "crraft",
    { kl_max: 5 },
    (row, rows) => {
      const survivors = group(row, rows).filter((s) => satisfied(s) && s.log_ratio <= 5);
      return best(survivors, ({ reward }) => reward) === row ? calibrated(row) : null;
    },
  ],
  [
    "codpo",
    { beta: 0.1, lambda: 0.5 },
    (row, rows) => {
      const own = group(row, rows);
      const bad = own.filter((s) => !satisfied(s));
      const chosen = best(own.filter(satisfied), ({ reward }) => reward);
      const rejected = best(bad.length > 0 ? bad : own, ({ reward }) => -reward);
      return pushes(chosen, rejected, row, 0.5 / row.tokens);
    },
  ],
  [
    "online_dpo",
    { beta: 0.1 },
    (row, rows) => {
      const own = group(row, rows);
      return pushes(
        best(own, ({ reward }) => reward),
        best(own, ({ reward }) => -reward),
        row,
        0,
      );
    },
  ],
  ["raft", {}, (row, rows) => (best(group(row, rows), ({ reward }) => reward) === row ? 1 : null)],
  [
    "reinforce",
    { kl_coef: 0.1 },
    (row, rows) => {
      const z = (s: Sample) => s.reward - 0.1 * s.log_ratio;
      return z(row) - mean(rows.map(z));
    },
  ],
  [
    "rloo",
    { kl_coef: 0.1 },
    (row, rows) => {
      const z = (s: Sample) => s.reward - 0.1 * s.log_ratio;
      const others = group(row, rows).filter((other) => other !== row);
      return others.length === 0 ? 0 : z(row) - mean(others.map(z));
    },
  ],
  [
    "grpo",
    { iterations: 2 },
    (row, rows) => {
      const rewards = group(row, rows).map(({ reward }) => reward);
      return rewards.length < 2 ? 0 : (row.reward - mean(rewards)) / (deviation(rewards) + 1e-4);
    },
  ],
  [
    "grpo",
    {},
    (row, rows) => {
      const gated = (s: Sample) => (satisfied(s) ? calibrated(s) : 0);
      const rewards = group(row, rows).map(gated);
      return rewards.length < 2 ? 0 : (gated(row) - mean(rewards)) / (deviation(rewards) + 1e-4);
    },
    { judge_gate: {} },
  ],
  ["ppo", { kl_coef: 0.1, gamma: 0.9, gae_lambda: 0.8 }, (row, rows) => ppoAdvantages(rows).get(row)!],
];

/** Mean over the tokens of the whitened generalised advantages. */
function ppoAdvantages(rows: Sample[]): Map<Sample, number> {
  const [klCoef, gamma, lambda] = [0.1, 0.9, 0.8];
  const raw = rows.map((row) => {
    const values = row.token_values as number[];
    const ratios = row.token_log_ratios as number[];
    const delta = values.map((value, t) => {
      const last = t === values.length - 1;
      return -klCoef * ratios[t]! + (last ? row.reward : gamma * values[t + 1]!) - value;
    });
    return delta.map((_, t) => delta.slice(t).reduce((sum, d, k) => sum + (gamma * lambda) ** k * d, 0));
  });
  const all = raw.flat();
  const scale = Math.sqrt(deviation(all) ** 2 + 1e-8);
  return new Map(rows.map((row, i) => [row, mean(raw[i]!.map((a) => (a - mean(all)) / scale))]));
}

describe("advantage and calibrated_reward follow from the other columns", () => {
  it.each(cases)("%s %o", async (name, options, advantage, changes) => {
    const rows = await rolloutsOf({ name, ...options }, changes);
    for (const step of [1, 2]) {
      const own = judged(rows.filter((row) => row.step === step));
      for (const row of own) {
        const expected = advantage(row, own);
        if (expected === null) expect([row.advantage, typeof row.dropped]).toEqual([null, "string"]);
        else expect(row.advantage).toBeCloseTo(expected, 4);
        if ("baseline_reward" in row) expect(row.calibrated_reward).toBeCloseTo(calibrated(row), 6);
        else expect(row).not.toHaveProperty("calibrated_reward");
      }
    }
  });

  it("says nothing of samples without a verdict, and why others were dropped", async () => {
    const rows = await rolloutsOf({ name: "crraft", kl_max: 5 });
    for (const row of rows.filter(({ outcome }) => outcome === "failed"))
      expect(row).toMatchObject({
        advantage: null,
        calibrated_reward: null,
        baseline_reward: null,
        dropped: "failed",
      });
    for (const row of rows.filter(({ outcome }) => outcome === "violated"))
      expect(row).toMatchObject({ advantage: null, dropped: "violated" });
  });
});
