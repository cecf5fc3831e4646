// Batched generation with a key-value cache. All prompts x generations decode together; a sequence that ends leaves
// the batch at once.

import { NonFiniteError, UserError } from "../../base/errors.js";
import type { DecoderConfig } from "../../model/config.js";
import { shortSequence } from "../../model/rope.js";
import { type Binding, Tensor, yieldToEventLoop } from "../../tensor/runtime.js";
import type { Completion, SampleOptions, TokenIds } from "../contract.js";
import { bucketByLength } from "./batches.js";
import { type KeyValueCache, makeCache } from "./cache.js";
import type { LocalModel } from "./model.js";
import { argmax, draw } from "./sampler.js";

export interface GenerationLimits {
  /** Bytes of key-value cache in memory at a time. */
  cacheBytes: number;
  /** Rows that decode together at most. */
  maxRows: number;
}

export const defaultLimits: GenerationLimits = { cacheBytes: 2 ** 31, maxRows: 256 };

/** Bytes of key-value cache for every position of a row. */
export const cacheBytesPerToken = ({ layers, kvHeads, headDim }: DecoderConfig): number =>
  layers * 2 * kvHeads * headDim * 4;

interface Row {
  /** Index of the completion in the result. */
  index: number;
  promptIndex: number;
  prompt: TokenIds;
  seed: number;
  tokens: number[];
  logprobs: number[];
  samplingLogprobs: number[];
}

interface Settings {
  maxNewTokens: number;
  temperature: number;
  topK: number;
  topP: number;
  stopIds: ReadonlySet<number>;
  stopped?: (tokens: readonly number[]) => boolean;
  signal: AbortSignal | undefined;
  onToken?: SampleOptions["onToken"];
}

export async function generate(
  model: LocalModel,
  prompts: readonly TokenIds[],
  options: SampleOptions,
  limits: GenerationLimits,
): Promise<Completion[]> {
  const { n = 1, maxNewTokens, temperature = 1, topK = 0, topP = 1, seeds, onProgress } = options;
  if (model.config.headDim % 8 !== 0)
    throw new UserError(
      `sampling needs a head_dim that is a multiple of 8, and this model has ${model.config.headDim}; it can be scored and trained`,
    );
  if (seeds.length !== prompts.length && seeds.length !== prompts.length * n)
    throw new Error(`sample: ${seeds.length} seeds for ${prompts.length} prompts x ${n}`);
  const perCompletion = seeds.length === prompts.length * n;
  const settings: Settings = {
    maxNewTokens,
    temperature,
    topK,
    topP,
    stopIds: new Set(options.stopIds ?? model.config.eosIds),
    signal: options.signal,
    stopped: options.stopStrings?.length ? model.stopTest(options.stopStrings) : undefined,
    onToken: options.onToken,
  };
  const rows: Row[] = prompts.flatMap((prompt, promptIndex) =>
    Array.from({ length: n }, (_, k) => ({
      index: promptIndex * n + k,
      promptIndex,
      prompt,
      // One seed a prompt: its completions draw from streams of their own all the same.
      seed: perCompletion ? seeds[promptIndex * n + k]! : (seeds[promptIndex]! + k * 0x9e3779b9) >>> 0,
      tokens: [],
      logprobs: [],
      samplingLogprobs: [],
    })),
  );
  const results: Completion[] = new Array(rows.length);
  let finished = 0;
  let newTokens = 0;
  for (const wave of waves(model, rows, maxNewTokens, limits)) {
    await new Wave(model, wave, settings).run((row, finishReason) => {
      results[row.index] = {
        promptIndex: row.promptIndex,
        tokens: Int32Array.from(row.tokens),
        logprobs: Float32Array.from(row.logprobs),
        samplingLogprobs: Float32Array.from(row.samplingLogprobs),
        finishReason,
      };
      finished++;
      newTokens += row.tokens.length;
      onProgress?.(finished, newTokens);
    });
  }
  return results;
}

