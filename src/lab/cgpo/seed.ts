// One seed of `reproduce cgpo`: data, reward models, warm-up, every run, every measurement. A piece that is finished is
// on disk: a restart goes on from there, and pieces run in processes of their own.

import { existsSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { stringify } from "yaml";
import { snakeCase } from "../../base/case.js";
import type { Verb } from "../../recipe/recipe.js";
import { InterruptedError, type RunContext } from "../../run/context.js";
import { type Metrics, readMetrics } from "../../run/metrics.js";
import { runAlignRecipe } from "../../train/align/stages.js";
import { openPolicy, openRewardModel } from "../../train/models.js";
import { runReward } from "../../train/reward-model/runs.js";
import { lastValues } from "../../train/rewards/fixed.js";
import type { RewardFunction } from "../../train/rewards/source.js";
import { baseModelDir } from "../quickstart.js";
import type { Part, SeedContext } from "../reproduce/experiment.js";
import { kept } from "../reproduce/kept.js";
import { quietly, writeRecipe } from "../reproduce/recipe-file.js";
import type { World } from "../world/world.js";
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
  quickSettings,
  type RewardName,
  type RunName,
  rewardNames,
  runNames,
  type Settings,
  type TaskName,
  taskNames,
  titles,
} from "./protocol.js";
import {
  dataDir,
  dpoRecipe,
  finalModel,
  onlineRecipe,
  type RecipeContext,
  rewardModelDir,
  rewardRecipe,
} from "./recipes.js";
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

/** What every piece of a seed works with. */
interface Bench {
  dir: string;
  settings: Settings;
  recipeContext: RecipeContext;
  context: SeedContext;
  run: RunContext;
  world: World;
  /** Texts of the recipes, by name. */
  recipes: Record<string, string>;
}

async function openBench(seed: number, context: SeedContext): Promise<Bench> {
  const { threads, signal } = context;
  const dir = resolve(context.dir);
  const settings = context.quick ? quickSettings : fullSettings;
  const recipeContext = { baseModel: relative(dir, baseModelDir), seed, threads, settings };
  const world = drawWorld(seed, settings);
  await writeData(world, join(dir, dataDir));
  await writeJudgeModules(dir);
  return { dir, settings, recipeContext, context, run: quietly(signal), world, recipes: {} };
}

/** The recipe as a user would run it, beside its data. */
async function write<V extends Verb>({ dir, recipes }: Bench, verb: V, name: string, recipe: object) {
  recipes[name] = stringify(recipe);
  return writeRecipe(verb, join(dir, `${name}.yaml`), recipe);
}

/** Trains the reward model unless it is there; its directory. */
async function trainReward(bench: Bench, name: RewardName): Promise<string> {
  const recipe = await write(bench, "reward", rewardPart(name), rewardRecipe(name, bench.recipeContext));
  const trained = join(bench.dir, finalModel(rewardModelDir(name)));
  if (!existsSync(trained)) {
    bench.context.log(`reward model: ${name}`);
    await runReward(recipe, bench.run);
    stopIfAsked(bench);
  }
  return trained;
}

/** Makes the warm-up model unless it is there; its directory. */
async function warmUp(bench: Bench): Promise<string> {
  const recipe = await write(bench, "align", "warmup", dpoRecipe("warmup", bench.recipeContext));
  const trained = join(bench.dir, finalModel("warmup"));
  if (!existsSync(trained)) {
    bench.context.log(titles.warmup);
    await runAlignRecipe(recipe, bench.run);
    stopIfAsked(bench);
  }
  return trained;
}

function stopIfAsked({ context: { signal } }: Bench): void {
  if (signal?.aborted) throw new InterruptedError("stopped; the same command continues");
}

/** Opens reward models and the warm-up model, making what is missing. */
async function openMeter(bench: Bench): Promise<Meter> {
  const engine = engineOf(bench);
  const rewards = {} as Record<RewardName, RewardFunction>;
  for (const name of rewardNames) {
    const model = await openRewardModel(await trainReward(bench, name), { engine, frozen: true });
    rewards[name] = (sequences) => lastValues(model, sequences);
  }
  const { policy: reference, codec } = await openPolicy(await warmUp(bench), { engine, frozen: true });
  return { rewards, mixtures: await openMixtures(bench.dir, codec), reference, codec };
}

const engineOf = ({ context: { threads } }: Bench) =>
  ({ kind: "local", device: "cpu", maxBatchTokens: 4096, threads }) as const;

/** Trains the policy unless it is there, and measures it along the way and at the end. */
async function alignAndMeasure(bench: Bench, name: RunName, meter: Meter): Promise<RunResult> {
  const { dir, settings, recipeContext, context, run, world } = bench;
  const along = heldOut(world, settings.heldout.along);
  const observe = async (step: number, { policy }: { policy: Meter["reference"] }) =>
    step % settings.online.evaluateEvery === 0
      ? curveMetrics(taskMeans((await measure(policy, along, meter)).scores, along))
      : {};
  let model = name === "sft" ? baseModelDir : join(dir, finalModel(name));
  const isStart = name === "sft" || name === "warmup";
  if (!isStart) {
    context.log(titles[name]);
    const recipe = name === "dpo" ? dpoRecipe(name, recipeContext) : onlineRecipe(name, recipeContext);
    const resolved = await write(bench, "align", name, recipe);
    ({ model } = await runAlignRecipe(resolved, {
      ...run,
      baseDir: dir,
      allowNothingLearned: true,
      observe,
    }));
    stopIfAsked(bench);
  }
  return kept(join(dir, "measured", `${name}.json`), async () => {
    const { policy } = await openPolicy(model, { engine: engineOf(bench), frozen: true });
    const { scores, answers } = await measure(policy, heldOut(world, settings.heldout.final), meter);
    policy.dispose();
    const curve = isStart ? [] : readCurve(await readMetrics(join(dir, name, "metrics.jsonl")));
    return { curve, final: rounded(scores), answers: answers.map(({ text }) => text) };
  });
}

const rewardPart = (name: RewardName): string => `reward-${name}`;

/** The reward models and the warm-up do not need each other; every other run needs all of them. */
export function cgpoParts(): Part[] {
  const first = [...rewardNames.map(rewardPart), "warmup"];
  const runs = runNames.filter((name) => name !== "sft" && name !== "warmup");
  return [...first.map((name) => ({ name })), ...runs.map((name) => ({ name, after: first }))];
}

export async function runPart(seed: number, part: string, context: SeedContext): Promise<void> {
  const bench = await openBench(seed, context);
  const reward = rewardNames.find((name) => rewardPart(name) === part);
  if (reward) await trainReward(bench, reward);
  else if (part === "warmup") await warmUp(bench);
  else await alignAndMeasure(bench, part as RunName, await openMeter(bench));
}

export async function runSeed(seed: number, context: SeedContext): Promise<SeedResult> {
  const bench = await openBench(seed, context);
  const { dir, settings, world, recipes } = bench;
  const meter = await openMeter(bench);
  const rewardModels = {} as SeedResult["rewardModels"];
  for (const name of rewardNames)
    rewardModels[name] = await kept(join(dir, "measured", `${rewardPart(name)}.json`), () =>
      foolRates(world.validation, name, meter.rewards[name], meter.codec),
    );
  const runs = {} as SeedResult["runs"];
  for (const name of runNames) runs[name] = await alignAndMeasure(bench, name, meter);
  return {
    rewardModels,
    prompts: heldOut(world, settings.heldout.final).map(({ task, row }) => ({
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

const metricName = (task: TaskName, key: string) => `lab/${task}/${snakeCase(key)}`;

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
