// The local engine: language and scalar models that run on ONNX Runtime in this process.

import { RandomStream } from "../../base/random.js";
import {
  type Adapter,
  type LoraConfig,
  loraTargets,
  mergedParameter,
  readAdapter,
  saveAdapter,
} from "../../model/adapter.js";
import { hasTokenizer, loadCheckpoint, saveCheckpoint } from "../../model/checkpoint.js";
import {
  type DecoderConfig,
  type FloatType,
  type ParameterSpec,
  parameterSpecs,
  untied,
} from "../../model/config.js";
import { type LoraShape, loraA, loraB } from "../../model/decoder.js";
import { Arena } from "../../tensor/arena.js";
import { memories } from "../../tensor/memory.js";
import type { Device, Tensor } from "../../tensor/runtime.js";
import type {
  AdamOptions,
  Completion,
  Dropout,
  LanguageModel,
  SampleOptions,
  ScalarModel,
  Sequence,
  SequenceLimits,
  StepResult,
  Stoppable,
  TokenIds,
  TokenScores,
  TokenStatistics,
} from "../contract.js";
import { defaultLimits, type GenerationLimits, generate } from "./generate.js";
import { LocalModel } from "./model.js";
import { loraShape, makeParameters, moduleName, sizeOf, trainableNames } from "./parameters.js";
import { Programs } from "./programs.js";

export interface LoadOptions {
  device?: Device;
  /** Train low-rank adapters instead of the weights. A fresh adapter unless `adapter` names one. */
  lora?: LoraConfig;
  /** Directory of a PEFT adapter to continue training (with `lora`), or to merge into the weights (without). */
  adapter?: string;
  /** Only sampling and scoring. Default false. */
  frozen?: boolean;
  /** Seed of whatever starts random: adapters, a fresh score head. Default 0. */
  seed?: number;
  /** Decodes token ids, for stop strings. */
  decode?: (tokens: readonly number[]) => string;
  /** Type of the weights on disk when saving. Default: the type that they came in. */
  saveDtype?: FloatType;
  generation?: Partial<GenerationLimits>;
  /** Upper bound on the padded tokens of one batch. Default 4096. */
  maxBatchTokens?: number;
  /** The same for batches that are differentiated. Default: `maxBatchTokens`. */
  maxBackwardTokens?: number;
}

const embedding = "model.embed_tokens.weight";

interface Loaded {
  model: LocalModel;
  lora?: LoraConfig;
}

async function load(dir: string, head: "language" | "scalar", options: LoadOptions): Promise<Loaded> {
  const trainsWeights = !options.frozen && !options.lora && (options.device ?? "cpu") === "cpu";
  const checkpoint = await loadCheckpoint(dir, {
    head,
    allocate: trainsWeights ? trainingMemory() : undefined,
  });
  const { tensors, fresh } = checkpoint;
  let { config } = checkpoint;
  const random = new RandomStream(options.seed ?? 0, "initialise");
  for (const { name, shape } of fresh) tensors.set(name, normal(sizeOf(shape), 0.02, random));
  const adapter = options.adapter === undefined ? undefined : await readAdapter(options.adapter, config);
  const lora = options.lora ?? undefined;
  // PEFT replaces the embedding only: a head that was tied to it keeps the base's values.
  if (adapter?.saved.has(embedding) && config.head === "language" && config.tieWordEmbeddings) {
    config = untied(config);
    tensors.set("lm_head.weight", tensors.get(embedding)!.slice());
  }
  if (adapter && !lora)
    for (const name of [...tensors.keys()])
      tensors.set(name, mergedParameter(adapter, name, tensors.get(name)!));
  const shape = lora && loraShape(config, lora);
  if (lora) addAdapter(config, lora, tensors, adapter, random);
  return { model: assemble(config, tensors, shape, options), lora };
}

/** Arrays whose gradient and moments lie beside them, where the optimizer's kernels reach all four. */
function trainingMemory(): (config: DecoderConfig, spec: ParameterSpec) => Float32Array {
  let arena: Arena | undefined;
  return (config, { shape }) => {
    const bytes = (extents: readonly number[]): number => Arena.groupBytes(4, sizeOf(extents));
    arena ??= new Arena(parameterSpecs(config).reduce((sum, spec) => sum + bytes(spec.shape), 0));
    return arena.group(4, sizeOf(shape))[0]!;
  };
}