/** Rows that decode together: similar prompt lengths, within the cache's memory. */
function waves(
  model: LocalModel,
  rows: readonly Row[],
  maxNewTokens: number,
  limits: GenerationLimits,
): Row[][] {
  const lengths = rows.map((row) => row.prompt.length + maxNewTokens);
  const budget = Math.floor(limits.cacheBytes / cacheBytesPerToken(model.config));
  const border = shortSequence(model.config.ropes);
  // The keys in the cache have turned by the frequencies of short sequences; a longer one would need all of them anew.
  const crossing = rows.find(({ prompt }, i) => prompt.length <= border && lengths[i]! > border);
  if (crossing)
    throw new UserError(
      `a prompt of ${crossing.prompt.length} tokens and ${maxNewTokens} new ones cross the ${border} tokens where this model's rotary scaling changes; ask for at most ${border - crossing.prompt.length} new tokens`,
    );
  return bucketByLength(lengths, budget, { maxRows: limits.maxRows, border }).map((batch) =>
    batch.map((i) => rows[i]!),
  );
}

type Finish = (row: Row, reason: Completion["finishReason"]) => void;

/** Rows that decode together, and their cache. Slot b of every buffer belongs to `rows[b]`. */
class Wave {
  private readonly capacity: number;
  private readonly cache: KeyValueCache;
  private readonly tokens: Int32Array;
  /** int64 positions, seen as pairs of 32-bit words of which the low one is used. */
  private readonly positions: BigInt64Array;
  private readonly lengths: Int32Array;
  private readonly total = Tensor.zeros("int32", [1]);
  private readonly logits: Float32Array;
  private readonly probabilities: Float32Array;
  private readonly normaliser: Float32Array;
  private readonly tempered: boolean;

  constructor(
    private readonly model: LocalModel,
    private rows: Row[],
    private readonly settings: Settings,
  ) {
    const { vocabSize } = model.config;
    this.capacity = Math.max(...rows.map((row) => row.prompt.length)) + Math.max(1, settings.maxNewTokens);
    const size = { rows: rows.length, capacity: this.capacity };
    this.cache = makeCache(model.programs.device, model.config, size);
    this.tokens = new Int32Array(rows.length);
    this.positions = new BigInt64Array(rows.length);
    this.lengths = new Int32Array(rows.length);
    this.logits = new Float32Array(rows.length * vocabSize);
    this.probabilities = new Float32Array(rows.length * vocabSize);
    this.normaliser = new Float32Array(rows.length);
    this.tempered = settings.temperature > 0 && settings.temperature !== 1;
  }

  async run(finish: Finish): Promise<void> {
    let binding: Binding | undefined;
    try {
      this.settings.signal?.throwIfAborted();
      await this.prefill();
      let lastYield = performance.now();
      for (;;) {
        const before = this.rows.length;
        for (let b = 0; b < before; b++) this.choose(b);
        const slots = this.retire(finish);
        if (slots.length === 0) break;
        if (slots.length < before) {
          // The binding would hold on to the cache that moving rows replaces.
          binding?.dispose();
          binding = undefined;
          this.cache.keep(slots, this.lengths);
        }
        binding ??= this.bindRows(slots.length);
        this.total.ints[0] = Math.max(...this.lengths.subarray(0, slots.length)) + 1;
        binding.runSync();
        if (performance.now() - lastYield > 20) {
          await yieldToEventLoop();
          this.settings.signal?.throwIfAborted();
          lastYield = performance.now();
        }
      }
    } finally {
      binding?.dispose();
      this.cache.dispose();
    }
  }

