// The local engine: language and scalar models that run on ONNX Runtime in this process.

import { loadavg } from "node:os";
import { UserError } from "../../base/errors.js";
import { RandomStream } from "../../base/random.js";
import {
  type Adapter,
  type LoraConfig,
  loraTargets,
  mergedParameter,
  readAdapter,
  saveAdapter,
  untiesHead,
} from "../../model/adapter.js";
import { hasTokenizer, OpenCheckpoint, saveCheckpoint } from "../../model/checkpoint.js";
import {
  type DecoderConfig,
  type FloatType,
  type ParameterSpec,
  parameterSpecs,
  untied,
} from "../../model/config.js";
import { type LoraShape, loraA, loraB } from "../../model/decoder.js";
import { type Storage, type StoredData, storageOf, store, storedParts } from "../../model/stored.js";
import { Arena } from "../../tensor/arena.js";
import { memories } from "../../tensor/memory.js";
import { type Device, setSpinning, Tensor } from "../../tensor/runtime.js";
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
import {
  loraShape,
  makeParameters,
  moduleName,
  type StoredTensors,
  sizeOf,
  trainableNames,
} from "./parameters.js";
import { Programs } from "./programs.js";

export interface LoadOptions {
  device?: Device;
  /** Train low-rank adapters instead of the weights. A fresh adapter unless `adapter` names one. */
  lora?: LoraConfig;
  /** Directory of a PEFT adapter to continue training (with `lora`), or to merge into the weights (without). */
  adapter?: string;
  /** How the weights that do not train are kept in memory. Default: float32. */
  quantise?: Storage | undefined;
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
const headWeight = "lm_head.weight";

/** Below so many parameters operators are so short that spinning pays, on a machine that has nothing else to do. */
const spinningParameters = 3e6;

function suitsSpinning(specs: readonly ParameterSpec[]): boolean {
  const parameters = specs.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  return parameters < spinningParameters && loadavg()[0]! < 0.5;
}

interface Loaded {
  model: LocalModel;
  lora?: LoraConfig;
  /** What the adapter replaces. */
  saved?: Adapter["saved"];
}

/** A weight as it is kept: float32, or the arrays of `storedParts`. */
type Kept = Float32Array | StoredData[];

async function load(dir: string, head: "language" | "scalar", options: LoadOptions): Promise<Loaded> {
  const { lora, quantise, device = "cpu", frozen = false } = options;
  checkQuantise(options);
  const open = await OpenCheckpoint.open(dir, { head });
  try {
    const adapter =
      options.adapter === undefined ? undefined : await readAdapter(options.adapter, open.config);
    const splits = adapter !== undefined && untiesHead(adapter, open.config);
    const config = splits ? untied(open.config) : open.config;
    const specs = new Map(parameterSpecs(config).map((spec) => [spec.name, spec]));
    setSpinning(suitsSpinning([...specs.values()]));
    const tensors = new Map<string, Kept>();
    const keep = (name: string, values: Float32Array): void => {
      const storage = storageOf(specs.get(name)!, quantise);
      tensors.set(name, storage ? store(storage, values, `${dir}: "${name}"`) : values);
    };
    const merged = (name: string, values: Float32Array): Float32Array =>
      adapter && !lora ? mergedParameter(adapter, name, values) : values;
    const allocate = frozen || lora || device !== "cpu" ? undefined : trainingMemory();
    for (const spec of open.specs) {
      const values = await open.read(spec, allocate?.(open.config, spec));
      if (splits && spec.name === embedding) keep(headWeight, merged(headWeight, values.slice()));
      keep(spec.name, merged(spec.name, values));
    }
    const random = new RandomStream(options.seed ?? 0, "initialise");
    for (const { name, shape } of open.fresh) keep(name, merged(name, normal(sizeOf(shape), 0.02, random)));
    const shape = lora && loraShape(config, lora);
    if (lora)
      for (const [name, values] of adapterValues(config, lora, adapter, random))
        if (specs.has(name)) keep(name, values);
        else tensors.set(name, values);
    const model = assemble(config, tensors, shape, options);
    return { model, ...(lora && { lora }), ...(adapter && { saved: adapter.saved }) };
  } finally {
    await open.close();
  }
}

function checkQuantise({ quantise, device = "cpu", frozen, lora }: LoadOptions): void {
  if (quantise === undefined) return;
  if (device !== "cpu") throw new UserError(`quantise works on the CPU only, not on device ${device}`);
  if (!frozen && !lora)
    throw new UserError(
      "quantised weights do not train: quantise goes with lora, or with a model that is frozen",
    );
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

/** A uniform in +-1/sqrt(in) (PEFT's initialisation), B zero; or the pairs of a given adapter, and what it replaces. */
function* adapterValues(
  config: DecoderConfig,
  lora: LoraConfig,
  adapter: Adapter | undefined,
  random: RandomStream,
): Generator<[name: string, values: Float32Array]> {
  for (const { name, shape } of loraTargets(config, lora)) {
    const [out, width] = shape as [number, number];
    const pair = adapter?.pairs.get(name);
    const bound = 1 / Math.sqrt(width);
    const a =
      pair?.a ?? Float32Array.from({ length: lora.r * width }, () => (2 * random.uniform() - 1) * bound);
    yield [loraA(moduleName(name)), a];
    yield [loraB(moduleName(name)), pair?.b ?? new Float32Array(out * lora.r)];
  }
  for (const [name, { values }] of adapter?.saved ?? []) yield [name, values];
}

function normal(size: number, deviation: number, random: RandomStream): Float32Array {
  return Float32Array.from({ length: size }, () => deviation * random.normal());
}

function assemble(
  config: DecoderConfig,
  tensors: ReadonlyMap<string, Kept>,
  lora: LoraShape | undefined,
  {
    device = "cpu",
    quantise,
    frozen = false,
    decode,
    maxBatchTokens = 4096,
    maxBackwardTokens = maxBatchTokens,
  }: LoadOptions,
): LocalModel {
  const memory = memories[device];
  const specs = new Map(parameterSpecs(config).map((spec) => [spec.name, spec]));
  const tensorOf = (name: string, shape: readonly number[]): Tensor | StoredTensors => {
    const values = tensors.get(name);
    if (!values) throw new Error(`no values for parameter ${name}`);
    if (!Array.isArray(values)) return memory.upload(values, shape);
    const storage = storageOf(specs.get(name)!, quantise)!;
    const inputs = storedParts(storage, shape).map(
      ({ suffix, dtype, dims }, i) => [`${name}${suffix}`, Tensor.of(dtype, values[i]!, dims)] as const,
    );
    return { storage, inputs: new Map(inputs) };
  };
  const parameters = makeParameters(config, tensorOf, { lora, frozen });
  const trainable = trainableNames(config, { lora, frozen });
  const programs = new Programs(config, lora, device, trainable, quantise);
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
    /** What the adapter that was loaded replaces; it does not train. */
    private readonly saved: Adapter["saved"] = new Map(),
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
    const saved = new Map(this.saved);
    if (scalarHead) saved.set("score.weight", { shape: scalarHead.shape, values: values("score.weight") });
    const modulesToSave = [
      ...new Set([...(this.lora.modulesToSave ?? []), ...(scalarHead ? ["score"] : [])]),
    ];
    await saveAdapter(
      dir,
      {
        lora: { ...this.lora, modulesToSave },
        pairs: new Map(pairs),
        saved,
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
  protected frozenModel(): { model: LocalModel; lora: LoraConfig | undefined } {
    const { memory, parameters: own, programs } = this.model;
    const tensorOf = (name: string): Tensor | StoredTensors => {
      const { trainable, tensor, stored } = own.get(name)!;
      return stored ?? (trainable ? memory.copy(tensor) : tensor);
    };
    // An adapter that has not learned anything says nothing, and costs a tenth of a pass.
    const bare = this.lora !== undefined && this.isUntaught();
    const lora = bare ? undefined : programs.lora;
    const parameters = makeParameters(this.config, tensorOf, { lora, frozen: true });
    const used = bare
      ? new Programs(this.config, undefined, programs.device, [], programs.storage)
      : programs;
    const copy = new LocalModel(this.config, parameters, used, this.model.stopTest);
    copy.tokenBudget = this.model.tokenBudget;
    return { model: copy, lora: bare ? undefined : this.lora };
  }

  /** Every B of the adapter is 0, as it is when it starts. */
  private isUntaught(): boolean {
    return loraTargets(this.config, this.lora!).every(({ name }) =>
      this.model.values(loraB(moduleName(name))).every((x) => x === 0),
    );
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
    const { model, lora, saved } = await load(dir, "language", options);
    return new LocalLanguageModel(model, dir, lora, options, saved);
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
    const { model, lora } = this.frozenModel();
    return new LocalLanguageModel(model, this.source, lora, {
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
    const { model, lora, saved } = await load(dir, "scalar", options);
    return new LocalScalarModel(model, dir, lora, options, saved);
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
      if (parameter.stored) throw new Error("quantised weights cannot be replaced");
      else parameter.tensor = this.model.memory.write(parameter.tensor, values(parameter.name));
  }

  async snapshot(): Promise<LocalScalarModel> {
    const { model, lora } = this.frozenModel();
    return new LocalScalarModel(model, this.source, lora, {
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