/** A uniform in +-1/sqrt(in) (PEFT's initialisation), B zero; or the pairs of a given adapter. */
function addAdapter(
  config: DecoderConfig,
  lora: LoraConfig,
  tensors: Map<string, Float32Array>,
  adapter: Adapter | undefined,
  random: RandomStream,
): void {
  for (const { name, shape } of loraTargets(config, lora)) {
    const [out, width] = shape as [number, number];
    const pair = adapter?.pairs.get(name);
    const bound = 1 / Math.sqrt(width);
    const a =
      pair?.a ?? Float32Array.from({ length: lora.r * width }, () => (2 * random.uniform() - 1) * bound);
    tensors.set(loraA(moduleName(name)), a);
    tensors.set(loraB(moduleName(name)), pair?.b ?? new Float32Array(out * lora.r));
  }
  for (const [name, { values }] of adapter?.saved ?? []) tensors.set(name, values);
}

function normal(size: number, deviation: number, random: RandomStream): Float32Array {
  return Float32Array.from({ length: size }, () => deviation * random.normal());
}

function assemble(
  config: DecoderConfig,
  tensors: ReadonlyMap<string, Float32Array>,
  lora: LoraShape | undefined,
  {
    device = "cpu",
    frozen = false,
    decode,
    maxBatchTokens = 4096,
    maxBackwardTokens = maxBatchTokens,
  }: LoadOptions,
): LocalModel {
  const memory = memories[device];
  const tensorOf = (name: string, shape: readonly number[]): Tensor => {
    const values = tensors.get(name);
    if (!values) throw new Error(`no values for parameter ${name}`);
    return memory.upload(values, shape);
  };
  const parameters = makeParameters(config, tensorOf, { lora, frozen });
  const trainable = trainableNames(config, { lora, frozen });
  const programs = new Programs(config, lora, device, trainable);
  const model = new LocalModel(config, parameters, programs, stopTest(decode));
  model.tokenBudget.forward = Math.min(model.tokenBudget.forward, maxBatchTokens);
  model.tokenBudget.backward = Math.min(model.tokenBudget.backward, maxBackwardTokens);
  return model;
}

function stopTest(decode: LoadOptions["decode"]) {
  return (strings: readonly string[]) => {
    if (!decode) throw new Error("stop strings need a tokenizer: load the model with `decode`");
    return (tokens: readonly number[]) => {
      const text = decode(tokens);
      return strings.some((stop) => text.includes(stop));
    };
  };
}

/** Saving, stepping and counting, the same for both kinds of model. */
abstract class LocalTrainable {
  constructor(
    protected readonly model: LocalModel,
    /** Directory that the model came from: its tokenizer files go wherever the model is saved. */
    readonly source: string,
    protected readonly lora: LoraConfig | undefined,
    protected readonly options: LoadOptions,
  ) {}

  get config(): DecoderConfig {
    return this.model.config;
  }

  get limits(): SequenceLimits {
    const { vocabSize, maxPositionEmbeddings } = this.config;
    return { vocabSize, maxTokens: maxPositionEmbeddings };
  }

  step(options: AdamOptions): Promise<StepResult> {
    return this.model.step(options);
  }

  measureAdded<T>(work: () => Promise<T>): Promise<{ result: T; gradNorm: number }> {
    return this.model.measureAdded(work);
  }

  zeroGrad(): void {
    this.model.zeroGrad();
  }

  saveState(dir: string): Promise<void> {
    return this.model.saveState(dir);
  }

  loadState(dir: string): Promise<void> {
    return this.model.loadState(dir);
  }

  /** Padded tokens per batch; lower them where memory is short. */
  get tokenBudget() {
    return this.model.tokenBudget;
  }