  /** Runs every distinct prompt once and starts the rows that share it from its keys and values. */
  private async prefill(): Promise<void> {
    const { model } = this;
    const { vocabSize } = model.config;
    // By content: whether two prompts are one array or two must not decide which rows stand where.
    const sharing = new Map<string, Row[]>();
    for (const row of this.rows) {
      const key = row.prompt.join();
      const rows = sharing.get(key);
      if (rows) rows.push(row);
      else sharing.set(key, [row]);
    }
    const groups = [...sharing.values()];
    const batches = bucketByLength(
      groups.map(([row]) => row!.prompt.length),
      model.tokenBudget.forward,
    ).map((batch) => batch.map((i) => groups[i]!));
    // Rows take the order in which their prompts run, so that each batch fills the slots that follow the last.
    this.rows = batches.flat(2);
    const program = model.programs.prefill(this.tempered);
    let b = 0;
    for (const batch of batches) {
      const prompts = batch.map(([row]) => row!.prompt);
      const width = Math.max(...prompts.map((prompt) => prompt.length));
      const binding = model.bind(program);
      this.bindTemperature(binding);
      model.bindSequences(
        binding,
        prompts,
        prompts.map((prompt) => [prompt.length - 1]),
      );
      const out = (columns: number) => Tensor.zeros("float32", [batch.length, columns]);
      const [logits, probabilities, normaliser] = [out(vocabSize), out(vocabSize), out(1)];
      binding
        .output("logits", logits)
        .output("probabilities", probabilities)
        .output("normaliser", normaliser);
      this.cache.bindPrefill(binding, batch.length, width);
      await binding.run();
      binding.dispose();
      const copies = batch.map((rows) => rows.length);
      this.cache.append({ lengths: prompts.map((prompt) => prompt.length), copies, width });
      copies.forEach((count, i) => {
        const span = [i * vocabSize, (i + 1) * vocabSize] as const;
        for (let k = 0; k < count; k++, b++) {
          this.logits.set(logits.floats.subarray(...span), b * vocabSize);
          this.probabilities.set(probabilities.floats.subarray(...span), b * vocabSize);
          this.normaliser[b] = normaliser.floats[i]!;
        }
      });
    }
  }

  private bindTemperature(binding: Binding): void {
    if (!this.tempered) return;
    binding.input("inverse_temperature", Tensor.float32(Float32Array.of(1 / this.settings.temperature), [1]));
  }

  private bindRows(size: number): Binding {
    const { vocabSize } = this.model.config;
    const binding = this.model.bind(this.model.programs.decode(this.tempered, this.rows.length));
    this.bindTemperature(binding);
    binding
      .input("tokens", Tensor.int32(this.tokens, [size, 1]))
      .input("lengths", Tensor.int32(this.lengths, [size]))
      .input("total", this.total)
      .output("logits", Tensor.float32(this.logits, [size, vocabSize]))
      .output("probabilities", Tensor.float32(this.probabilities, [size, vocabSize]))
      .output("normaliser", Tensor.float32(this.normaliser, [size, 1]));
    if (binding.takes("positions")) binding.input("positions", Tensor.of("int64", this.positions, [size, 1]));
    this.model.bindRotary(binding, this.capacity);
    this.cache.bindStep(binding, size);
    return binding;
  }

  /** Samples the next token of slot b and makes it the next step's input. */
  private choose(b: number): void {
    const row = this.rows[b]!;
    const { vocabSize } = this.model.config;
    const { temperature } = this.settings;
    const position = row.tokens.length;
    if (!Number.isFinite(this.normaliser[b]!))
      throw new NonFiniteError(
        `the model's logits after ${row.prompt.length + position} tokens are not finite, so nothing can be sampled`,
      );
    const { token, samplingLogprob } =
      temperature === 0
        ? { token: argmax(this.logits, b, vocabSize), samplingLogprob: 0 }
        : draw(this.probabilities, b, vocabSize, this.settings, row.seed, position);
    row.tokens.push(token);
    this.settings.onToken?.(row.index, token);
    row.logprobs.push(this.logits[b * vocabSize + token]! - this.normaliser[b]!);
    row.samplingLogprobs.push(samplingLogprob);
    this.tokens[b] = token;
    this.lengths[b] = row.prompt.length + position;
    this.positions[b] = BigInt(row.prompt.length + position);
  }

  /** Removes finished rows, filling their slots from the end. Returns the former slot of every row that stays. */
  private retire(finish: Finish): number[] {
    const slots = [...this.rows.keys()];
    for (let b = this.rows.length - 1; b >= 0; b--) {
      const row = this.rows[b]!;
      const stopped =
        this.settings.stopIds.has(row.tokens[row.tokens.length - 1]!) || this.settings.stopped?.(row.tokens);
      if (!stopped && row.tokens.length < this.settings.maxNewTokens) continue;
      finish(row, stopped ? "stop" : "length");
      const last = this.rows.length - 1;
      if (b !== last) this.move(slots, last, b);
      this.rows.pop();
      slots.pop();
    }
    return slots;
  }

  private move(slots: number[], from: number, to: number): void {
    slots[to] = slots[from]!;
    this.rows[to] = this.rows[from]!;
    this.tokens[to] = this.tokens[from]!;
    this.lengths[to] = this.lengths[from]!;
    this.positions[to] = this.positions[from]!;
  }
}
