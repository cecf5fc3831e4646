// Reward modelling (warm.md, section 1): M Bradley-Terry reward models from one shared initialisation, different in
// data order and in whatever lists of options the recipe gives. Their average is `touchstone warm`.

import { join } from "node:path";
import { UserError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { loadPreferences, PromptCursor, partition } from "../data/index.js";
import type { PreferenceRow } from "../data/rows.js";
import type { Dropout, TokenIds } from "../engine/contract.js";
import type { LocalScalarModel } from "../engine/local/index.js";
import { bradleyTerry } from "../objectives/bradley-terry.js";
import { linearProbe } from "../reward/probe.js";
import type { RunContext } from "./context.js";
import { openCodec, openScalarModel } from "./models.js";
import type { RewardRecipe } from "./recipe.js";
import { checkOutputDir } from "./run-directory.js";
import { type LoopState, nameRows, runLoop } from "./run-loop.js";
import type { TextCodec } from "./text.js";

interface Pair {
  id: string;
  chosen: TokenIds;
  rejected: TokenIds;
  margin: number;
}

export interface RewardModelResult {
  /** Directories of the members, in order. */
  members: { model: string; accuracy?: number; loss?: number; learningRate: number; dropout: number }[];
}

/** Trains `runs` members; member i of several is the run directory `member-i` inside output_dir. */
export async function runReward(recipe: RewardRecipe, context: RunContext): Promise<RewardModelResult> {
  for (let index = 0; index < recipe.runs; index++)
    await checkOutputDir(memberDir(recipe, index), recipe, context);
  const { rows, description } = await loadPreferences(recipe.data.path, recipe.data);
  context.reporter.note(`${recipe.data.path}: ${description}`);
  const held = recipe.evalData ? await loadPreferences(recipe.evalData.path, recipe.evalData) : undefined;
  if (held) context.reporter.note(`${recipe.evalData!.path}: ${held.description}`);
  const split =
    held || recipe.evalSplit === 0
      ? { train: rows, validation: held?.rows ?? [] }
      : partition(rows, { fraction: recipe.evalSplit, seed: recipe.seed });
  const members: RewardModelResult["members"] = [];
  // One probed head for all members: different heads would break linear mode connectivity (warm.md, 5.6).
  let head: Float64Array | undefined;
  for (let index = 0; index < recipe.runs; index++) {
    const base = recipe.model[index % recipe.model.length]!;
    const codec = await openCodec(base, recipe);
    const encode = (pairs: readonly PreferenceRow[]) =>
      pairs.map((row) => encodePair(codec, row, recipe.maxLength));
    const train = encode(split.train);
    const validation = encode(split.validation);
    const member = await openScalarModel(base, { ...recipe, seed: recipe.seed });
    if (recipe.head === "zero") member.setHead(new Float64Array(member.config.hiddenSize));
    if (recipe.head === "probe") {
      head ??= await probe(member, train, recipe.probeL2, context);
      member.setHead(head);
    }
    const choices = new RandomStream(recipe.seed, `member ${index}`);
    const learningRate = choices.choice(recipe.learningRate);
    const rate = choices.choice(recipe.dropout);
    members.push(
      await trainMember(member, { recipe, index, learningRate, rate, train, validation, context }),
    );
    member.dispose();
  }
  return { members };
}

/** Where member `index` is trained. */
const memberDir = ({ outputDir, runs }: RewardRecipe, index: number): string =>
  runs === 1 ? outputDir : join(outputDir, `member-${index + 1}`);

interface MemberOptions {
  recipe: RewardRecipe;
  index: number;
  learningRate: number;
  /** Dropout. */
  rate: number;
  train: readonly Pair[];
  validation: readonly Pair[];
  context: RunContext;
}

async function trainMember(member: LocalScalarModel, options: MemberOptions) {
  const { recipe, index, learningRate, rate, train, validation, context } = options;
  const steps = recipe.steps ?? Math.max(1, Math.round((recipe.epochs * train.length) / recipe.batchSize));
  const dropoutStream = `member ${index} dropout`;
  let batch: Pair[] = [];
  let cursor = PromptCursor.start(train, { seed: recipe.seed, name: `reward member ${index}` });
  const { model, last } = await runLoop(memberDir(recipe, index), recipe, context, {
    label: recipe.runs === 1 ? "reward model" : `reward model ${index + 1} of ${recipe.runs}`,
    steps,
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
  const evaluated = (metric: string) => last[`eval/${metric}`] as number | undefined;
  return { model, accuracy: evaluated("accuracy"), loss: evaluated("loss"), learningRate, dropout: rate };
}

async function score(model: LocalScalarModel, pairs: readonly Pair[], dropout?: Dropout) {
  const sequences = pairs.flatMap(({ chosen, rejected }) => [chosen, rejected]);
  const values = await model.values(sequences, "last", { dropout });
  return {
    chosen: pairs.map((_, i) => values[2 * i]![0]!),
    rejected: pairs.map((_, i) => values[2 * i + 1]![0]!),
    margins: pairs.map(({ margin }) => margin),
  };
}

async function probe(model: LocalScalarModel, pairs: readonly Pair[], l2: number, { reporter }: RunContext) {
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
