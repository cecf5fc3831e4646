// The work of `sample`, `score` and `logprobs`: rows of a file through a model, chunk by chunk. What one of them writes
// another reads: token ids in a row win over its text, so nothing is tokenised twice.

import { UserError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { type LoadOptions, loadCompletions, loadPrompts, loadRows } from "../data/index.js";
import { type DataRow, type Metadata, type Text, where } from "../data/rows.js";
import type { Sequence, SequenceLimits, TokenIds } from "../engine/contract.js";
import type { Storage } from "../model/stored.js";
import type { EngineRecipe } from "../recipe/recipe.js";
import { InterruptedError, type RunContext } from "../run/context.js";
import { openCodec, openPolicy, openRewardModel } from "../train/models.js";
import { plainPromptRemarks, plainRewardRemarks } from "../train/plain-prompts.js";
import { atRow, type TextCodec } from "../train/text.js";

/** Rows of one call to the model: enough to fill its batches, few enough to show progress. */
const CHUNK = 64;

export interface ModelChoice {
  model: string;
  engine: EngineRecipe;
  /** How the weights are kept in memory. Default: float32. */
  quantise?: Storage | undefined;
  chatTemplate?: string;
  /** Plain prompts as user messages, or plain on purpose; undefined: plain, and said where the model has a template. */
  chat?: boolean | undefined;
}

/** A row as it goes out: the columns that came in, and what the model added. */
export type OutputRow = Record<string, unknown>;

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

/** The ids in `column`, which must be of the model's vocabulary. */
function idsAt(row: DataRow, column: string, vocabSize: number): number[] {
  const ids = row.values[column];
  if (!isTokenIds(ids))
    throw new UserError(`${where(row)}: "${column}" must be a list of token ids, as "completion_ids" is`);
  const stranger = ids.find((id) => id >= vocabSize);
  if (stranger !== undefined)
    throw new UserError(
      `${where(row)}: token ${stranger} in "${column}" is not in the model's vocabulary of ${vocabSize}; were the rows made by another model?`,
    );
  return ids;
}

interface Reader {
  codec: TextCodec;
  vocabSize: number;
  chat: boolean | undefined;
  reporter: RunContext["reporter"];
  /** Default: prompt and completion with their boundary. */
  encode?: Encode;
}

/** Says that plain prompts meet a model that chats. */
export function notePlainPrompts(
  rows: readonly { prompt: Text }[],
  codec: TextCodec,
  { data, chat, reporter }: Pick<Reader, "chat" | "reporter"> & { data: string },
): void {
  const about = { source: data, applyChatTemplate: chat, remedy: "flag" as const };
  for (const remark of plainPromptRemarks(rows, codec, about)) reporter.note(remark);
}

async function promptsOf(
  data: string,
  { codec, vocabSize, chat, reporter }: Reader,
  options: LoadOptions,
): Promise<PromptInput[]> {
  const withIds = await rowsWithIds(data, "prompt_ids", options);
  if (withIds)
    return withIds.map((row) => ({ tokens: idsAt(row, "prompt_ids", vocabSize), columns: row.values }));
  const { rows } = await loadPrompts(data, { ...options, applyChatTemplate: chat });
  notePlainPrompts(rows, codec, { data, chat, reporter });
  return rows.map(({ id, prompt, metadata }) => ({
    tokens: atRow(id, () => codec.prompt(prompt, metadata)),
    columns: { ...metadata, prompt },
  }));
}

async function sequencesOf(
  data: string,
  { codec, vocabSize, chat, reporter, encode = sequenceOf(codec) }: Reader,
  options: LoadOptions,
): Promise<SequenceInput[]> {
  const withIds = await rowsWithIds(data, "completion_ids", options);
  if (withIds) {
    return withIds.map((row) => {
      const prompt = idsAt(row, "prompt_ids", vocabSize);
      const tokens = [...prompt, ...idsAt(row, "completion_ids", vocabSize)];
      return { sequence: { tokens, promptLength: prompt.length }, columns: row.values };
    });
  }
  const { rows } = await loadCompletions(data, { ...options, applyChatTemplate: chat });
  notePlainPrompts(rows, codec, { data, chat, reporter });
  return rows.map(({ id, prompt, completion, metadata }) => ({
    sequence: atRow(id, () => encode(prompt, completion, metadata)),
    columns: { ...metadata, ...(prompt !== "" && { prompt }), completion },
  }));
}

type Encode = (prompt: Text, completion: Text, row: Metadata) => Sequence;

const sequenceOf =
  (codec: TextCodec): Encode =>
  (prompt, completion, row) =>
    prompt === "" && typeof completion === "string"
      ? codec.text(completion)
      : codec.sequence(prompt, completion, row);

/** As a reward model reads it; no boundary is asked for. */
const scoredOf =
  (codec: TextCodec): Encode =>
  (prompt, completion, row) =>
    prompt === "" && typeof completion === "string"
      ? codec.text(completion)
      : { tokens: codec.scored(prompt, completion, row), promptLength: 1 };

/** Says how many rows have more tokens than a model reads; they are computed all the same. */
function noteBeyondWindow(
  lengths: readonly number[],
  { model, limits }: { model: string; limits: SequenceLimits },
  { reporter }: Pick<RunContext, "reporter">,
): void {
  const beyond = lengths.filter((length) => length > limits.maxTokens).length;
  if (beyond === 0) return;
  const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
  reporter.note(
    `warning: ${beyond} of ${lengths.length} rows have more than the ${limits.maxTokens} tokens that ${model} reads (max_position_embeddings), the longest ${longest}: what is said of them means little; they have beyond_window`,
  );
}

/** For a row that a model does not read whole: how many of its tokens are too many. */
const beyondWindow = (tokens: number, { maxTokens }: SequenceLimits): { beyond_window?: number } =>
  tokens > maxTokens ? { beyond_window: tokens - maxTokens } : {};

/** `work` on the inputs, chunk by chunk, with progress; Ctrl-C ends it between chunks. */
export async function inChunks<Input, Output>(
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
  source: { data: string; limit?: number } | { prompt: Text };
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
    const { chat } = request;
    if ("prompt" in source)
      notePlainPrompts([source], codec, { data: "--prompt", chat, reporter: context.reporter });
    const inputs =
      "prompt" in source
        ? [{ tokens: codec.prompt(source.prompt), columns: { prompt: source.prompt } }]
        : await promptsOf(
            source.data,
            { codec, vocabSize: policy.limits.vocabSize, chat, reporter: context.reporter },
            { limit: source.limit },
          );
    const { limits } = policy;
    noteBeyondWindow(
      inputs.map(({ tokens }) => tokens.length + 1),
      { model: request.model, limits },
      context,
    );
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
          stopIds: codec.stopIds,
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
        ...beyondWindow(chunk[promptIndex]!.tokens.length + tokens.length, limits),
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
  const codec = await openCodec(request.model, request);
  const model = await openRewardModel(request.model, {
    engine: request.engine,
    quantise: request.quantise,
    frozen: true,
  });
  try {
    const inputs = await sequencesOf(
      request.data,
      {
        codec,
        vocabSize: model.limits.vocabSize,
        encode: scoredOf(codec),
        chat: request.chat,
        reporter: context.reporter,
      },
      { limit: request.limit },
    );
    const conversations = inputs.map(({ columns }) => ({ prompt: (columns.prompt ?? "") as Text }));
    for (const remark of plainRewardRemarks(conversations, codec, {
      source: request.data,
      model: request.model,
    }))
      context.reporter.note(remark);
    const { limits } = model;
    const closed = ({ sequence, columns }: SequenceInput) =>
      codec.closed(columns.prompt as Text | undefined, sequence.tokens);
    const lengths = inputs.map((input) => closed(input).length);
    noteBeyondWindow(lengths, { model: request.model, limits }, context);
    return await inChunks("scoring", inputs, context, async (chunk, first) => {
      const values = await model.values(chunk.map(closed), "last");
      return chunk.map(({ columns }, i) => ({
        ...columns,
        reward: values[i]![0]!,
        ...beyondWindow(lengths[first + i]!, limits),
      }));
    });
  } finally {
    model.dispose();
  }
}

/** The log-probability of every completion token of every row, and their sum. */
export async function logprobRows(request: RowsRequest, context: RunContext): Promise<OutputRow[]> {
  const { policy, codec } = await openPolicy(request.model, { ...request, frozen: true });
  try {
    const inputs = await sequencesOf(
      request.data,
      { codec, vocabSize: policy.limits.vocabSize, chat: request.chat, reporter: context.reporter },
      { limit: request.limit },
    );
    const { limits } = policy;
    noteBeyondWindow(
      inputs.map(({ sequence }) => sequence.tokens.length),
      { model: request.model, limits },
      context,
    );
    return await inChunks("log-probabilities", inputs, context, async (chunk) => {
      const logprobs = await policy.logprobs(chunk.map(({ sequence }) => sequence));
      return chunk.map(({ columns, sequence: { tokens, promptLength } }, i) => ({
        ...columns,
        prompt_ids: Array.from(tokens.slice(0, promptLength)),
        completion_ids: Array.from(tokens.slice(promptLength)),
        logprobs: Array.from(logprobs[i]!),
        logprob: logprobs[i]!.reduce((sum, value) => sum + value, 0),
        ...beyondWindow(tokens.length, limits),
      }));
    });
  } finally {
    policy.dispose();
  }
}
