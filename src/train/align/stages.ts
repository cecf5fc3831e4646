// An alignment as a recipe describes it, in one stage or in several: in stages, as the paper's pipeline is one: a DPO warm-up, then CGPO from the warmed-up model. Every stage
// is a run with a directory of its own inside output_dir. It starts from the final model of the stage before it, as that
// was saved (an adapter trains on), and that is its pi_ref unless it names another.

import { copyFile, link, readdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { writeDirectoryAtomic } from "../../base/atomic.js";
import type { AlignRecipe, StagedRecipe } from "../../recipe/recipe.js";
import type { RunContext } from "../../run/context.js";
import { checkOutputDir, checkpointSteps, isRunDirectory, takeDirectory } from "../../run/directory.js";
import { FINAL, isFinished, saveFinal } from "../../run/final.js";
import { requireTrackers } from "../../trackers/follow.js";
import { type AlignOptions, type AlignResult, runAlign } from "./align.js";
import { type OpenContext, openAlign } from "./open.js";
import { requireTrials, tryParts } from "./preflight.js";

/** What surrounds an alignment by a recipe. */
export interface RecipeOptions
  extends OpenContext,
    Pick<AlignOptions, "observe" | "resume" | "signal" | "allowNothingLearned"> {
  /** Ask every judge, reward and model of the recipe once before the first step; a failure ends the run. Default: no. */
  preflight?: boolean;
}

/** Aligns a model as a recipe says. */
export async function runAlignRecipe(
  recipe: AlignRecipe | StagedRecipe,
  options: RecipeOptions,
): Promise<AlignResult> {
  await requireTrackers(recipe.reportTo);
  if (!("stages" in recipe)) return runStage(recipe, options, "align");
  return runStages(recipe, options, (stage, { replay, ...rest }, label) => {
    // The run that is replayed has a directory for each stage too.
    const part = replay === undefined ? {} : { replay: join(replay, basename(stage.outputDir)) };
    return runStage(stage, { ...rest, ...part }, label);
  });
}

async function runStage(recipe: AlignRecipe, options: RecipeOptions, label: string): Promise<AlignResult> {
  await checkOutputDir(recipe.outputDir, recipe, options);
  const parts = await openAlign(recipe, options);
  try {
    // A replay asks nobody, and a run that goes on has asked.
    const begins = !(await hasBegun(recipe.outputDir));
    if (options.preflight && options.replay === undefined && begins) {
      const trials = await tryParts(parts, recipe, options.signal);
      for (const { who, said } of trials.filter(({ isNote }) => isNote))
        options.reporter.note(`${who}: ${said}`);
      requireTrials(trials);
    }
    return await runAlign(parts, recipe, { ...options, label, record: recipe });
  } finally {
    parts.dispose?.();
  }
}

/** Whether a run has something to go on from. */
const hasBegun = async (dir: string): Promise<boolean> =>
  (await checkpointSteps(dir)).length > 0 || (await isFinished(dir));

/** Runs one stage and returns the directory of its final model; `label` names it for a person. */
type RunStage<Context, Result> = (recipe: AlignRecipe, context: Context, label: string) => Promise<Result>;

/** Runs the stages that are not finished yet. The last one's model is `final` in output_dir as well. */
async function runStages<Context extends RunContext>(
  recipe: StagedRecipe,
  context: Context,
  runStage: RunStage<Context, AlignResult>,
): Promise<AlignResult> {
  const { outputDir, stages } = recipe;
  await checkOutputDir(outputDir, recipe, context);
  const isNew = !(await isRunDirectory(outputDir));
  const lock = await takeDirectory(outputDir, recipe, context);
  try {
    let model = recipe.policy.model;
    const remarks: string[] = [];
    for (const [i, { name }] of stages.entries()) {
      const stage = stageRecipe(recipe, i, model);
      model = join(stage.outputDir, FINAL);
      if (await isFinished(stage.outputDir)) context.reporter.note(`stage ${name} is finished already`);
      else {
        const ran = await runStage(stage, context, `${name} (stage ${i + 1} of ${stages.length})`);
        remarks.push(...ran.remarks.map((remark) => `stage ${name}: ${remark}`));
      }
    }
    const copy = (final: string) => writeDirectoryAtomic(final, (dir) => linkFiles(model, dir));
    if (!(await isFinished(outputDir))) await saveFinal(outputDir, copy);
    return { model: join(outputDir, FINAL), remarks };
  } catch (error) {
    // What failed before its first stage began leaves nothing that a mended recipe would be refused for.
    const begun = await Promise.all(stages.map(({ name }) => isRunDirectory(join(outputDir, name))));
    if (isNew && !begun.some(Boolean)) await rm(join(outputDir, "recipe.yaml"), { force: true });
    throw error;
  } finally {
    await lock.release();
  }
}

/** The recipe of one stage, whose policy starts from `model`. */
export function stageRecipe({ stages, ...shared }: StagedRecipe, index: number, model: string): AlignRecipe {
  const { name, ...own } = stages[index]!;
  return {
    ...shared,
    ...own,
    outputDir: join(shared.outputDir, name),
    policy: { ...shared.policy, model },
  };
}

/** The files of a model under a second name; copies where the file system has no hard links. */
async function linkFiles(from: string, to: string): Promise<void> {
  for (const name of await readdir(from)) {
    const [source, target] = [join(from, name), join(to, name)];
    await link(source, target).catch(() => copyFile(source, target));
  }
}
