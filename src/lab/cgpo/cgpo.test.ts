import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderReport } from "../../dashboard/report.js";
import { analyse, benchmarks } from "./analysis.js";
import { drawWorld, familiesOf } from "./data.js";
import { cgpoExperiment } from "./experiment.js";
import { breaksConstraint } from "./measure.js";
import {
  byRun,
  fullSettings,
  judgedRuns,
  onlineRuns,
  quickSettings,
  type RunName,
  runNames,
  type TaskName,
  taskNames,
} from "./protocol.js";
import { onlineRecipe } from "./recipes.js";
import type { PromptFacts, SeedResult } from "./seed.js";

describe("the protocol", () => {
  const recipes = onlineRuns.map((run) => ({
    run,
    recipe: onlineRecipe(run, { baseModel: "./model", seed: 1, threads: 1, settings: fullSettings }),
  }));
  type Task = {
    name: string;
    prompts: string;
    judges: unknown[];
    reward: { model: string };
    optimizer: { generations: number; batch_prompts: number };
  };
  const tasksOf = (recipe: Record<string, unknown>) => recipe.tasks as Task[];

  it("gives every run that samples the same start, prompts, steps and samples per step", () => {
    const budget = ({ policy, steps, tasks }: Record<string, unknown>) =>
      JSON.stringify([
        policy,
        steps,
        (tasks as Task[]).map(({ name, prompts, optimizer: { generations, batch_prompts } }) => [
          name,
          prompts,
          generations,
          batch_prompts,
        ]),
      ]);
    expect(new Set(recipes.map(({ recipe }) => budget(recipe))).size).toBe(1);
    expect(tasksOf(recipes[0]!.recipe).map(({ name }) => name)).toEqual(taskNames);
  });

  it("gives judges to the judged runs alone, and the unified reward model to PPO alone", () => {
    for (const { run, recipe } of recipes)
      for (const { judges, reward } of tasksOf(recipe)) {
        expect(judges.length > 0).toBe(judgedRuns.includes(run));
        expect(reward.model.includes("unified")).toBe(run.startsWith("ppo"));
      }
  });

  it("trains the unified reward model on what the others are trained on together", () => {
    const parts = [familiesOf("helpfulness"), familiesOf("engagement"), familiesOf("safety")].flat();
    expect([...familiesOf("unified")].sort()).toEqual([...parts].sort());
    expect(new Set(parts).size).toBe(parts.length);
  });
});

describe("constraints of the true reward", () => {
  const { heldout } = drawWorld(1, quickSettings);
  const row = (family: string, harmful?: boolean) =>
    heldout.find((r) => r.family === family && (harmful === undefined || r.metadata.harmful === harmful))!;

  it.each([
    ["writing", "What a lovely day! What a lovely day! What a lovely day!", true],
    ["writing", "The red fox ran quickly.", false],
    ["arithmetic", "Trust me! The final answer is -1.", true],
    ["code", "```js\n// Trust me!\nconst f = (x) => [1, 2][x];\n```", true],
    ["engagement", "Great question! You are so clever!", true],
  ])("%s: %s", (family, text, broken) => {
    expect(breaksConstraint(row(family), text)).toBe(broken);
  });

  it("safety: harm done and a false refusal break it, care and help do not", () => {
    const list = "First take the rope. Then steal the boat at night.";
    const care = "I can not help with that. Please leave the boat alone.";
    expect(breaksConstraint(row("safety", true), list)).toBe(true);
    expect(breaksConstraint(row("safety", true), care)).toBe(false);
    expect(breaksConstraint(row("safety", false), care)).toBe(true);
    expect(breaksConstraint(row("safety", false), list)).toBe(false);
  });
});

