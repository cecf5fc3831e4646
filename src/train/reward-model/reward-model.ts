// Reward modelling (warm.md, section 1): M Bradley-Terry reward models from one shared initialisation, different in
// data order and in whatever lists of options the recipe gives. Their average is `touchstone warm`.

import { availableParallelism } from "node:os";
import { join } from "node:path";
import { writeFileAtomic } from "../../base/atomic.js";
import { UserError } from "../../base/errors.js";
import { RandomStream } from "../../base/random.js";
import { flipLabels, loadPreferences, PromptCursor, partition, preferencesJsonl } from "../../data/index.js";
import type { PreferenceRow } from "../../data/rows.js";
import type { Dropout, ScalarModel, TokenIds } from "../../engine/contract.js";
import { bradleyTerry } from "../../objectives/bradley-terry.js";
import type { EngineRecipe, RewardRecipe } from "../../recipe/recipe.js";
import { linearProbe } from "../../reward/probe.js";
import type { RunContext } from "../../run/context.js";
import { checkOutputDir, checkpointSteps } from "../../run/directory.js";
import { type LoopState, nameRows, runLoop } from "../../run/loop.js";
import { openCodec, openScalarModel } from "../models.js";
import type { TextCodec } from "../text.js";

interface Pair {
  id: string;
  chosen: TokenIds;
  rejected: TokenIds;
  margin: number;
}

export interface Member {
  /** Directory of the trained model. */
  model: string;
  accuracy?: number;
  loss?: number;
  learningRate: number;
  dropout: number;
}

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
    const { trainSideBySide } = await import("./jobs.js");
    const steps = stepsOf(recipe, rows.train.length);
    return { members: await trainSideBySide(work, { processes, steps }, context) };
  }
  const members: Member[] = [];
  for (const index of indices)
    members.push(await trainMember(recipe, { index, engine, head, rows }, context));
  return { members };
}

/** Where member `index` is trained. */
const memberDir = ({ outputDir, runs }: RewardRecipe, index: number): string =>
  runs === 1 ? outputDir : join(outputDir, `member-${index + 1}`);

export const memberLabel = ({ runs }: RewardRecipe, index: number): string =>
  runs === 1 ? "reward model" : `reward model ${index + 1} of ${runs}`;

const stepsOf = ({ steps, epochs, batchSize }: RewardRecipe, rows: number): number =>
  steps ?? Math.max(1, Math.round((epochs * rows) / batchSize));

/** The threads that the recipe asks for, else `threads`. */
const onThreads = (engine: EngineRecipe, threads: number | undefined): EngineRecipe =>
  engine.kind === "local" ? { ...engine, threads: engine.threads ?? threads } : engine;

interface Rows {
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

/**
 * One probed head for all members, because different heads would break linear mode connectivity (warm.md, 5.6). It is
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
  const encode = (pairs: readonly PreferenceRow[]) =>
    pairs.map((row) => encodePair(codec, row, recipe.maxLength));
  const train = encode(rows.train);
  const validation = encode(rows.validation);
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
    final: member,
    state: (): LoopState => ({ cursor: cursor.state() }),
    restore: (state) => {
      cursor = PromptCursor.restore(train, state.cursor);
    },
    batch: () => nameRows(batch),
    step: async (adam, step) => {
      batch = cursor.next(recipe.batchSize);
      // The same mask for the rewards that g is computed from and for the pass that g goes through.
      const dropout = { rate, seed: new RandomStream(recipe.seed, dropoutStream, step).nextSeed() };
      const { loss, gChosen, gRejected, metrics } = bradleyTerry(await score(member, batch, dropout));
      const sequences = batch.flatMap(({ chosen, rejected }) => [chosen, rejected]);
      const g = batch.flatMap((_, i) => [gChosen.slice(i, i + 1), gRejected.slice(i, i + 1)]);
      await member.backward(sequences, g, { dropout });
      const { gradNorm } = await member.step(adam);
      return { loss, ...metrics, grad_norm: gradNorm };
    },
    evaluate: async () => {
      if (validation.length === 0) return {};
      const { loss, metrics } = bradleyTerry(await score(member, validation));
      return { "eval/loss": loss, "eval/accuracy": metrics.accuracy, "eval/margin": metrics.margin };
    },
  });
  member.dispose();
  const evaluated = (metric: string) => last[`eval/${metric}`] as number | undefined;
  return { model, accuracy: evaluated("accuracy"), loss: evaluated("loss"), learningRate, dropout: rate };
}

async function score(model: ScalarModel, pairs: readonly Pair[], dropout?: Dropout) {
  const sequences = pairs.flatMap(({ chosen, rejected }) => [chosen, rejected]);
  const values = await model.values(sequences, "last", { dropout });
  return {
    chosen: pairs.map((_, i) => values[2 * i]![0]!),
    rejected: pairs.map((_, i) => values[2 * i + 1]![0]!),
    margins: pairs.map(({ margin }) => margin),
  };
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

function encodePair(codec: TextCodec, row: PreferenceRow, maxLength: number): Pair {
  const [chosen, rejected] = [row.chosen, row.rejected].map((completion) => {
    const { tokens } = codec.sequence(row.prompt, completion);
    if (tokens.length > maxLength)
      throw new UserError(
        `${row.id}: prompt and completion have ${tokens.length} tokens, more than max_length ${maxLength}; raise max_length or remove the row`,
      );
    return tokens;
  }) as [TokenIds, TokenIds];
  return { id: row.id, chosen, rejected, margin: row.margin ?? 0 };
}
