import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RandomStream } from "../../base/random.js";
import { renderReport } from "../../dashboard/report.js";
import { reinforce } from "../../objectives/reinforce.js";
import { loadLanguageModel } from "../../train/models.js";
import { pairAccuracy } from "./accuracy.js";
import { warmExperiment } from "./experiment.js";
import type { Findings } from "./findings.js";
import { gold, goldParts } from "./gold.js";
import { exactKl, HiddenStates } from "./hidden-states.js";
import { buildKeysWorld, drawPrompts, promptOf, special, writeAnswer } from "./keys-world.js";
import { languageModelDirs } from "./language.js";
import { flip, type Pair } from "./preferences.js";
import { planSuites, policyRecipe, rewardRecipe } from "./recipes.js";
import type { PolicyResult, WarmResult } from "./seed.js";
import { fullSettings, largeSettings, quickSettings } from "./settings.js";
import { atKl, atPeak, atPlateau, nestedWinRate, wins } from "./win-rates.js";

const world = buildKeysWorld(1, fullSettings.world);
const random = new RandomStream(3, "test");

describe("keys world", () => {
  it("gives every content token four good successors, never itself", () => {
    for (let token = 4; token < 24; token++) {
      expect(new Set(world.successor[token]).size).toBe(4);
      expect(world.successor[token]).not.toContain(token);
    }
  });

  it("draws distinct prompts that nobody else has", () => {
    const taken = new Set<string>();
    const first = drawPrompts(world, 3000, random, taken);
    const second = drawPrompts(world, 3000, random, taken);
    expect(new Set([...first, ...second].map((prompt) => prompt.join(" "))).size).toBe(6000);
  });

  it("lets better authors earn more", () => {
    const prompts = drawPrompts(world, 500, random, new Set());
    const earned = [0.1, 0.5, 0.9].map((s) =>
      prompts.reduce((sum, prompt) => sum + gold(world, prompt, writeAnswer(world, prompt, s, random)), 0),
    );
    expect(earned[0]).toBeLessThan(earned[1]!);
    expect(earned[1]).toBeLessThan(earned[2]!);
  });
});

describe("true reward", () => {
  const prompt = promptOf([4, 5, 6]);
  const [a, b] = [4, world.successor[4]![0]!];

  it("counts keys, their order, grammar, repetition, length and flair", () => {
    expect(goldParts(world, prompt, [6, 4, 5, 24, special.eos])).toMatchObject({
      keys: 3,
      ordered: 1,
      repeated: 0,
      length: 4,
      flair: 1,
    });
    expect(goldParts(world, prompt, [a, b, a, special.eos])).toMatchObject({ repeated: 1, length: 3 });
    expect(goldParts(world, prompt, [a, b]).goodBigrams).toBe(1);
  });

  it("stops paying for length at 12 tokens and for flair at 2", () => {
    const flair = (count: number) => gold(world, prompt, new Array(count).fill(24));
    // Each flair token earns its length, 0.15, and beyond two costs 0.7.
    expect(flair(2) - flair(1)).toBeCloseTo(0.15);
    expect(flair(4) - flair(3)).toBeCloseTo(0.15 - 0.7);
    expect(flair(14) - flair(13)).toBeCloseTo(-0.4 - 0.7);
  });

  it("is out of reach of what trains", () => {
    const importers = readdirSync(import.meta.dirname)
      .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
      .filter((file) => readFileSync(join(import.meta.dirname, file), "utf8").includes('from "./gold.js"'));
    expect(importers.sort()).toEqual(["best-of-n.ts", "policies.ts", "preferences.ts", "seed.ts"]);
  });
});

describe("preferences and members", () => {
  it("flips exactly a quarter and swaps both answers and pools", () => {
    const pairs = Array.from(
      { length: 3000 },
      (_, i): Pair => ({ prompt: [], chosen: [i], rejected: [-i - 1], flipped: false, sources: ["c", "r"] }),
    );
    const flipped = flip(pairs, 0.25, random);
    expect(flipped.filter((pair) => pair.flipped).length).toBe(750);
    flipped.forEach((pair, i) => {
      expect(pair.chosen).toEqual(pair.flipped ? [-i - 1] : [i]);
      expect(pair.sources).toEqual(pair.flipped ? ["r", "c"] : ["c", "r"]);
    });
  });

  it("plans suites that differ where they should", () => {
    const { diverse, same, baklava } = planSuites(["s300", "s450", "s600"], fullSettings.members);
    const { learningRates, dropouts } = fullSettings.members;
    expect(diverse).toMatchObject({ models: ["s600"], runs: 10, learningRates, dropouts, head: "probe" });
    expect(same).toMatchObject({ models: ["s600"], runs: 2, learningRates: [4e-4], dropouts: [0.05] });
    expect(baklava).toMatchObject({ models: ["s300", "s450", "s600"], runs: 6, learningRates, dropouts });
  });

  it("keeps every checkpoint that the moving averages take", () => {
    for (const { members } of [fullSettings, largeSettings, quickSettings]) {
      const suite = planSuites(["sft"], members).diverse;
      const context = { dir: "/out", seed: 1, threads: 1 };
      const recipe = rewardRecipe(suite, { data: "/out/data", out: "/out/diverse" }, members, context);
      for (const step of members.trajectory) expect(step % recipe.save_steps).toBe(0);
      expect(recipe.save_total_limit * recipe.save_steps).toBeGreaterThanOrEqual(members.steps);
    }
  });

  it("counts ties of a pair one half", () => {
    expect(pairAccuracy(Float64Array.of(2, 1, 0, 1, 3, 3, 5, 4))).toBe(2.5 / 4);
  });
});

