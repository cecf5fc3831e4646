// One seed of `reproduce cgpo`: data, reward models, warm-up, every run, every measurement. A piece that is finished is
// on disk, and a restart goes on from there.

import { existsSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { stringify } from "yaml";
import { writeFileAtomic } from "../../base/atomic.js";
import { runAlign } from "../../train/align.js";
import { InterruptedError, type RunContext, silent } from "../../train/context.js";
import { type Metrics, readJsonl } from "../../train/metrics.js";
import { openPolicy, openRewardModel } from "../../train/models.js";
import { parseRecipe, type Verb } from "../../train/recipe.js";
import { runReward } from "../../train/reward-model.js";
import { lastValues, type RewardFunction } from "../../train/rewards.js";
import { baseModelDir } from "../quickstart.js";
import type { SeedContext } from "../reproduce/experiment.js";
import { kept } from "../reproduce/kept.js";
import { drawWorld, writeData } from "./data.js";
import { writeJudgeModules } from "./judge-modules.js";
import {
  type HeldOut,
  heldOut,
  type Meter,
  measure,
  openMixtures,
  type Scores,
  type TaskMeans,
  taskMeans,
} from "./measure.js";
import {
  byTask,
  fullSettings,
  onlineRuns,
  quickSettings,
  type RewardName,
  type RunName,
  rewardNames,
  runNames,
  type TaskName,
  taskNames,
  titles,
} from "./protocol.js";
import { dataDir, dpoRecipe, finalModel, onlineRecipe, rewardModelDir, rewardRecipe } from "./recipes.js";
import { type Fooled, foolRates } from "./reward-flaws.js";

/** What the report needs to know of a held-out prompt. */
export interface PromptFacts {
  task: TaskName;
  family: HeldOut["row"]["family"];
  prompt: string;
  /** Only for safety. */
  harmful?: boolean;
}

export interface CurvePoint {
  step: number;
  tasks: Record<TaskName, TaskMeans>;
}

export interface RunResult {
  /** Empty for the policies that are starting points. */
  curve: CurvePoint[];
  final: Scores;
  /** Answers to the held-out prompts, in their order. */
  answers: string[];
}

export interface SeedResult {
  rewardModels: Record<RewardName, Fooled[]>;
  prompts: PromptFacts[];
  runs: Record<RunName, RunResult>;
  recipes: Record<string, string>;
}

export async function runSeed(seed: number, context: SeedContext): Promise<SeedResult> {
  const { threads, signal, log } = context;
  const dir = resolve(context.dir);
  const settings = context.quick ? quickSettings : fullSettings;
  const recipeContext = { baseModel: relative(dir, baseModelDir), seed, threads, settings };
  const run: RunContext = { reporter: silent, resume: true, signal };
  const world = drawWorld(seed, settings);
  await writeData(world, join(dir, dataDir));
  await writeJudgeModules(dir);
  const recipes: Record<string, string> = {};
  const write = async <V extends Verb>(verb: V, name: string, recipe: object) => {
    recipes[name] = stringify(recipe);
    const file = join(dir, `${name}.yaml`);
    await writeFileAtomic(file, recipes[name]);
    return parseRecipe(verb, recipes[name], file);
  };

  const engine = { kind: "local", device: "cpu", maxBatchTokens: 4096, threads } as const;
  const rewards = {} as Record<RewardName, RewardFunction>;
  for (const name of rewardNames) {
    log(`reward model: ${name}`);
    const recipe = await write("reward", `reward-${name}`, rewardRecipe(name, recipeContext));
    const trained = join(dir, finalModel(rewardModelDir(name)));
    if (!existsSync(trained)) await runReward(recipe, run);
    const model = await openRewardModel(trained, { engine, frozen: true });
    rewards[name] = (sequences) => lastValues(model, sequences);
  }

  log(titles.warmup);
  const warmup = await runAlign(await write("align", "warmup", dpoRecipe("warmup", recipeContext)), run);
  const { policy: reference, codec } = await openPolicy(warmup.model, { engine, frozen: true });
  const meter: Meter = { rewards, mixtures: await openMixtures(dir, codec), reference, codec };
  const rewardModels = {} as SeedResult["rewardModels"];
  for (const name of rewardNames)
    rewardModels[name] = await kept(join(dir, "measured", `reward-${name}.json`), () =>
      foolRates(world.validation, name, rewards[name], codec),
    );

  const along = heldOut(world, settings.heldout.along);
  const final = heldOut(world, settings.heldout.final);
  const align = async (name: RunName, recipe: object): Promise<string> => {
    log(titles[name]);
    const resolved = await write("align", name, recipe);
    const observe = async (step: number, { policy }: { policy: Meter["reference"] }) =>
      step % settings.online.evaluateEvery === 0
        ? curveMetrics(taskMeans((await measure(policy, along, meter)).scores, along))
        : {};
    const { model } = await runAlign(resolved, { ...run, baseDir: dir, observe });
    if (signal?.aborted) throw new InterruptedError("stopped; the same command continues");
    return model;
  };
  const models: Record<string, string> = { sft: baseModelDir, warmup: warmup.model };
  models.dpo = await align("dpo", dpoRecipe("dpo", recipeContext));
  for (const name of onlineRuns) models[name] = await align(name, onlineRecipe(name, recipeContext));

  const runs = {} as SeedResult["runs"];
  for (const name of runNames) {
    log(`measuring ${titles[name]}`);
    runs[name] = await kept(join(dir, "measured", `${name}.json`), async () => {
      const { policy } = await openPolicy(models[name]!, { engine, frozen: true });
      const { scores, answers } = await measure(policy, final, meter);
      policy.dispose();
      const curve =
        name === "sft" || name === "warmup"
          ? []
          : readCurve(await readJsonl(join(dir, name, "metrics.jsonl")));
      return { curve, final: rounded(scores), answers: answers.map(({ text }) => text) };
    });
  }
  return {
    rewardModels,
    prompts: final.map(({ task, row }) => ({
      task,
      family: row.family,
      prompt: row.prompt,
      harmful: row.metadata.harmful,
    })),
    runs,
    recipes,
  };
}

/** Four decimals are enough for a file that people may read. */
const rounded = (scores: Scores): Scores =>
  Object.fromEntries(
    Object.entries(scores).map(([key, values]) => [
      key,
      (values as number[]).map((value) => Math.round(1e4 * value) / 1e4),
    ]),
  ) as unknown as Scores;

const meanKeys = [
  "trueReward",
  "taskReward",
  "unifiedReward",
  "violationRate",
  "brokenRate",
  "kl",
  "taskRewardDeviation",
  "unifiedRewardDeviation",
] as const satisfies readonly (keyof TaskMeans)[];

const metricName = (task: TaskName, key: string) =>
  `lab/${task}/${key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;

/** Task means as metrics; `lab/` marks what training never sees. */
function curveMetrics(means: Record<TaskName, TaskMeans>): Metrics {
  return Object.fromEntries(
    taskNames.flatMap((task) => meanKeys.map((key) => [metricName(task, key), means[task][key]])),
  );
}

function readCurve(rows: readonly Record<string, unknown>[]): CurvePoint[] {
  return rows
    .filter((row) => metricName("chat", "trueReward") in row)
    .map((row) => ({
      step: row.step as number,
      tasks: byTask((task) => {
        const means = Object.fromEntries(meanKeys.map((key) => [key, row[metricName(task, key)]]));
        return means as Record<(typeof meanKeys)[number], number>;
      }),
    }));
}
