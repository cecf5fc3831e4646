// One Bradley-Terry reward model of several (WARM, 2401.12187, section 3): the members start from one initialisation and
// differ in data order and in whatever lists of options the recipe gives. Their average is `touchstone warm`.

import { join } from "node:path";
import { writeFileAtomic } from "../../base/atomic.js";
import { UserError } from "../../base/errors.js";
import { RandomStream } from "../../base/random.js";
import { flipLabels, loadPreferences, PromptCursor, partition } from "../../data/index.js";
import type { PreferenceRow } from "../../data/rows.js";
import type { Dropout, ScalarModel, Stoppable } from "../../engine/contract.js";
import { formatJson } from "../../model/json.js";
import { bradleyTerry } from "../../objectives/bradley-terry.js";
import type { EngineRecipe, RewardRecipe } from "../../recipe/recipe.js";
import type { RunContext } from "../../run/context.js";
import { type LoopState, nameRows, runLoop } from "../../run/loop.js";
import { epochSteps } from "../../run/schedule.js";
import { following } from "../../trackers/follow.js";
import { lengthMetrics } from "../lengths.js";
import { openCodec, openScalarModel, windowOf } from "../models.js";
import type { TemplateWish } from "../plain-prompts.js";
import { PLAIN, rewardFile } from "../text.js";
import { encodePairs, type Pair, pairLimits } from "./pairs.js";

export interface Member {
  /** Directory of the trained model. */
  model: string;
  accuracy?: number;
  loss?: number;
  learningRate: number;
  dropout: number;
}

/** Where member `index` is trained. */
export const memberDir = ({ outputDir, runs }: RewardRecipe, index: number): string =>
  runs === 1 ? outputDir : join(outputDir, `member-${index + 1}`);

export const memberLabel = ({ runs }: RewardRecipe, index: number): string =>
  runs === 1 ? "reward model" : `reward model ${index + 1} of ${runs}`;

export const stepsOf = (recipe: RewardRecipe, rows: number): number =>
  recipe.steps ?? epochSteps(recipe, rows);

export interface Rows {
  train: readonly PreferenceRow[];
  validation: readonly PreferenceRow[];
}

/** The rows of the recipe, and what was found in its files. */
export async function loadPairs(recipe: RewardRecipe): Promise<{ rows: Rows; notes: string[] }> {
  const { rows, notes } = await readPairs(recipe);
  if (recipe.flipLabels === 0) return { rows, notes };
  const train = flipLabels(rows.train, { share: recipe.flipLabels, seed: recipe.seed });
  return { rows: { ...rows, train }, notes };
}

async function readPairs(recipe: RewardRecipe): Promise<{ rows: Rows; notes: string[] }> {
  const { rows, description } = await loadPreferences(recipe.data.path, recipe.data);
  const notes = [`${recipe.data.path}: ${description}`];
  if (recipe.evalData) {
    const held = await loadPreferences(recipe.evalData.path, recipe.evalData);
    notes.push(`${recipe.evalData.path}: ${held.description}`);
    return { rows: { train: rows, validation: held.rows }, notes };
  }
  if (recipe.evalSplit === 0) return { rows: { train: rows, validation: [] }, notes };
  return { rows: partition(rows, { fraction: recipe.evalSplit, seed: recipe.seed }), notes };
}

/** What the rows are called, and what the recipe says of plain ones. */
export const dataOf = ({
  data: { path, applyChatTemplate },
}: Pick<RewardRecipe, "data">): TemplateWish & { source: string } => ({ source: path, applyChatTemplate });

/** The same of the held-out rows. */
export const heldOutOf = ({ data, evalData }: RewardRecipe): ReturnType<typeof dataOf> =>
  dataOf({ data: evalData ?? data });

export interface MemberOptions {
  index: number;
  engine: EngineRecipe;
  /** Where the score head starts. */
  head?: Float64Array;
  rows: Rows;
}

