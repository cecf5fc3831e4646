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
import { warmupRemarks } from "../../run/schedule.js";
import { requireTrackers } from "../../trackers/follow.js";
import type { LengthCounts } from "../lengths.js";
import { memoryOfReward, requireMemory, waysToNeedLess } from "../memory.js";
import { openCodec, openScalarModel, windowOf } from "../models.js";
import { trainSideBySide } from "./jobs.js";
import { type EncodedPairs, encodePairs, longestPair, type Pair, pairLimits } from "./pairs.js";
import {
  dataOf,
  heldOutOf,
  loadPairs,
  type Member,
  memberDir,
  type Rows,
  stepsOf,
  trainMember,
} from "./reward-model.js";

export interface RewardModelResult {
  /** In order. */
  members: Member[];
  /** How the training pairs fitted. */
  lengths: LengthCounts;
  /** What was left out and cut, in sentences. */
  remarks: string[];
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
  await requireTrackers(recipe.reportTo);
  const { rows, notes } = await loadPairs(recipe);
  for (const note of notes) context.reporter.note(note);
  const { pairs, lengths, remarks } = await fitPairs(recipe, rows);
  const warmup = warmupRemarks(stepsOf(recipe, pairs.length), recipe);
  for (const remark of [...warmup, ...remarks]) context.reporter.note(remark);
  if (recipe.flipLabels > 0) {
    const file = join(recipe.outputDir, "train.jsonl");
    await writeFileAtomic(file, preferencesJsonl(rows.train));
    context.reporter.note(`flip_labels: ${file} says which labels were turned round`);
  }

  const processes = Math.min(jobs, recipe.runs);
  requireMemory(
    await memoryOfReward(recipe, longestPair(pairs), processes),
    waysToNeedLess("reward", recipe),
    context.reporter,
  );
  const threads = processes > 1 ? Math.max(1, Math.floor(availableParallelism() / processes)) : undefined;
  const engine = onThreads(recipe.engine, threads);
  const head = await sharedHead(recipe, { engine, pairs, context });
  const members: Member[] = [];
  if (processes > 1) {
    const work = indices.map((index) => ({ recipe, resume: context.resume, index, engine, head }));
    const steps = stepsOf(recipe, pairs.length);
    members.push(...(await trainSideBySide(work, { processes, steps }, context)));
  } else
    for (const index of indices)
      members.push(await trainMember(recipe, { index, engine, head, rows }, context));
  return { members, lengths, remarks };
}

/** The pairs as the last of the recipe's models reads them, and how they and the held-out ones fit. */
export async function fitPairs(recipe: RewardRecipe, rows: Rows): Promise<EncodedPairs> {
  const base = recipe.model.at(-1)!;
  const codec = await openCodec(base, recipe);
  const limits = pairLimits(recipe, await windowOf(base));
  const train = encodePairs(codec, rows.train, { limits, ...dataOf(recipe) });
  const validation = encodePairs(codec, rows.validation, { limits, ...heldOutOf(recipe) });
  return { ...train, remarks: [...new Set([...train.remarks, ...validation.remarks])] };
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
  { engine, pairs, context }: { engine: EngineRecipe; pairs: readonly Pair[]; context: RunContext },
): Promise<Float64Array | undefined> {
  if (recipe.head !== "probe" || !(await startsFresh(recipe))) return undefined;
  const model = await openScalarModel(recipe.model.at(-1)!, { ...recipe, engine, frozen: true });
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
