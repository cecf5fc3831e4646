// Supervised fine-tuning: L = -mean over learned tokens of log pi(token | prefix).

import { mean } from "../base/statistics.js";
import { loadCompletions, PromptCursor } from "../data/index.js";
import type { CompletionRow } from "../data/rows.js";
import type { LanguageModel, Sequence, Stoppable, TokenStatistics } from "../engine/contract.js";
import { sft } from "../objectives/sft.js";
import type { SftRecipe } from "../recipe/recipe.js";
import type { RunContext } from "../run/context.js";
import { checkOutputDir } from "../run/directory.js";
import { type LoopState, nameRows, runLoop } from "../run/loop.js";
import type { Metrics } from "../run/metrics.js";
import { epochSteps, warmupRemarks } from "../run/schedule.js";
import { following, requireTrackers } from "../trackers/follow.js";
import {
  type LengthCounts,
  type LengthLimits,
  LengthTally,
  lengthLimit,
  lengthMetrics,
  lengthSentences,
} from "./lengths.js";
import { memoryOfSft, requireMemory, waysToNeedLess } from "./memory.js";
import { openCodec, openPolicy, windowOf } from "./models.js";
import { plainPromptRemarks, type TemplateWish } from "./plain-prompts.js";
import { atRow, type EncodedRow, type TextCodec } from "./text.js";

export interface SftResult {
  /** Directory of the trained model. */
  model: string;
  evalLoss?: number;
  /** How the training rows fitted. */
  lengths: LengthCounts;
  /** What was left out and cut, in sentences. */
  remarks: string[];
}

/** A row as tokens. */
interface Row {
  id: string;
  sequence: Sequence;
}

export async function runSft(recipe: SftRecipe, context: RunContext): Promise<SftResult> {
  await checkOutputDir(recipe.outputDir, recipe, context);
  await requireTrackers(recipe.reportTo);
  const codec = await openCodec(recipe.model, recipe);
  const window = await windowOf(recipe.model, recipe.engine);
  const load = async (source: NonNullable<SftRecipe["evalData"]>): Promise<EncodedRows> => {
    const { rows, description } = await loadCompletions(source.path, source);
    context.reporter.note(`${source.path}: ${description}`);
    const encoded = encodeRows(rows, { codec, recipe, source, window });
    for (const line of [...encoded.remarks, ...encoded.notes]) context.reporter.note(line);
    return encoded;
  };
  const { rows, lengths, remarks } = await load(recipe.data);
  const held = recipe.evalData ? (await load(recipe.evalData)).rows : undefined;
  const steps = recipe.steps ?? epochSteps(recipe, rows.length);
  for (const remark of warmupRemarks(steps, recipe)) context.reporter.note(remark);
  if (recipe.engine.kind === "local")
    requireMemory(
      await memoryOfSft(recipe, longestOf(rows)),
      waysToNeedLess("sft", recipe),
      context.reporter,
    );
  const note = (sentence: string) => context.reporter.note(sentence);
  const { policy } = await openPolicy(recipe.model, { ...recipe, codec, note });

  let batch: Row[] = [];
  let cursor = PromptCursor.start(rows, { seed: recipe.seed, name: "sft" });
  let tokensSeen = 0;
  const { model, last } = await runLoop(recipe.outputDir, recipe, context, {
    label: "sft",
    steps,
    trainer: recipe,
    models: { policy },
    final: policy,
    state: (): LoopState => ({ cursor: cursor.state(), tokensSeen }),
    restore: (state) => {
      cursor = PromptCursor.restore(rows, state.cursor);
      tokensSeen = state.tokensSeen ?? 0;
    },
    batch: () => nameRows(batch),
    step: async (adam) => {
      batch = cursor.next(recipe.batchSize, { untilEpochEnd: recipe.steps === undefined });
      const { epoch, position, size } = cursor.state();
      const learned = await accumulate(policy, batch);
      const { gradNorm } = await policy.step(adam);
      tokensSeen += batch.reduce((sum, { sequence }) => sum + sequence.tokens.length, 0);
      return {
        ...learned,
        epoch: epoch + position / size,
        num_tokens: tokensSeen,
        grad_norm: gradNorm,
        ...lengthMetrics(lengths),
      };
    },
    follow: following(recipe.reportTo, context.reporter),
    evaluate: async () => (held ? await evaluate(policy, held, context) : {}),
  });
  policy.dispose();
  return { model, evalLoss: last["eval/loss"] as number | undefined, lengths, remarks };
}

