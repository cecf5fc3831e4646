// Opening models for a recipe: a directory or Hub name of a whole model, or of a LoRA adapter, which names its base.

import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { UserError } from "../base/errors.js";
import { resolveModel } from "../data/index.js";
import type { LanguageModel, ScalarModel } from "../engine/contract.js";
import { type LoadOptions, LocalLanguageModel, LocalScalarModel } from "../engine/local/index.js";
import { type LoraConfig, parseLoraConfig } from "../model/adapter.js";
import { type Head, readDecoderConfig } from "../model/config.js";
import { readJson } from "../model/json.js";
import type { Storage } from "../model/stored.js";
import { Tokenizer } from "../model/tokenizer.js";
import type { EngineRecipe, LoraRecipe } from "../recipe/recipe.js";
import { setThreads } from "../tensor/runtime.js";
import { type CodecOptions, endIdsIn, TextCodec } from "./text.js";

const floatTypes = { float32: "F32", float16: "F16", bfloat16: "BF16" } as const;

export interface ModelOptions {
  /** Default: the local engine on all cores. */
  engine?: EngineRecipe;
  lora?: LoraRecipe;
  /** How weights that do not train are kept in memory. Default: float32. */
  quantise?: Storage | undefined;
  seed?: number;
  frozen?: boolean;
  saveDtype?: keyof typeof floatTypes;
  chatTemplate?: string;
  /** What steps will clip at; an engine that cannot refuses. */
  maxGradNorm?: number;
  /** Told where a model on a service is. */
  note?: (sentence: string) => void;
}

const localEngine: Extract<EngineRecipe, { kind: "local" }> = {
  kind: "local",
  device: "cpu",
  maxBatchTokens: 4096,
};

export interface OpenedPolicy {
  policy: LanguageModel;
  codec: TextCodec;
}

/**
 * Opens a language model with its tokenizer, or with the codec that was opened before it: on a service where the recipe
 * says so and the model is to be trained.
 */
export async function openPolicy(
  model: string,
  options: ModelOptions & { codec?: TextCodec } = {},
): Promise<OpenedPolicy> {
  if (options.engine?.kind === "tinker" && !options.frozen) {
    const { openRemotePolicy } = await import("./remote.js");
    return openRemotePolicy(model, options.engine, options);
  }
  const source = await locate(model);
  if (source.head === "scalar")
    throw new UserError(
      `${source.dir} is a reward model (it has a score head), where a language model is needed`,
    );
  const codec = options.codec ?? (await openCodec(model, options));
  const load = loadOptions(source, options, "CAUSAL_LM");
  const policy = await LocalLanguageModel.load(source.base, {
    ...load,
    decode: (tokens) => codec.decode(tokens),
  });
  checkVocabulary(source.dir, codec.tokenizer, policy.limits.vocabSize);
  return { policy, codec };
}

/** Opens the tokenizer and chat template of a model. Every end token that its files name stops a completion. */
export async function openCodec(
  model: string,
  { chatTemplate, rewardAt, engine }: CodecChoice = {},
): Promise<TextCodec> {
  if (engine?.kind === "tinker")
    return (await import("./remote.js")).openRemoteCodec(model, { chatTemplate });
  const { tokenizerDir, base } = await locate(model);
  const { eosIds, raw, rawGeneration } = await readDecoderConfig(base);
  const endIds = [...eosIds, ...[rawGeneration, raw].flatMap(endIdsIn)];
  return TextCodec.open(tokenizerDir, { endIds, chatTemplate, rewardAt });
}

export type CodecChoice = Pick<CodecOptions, "chatTemplate" | "rewardAt"> & Pick<ModelOptions, "engine">;

/** How many tokens a model reads, by its configuration. */
export async function windowOf(model: string, engine?: EngineRecipe): Promise<number> {
  if (engine?.kind === "tinker") return (await import("./remote.js")).remoteWindow(model);
  return (await readDecoderConfig((await locate(model)).base)).maxPositionEmbeddings;
}

export async function openTokenizer(model: string): Promise<Tokenizer> {
  return Tokenizer.load((await locate(model)).tokenizerDir);
}

/** A language model in a directory, without tokenizer: for programs whose sequences are tokens already. */
export const loadLanguageModel = (dir: string, options: LoadOptions = {}): Promise<LanguageModel> =>
  LocalLanguageModel.load(dir, options);

/** A scalar model in a directory, without tokenizer; a language model gets a fresh score head. */
export const loadScalarModel = (dir: string, options: LoadOptions = {}): Promise<ScalarModel> =>
  LocalScalarModel.load(dir, options);

