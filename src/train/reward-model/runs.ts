// M reward models from one initialisation (WARM, 2401.12187, section 3): one probed head for all of them, trained one after
// another or side by side.

import { availableParallelism } from "node:os";
import { join } from "node:path";
import { writeFileAtomic } from "../../base/atomic.js";
import { preferencesJsonl } from "../../data/index.js";
import type { ScalarModel } from "../../engine/contract.js";
import type { EngineRecipe, RewardRecipe } from "../../recipe/recipe.js";
import { linearProbe } from "../../reward/probe.js";
import type { RunContext } from "../../run/context.js";
import { checkOutputDir, checkpointSteps } from "../../run/directory.js";
import { openCodec, openScalarModel } from "../models.js";
import { trainSideBySide } from "./jobs.js";
import {
  encodePair,
  loadPairs,
  type Member,
  memberDir,
  type Pair,
  type Rows,
  stepsOf,
  trainMember,
} from "./reward-model.js";

export interface RewardModelResult {
  /** In order. */
  members: Member[];
}

export interface RewardOptions {
  /** How many members train at a time, each in a process of its own on its share of the cores. Default 1. */
  jobs?: number;
}

/** Trains `runs` members; member i of several is the run directory `member-i` inside output_dir. */
export async function runReward(
  recipe: RewardRecipe,
  context: RunContext,
  { jobs = 1 }: RewardOptions = {},
): Promise<RewardModelResult> {
  const indices = Array.from({ length: recipe.runs }, (_, index) => index);
  for (const index of indices) await checkOutputDir(memberDir(recipe, index), recipe, context);
  const { rows, notes } = await loadPairs(recipe);
  for (const note of notes) context.reporter.note(note);
  if (recipe.flipLabels > 0) {
    const file = join(recipe.outputDir, "train.jsonl");
    await writeFileAtomic(file, preferencesJsonl(rows.train));
    context.reporter.note(`flip_labels: ${file} says which labels were turned round`);
  }

  const processes = Math.min(jobs, recipe.runs);
  const threads = processes > 1 ? Math.max(1, Math.floor(availableParallelism() / processes)) : undefined;
  const engine = onThreads(recipe.engine, threads);
  const head = await sharedHead(recipe, { engine, rows, context });
  if (processes > 1) {
    const work = indices.map((index) => ({ recipe, resume: context.resume, index, engine, head }));
    const steps = stepsOf(recipe, rows.train.length);
    return { members: await trainSideBySide(work, { processes, steps }, context) };
  }
  const members: Member[] = [];
  for (const index of indices)
    members.push(await trainMember(recipe, { index, engine, head, rows }, context));
  return { members };
}

/** The threads that the recipe asks for, else `threads`. */
const onThreads = (engine: EngineRecipe, threads: number | undefined): EngineRecipe =>
  engine.kind === "local" ? { ...engine, threads: engine.threads ?? threads } : engine;

/**
 * One probed head for all members, because different heads would break linear mode connectivity (section 3.1). It is
 * fitted on the last of the models that the runs start from: of several checkpoints of one SFT run, the end.
 * Undefined when the recipe wants no probe, or every member is past its start.
 */
async function sharedHead(
  recipe: RewardRecipe,
  { engine, rows, context }: { engine: EngineRecipe; rows: Rows; context: RunContext },
): Promise<Float64Array | undefined> {
  if (recipe.head !== "probe" || !(await startsFresh(recipe))) return undefined;
  const base = recipe.model.at(-1)!;
  const codec = await openCodec(base, recipe);
  const pairs = rows.train.map((row) => encodePair(codec, row, recipe.maxLength));
  const model = await openScalarModel(base, { ...recipe, engine, frozen: true });
  const head = await probe(model, pairs, recipe.probeL2, context);
  model.dispose();
  return head;
}

/** Whether some member has no checkpoint to continue from. */
async function startsFresh(recipe: RewardRecipe): Promise<boolean> {
  for (let index = 0; index < recipe.runs; index++)
    if ((await checkpointSteps(memberDir(recipe, index))).length === 0) return true;
  return false;
}

async function probe(model: ScalarModel, pairs: readonly Pair[], l2: number, { reporter }: RunContext) {
  reporter.begin("linear probe", 1);
  const features = await model.features(pairs.flatMap(({ chosen, rejected }) => [chosen, rejected]));
  const differences = pairs.map((_, i) =>
    features[2 * i]!.map((value, d) => value - features[2 * i + 1]![d]!),
  );
  const head = linearProbe(differences, { l2 });
  reporter.step(1);
  reporter.end();
  return head;
}
