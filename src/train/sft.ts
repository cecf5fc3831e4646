// Supervised fine-tuning: L = -mean over learned tokens of log pi(token | prefix).

import { UserError } from "../base/errors.js";
import { loadCompletions, PromptCursor } from "../data/index.js";
import type { CompletionRow } from "../data/rows.js";
import type { LanguageModel, Sequence } from "../engine/contract.js";
import { sft } from "../objectives/sft.js";
import type { SftRecipe } from "../recipe/recipe.js";
import type { RunContext } from "../run/context.js";
import { checkOutputDir } from "../run/directory.js";
import { type LoopState, nameRows, runLoop } from "../run/loop.js";
import { epochSteps } from "../run/schedule.js";
import { openPolicy } from "./models.js";
import { atRow, type EncodedRow, type TextCodec } from "./text.js";

export interface SftResult {
  /** Directory of the trained model. */
  model: string;
  evalLoss?: number;
}

/** A row as tokens. */
interface Row {
  id: string;
  sequence: Sequence;
}

export async function runSft(recipe: SftRecipe, context: RunContext): Promise<SftResult> {
  await checkOutputDir(recipe.outputDir, recipe, context);
  const { policy, codec } = await openPolicy(recipe.model, recipe);
  const load = async (source: NonNullable<SftRecipe["evalData"]>): Promise<Row[]> => {
    const { rows, description } = await loadCompletions(source.path, source);
    context.reporter.note(`${source.path}: ${description}`);
    return encodeRows(rows, { codec, recipe, source: source.path, reporter: context.reporter });
  };
  const rows = await load(recipe.data);
  const held = recipe.evalData ? await load(recipe.evalData) : undefined;
  const steps = recipe.steps ?? epochSteps(recipe, rows.length);

  let batch: Row[] = [];
  let cursor = PromptCursor.start(rows, { seed: recipe.seed, name: "sft" });
  const { model, last } = await runLoop(recipe.outputDir, recipe, context, {
    label: "sft",
    steps,
    trainer: recipe,
    models: { policy },
    final: policy,
    state: (): LoopState => ({ cursor: cursor.state() }),
    restore: (state) => {
      cursor = PromptCursor.restore(rows, state.cursor);
    },
    batch: () => nameRows(batch),
    step: async (adam) => {
      batch = cursor.next(recipe.batchSize, { untilEpochEnd: recipe.steps === undefined });
      const { loss, tokens } = await accumulate(policy, batch);
      const { gradNorm } = await policy.step(adam);
      return { loss, num_tokens: tokens, grad_norm: gradNorm };
    },
    evaluate: async () => (held ? { "eval/loss": await meanLoss(policy, held, context) } : {}),
  });
  policy.dispose();
  return { model, evalLoss: last["eval/loss"] as number | undefined };
}

interface Encoding {
  codec: TextCodec;
  recipe: SftRecipe;
  /** The file, for what is said of its rows. */
  source: string;
  reporter: RunContext["reporter"];
}

/** The rows as tokens; those of which nothing is left to learn are left out and counted. */
function encodeRows(rows: readonly CompletionRow[], { codec, recipe, source, reporter }: Encoding): Row[] {
  const { maxLength } = recipe;
  const encoded: Row[] = [];
  const empty: string[] = [];
  let [cut, spanning] = [0, 0];
  for (const row of rows) {
    const { spansBoundary, ...sequence } = atRow(row.id, () => encode(codec, row, recipe));
    if (spansBoundary) spanning++;
    if (sequence.tokens.length > maxLength) cut++;
    const tokens = sequence.tokens.slice(0, maxLength);
    if (tokens.length > sequence.promptLength)
      encoded.push({ id: row.id, sequence: { ...sequence, tokens } });
    else empty.push(row.id);
  }
  const say = (count: number, what: string) => {
    if (count > 0) reporter.note(`${source}: ${count} of ${rows.length} rows ${what}`);
  };
  if (encoded.length === 0)
    throw new UserError(
      `${empty[0]}: no token of the completion is within max_length ${maxLength}, nor of any other row of ${source}; raise max_length`,
    );
  say(empty.length, `left out, for max_length ${maxLength} leaves no token to learn, the first ${empty[0]}`);
  say(cut - empty.length, `cut to max_length ${maxLength}`);
  say(spanning, "have a token that spans prompt and completion; it is learned");
  return encoded;
}

/** Tokens of a row; the whole text is learned unless only completions are. */
function encode(codec: TextCodec, row: CompletionRow, { completionOnlyLoss }: SftRecipe): EncodedRow {
  if (row.prompt === "" && typeof row.completion === "string") return codec.text(row.completion);
  const sequence = codec.sequence(row.prompt, row.completion, row.metadata);
  return completionOnlyLoss ? sequence : { ...sequence, promptLength: 1 };
}

const noLogprobs = (sequences: readonly Sequence[]): Float32Array[] =>
  sequences.map(({ tokens, promptLength }) => new Float32Array(tokens.length - promptLength));

async function accumulate(policy: LanguageModel, batch: readonly Row[]) {
  const sequences = batch.map(({ sequence }) => sequence);
  // The gradient does not depend on the log-probabilities, so one pass gives both.
  const { g } = sft({ logprobs: noLogprobs(sequences) });
  const { loss, metrics } = sft({ logprobs: await policy.backward(sequences, g) });
  return { loss, tokens: metrics.tokens };
}

async function meanLoss(
  policy: LanguageModel,
  rows: readonly Row[],
  { signal }: RunContext,
): Promise<number> {
  const sequences = rows.map(({ sequence }) => sequence);
  return sft({ logprobs: await policy.logprobs(sequences, { signal }) }).loss;
}
