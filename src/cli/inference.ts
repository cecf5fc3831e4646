// The work of `sample`, `score` and `logprobs`: rows of a file through a model, chunk by chunk. What one of them writes
// another reads: token ids in a row win over its text, so nothing is tokenised twice.

import { UserError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { type LoadOptions, loadCompletions, loadPrompts, loadRows, resolveModel } from "../data/index.js";
import type { DataRow, Metadata, Text } from "../data/rows.js";
import type { Sequence, TokenIds } from "../engine/contract.js";
import { InterruptedError, type RunContext } from "../train/context.js";
import { openPolicy, openScalarModel } from "../train/models.js";
import type { EngineRecipe } from "../train/recipe.js";
import { TextCodec } from "../train/text.js";

/** Rows of one call to the model: enough to fill its batches, few enough to show progress. */
const CHUNK = 64;

export interface ModelChoice {
  model: string;
  engine: EngineRecipe;
  chatTemplate?: string;
}

/** A row as it goes out: the columns that came in, and what the model added. */
type OutputRow = Record<string, unknown>;

interface PromptInput {
  tokens: TokenIds;
  columns: Metadata;
}

interface SequenceInput {
  sequence: Sequence;
  columns: Metadata;
}

const isTokenIds = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length > 0 && value.every((id) => Number.isSafeInteger(id) && id >= 0);

/** The rows when every one of them has `column` as token ids. */
async function rowsWithIds(
  data: string,
  column: string,
  options: LoadOptions,
): Promise<DataRow[] | undefined> {
  const { rows } = await loadRows(data, options);
  return rows.every(({ values }) => isTokenIds(values[column])) ? rows : undefined;
}

async function promptsOf(data: string, codec: TextCodec, options: LoadOptions): Promise<PromptInput[]> {
  const withIds = await rowsWithIds(data, "prompt_ids", options);
  if (withIds)
    return withIds.map(({ values }) => ({ tokens: values.prompt_ids as number[], columns: values }));
  const { rows } = await loadPrompts(data, options);
  return rows.map(({ prompt, metadata }) => ({
    tokens: codec.prompt(prompt),
    columns: { ...metadata, prompt },
  }));
}

async function sequencesOf(data: string, codec: TextCodec, options: LoadOptions): Promise<SequenceInput[]> {
  const withIds = await rowsWithIds(data, "completion_ids", options);
  if (withIds) {
    return withIds.map(({ values, file, row }) => {
      if (!isTokenIds(values.prompt_ids)) {
        throw new UserError(
          `${file}, row ${row}: completion_ids need prompt_ids, a list of token ids, beside them`,
        );
      }
      const tokens = [...values.prompt_ids, ...(values.completion_ids as number[])];
      return { sequence: { tokens, promptLength: values.prompt_ids.length }, columns: values };
    });
  }
  const { rows } = await loadCompletions(data, options);
  return rows.map(({ prompt, completion, metadata }) => ({
    sequence: sequenceOf(codec, prompt, completion),
    columns: { ...metadata, ...(prompt !== "" && { prompt }), completion },
  }));
}

const sequenceOf = (codec: TextCodec, prompt: Text, completion: Text): Sequence =>
  prompt === "" && typeof completion === "string"
    ? codec.text(completion)
    : codec.sequence(prompt, completion);

/** `work` on the inputs, chunk by chunk, with progress; Ctrl-C ends it between chunks. */
async function inChunks<Input, Output>(
  label: string,
  inputs: readonly Input[],
  { reporter, signal }: RunContext,
  work: (chunk: readonly Input[], first: number) => Promise<Output[]>,
): Promise<Output[]> {
  const outputs: Output[] = [];
  reporter.begin(label, inputs.length);
  for (let first = 0; first < inputs.length; first += CHUNK) {
    if (signal?.aborted)
      throw new InterruptedError(`stopped after ${first} of ${inputs.length} rows; nothing was written`);
    const chunk = inputs.slice(first, first + CHUNK);
    outputs.push(...(await work(chunk, first)));
    reporter.step(first + chunk.length);
  }
  reporter.end();
  return outputs;
}

export interface SampleRequest extends ModelChoice {
  /** A file or Hub name of prompts, or one prompt. */
  source: { data: string; limit?: number } | { prompt: string };
  n: number;
  maxNewTokens: number;
  temperature: number;
  topP: number;
  topK: number;
  stopStrings: readonly string[];
  seed: number;
}

/** `n` completions of every prompt, with token ids and log-probabilities. */
export async function sampleRows(request: SampleRequest, context: RunContext): Promise<OutputRow[]> {
  const { source, n, seed, stopStrings, maxNewTokens, temperature, topP, topK } = request;
  const { policy, codec } = await openPolicy(request.model, { ...request, frozen: true });
  try {
    const inputs =
      "prompt" in source
        ? [{ tokens: codec.prompt(source.prompt), columns: { prompt: source.prompt } }]
        : await promptsOf(source.data, codec, { limit: source.limit });
    const stream = new RandomStream(seed, "sample");
    const seeds = inputs.map(() => stream.nextSeed());
    return await inChunks("sampling", inputs, context, async (chunk, first) => {
      const completions = await policy.sample(
        chunk.map(({ tokens }) => tokens),
        {
          n,
          maxNewTokens,
          temperature,
          topP,
          topK,
          stopStrings,
          stopIds: [codec.endId],
          seeds: seeds.slice(first, first + chunk.length),
        },
      );
      return completions.map(({ promptIndex, tokens, logprobs, finishReason }) => ({
        ...chunk[promptIndex]!.columns,
        completion: codec.decode(tokens),
        prompt_ids: Array.from(chunk[promptIndex]!.tokens),
        completion_ids: Array.from(tokens),
        logprobs: Array.from(logprobs),
        finish_reason: finishReason,
      }));
    });
  } finally {
    policy.dispose();
  }
}

export interface RowsRequest extends ModelChoice {
  data: string;
  limit?: number;
}

/** The reward of every row. */
export async function scoreRows(request: RowsRequest, context: RunContext): Promise<OutputRow[]> {
  const dir = await resolveModel(request.model);
  const codec = await TextCodec.open(dir, { chatTemplate: request.chatTemplate });
  const model = await openScalarModel(dir, { engine: request.engine, frozen: true });
  try {
    const inputs = await sequencesOf(request.data, codec, { limit: request.limit });
    return await inChunks("scoring", inputs, context, async (chunk) => {
      const values = await model.values(
        chunk.map(({ sequence }) => sequence.tokens),
        "last",
      );
      return chunk.map(({ columns }, i) => ({ ...columns, reward: values[i]![0]! }));
    });
  } finally {
    model.dispose();
  }
}

/** The log-probability of every completion token of every row, and their sum. */
export async function logprobRows(request: RowsRequest, context: RunContext): Promise<OutputRow[]> {
  const { policy, codec } = await openPolicy(request.model, { ...request, frozen: true });
  try {
    const inputs = await sequencesOf(request.data, codec, { limit: request.limit });
    return await inChunks("log-probabilities", inputs, context, async (chunk) => {
      const logprobs = await policy.logprobs(chunk.map(({ sequence }) => sequence));
      return chunk.map(({ columns, sequence: { tokens, promptLength } }, i) => ({
        ...columns,
        prompt_ids: Array.from(tokens.slice(0, promptLength)),
        completion_ids: Array.from(tokens.slice(promptLength)),
        logprobs: Array.from(logprobs[i]!),
        logprob: logprobs[i]!.reduce((sum, value) => sum + value, 0),
      }));
    });
  } finally {
    policy.dispose();
  }
}
