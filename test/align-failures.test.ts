// A run never trains on nothing: what fails on too many samples ends it at a checkpoint with the reason, before anything is
// learned from what is left.

import { existsSync } from "node:fs";
import { copyFile, readdir, rm, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { parseRecipe } from "../src/recipe/recipe.js";
import { silent } from "../src/run/context.js";
import { type MetricsRow, readJsonl } from "../src/run/metrics.js";
import { runAlignRecipe } from "../src/train/align/stages.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
beforeAll(async () => {
  shop = await openWorkshop();
  const judge = (body: string) => `let asked = 0;\nexport default () => { asked++; ${body} };\n`;
  await writeFile(shop.path("broken.mjs"), judge('throw new Error("the database is away")'));
  // Two steps of 8 samples are judged, then it breaks.
  await writeFile(
    shop.path("breaks.mjs"),
    `import { existsSync } from "node:fs";\n${judge(
      `if (asked > 16 && !existsSync(${JSON.stringify(shop.path("mended"))})) throw new Error("quota used up");
      return { verdict: "satisfied", reason: "fine" };`,
    )}`,
  );
  await writeFile(
    shop.path("rarely.mjs"),
    judge(
      'if (asked % 8 === 0) throw new Error("a hiccup"); return { verdict: "satisfied", reason: "fine" }',
    ),
  );
});
afterAll(() => shop.remove());

async function align(
  task: object,
  {
    resume = false,
    preflight = false,
    ...changes
  }: { resume?: boolean; preflight?: boolean; [key: string]: unknown } = {},
) {
  const dir = shop.path("run");
  if (!resume) await rm(dir, { recursive: true, force: true });
  const recipe = {
    output_dir: dir,
    engine: { threads: 1 },
    policy: shop.policy,
    steps: 4,
    learning_rate: 0.01,
    save_steps: 0,
    tasks: [
      {
        name: "writing",
        prompts: shop.data("prompts/writing.jsonl"),
        reward: { model: shop.reward },
        baseline_response: "reference",
        optimizer: { name: "reinforce", generations: 4, batch_prompts: 2, max_new_tokens: 6 },
        ...task,
      },
    ],
    ...changes,
  };
  const notes: string[] = [];
  await runAlignRecipe(parseRecipe("align", stringify(recipe), shop.path("recipe.yaml")), {
    reporter: { ...silent, note: (line) => notes.push(line) },
    resume,
    preflight,
  });
  return { notes, metrics: await readJsonl<MetricsRow>(shop.path("run", "metrics.jsonl")) };
}

const checkpoints = () => readdir(shop.path("run", "checkpoints")).catch(() => []);
const module = (name: string) => [{ module: shop.path(name), name: "house" }];

describe("a run that cannot judge or reward", () => {
  it("ends before the first update when a judge always fails", async () => {
    await expect(align({ judges: module("broken.mjs") })).rejects.toThrow(
      "task writing: judge house could not judge 100 % of the samples (max_failed_rate is 0.2): the database is away; nothing was trained",
    );
    expect(await checkpoints()).toEqual([]);
    expect(await readJsonl(shop.path("run", "rollouts.jsonl"))).toEqual([]);
  });

  it("ends at a checkpoint when a judge begins to fail, and goes on from there", async () => {
    const judges = module("breaks.mjs");
    await expect(align({ judges })).rejects.toThrow(
      /judge house could not judge 100 % .*: quota used up; the run ended at a checkpoint after step 2 of 4; mend it and continue with --resume$/,
    );
    expect(await checkpoints()).toContain("step-2");
    await writeFile(shop.path("mended"), "");
    const { metrics } = await align({ judges }, { resume: true });
    expect(metrics.map(({ step }) => step)).toEqual([1, 2, 3, 4]);
  });

  it("ends when the rewards cannot be had", async () => {
    const rubric = { rubric: "essay", judge_model: "down" };
    const llm = { down: { model: "m", base_url: "http://127.0.0.1:9/v1", max_retries: 0 } };
    await expect(align({ reward: rubric }, { llm })).rejects.toThrow(
      /^task writing: 100 % of the samples had to be dropped \(max_failed_rate is 0\.2\): reward: .+; nothing was trained$/,
    );
  });

  it("counts what fails now and then, and says it on the progress line", async () => {
    const { metrics } = await align({ judges: module("rarely.mjs") });
    for (const row of metrics) {
      expect(row["tasks/writing/dropped_rate"]).toBe(1 / 8);
      expect(row["tasks/writing/dropped_reason"]).toBe("judge house: a hiccup");
    }
  });

  it("has no rate where there are no verdicts", async () => {
    const { metrics } = await align({
      judges: module("broken.mjs"),
      max_failed_rate: 1,
      optimizer: { name: "reinforce", generations: 4, batch_prompts: 2, max_new_tokens: 6 },
    }).catch(async (error: Error) => {
      expect(error.message).toMatch(
        /^no step learned anything: in none of 4 did a sample enter the gradient \(task writing: all 8 samples failed \(judge house: the database is away\)\)/,
      );
      return { metrics: await readJsonl<MetricsRow>(shop.path("run", "metrics.jsonl")) };
    });
    expect(metrics).toHaveLength(4);
    for (const row of metrics)
      expect(row).toMatchObject({
        "constraints/satisfied_rate": null,
        "tasks/writing/constraints/house/violation_rate": null,
        "tasks/writing/judges/house/failed_rate": 1,
      });
  });

  it("names the steps that learned nothing", async () => {
    // Equal rewards within a group teach GRPO nothing; every second step has them.
    await writeFile(
      shop.path("sometimes.mjs"),
      `let asked = 0;
      export default () => {
        const step = Math.floor(asked++ / 8);
        return { verdict: step % 2 === 0 || asked % 2 === 0 ? "satisfied" : "violated", reason: "by turns" };
      };\n`,
    );
    const { notes } = await align({
      reward: undefined,
      judges: [{ module: shop.path("sometimes.mjs"), name: "turns" }],
      judge_gate: { calibrated: false, violated_reward: -1 },
      optimizer: { name: "grpo", generations: 4, batch_prompts: 2, max_new_tokens: 6 },
    });
    expect(notes.at(-1)).toBe(
      "2 of 4 steps learned nothing (1, 3): task writing: all 8 samples have advantage 0, for their rewards are alike",
    );
  });
});

describe("before the first step", () => {
  const preflight = true;

  it("every judge, reward and model is tried, and all that fail are named", async () => {
    const llm = { down: { model: "m", base_url: "http://127.0.0.1:9/v1", max_retries: 0 } };
    const reward = {
      rubric: "essay",
      judge_model: "down",
      meta: { model: "down", interval: 1, mode: "breadth" },
    };
    const judges = [...module("broken.mjs"), { kind: "safety", model: "down", name: "safe" }];
    const tried = align({ reward, judges }, { preflight, llm });
    await expect(tried).rejects.toThrow(
      /^tried before the first step and failed: task writing: judge house: the database is away; task writing: judge safe: .*no answer from the server.*; task writing: reward: .*no answer from the server.*; llm down: .*no answer from the server.*; nothing was trained$/,
    );
    // The directory is as it was: there is none.
    expect(existsSync(shop.path("run"))).toBe(false);
  });

  it("a judge that applies to nothing is said, and a judge that fails on one row only is no reason to stop", async () => {
    const judges = [
      { module: shop.path("rarely.mjs"), name: "often" },
      { kind: "length", max_words: 4, applies_to: { topic: "nowhere" } },
    ];
    const { notes } = await align({ judges }, { preflight, steps: 1 });
    expect(notes).toContain("task writing: judge length: applies to none of the prompts");
  });

  it("nothing is learned from a trial: the run is the same with it and without", async () => {
    const judges = [{ kind: "length", max_words: 4 }];
    const [without, tried] = [
      await align({ judges }, { steps: 2 }),
      await align({ judges }, { steps: 2, preflight }),
    ];
    expect(tried.metrics).toEqual(without.metrics);
  });

  it("a run that goes on is not tried again", async () => {
    await rm(shop.path("mended"), { force: true });
    // A module by another name has asked nobody yet.
    await copyFile(shop.path("breaks.mjs"), shop.path("breaks-again.mjs"));
    const judges = module("breaks-again.mjs");
    await expect(align({ judges }, { preflight })).rejects.toThrow(
      "quota used up; the run ended at a checkpoint",
    );
    await expect(align({ judges }, { preflight, resume: true })).rejects.toThrow(
      "quota used up; the run ended at",
    );
  });

  it("is let alone where everything may fail (max_failed_rate: 1)", async () => {
    const task = { judges: module("broken.mjs"), max_failed_rate: 1 };
    await expect(align(task, { preflight, steps: 1 })).rejects.toThrow("no step learned anything");
  });
});
