// Alignment from parts that no recipe made: an engine in memory, a reward and judges that are functions. The task is the
// six-armed bandit of the theory, one token a response, so that every optimizer's goal is known in closed form.

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createMixture } from "../src/judges/mixture.js";
import { type Judge, satisfied, violated } from "../src/judges/verdict.js";
import { type Objective, weightedLogprobLoss } from "../src/objectives/index.js";
import { counting, number } from "../src/recipe/fields.js";
import { defineOptimizer, type OptimizerRecipe, objectiveOf, optimizers } from "../src/recipe/optimizers.js";
import { parseRecipe, tasksOf } from "../src/recipe/recipe.js";
import { silent } from "../src/run/context.js";
import { type MetricsRow, readJsonl } from "../src/run/metrics.js";
import { runAlign } from "../src/train/align/align.js";
import type { AlignParts, SamplingTask, TaskParts } from "../src/train/align/parts.js";
import { rewardFrom } from "../src/train/rewards/fixed.js";
import type { Codec } from "../src/train/text.js";
import { BigramModel, TokenValues } from "./support/bigram.js";

const rCalib = [0.9, 0.6, 0.5, 0.3, 0.95, 0.7];
const feasible = [true, true, true, true, false, false];
const reference = [0.12, 0.2, 0.162, 0.1, 0.25, 0.168];
const arms = ["a", "b", "c", "d", "e", "f"];

/** Token 0 is the prompt, token i + 1 is arm i and ends the response. */
const codec: Codec = {
  prompt: () => [0],
  sequence: (_, completion) => ({ tokens: [0, arms.indexOf(completion as string) + 1], promptLength: 1 }),
  decode: (tokens) => arms[tokens[0]! - 1]!,
  stopIds: [1, 2, 3, 4, 5, 6],
};

/** r_pair with r_pair(s, abar) = 0, so that R_calib is as given. */
const reward = rewardFrom((responses) =>
  responses.map(({ text }) => {
    const r = rCalib[arms.indexOf(text)]!;
    return Math.log(r / (1 - r));
  }),
);

const judge: Judge = {
  name: "feasible",
  version: "1",
  kind: "rule",
  applies: () => true,
  judge: ({ response }) => (feasible[arms.indexOf(response)] ? satisfied("is feasible") : violated("is not")),
};

const prompts = [{ id: "only", prompt: "s", metadata: { response: "c" } }];

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "touchstone-parts-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** The policy as it starts: pi_ref over the arms, after the prompt. */
function startPolicy(): BigramModel {
  const vocabulary = arms.length + 1;
  const weights = new Float64Array(vocabulary ** 2).fill(-40);
  reference.forEach((p, a) => void (weights[a + 1] = Math.log(p)));
  return new BigramModel(weights, codec.stopIds);
}

const policyOf = (model: BigramModel) => model.distribution(0).slice(1);

async function partsOf(task: TaskParts): Promise<AlignParts & { policy: BigramModel }> {
  const policy = startPolicy();
  const critic = { model: new TokenValues(policy.vocabulary), learningRate: 0.05 };
  const isPpo = "objective" in task && "critic" in task.objective;
  return { policy, reference: await policy.snapshot(), codec, tasks: [task], ...(isPpo && { critic }) };
}

const banditTask = (objective: SamplingTask["objective"], generations = 64): SamplingTask => ({
  name: "bandit",
  prompts,
  reward,
  judges: createMixture([{ judge, onFailed: "drop", maxFailedRate: 1 }]),
  objective,
  limits: { batchPrompts: 1, generations, maxNewTokens: 1 },
});

interface Run {
  /** pi(arm) at the end. */
  policy: number[];
  metrics: MetricsRow[];
  outputDir: string;
}

async function run(task: TaskParts, name: string, steps: number, learningRate: number): Promise<Run> {
  const parts = await partsOf(task);
  const outputDir = join(root, name);
  const settings = {
    outputDir,
    steps,
    learningRate,
    warmupSteps: 0,
    lrSchedulerType: "linear",
    saveSteps: 0,
  } as const;
  await runAlign(parts, settings, { reporter: silent, resume: false });
  return {
    policy: policyOf(parts.policy),
    metrics: await readJsonl(join(outputDir, "metrics.jsonl")),
    outputDir,
  };
}

const objective = (name: string, options: object = {}): Objective =>
  objectiveOf({
    name,
    klMax: 1,
    fallbackWeight: 0.5,
    fallbackKlTest: false,
    baseline: "batch",
    lengthNormalization: "constant",
    maxNewTokens: 1,
    klCoef: 0.05,
    beta: 0.1,
    lambda: 1,
    clipRange: 0.2,
    iterations: 1,
    scaleRewards: "group",
    ...options,
  } as never as OptimizerRecipe)!;

/** pi*(a) = pi_ref(a) exp(KLmax (1 - c / R_calib(a))) on the feasible arms, with c >= 0 such that it sums to 1. */
function fixedPoint(klMax: number): number[] {
  const at = (c: number) =>
    reference.map((p, a) => (feasible[a] ? p * Math.exp(klMax * (1 - c / rCalib[a]!)) : 0));
  let [low, high] = [0, 10];
  for (let i = 0; i < 200; i++) {
    const c = (low + high) / 2;
    if (at(c).reduce((x, y) => x + y, 0) > 1) low = c;
    else high = c;
  }
  return at((low + high) / 2);
}