describe("the recipe of a policy", () => {
  it("has the gradient of the convex penalty on the standardised reward", () => {
    const [alpha, scale] = [0.03, 2.5];
    const plan = { sft: "/sft", models: ["/rm"], alpha, scale, prompts: "/prompts", out: "/out/run" };
    const recipe = policyRecipe(plan, fullSettings.rl, { dir: "/out", seed: 1, threads: 1 });
    const [{ weight, optimizer }] = recipe.tasks as [(typeof recipe.tasks)[0]];
    const rows = (count: number) =>
      Array.from({ length: count }, () => Float32Array.from({ length: 3 }, () => -2 * random.uniform()));
    const rewards = Float64Array.from({ length: 4 }, () => 7 + scale * random.normal());
    const batch = {
      logprobs: rows(4),
      referenceLogprobs: rows(4),
      promptIndex: [0, 1, 2, 3],
      promptCount: 4,
    };
    const ours = reinforce({ ...batch, rewards }, { klCoefficient: optimizer.kl_coef });
    const convex = reinforce(
      { ...batch, rewards: rewards.map((r) => (r - 7) / scale) },
      { klCoefficient: alpha, klForm: "convex" },
    );
    expect(Math.abs(convex.g[0]![0]!)).toBeGreaterThan(1e-3);
    convex.g.forEach((row, i) => {
      row.forEach((x, t) => void expect(weight * ours.g[i]![t]!).toBeCloseTo(x, 5));
    });
  });
});

describe("the larger world", () => {
  it("has a model, arms and averages that its members can fill", () => {
    const { members, averages, main, rl, language } = largeSettings;
    expect(Math.max(...averages)).toBe(members.diverse);
    expect(averages).toContain(main);
    expect((language.hidden / language.heads) % 8).toBe(0);
    for (const { arms } of rl.arms)
      for (const arm of arms) expect(Number(arm.split("-")[1])).toBeLessThanOrEqual(members.diverse);
    const parts = warmExperiment.parts!({ quick: false, options: { world: "large" } });
    expect(parts).toHaveLength(3 + rl.arms[0]!.arms.length);
  });
});

describe("win rates", () => {
  const run = (points: [kl: number, proxy: number, gold: number][]): PolicyResult => ({
    arm: "single-1",
    alpha: 0,
    secondsPerStep: 0,
    points: points.map(([kl, proxy, value], i) => ({
      step: i,
      kl,
      proxy,
      gold: [value],
      length: 0,
      flair: 0,
    })),
  });
  const climb = run([
    [0, 0, 1],
    [2, 0.8, 3],
    [6, 0.99, 2],
    [9, 1, 1],
  ]);

  it("chooses checkpoints by KL, by the proxy's plateau and by the peak", () => {
    expect(atKl(3)(climb).map(({ point, weight }) => [point.step, weight])).toEqual([
      [1, 0.75],
      [2, 0.25],
    ]);
    expect(atKl(20)(climb)).toEqual([]);
    expect(atPlateau(climb)[0]!.point.step).toBe(2);
    expect(atPeak(climb)[0]!.point.step).toBe(1);
  });

  it("counts ties one half and takes the seed as the unit", () => {
    expect(wins([1, 2, 3], [0, 2, 4])).toEqual([1, 0.5, 0]);
    const rate = nestedWinRate([[[1, 1, 1, 1]], [[0, 0, 0, 0]], []])!;
    expect(rate.seeds).toBe(2);
    expect(rate.estimate).toBe(0.5);
    // However many prompts, two seeds that disagree leave everything open.
    expect([rate.low, rate.high]).toEqual([0, 1]);
  });
});