  async save(dir: string, { readme }: { readme?: string } = {}): Promise<void> {
    const values = (name: string): Float32Array => this.model.values(name);
    const tokenizerFrom = hasTokenizer(this.source) ? this.source : undefined;
    if (!this.lora) {
      await saveCheckpoint(dir, {
        config: this.config,
        read: ({ name }) => values(name),
        dtype: this.options.saveDtype,
        tokenizerFrom,
        readme,
      });
      return;
    }
    const pairs = loraTargets(this.config, this.lora).map(({ name }) => {
      const module = moduleName(name);
      return [name, { a: values(loraA(module)), b: values(loraB(module)) }] as const;
    });
    const scalarHead = this.model.parameters.get("score.weight");
    const saved = scalarHead
      ? [["score.weight", { shape: scalarHead.shape, values: values("score.weight") }] as const]
      : [];
    await saveAdapter(
      dir,
      {
        lora: scalarHead ? { ...this.lora, modulesToSave: ["score"] } : this.lora,
        pairs: new Map(pairs),
        saved: new Map(saved),
      },
      { tokenizerFrom, readme },
    );
  }

  /** The weights with adapters merged in, as a plain model directory. */
  async saveMerged(dir: string): Promise<void> {
    if (!this.lora) return this.save(dir);
    const { lora } = this;
    const values = (name: string): Float32Array => this.model.values(name);
    const targets = new Set(loraTargets(this.config, lora).map(({ name }) => name));
    const adapter: Adapter = { lora, pairs: new Map(), saved: new Map() };
    for (const name of targets)
      adapter.pairs.set(name, { a: values(loraA(moduleName(name))), b: values(loraB(moduleName(name))) });
    await saveCheckpoint(dir, {
      config: this.config,
      read: ({ name }) =>
        targets.has(name) ? mergedParameter(adapter, name, values(name).slice()) : values(name),
      dtype: this.options.saveDtype,
      tokenizerFrom: hasTokenizer(this.source) ? this.source : undefined,
    });
  }

  dispose(): void {
    this.model.dispose();
  }

  /** A frozen copy: trainable weights are copied, frozen ones (the base under adapters) are shared. */
  protected frozenModel(): LocalModel {
    const { memory, parameters: own } = this.model;
    const tensorOf = (name: string): Tensor => {
      const { trainable, tensor } = own.get(name)!;
      return trainable ? memory.copy(tensor) : tensor;
    };
    const parameters = makeParameters(this.config, tensorOf, {
      lora: this.model.programs.lora,
      frozen: true,
    });
    const copy = new LocalModel(this.config, parameters, this.model.programs, this.model.stopTest);
    copy.tokenBudget = this.model.tokenBudget;
    return copy;
  }
}

/** One of three columns, row-major. */
const column = (rows: Float32Array, c: number): Float32Array => rows.filter((_, i) => i % 3 === c);

const statisticsIn = (rows: readonly Float32Array[]): TokenStatistics[] =>
  rows.map((row) => ({
    logprobs: column(row, 0),
    bestLogprobs: column(row, 1),
    entropies: column(row, 2),
  }));

const scoredPositions = ({ tokens, promptLength }: Sequence): { rows: number[]; targets: number[] } => {
  const rows: number[] = [];
  const targets: number[] = [];
  for (let t = promptLength; t < tokens.length; t++) {
    rows.push(t - 1);
    targets.push(tokens[t]!);
  }
  return { rows, targets };
};

export class LocalLanguageModel extends LocalTrainable implements LanguageModel {
  static async load(dir: string, options: LoadOptions = {}): Promise<LocalLanguageModel> {
    const { model, lora } = await load(dir, "language", options);
    return new LocalLanguageModel(model, dir, lora, options);
  }

  get endIds(): readonly number[] {
    return this.config.eosIds;
  }

  features(sequences: readonly TokenIds[], positions: "last" | "all" = "last"): Promise<Float32Array[]> {
    return this.model.features(
      sequences.map((tokens) => {
        this.checkTokens(tokens);
        const last = tokens.length - 1;
        return { tokens, rows: positions === "last" ? [last] : Array.from(tokens, (_, t) => t) };
      }),
    );
  }

  sample(prompts: readonly TokenIds[], options: SampleOptions): Promise<Completion[]> {
    for (const prompt of prompts) this.checkTokens(prompt);
    return generate(this.model, prompts, options, { ...defaultLimits, ...this.options.generation });
  }

  logprobs(sequences: readonly Sequence[], options?: Stoppable): Promise<Float32Array[]> {
    return this.model.forward(this.jobs(sequences), options);
  }