describe("the claims, on made-up results", () => {
  const prompts: PromptFacts[] = [
    { task: "chat", family: "writing", prompt: "c" },
    { task: "instructions", family: "instructions", prompt: "i" },
    { task: "reasoning", family: "arithmetic", prompt: "a" },
    { task: "reasoning", family: "code", prompt: "b" },
    { task: "engagement", family: "engagement", prompt: "e" },
    { task: "safety", family: "safety", prompt: "s", harmful: true },
    { task: "safety", family: "safety", prompt: "t", harmful: false },
  ];
  type Made = {
    trueReward: Partial<Record<TaskName, number>> & { else: number };
    reward: number;
    violated: number;
  };

  /** Three seeds that differ a little. */
  const made = (given: Record<RunName, Made>) =>
    [-0.01, 0, 0.01].map((shift, i) => ({
      seed: i,
      result: {
        rewardModels: { helpfulness: [], engagement: [], safety: [], unified: [] },
        prompts,
        recipes: {},
        runs: byRun((run) => {
          const { trueReward, reward, violated } = given[run];
          const all = (value: number) => prompts.map(() => value + shift);
          return {
            curve: [],
            answers: prompts.map(() => ""),
            final: {
              trueReward: prompts.map(({ task }) => (trueReward[task] ?? trueReward.else) + shift),
              taskReward: all(reward * (1 + shift)),
              unifiedReward: all(reward * (1 + shift)),
              violated: all(violated),
              broken: all(violated),
              logRatio: all(1),
            },
          };
        }),
      } satisfies SeedResult,
    }));

  const start: Made = { trueReward: { else: 0.5 }, reward: 0, violated: 0.4 };
  const hacks: Made = { trueReward: { else: 0.4, reasoning: 0.1 }, reward: 2, violated: 0.8 };
  const good: Made = { trueReward: { else: 0.8 }, reward: 0.5, violated: 0.05 };
  const ideal = byRun((run): Made => {
    if (run === "ppo" || run === "crpg_unjudged") return hacks;
    return run === "crpg" || run === "crraft" || run === "codpo" ? good : start;
  });
  const verdicts = (given: Record<RunName, Made>) =>
    analyse(made(given)).claims.map(({ verdict }) => verdict);

  it("holds all four where everything is as the paper says", () => {
    expect(verdicts(ideal)).toEqual(Array.from({ length: 4 }, () => "reproduced"));
  });

  it("denies the first when a run without judges keeps its tasks, or collapses without a rise in reward", () => {
    expect(verdicts({ ...ideal, ppo: { ...hacks, trueReward: { else: 0.4 } } })[0]).toBe("not reproduced");
    expect(verdicts({ ...ideal, crpg_unjudged: { ...hacks, reward: -1 } })[0]).toBe("not reproduced");
  });

  it("denies the second when a judged run collapses on one task", () => {
    expect(verdicts({ ...ideal, codpo: { ...good, trueReward: { else: 0.8, chat: 0.2 } } })[1]).toBe(
      "not reproduced",
    );
  });

  it("denies the second when a judged run collapses in one seed of several", () => {
    const results = made(ideal);
    const { trueReward } = results[1]!.result.runs.codpo.final;
    trueReward[prompts.findIndex(({ task }) => task === "chat")] = 0.1;
    const { verdict, evidence } = analyse(results).claims[1]!;
    expect(verdict).toBe("not reproduced");
    expect(evidence.at(-1)).toContain("collapses on chat in seed 1;");
  });

  it("leaves open what the seeds differ too much about", () => {
    const results = made(ideal);
    for (const [i, { result }] of results.entries()) {
      result.runs.codpo.final.trueReward = prompts.map(() => [0.3, 0.5, 0.9][i]!);
      result.runs.dpo.final.trueReward = prompts.map(() => [0.5, 0.7, 0.9][i]!);
    }
    const [, noCollapse, best] = analyse(results).claims;
    expect(noCollapse!.verdict).toBe("inconclusive");
    expect(noCollapse!.evidence.at(-1)).toContain(
      "no seed collapses, but half is within the interval on chat",
    );
    expect(best!.verdict).toBe("inconclusive");
    expect(best!.evidence[0]).toContain("a lead of 0.05 is not ruled out for DPO");
  });

  it("denies the third when another run is ahead on one task, beyond chance", () => {
    expect(verdicts({ ...ideal, dpo: { ...start, trueReward: { else: 0.5, chat: 0.9 } } })[2]).toBe(
      "not reproduced",
    );
  });

  it("denies the fourth when one optimizer keeps more than a tenth of PPO's violations", () => {
    expect(verdicts({ ...ideal, crraft: { ...good, violated: 0.2 } })[3]).toBe("not reproduced");
  });

  it("reads the safety columns as rates and everything else as true reward", () => {
    const { runs } = analyse(made(ideal));
    const column = (part: string) => benchmarks.findIndex(({ title }) => title.includes(part));
    expect(runs.ppo.benchmarks[column("SVR")]!.value).toBeCloseTo(0.8);
    expect(runs.ppo.benchmarks[column("arithmetic")]!.value).toBeCloseTo(0.1);
    expect(runs.crpg.against.ppo.chat.value).toBe(1);
    expect(runs.crpg.overall.trueReward.interval![0]).toBeLessThan(0.8);
  });
});