describe("an engine in memory", () => {
  it("CRPG reaches the closed form of the bandit (CGPO, equation 12 at its fixed point)", async () => {
    const { policy } = await run(banditTask(objective("crpg", { klMax: 1 }), 256), "closed-form", 300, 0.1);
    const expected = fixedPoint(1);
    policy.forEach((p, a) => void expect(Math.abs(p - expected[a]!), `arm ${arms[a]}`).toBeLessThan(0.03));
  });

  it.each(["crraft", "codpo"])("%s leaves the infeasible arms", async (name) => {
    const { policy } = await run(banditTask(objective(name, { klMax: 2 })), name, 60, 0.1);
    expect(policy[4]! + policy[5]!).toBeLessThan(0.15);
  });

  it.each(["raft", "reinforce", "rloo", "grpo", "online_dpo"])(
    "%s, which sees no judge, goes for the best arm",
    async (name) => {
      const { policy } = await run(banditTask(objective(name)), name, 60, 0.1);
      expect(policy[4]!).toBeGreaterThan(0.5);
    },
  );

  it("ppo learns with a critic of the same contract", async () => {
    const critic = { klCoef: 0.01, clipRange: 0.2, valueClipRange: 5, gamma: 1, gaeLambda: 1 };
    const ppo = { name: "ppo", critic: { ...critic, ppoEpochs: 2, miniBatches: 1, whitenRewards: false } };
    const { policy, metrics } = await run(banditTask(ppo), "ppo", 60, 0.1);
    expect(policy[4]!).toBeGreaterThan(0.5);
    expect(metrics.at(-1)!.critic_grad_norm).toBeGreaterThan(0);
  });

  it("dpo learns from pairs", async () => {
    const pair = { id: "pair", prompt: "s", chosen: "d", rejected: "e", metadata: {} };
    const task = { name: "pairs", pairs: [pair], beta: 0.1, batchPairs: 1, maxLength: 8 };
    const { policy } = await run(task, "dpo", 60, 0.1);
    expect(policy[3]!).toBeGreaterThan(0.5);
  });

  it("is killed after a checkpoint, goes on, and ends with the same bytes", async () => {
    const task = () => banditTask(objective("crpg"), 16);
    const settings = { steps: 8, learningRate: 0.1, saveSteps: 3, outputDir: join(root, "whole") };
    const watched = { reporter: silent, observe: async () => ({}) };
    await runAlign(await partsOf(task()), settings, { ...watched, resume: false });
    const again = { ...settings, outputDir: join(root, "halves") };
    const observe = (step: number) =>
      step === 5 ? Promise.reject(new Error("killed")) : Promise.resolve({});
    const dies = { ...watched, observe, resume: false };
    await expect(runAlign(await partsOf(task()), again, dies)).rejects.toThrow("killed");
    await runAlign(await partsOf(task()), again, { ...watched, resume: true });
    for (const file of ["metrics.jsonl", "rollouts.jsonl", "final/table.json"])
      expect(await readFile(join(again.outputDir, file))).toEqual(
        await readFile(join(settings.outputDir, file)),
      );
  });

  it("takes an objective of one's own", async () => {
    // Likes feasible responses, whatever their reward.
    const own: Objective = {
      name: "feasible_only",
      gradient({ logprobs, verdicts }) {
        const advantages = verdicts.map((verdict) => Number(verdict === "satisfied") - 0.5);
        const loss = weightedLogprobLoss(
          logprobs,
          advantages.map((a) => -a / logprobs.length),
        );
        const findings = advantages.map((advantage) => ({
          advantage,
          calibratedReward: null,
          dropped: null,
        }));
        return { ...loss, findings, metrics: { samples: logprobs.length } };
      },
    };
    const { policy } = await run(banditTask(own), "own", 60, 0.1);
    expect(policy[4]! + policy[5]!).toBeLessThan(0.1);
  });

  it("takes an optimizer of one's own into recipes by one row", async () => {
    defineOptimizer("keep_best", {
      schema: {
        generations: counting().default(4),
        batch_prompts: counting().default(2),
        max_new_tokens: counting().default(1),
        sharpness: number({ above: 0 }).default(2),
      },
      needsReward: true,
      learns: (batch, { sharpness }) => {
        const coefficients = Array.from(batch.rewards, (r) => (-sharpness * r) / batch.logprobs.length);
        const findings = coefficients.map((c) => ({ advantage: -c, calibratedReward: null, dropped: null }));
        return {
          ...weightedLogprobLoss(batch.logprobs, coefficients),
          findings,
          metrics: { samples: coefficients.length },
        };
      },
    });
    try {
      const yaml = (optimizer: string) =>
        `output_dir: out\npolicy: p\nsteps: 1\ntasks:\n  - { name: t, prompts: d, reward: { model: m }, optimizer: ${optimizer} }\n`;
      const [task] = tasksOf(parseRecipe("align", yaml("keep_best"), "recipe.yaml"));
      const options = task!.optimizer;
      expect(options).toEqual({
        name: "keep_best",
        generations: 4,
        batchPrompts: 2,
        maxNewTokens: 1,
        sharpness: 2,
      });
      expect(() => parseRecipe("align", yaml("{ name: keep_best, sharpnes: 3 }"), "recipe.yaml")).toThrow(
        /sharpnes is not a known key \(did you mean "sharpness"\?\)/,
      );
      const { policy } = await run(banditTask(objectiveOf(options)!), "row", 60, 0.1);
      expect(policy[4]!).toBeGreaterThan(0.5);
    } finally {
      delete optimizers.keep_best;
    }
  });
});