/** Trains one member; what is drawn for it depends on the recipe's seed and its index only. */
export async function trainMember(
  recipe: RewardRecipe,
  { index, engine, head, rows }: MemberOptions,
  context: RunContext,
): Promise<Member> {
  const base = recipe.model[index % recipe.model.length]!;
  const codec = await openCodec(base, recipe);
  const limits = pairLimits(recipe, await windowOf(base));
  const { pairs: train, lengths } = encodePairs(codec, rows.train, { limits, ...dataOf(recipe) });
  const { pairs: validation } = encodePairs(codec, rows.validation, { limits, ...heldOutOf(recipe) });
  const choices = new RandomStream(recipe.seed, `member ${index}`);
  const learningRate = choices.choice(recipe.learningRate);
  const rate = choices.choice(recipe.dropout);

  const member = await openScalarModel(base, { ...recipe, engine });
  const width = member.hiddenSize;
  if (head && head.length !== width)
    throw new UserError(
      `${base} has hidden size ${width}, but ${recipe.model.at(-1)} has ${head.length}: the runs share one score head, so all models must have the same shape`,
    );
  if (recipe.head === "zero") member.setHead(new Float64Array(width));
  if (head) member.setHead(head);
  const dropoutStream = `member ${index} dropout`;
  let batch: Pair[] = [];
  let cursor = PromptCursor.start(train, { seed: recipe.seed, name: `reward member ${index}` });
  const { model, last } = await runLoop(memberDir(recipe, index), recipe, context, {
    label: memberLabel(recipe, index),
    steps: stepsOf(recipe, train.length),
    trainer: { ...recipe, learningRate },
    models: { reward_model: member },
    final: noting(member, {
      ...(recipe.rewardAt === "end_token" && { reward_at: "end_token" }),
      ...(codec.hasTemplate &&
        rows.train.every(({ prompt }) => typeof prompt === "string") && { trained_on: PLAIN }),
    }),
    state: (): LoopState => ({ cursor: cursor.state() }),
    restore: (state) => {
      cursor = PromptCursor.restore(train, state.cursor);
    },
    batch: () => nameRows(batch),
    step: async (adam, step) => {
      batch = cursor.next(recipe.batchSize, { untilEpochEnd: recipe.steps === undefined });
      // The same mask for the rewards that g is computed from and for the pass that g goes through.
      const dropout = { rate, seed: new RandomStream(recipe.seed, dropoutStream, step).nextSeed() };
      const { loss, gChosen, gRejected, metrics } = bradleyTerry(await score(member, batch, { dropout }));
      const sequences = batch.flatMap(({ chosen, rejected }) => [chosen, rejected]);
      const g = batch.flatMap((_, i) => [gChosen.slice(i, i + 1), gRejected.slice(i, i + 1)]);
      await member.backward(sequences, g, { dropout });
      const { gradNorm } = await member.step(adam);
      return { loss, ...metrics, grad_norm: gradNorm, ...lengthMetrics(lengths) };
    },
    follow: following(recipe.reportTo, context.reporter),
    evaluate: async () => {
      if (validation.length === 0) return {};
      const { loss, metrics } = bradleyTerry(await score(member, validation, { signal: context.signal }));
      return { "eval/loss": loss, "eval/accuracy": metrics.accuracy, "eval/margin": metrics.margin };
    },
  });
  member.dispose();
  const evaluated = (metric: string) => last[`eval/${metric}`] as number | undefined;
  return { model, accuracy: evaluated("accuracy"), loss: evaluated("loss"), learningRate, dropout: rate };
}

/** The model, which when saved says beside its tokenizer how it is read and what it has learned from. */
function noting(model: ScalarModel, settings: Record<string, string>): ScalarModel {
  if (Object.keys(settings).length === 0) return model;
  const noting = Object.create(model) as ScalarModel;
  noting.save = async (dir) => {
    await model.save(dir);
    await writeFileAtomic(join(dir, rewardFile), formatJson(settings));
  };
  return noting;
}

async function score(model: ScalarModel, pairs: readonly Pair[], options: { dropout?: Dropout } & Stoppable) {
  const sequences = pairs.flatMap(({ chosen, rejected }) => [chosen, rejected]);
  const values = await model.values(sequences, "last", options);
  return {
    chosen: pairs.map((_, i) => values[2 * i]![0]!),
    rejected: pairs.map((_, i) => values[2 * i + 1]![0]!),
    margins: pairs.map(({ margin }) => margin),
  };
}
