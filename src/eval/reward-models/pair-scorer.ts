// Preference pairs as splits, and reward models that score them.

import { UserError } from "../../base/errors.js";
import { RandomStream } from "../../base/random.js";
import { goldColumns, loadPreferences } from "../../data/index.js";
import type { Metadata, PreferenceRow, Text } from "../../data/rows.js";
import type { ScalarModel, Sequence } from "../../engine/contract.js";
import type { SplitFacts } from "../../reward/diagnostics/inspect.js";
import type { PairScores } from "../../reward/diagnostics/pair-scores.js";
import { shallowFeatures } from "../../reward/diagnostics/shallow-features.js";
import { editOneToken, responseTokens } from "../../reward/diagnostics/smoothness.js";
import type { MemberSet } from "../../reward/member-set.js";
import { InterruptedError, type RunContext } from "../../run/context.js";
import { atRow, type ScoredSequence, type TextCodec } from "../../train/text.js";
import { notePlainPrompts } from "../inference.js";

/** Sequences of one call to the model: enough to fill its batches, few enough to show progress. */
const CHUNK = 256;

export interface EncodedPair {
  chosen: ScoredSequence;
  rejected: ScoredSequence;
}

export interface LoadedSplit extends SplitFacts {
  pairs: readonly EncodedPair[];
}

export interface SplitSource {
  name: string;
  /** A file or Hub name. */
  data: string;
}

export interface SplitOptions {
  limit?: number;
  /** Plain prompts as user messages, or plain on purpose. */
  chat?: boolean | undefined;
  /** A boolean column that is true where the label is known to be wrong. Such rows become a split of their own. */
  flippedColumn?: string;
}

export const encodePair = (
  codec: TextCodec,
  { id, prompt, chosen, rejected, metadata }: PreferenceRow,
): EncodedPair =>
  atRow(id, () => ({
    chosen: codec.scoredSequence(prompt, chosen, metadata),
    rejected: codec.scoredSequence(prompt, rejected, metadata),
  }));

/** The pairs with one token of every response changed. */
export function editPairs(pairs: readonly EncodedPair[], seed: number): EncodedPair[] {
  const stream = new RandomStream(seed, "one-token edits");
  const vocabulary = responseTokens(pairs.flatMap(({ chosen, rejected }) => [chosen, rejected]));
  const edit = (sequence: ScoredSequence): ScoredSequence => ({
    ...sequence,
    tokens: Array.from(editOneToken(sequence, vocabulary, stream)),
  });
  return pairs.map(({ chosen, rejected }) => ({ chosen: edit(chosen), rejected: edit(rejected) }));
}

const plainText = (text: Text) =>
  typeof text === "string" ? text : text.map(({ content }) => content).join("\n");

/** By how much the chosen response is better by the true reward; undefined where the rows do not say. */
function goldOf(rows: readonly { metadata: Metadata }[]): number[] | undefined {
  for (const [chosen, rejected] of goldColumns) {
    if (!rows.every(({ metadata: m }) => typeof m[chosen] === "number" && typeof m[rejected] === "number"))
      continue;
    return rows.map(({ metadata: m }) => (m[chosen] as number) - (m[rejected] as number));
  }
  return undefined;
}

function encodeSplit(codec: TextCodec, name: string, corrupted: boolean, rows: PreferenceRow[]): LoadedSplit {
  const pairs = rows.map((row) => encodePair(codec, row));
  const featuresOf = (response: Text, { tokens, promptLength }: Sequence) =>
    shallowFeatures(plainText(response), tokens.length - promptLength);
  const gold = goldOf(rows);
  return {
    name,
    corrupted,
    pairs,
    features: rows.map(({ chosen, rejected }, i) => ({
      chosen: featuresOf(chosen, pairs[i]!.chosen),
      rejected: featuresOf(rejected, pairs[i]!.rejected),
    })),
    ...(gold && { gold }),
  };
}

/** Reads the splits; one whose rows are marked becomes two, "(clean)" and "(corrupted)". */
export async function loadSplits(
  codec: TextCodec,
  sources: readonly SplitSource[],
  { limit, chat, flippedColumn }: SplitOptions,
  { reporter }: Pick<RunContext, "reporter">,
): Promise<LoadedSplit[]> {
  const splits: LoadedSplit[] = [];
  for (const { name, data } of sources) {
    const { rows, description } = await loadPreferences(data, { limit, applyChatTemplate: chat });
    reporter.note(`${name}: ${description}`);
    notePlainPrompts(rows, codec, { data, chat, reporter });
    const isFlipped = ({ metadata }: PreferenceRow) =>
      flippedColumn !== undefined && metadata[flippedColumn] === true;
    const [clean, corrupted] = [rows.filter((row) => !isFlipped(row)), rows.filter(isFlipped)];
    const both = clean.length > 0 && corrupted.length > 0;
    if (clean.length > 0) splits.push(encodeSplit(codec, both ? `${name} (clean)` : name, false, clean));
    if (corrupted.length > 0)
      splits.push(encodeSplit(codec, both ? `${name} (corrupted)` : name, true, corrupted));
  }
  const names = splits.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new UserError(`two splits are called "${twice}"; give each its own name`);
  return splits;
}

/** The model's reward of each sequence. */
export async function rewardsOf(
  model: ScalarModel,
  sequences: readonly ScoredSequence[],
  { signal }: Pick<RunContext, "signal">,
  onProgress?: (sequences: number) => void,
): Promise<number[]> {
  const rewards: number[] = [];
  for (let first = 0; first < sequences.length; first += CHUNK) {
    if (signal?.aborted) throw new InterruptedError("stopped; nothing was written");
    const chunk = sequences.slice(first, first + CHUNK).map(({ tokens, after }) => [...tokens, ...after]);
    for (const [reward] of await model.values(chunk, "last")) rewards.push(reward!);
    onProgress?.(rewards.length);
  }
  return rewards;
}

/** A reward model whose weights can be replaced, and the pairs that it scores. */
export class PairScorer {
  constructor(
    private readonly model: ScalarModel,
    private readonly splits: readonly (readonly EncodedPair[])[],
    private readonly context: RunContext,
  ) {}

  /** Sequences that one call of `score` has to look at. */
  get sequences(): number {
    return 2 * this.splits.reduce((sum, pairs) => sum + pairs.length, 0);
  }

  /** Rewards of every split. */
  async score(onProgress?: (sequences: number) => void): Promise<PairScores[]> {
    const sequences = this.splits.flatMap((pairs) =>
      pairs.flatMap(({ chosen, rejected }) => [chosen, rejected]),
    );
    const rewards = await rewardsOf(this.model, sequences, this.context, onProgress);
    let at = 0;
    return this.splits.map((pairs) => {
      const scores = { chosen: new Float64Array(pairs.length), rejected: new Float64Array(pairs.length) };
      for (const i of pairs.keys()) {
        scores.chosen[i] = rewards[at++]!;
        scores.rejected[i] = rewards[at++]!;
      }
      return scores;
    });
  }

  /** Rewards of every split by sum_i w_i phi_i. */
  async scoreAverage(
    set: MemberSet,
    weights: readonly number[],
    onProgress?: (sequences: number) => void,
  ): Promise<PairScores[]> {
    const tensors = await set.weights(weights);
    this.model.setWeights((name) => tensors.get(name)!);
    return this.score(onProgress);
  }

  dispose(): void {
    this.model.dispose();
  }
}
