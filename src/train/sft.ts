// Supervised fine-tuning: L = -mean over learned tokens of log pi(token | prefix).

import { loadCompletions, PromptCursor } from "../data/index.js";
import type { CompletionRow } from "../data/rows.js";
import type { LanguageModel, Sequence } from "../engine/contract.js";
import { sft } from "../objectives/sft.js";
import type { SftRecipe } from "../recipe/recipe.js";
import type { RunContext } from "../run/context.js";
import { checkOutputDir } from "../run/directory.js";
import { type LoopState, nameRows, runLoop } from "../run/loop.js";
import { openPolicy } from "./models.js";
import type { TextCodec } from "./text.js";

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
    return rows.map((row) => ({ id: row.id, sequence: encode(codec, row, recipe) }));
  };
  const rows = await load(recipe.data);
  const held = recipe.evalData ? await load(recipe.evalData) : undefined;
  const steps = recipe.steps ?? Math.max(1, Math.round((recipe.epochs * rows.length) / recipe.batchSize));

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
      batch = cursor.next(recipe.batchSize);
      const { loss, tokens } = await accumulate(policy, batch);
      const { gradNorm } = await policy.step(adam);
      return { loss, num_tokens: tokens, grad_norm: gradNorm };
    },
    evaluate: async () => (held ? { "eval/loss": await meanLoss(policy, held, context) } : {}),
  });
  policy.dispose();
  return { model, evalLoss: last["eval/loss"] as number | undefined };
}

/** Tokens of a row, cut to `maxLength`; the whole text is learned unless only completions are. */
function encode(
  codec: TextCodec,
  row: CompletionRow,
  { maxLength, completionOnlyLoss }: SftRecipe,
): Sequence {
  const plain = row.prompt === "" && typeof row.completion === "string";
  const { tokens, promptLength } = plain
    ? codec.text(row.completion as string)
    : codec.sequence(row.prompt, row.completion);
  const kept = tokens.slice(0, maxLength);
  return { tokens: kept, promptLength: completionOnlyLoss ? Math.min(promptLength, kept.length) : 1 };
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