/** Tokens of the longest row. */
export const longestOf = (rows: readonly Row[]): number =>
  rows.reduce((most, { sequence }) => Math.max(most, sequence.tokens.length), 1);

interface Encoding {
  codec: TextCodec;
  recipe: SftRecipe;
  /** The file, for what is said of its rows. */
  source: TemplateWish & { path: string };
  /** Tokens that the model reads. */
  window: number;
}

export interface EncodedRows {
  rows: Row[];
  lengths: LengthCounts;
  /** What was left out and cut, in sentences. */
  remarks: string[];
  /** What else is worth knowing of them. */
  notes: string[];
}

const CHOICES = ["skip", "truncate_left", "truncate_right"] as const;

export const sftLimits = (
  { maxLength, maxPromptLength, overlong }: SftRecipe,
  window: number,
): LengthLimits => ({
  ...lengthLimit(maxLength, window),
  maxPromptLength,
  overlong,
  choices: CHOICES,
});

/** The rows as tokens; what does not fit is counted, and cut or left out as the recipe says. */
export function encodeRows(
  rows: readonly CompletionRow[],
  { codec, recipe, source: { path: source, applyChatTemplate }, window }: Encoding,
): EncodedRows {
  const limits = sftLimits(recipe, window);
  const tally = new LengthTally(limits, source);
  const encoded: Row[] = [];
  let spanning = 0;
  for (const row of rows) {
    const { spansBoundary, tokens, promptLength } = atRow(row.id, () => encode(codec, row));
    const kept = tally.keep(row.id, { promptLength, length: tokens.length });
    if (spansBoundary) spanning++;
    if (!kept) continue;
    // The whole text is learned unless only completions are.
    const learnedFrom = recipe.completionOnlyLoss ? promptLength - kept.from : 1;
    const sequence = { tokens: tokens.slice(kept.from, kept.to), promptLength: learnedFrom };
    encoded.push({ id: row.id, sequence });
  }
  const lengths = tally.end();
  const notes =
    spanning > 0
      ? [
          `${source}: ${spanning} of ${rows.length} rows have a token that spans prompt and completion; it is learned`,
        ]
      : [];
  const remarks = [
    ...plainPromptRemarks(rows, codec, { source, applyChatTemplate }),
    ...lengthSentences(source, lengths, limits),
  ];
  return { rows: encoded, lengths, remarks, notes };
}

const encode = (codec: TextCodec, row: CompletionRow): EncodedRow =>
  row.prompt === "" && typeof row.completion === "string"
    ? codec.text(row.completion)
    : codec.sequence(row.prompt, row.completion, row.metadata);

const noLogprobs = (sequences: readonly Sequence[]): Float32Array[] =>
  sequences.map(({ tokens, promptLength }) => new Float32Array(tokens.length - promptLength));

async function accumulate(policy: LanguageModel, batch: readonly Row[]): Promise<Metrics> {
  const sequences = batch.map(({ sequence }) => sequence);
  // The gradient does not depend on the log-probabilities, so one pass gives both.
  const { g } = sft({ logprobs: noLogprobs(sequences) });
  const statistics = await policy.backwardWithStatistics?.(sequences, g);
  const logprobs = statistics?.map((row) => row.logprobs) ?? (await policy.backward(sequences, g));
  return { loss: sft({ logprobs }).loss, ...sureness(statistics) };
}

async function evaluate(
  policy: LanguageModel,
  rows: readonly Row[],
  { signal }: Stoppable,
): Promise<Metrics> {
  const sequences = rows.map(({ sequence }) => sequence);
  const statistics = await policy.statistics?.(sequences, { signal });
  const logprobs = statistics?.map((row) => row.logprobs) ?? (await policy.logprobs(sequences, { signal }));
  const metrics = { loss: sft({ logprobs }).loss, ...sureness(statistics) };
  return Object.fromEntries(Object.entries(metrics).map(([name, value]) => [`eval/${name}`, value]));
}

/**
 * Over the learned tokens: the share that was the most likely one, and the mean entropy of what the model predicted in their
 * place, nats; by TRL's names. Empty where the engine does not say.
 */
export function sureness(statistics: readonly TokenStatistics[] | undefined): Metrics {
  if (!statistics) return {};
  const tokens = statistics.flatMap(({ logprobs, bestLogprobs, entropies }) =>
    Array.from(entropies, (entropy, t) => ({ entropy, isBest: logprobs[t] === bestLogprobs[t] })),
  );
  return {
    mean_token_accuracy: mean(tokens.map(({ isBest }) => Number(isBest))),
    entropy: mean(tokens.map(({ entropy }) => entropy)),
  };
}