/** Opens a reward model as it is. */
export async function openRewardModel(model: string, options: ModelOptions): Promise<ScalarModel> {
  const source = await locate(model);
  if (source.head === "language")
    throw new UserError(
      `${source.dir} is a language model (it has no score head), where a reward model is needed; train one with touchstone reward`,
    );
  return loadScalar(source, options);
}

/** Opens a reward model to be trained; a language model gets a fresh score head. */
export async function openScalarModel(model: string, options: ModelOptions): Promise<ScalarModel> {
  return loadScalar(await locate(model), options);
}

async function loadScalar(source: Source, options: ModelOptions): Promise<ScalarModel> {
  const model = await LocalScalarModel.load(source.base, loadOptions(source, options, "SEQ_CLS"));
  checkVocabulary(source.dir, await Tokenizer.load(source.tokenizerDir), model.limits.vocabSize);
  return model;
}

/** Where a model is. */
export interface Source {
  /** The directory that the person named (or that the Hub name was fetched to). */
  dir: string;
  /** The directory of the weights: `dir`, or the base of the adapter in `dir`. */
  base: string;
  adapter?: LoraConfig;
  /** An adapter usually has tokenizer files of its own. */
  tokenizerDir: string;
  head: Head;
}

/** Where the weights, the adapter and the tokenizer of a model are. */
export async function locate(model: string): Promise<Source> {
  const dir = await resolveModel(model);
  const file = join(dir, "adapter_config.json");
  if (existsSync(join(dir, "config.json")) || !existsSync(file))
    return { dir, base: dir, tokenizerDir: dir, head: (await readDecoderConfig(dir)).head };
  const adapter = parseLoraConfig(
    await readJson(file, "a LoRA adapter is a directory written by PEFT"),
    file,
  );
  if (adapter.baseModel === null)
    throw new UserError(
      `${file} does not name the model that the adapter belongs to (base_model_name_or_path)`,
    );
  const base = await resolveModel(adapter.baseModel).catch((error: Error) => {
    throw error instanceof UserError
      ? new UserError(`${file} names the base "${adapter.baseModel}": ${error.message}`)
      : error;
  });
  const tokenizerDir = existsSync(join(dir, "tokenizer.json")) ? dir : base;
  return { dir, base, adapter, tokenizerDir, head: adapter.taskType === "SEQ_CLS" ? "scalar" : "language" };
}

function checkVocabulary(dir: string, tokenizer: Tokenizer, vocabSize: number): void {
  if (vocabSize < tokenizer.vocabSize)
    throw new UserError(
      `${dir}: its tokenizer has ${tokenizer.vocabSize} tokens, but config.json says vocab_size ${vocabSize}`,
    );
}

/** The adapter that a model will train; undefined where it trains whole, or not at all. */
export const adapterOf = (
  source: Source,
  lora: LoraRecipe | undefined,
  taskType: LoraConfig["taskType"],
): LoraConfig | undefined =>
  lora && (source.adapter ? continued(source.dir, source.adapter, lora) : fresh(source.base, lora, taskType));

function loadOptions(source: Source, options: ModelOptions, taskType: LoraConfig["taskType"]): LoadOptions {
  const { lora, seed, frozen, saveDtype, quantise } = options;
  // Reward models, critics and judges are here, whatever holds the policy.
  const engine = options.engine?.kind === "local" ? options.engine : localEngine;
  setThreads(engine.threads ?? availableParallelism());
  return {
    device: engine.device,
    quantise,
    seed,
    frozen,
    saveDtype: saveDtype && floatTypes[saveDtype],
    maxBatchTokens: engine.maxBatchTokens,
    adapter: source.adapter && source.dir,
    lora: adapterOf(source, lora, taskType),
  };
}

function fresh(baseModel: string, { r, alpha, targetModules }: LoraRecipe, taskType: LoraConfig["taskType"]) {
  const modulesToSave = taskType === "SEQ_CLS" ? ["score"] : [];
  return { r, alpha, targetModules, taskType, baseModel, modulesToSave };
}

/** The adapter that is there trains on: it keeps its modules, and must have the rank and scale that the recipe asks for. */
function continued(dir: string, adapter: LoraConfig, { r, alpha }: LoraRecipe): LoraConfig {
  if (adapter.r !== r || adapter.alpha !== alpha)
    throw new UserError(
      `${dir} is an adapter with r ${adapter.r} and alpha ${adapter.alpha}, but the recipe asks for lora r ${r} and alpha ${alpha}`,
    );
  return adapter;
}