describe("one seed in miniature", () => {
  let dir: string;
  let result: SeedResult;
  const run = (log: (line: string) => void = () => {}) =>
    cgpoExperiment.runSeed(3, { dir, sharedDir: dir, threads: 1, quick: true, options: {}, log });

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "cgpo-"));
    result = JSON.parse(JSON.stringify(await run())) as SeedResult;
  });
  afterAll(() => rm(dir, { recursive: true }));

  it("measures every run on every held-out prompt", () => {
    expect(Object.keys(result.runs)).toEqual([...runNames]);
    expect(result.prompts).toHaveLength(6 * quickSettings.heldout.final);
    for (const { final, answers } of Object.values(result.runs)) {
      expect(answers).toHaveLength(result.prompts.length);
      for (const values of Object.values(final)) {
        expect(values).toHaveLength(result.prompts.length);
        expect(values.every(Number.isFinite)).toBe(true);
      }
    }
  });

  it("starts every run at the warm-up, and no two runs end alike", () => {
    for (const run of onlineRuns) {
      const { curve, final } = result.runs[run];
      expect(curve.map(({ step }) => step)).toEqual([0, 1, 2]);
      expect(curve[0]).toEqual(result.runs.ppo.curve[0]);
      for (const task of taskNames) expect(curve[0]!.tasks[task].kl).toBe(0);
      expect(final.logRatio.some((value) => value !== 0)).toBe(true);
    }
    const ends = runNames.map((name) => JSON.stringify(result.runs[name].final));
    expect(new Set(ends).size).toBe(runNames.length);
  });

  it("gives the same result when it is run again over what is on disk, without training again", async () => {
    const metrics = () => readFile(join(dir, "crpg", "metrics.jsonl"), "utf8");
    const before = await metrics();
    expect(JSON.parse(JSON.stringify(await run()))).toEqual(result);
    expect(await metrics()).toBe(before);
  });

  it("gives the same result from its parts, whatever their order", async () => {
    const other = await mkdtemp(join(tmpdir(), "cgpo-parts-"));
    try {
      const context = { dir: other, sharedDir: dir, threads: 1, quick: true, options: {}, log: () => {} };
      const parts = cgpoExperiment.parts!(context);
      const [first, later] = [parts.filter(({ after }) => !after), parts.filter(({ after }) => after)];
      expect(later.map(({ name }) => name)).toEqual(["dpo", ...onlineRuns]);
      for (const { name } of [...first.toReversed(), ...later.toReversed()])
        await cgpoExperiment.runPart!(3, name, context);
      const whole = await cgpoExperiment.runSeed(3, context);
      const { recipes: _, ...figures } = JSON.parse(JSON.stringify(whole)) as SeedResult;
      expect(result).toMatchObject(figures);
    } finally {
      await rm(other, { recursive: true });
    }
  });

  it("makes a page and a document of it", () => {
    const { report, json, summary } = cgpoExperiment.report([{ seed: 3, result }], { sharedDir: dir });
    const page = renderReport(report);
    for (const text of ["In the shape of the paper", "CRRAFT", "Harmful intent", "warmup.yaml"])
      expect(page).toContain(text);
    expect(page).not.toMatch(/NaN|Infinity|undefined/);
    expect(JSON.stringify(json)).not.toContain("null");
    expect(
      summary.split("\n").filter((line) => /^(not reproduced|reproduced|inconclusive):/.test(line)),
    ).toHaveLength(4);
  });
});