  async mostLikely(sequences: readonly Sequence[], options?: Stoppable): Promise<TokenScores[]> {
    const rows = await this.model.mostLikely(this.jobs(sequences), options);
    return rows.map((row) => ({
      logprobs: column(row, 0),
      bestLogprobs: column(row, 1),
      best: Int32Array.from(column(row, 2)),
    }));
  }

  backward(sequences: readonly Sequence[], g: readonly Float32Array[]): Promise<Float32Array[]> {
    return this.model.backward(this.jobs(sequences), g);
  }

  async backwardWithStatistics(
    sequences: readonly Sequence[],
    g: readonly Float32Array[],
  ): Promise<TokenStatistics[]> {
    return statisticsIn(await this.model.backward(this.jobs(sequences), g, { statistics: true }));
  }

  async statistics(sequences: readonly Sequence[], options?: Stoppable): Promise<TokenStatistics[]> {
    return statisticsIn(await this.model.statistics(this.jobs(sequences), options));
  }

  async snapshot(): Promise<LocalLanguageModel> {
    return new LocalLanguageModel(this.frozenModel(), this.source, this.lora, {
      ...this.options,
      frozen: true,
    });
  }

  private jobs(sequences: readonly Sequence[]) {
    return sequences.map((sequence) => {
      this.checkTokens(sequence.tokens);
      if (sequence.promptLength < 1) throw new Error("a sequence needs at least one prompt token");
      return { tokens: sequence.tokens, ...scoredPositions(sequence) };
    });
  }

  private checkTokens(tokens: TokenIds): void {
    checkTokens(tokens, this.config);
  }
}

export class LocalScalarModel extends LocalTrainable implements ScalarModel {
  static async load(dir: string, options: LoadOptions = {}): Promise<LocalScalarModel> {
    const { model, lora } = await load(dir, "scalar", options);
    return new LocalScalarModel(model, dir, lora, options);
  }

  values(
    sequences: readonly TokenIds[],
    positions: "last" | "all",
    options: { dropout?: Dropout } & Stoppable = {},
  ): Promise<Float32Array[]> {
    const jobs = sequences.map((tokens) => this.job(tokens, positions === "all"));
    return this.model.forward(jobs, options);
  }

  backward(
    sequences: readonly TokenIds[],
    g: readonly Float32Array[],
    { dropout }: { dropout?: Dropout } = {},
  ): Promise<Float32Array[]> {
    const jobs = sequences.map((tokens, i) => this.job(tokens, g[i]!.length > 1));
    return this.model.backward(jobs, g, { dropout });
  }

  get hiddenSize(): number {
    return this.config.hiddenSize;
  }

  features(sequences: readonly TokenIds[], positions: "last" | "all" = "last"): Promise<Float32Array[]> {
    return this.model.features(sequences.map((tokens) => this.job(tokens, positions === "all")));
  }

  setHead(weights: ArrayLike<number>): void {
    const head = this.model.parameters.get("score.weight")!;
    head.tensor = this.model.memory.write(head.tensor, weights);
  }

  setWeights(values: (name: string) => ArrayLike<number>): void {
    for (const parameter of this.model.parameters.values())
      parameter.tensor = this.model.memory.write(parameter.tensor, values(parameter.name));
  }

  async snapshot(): Promise<LocalScalarModel> {
    return new LocalScalarModel(this.frozenModel(), this.source, this.lora, {
      ...this.options,
      frozen: true,
    });
  }

  private job(tokens: TokenIds, all: boolean) {
    checkTokens(tokens, this.config);
    return { tokens, rows: all ? Array.from({ length: tokens.length }, (_, i) => i) : [this.scored(tokens)] };
  }

  /**
   * Where transformers reads the score of a sequence: at the last token that is not `pad_token_id`. Of a model that pads
   * with its end token that is the token before the end.
   */
  private scored(tokens: TokenIds): number {
    const { padId } = this.config;
    let last = tokens.length - 1;
    while (last > 0 && tokens[last] === padId) last--;
    return last;
  }
}

function checkTokens(tokens: TokenIds, { vocabSize }: DecoderConfig): void {
  if (tokens.length === 0) throw new Error("a sequence must not be empty");
  for (const token of tokens)
    if (!(token >= 0 && token < vocabSize))
      throw new Error(`token ${token} is not in a vocabulary of ${vocabSize}`);
}