describe("the experiment in miniature", () => {
  const dir = mkdtempSync(join(tmpdir(), "touchstone-warm-"));
  const sharedDir = join(dir, "shared");
  const common = { sharedDir, threads: 1, quick: true, options: {}, log: () => {} };
  const seedDir = (seed: number) => join(dir, `seed-${seed}`);
  let result: WarmResult;

  beforeAll(async () => {
    await warmExperiment.prepare(common);
    result = await warmExperiment.runSeed(1, { ...common, dir: seedDir(1) });
  }, 300_000);
  afterAll(() => rmSync(dir, { recursive: true }));

  it("flips a quarter and averages copies of a member to the member", () => {
    expect(result.accuracy.flippedShare).toBe(0.25);
    expect(result.accuracy.copiesAreIdentical).toBe(true);
  });

  it("ends every path at its members and starts every policy at the SFT model", () => {
    for (const path of Object.values(result.accuracy.paths)) {
      expect(path[0]!.average).toEqual(path[0]!.ensemble);
      expect(path.at(-1)!.average).toEqual(path.at(-1)!.ensemble);
    }
    for (const { points } of result.policies) {
      expect(points[0]!.kl).toBeCloseTo(0, 6);
      expect(points.at(-1)!.kl).toBeGreaterThan(0);
      expect(points[0]!.gold).toEqual(result.policies[0]!.points[0]!.gold);
    }
  });

  it("picks one of n = 1 alike with every selector and more with the true reward", () => {
    const { arms } = result.bestOfN;
    const ceiling = arms.find(({ name }) => name === "true reward")!.gold.at(-1)!;
    for (const arm of arms) {
      expect(arm.gold[0]).toBeCloseTo(arms[0]!.gold[0]!, 9);
      expect(arm.gold.at(-1)).toBeLessThanOrEqual(ceiling + 1e-9);
    }
  });

  it("goes on from finished pieces and gives the same result", async () => {
    const member = join(seedDir(1), "models", "diverse", "member-1", "final", "model.safetensors");
    const { mtimeMs } = statSync(member);
    rmSync(join(seedDir(1), "accuracy.json"));
    const again = await warmExperiment.runSeed(1, { ...common, dir: seedDir(1) });
    expect({ ...again, seconds: 0 }).toEqual({ ...JSON.parse(JSON.stringify(result)), seconds: 0 });
    const { accuracy, ...others } = again.seconds;
    expect(accuracy).not.toBe(result.seconds.accuracy);
    expect(result.seconds).toMatchObject(others);
    expect(statSync(member).mtimeMs).toBe(mtimeMs);
  });

  it("gives the same result from its parts, whatever their order", async () => {
    const context = { ...common, dir: seedDir(1) };
    const parts = warmExperiment.parts!(common);
    expect(parts.filter(({ after }) => !after).map(({ name }) => name)).toEqual(["members"]);
    const later = parts.filter(({ after }) => after).map(({ name }) => name);
    // What a part has made, with the run that it made it from.
    for (const name of later)
      for (const made of [`${name}.json`, name, `${name}-points`])
        rmSync(join(seedDir(1), made), { recursive: true, force: true });
    for (const name of later.toReversed()) await warmExperiment.runPart!(1, name, context);
    const untimed = ({ policies, ...rest }: WarmResult) => ({
      ...rest,
      seconds: 0,
      policies: policies.map((run) => ({ ...run, secondsPerStep: 0 })),
    });
    const again = await warmExperiment.runSeed(1, context);
    expect(untimed(again)).toEqual(untimed(JSON.parse(JSON.stringify(result))));
  }, 120_000);

  it("reads off the language model's own log-probabilities", async () => {
    const sft = languageModelDirs(sharedDir, quickSettings.language).sft.at(-1)!;
    const [model, states] = [await loadLanguageModel(sft, { frozen: true }), await HiddenStates.load(sft)];
    const sequence = { tokens: [1, 4, 5, 6, 2, 7, 8, 3], promptLength: 5 };
    const [hidden] = await states.states([sequence]);
    const all = states.distributions(hidden!);
    const [expected] = await model.logprobs([sequence]);
    const vocabulary = all.length / expected!.length;
    for (const [t, logprob] of expected!.entries())
      expect(all[t * vocabulary + sequence.tokens[sequence.promptLength + t]!]).toBeCloseTo(logprob, 5);
    expect(exactKl(all, all)).toBe(0);
    model.dispose();
    states.dispose();
  });

  it("reports every claim with its verdict", async () => {
    const findings = warmExperiment.report(
      [1, 2].map((seed) => ({ seed, result })),
      { sharedDir },
    );
    const { claims, controls } = findings.json as Findings;
    expect([...new Set(claims.map(({ id }) => id))]).toEqual(["a", "b", "c", "d", "e"]);
    expect(controls.length).toBe(3);
    const page = renderReport(findings.report);
    for (const { evidence } of claims) expect(page).toContain(evidence.slice(0, 20));
    expect(page).not.toContain("NaN");
  });
});
