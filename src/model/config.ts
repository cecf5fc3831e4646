// A Hugging Face `config.json`, read into the few facts that a decoder graph needs. Defaults and meaning of every
// field are those of `transformers`; what this engine cannot compute exactly is refused by name.
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../base/errors.js";
import { type Json, readJson, readJsonIfPresent } from "./json.js";

export type Family = "llama" | "mistral" | "qwen2" | "qwen3";
/** What stands on the trunk: `lm_head` over the vocabulary, or the one scalar of `score`. */
export type Head = "language" | "scalar";
export type FloatType = "F32" | "F16" | "BF16";

export type RopeScaling =
  | { kind: "default" }
  /** Every inverse frequency divided by `factor`. */
  | { kind: "linear"; factor: number }
  /** Llama 3.1: long wavelengths divided by `factor`, short ones kept, a smooth ramp between. */
  | {
      kind: "llama3";
      factor: number;
      lowFreqFactor: number;
      highFreqFactor: number;
      originalMaxPositionEmbeddings: number;
    };

export interface DecoderConfig {
  family: Family;
  head: Head;
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  rmsNormEps: number;
  ropeTheta: number;
  ropeScaling: RopeScaling;
  /** The language head is the embedding matrix. */
  tieWordEmbeddings: boolean;
  /** Which attention projections have a bias vector. */
  attentionBias: { qkv: boolean; o: boolean };
  mlpBias: boolean;
  /** RMSNorm over the head dimension of queries and keys, before the rotation. */
  qkNorm: boolean;
  /** One entry a layer: position q sees the keys k with q - window < k <= q; null is full causal attention. */
  slidingWindow: readonly (number | null)[];
  maxPositionEmbeddings: number;
  /** Tokens that end generation: those of generation_config.json where it names any, else of config.json. */
  eosIds: readonly number[];
  bosId: number | null;
  padId: number | null;
  /** The type the weights were saved in; F32 where the file does not say. */
  dtype: FloatType;
  /** config.json as it was read, so that saving writes back every field. */
  raw: Readonly<Json>;
  /** generation_config.json as it was read. */
  rawGeneration: Readonly<Json> | null;
}

/** Values that `transformers` takes for an absent field. (`null` is a value: it is not replaced.) */
const familyDefaults: Record<Family, Json> = {
  llama: {
    vocab_size: 32000,
    intermediate_size: 11008,
    num_key_value_heads: null,
    max_position_embeddings: 2048,
    bos_token_id: 1,
    eos_token_id: 2,
  },
  mistral: {
    vocab_size: 32000,
    intermediate_size: 14336,
    num_key_value_heads: 8,
    max_position_embeddings: 131072,
    sliding_window: 4096,
    bos_token_id: 1,
    eos_token_id: 2,
  },
  qwen2: {
    vocab_size: 151936,
    intermediate_size: 22016,
    num_key_value_heads: 32,
    max_position_embeddings: 32768,
    sliding_window: 4096,
  },
  qwen3: {
    vocab_size: 151936,
    intermediate_size: 22016,
    num_key_value_heads: 32,
    max_position_embeddings: 32768,
    sliding_window: 4096,
    head_dim: 128,
  },
};

const commonDefaults: Json = {
  hidden_size: 4096,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  head_dim: null,
  hidden_act: "silu",
  rms_norm_eps: 1e-6,
  tie_word_embeddings: false,
  attention_bias: false,
  mlp_bias: false,
  use_sliding_window: false,
  max_window_layers: 28,
  layer_types: null,
  bos_token_id: null,
  eos_token_id: null,
  pad_token_id: null,
};

/** Whether `modelType` (a config's `model_type`) is one that this engine computes. */
export function isSupportedFamily(modelType: unknown): modelType is Family {
  return typeof modelType === "string" && Object.hasOwn(familyDefaults, modelType);
}

/** `XForCausalLM` and `XForSequenceClassification` for every family. */
const architectures: Record<string, { family: Family; head: Head }> = Object.fromEntries(
  (["llama", "mistral", "qwen2", "qwen3"] as const).flatMap((family) => [
    [architectureName(family, "language"), { family, head: "language" }],
    [architectureName(family, "scalar"), { family, head: "scalar" }],
  ]),
);

export function architectureName(family: Family, head: Head): string {
  const stem = family[0]!.toUpperCase() + family.slice(1);
  return stem + (head === "language" ? "ForCausalLM" : "ForSequenceClassification");
}

const count = z.int("must be a positive integer").min(1, "must be a positive integer");
const positive = z.number("must be a positive number").positive("must be a positive number");
const flag = z.boolean("must be true or false");
const tokenId = z.int("must be a token id").min(0, "must be a token id");
const tokenIds = z.union([tokenId, z.array(tokenId)], "must be a token id or a list of token ids").nullish();

const fields = z.object({
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullable(),
  head_dim: count.nullable(),
  hidden_act: z.string("must be a string"),
  max_position_embeddings: count,
  rms_norm_eps: positive,
  tie_word_embeddings: flag,
  attention_bias: flag,
  mlp_bias: flag,
  use_sliding_window: flag,
  sliding_window: count.nullish(),
  max_window_layers: z.int("must be an integer"),
  layer_types: z.array(z.string(), "must be a list of strings").nullable(),
  bos_token_id: tokenId.nullable(),
  eos_token_id: tokenIds,
  pad_token_id: tokenId.nullable(),
  rope_theta: positive.nullish(),
  rope_scaling: z.looseObject({}, "must be an object").nullish(),
  rope_parameters: z.looseObject({}, "must be an object").nullish(),
  partial_rotary_factor: z.number("must be a number").nullish(),
  original_max_position_embeddings: count.nullish(),
});
type Fields = z.infer<typeof fields>;

const ropeFields = z.object({
  rope_type: z.string("must be a string").nullish(),
  type: z.string("must be a string").nullish(),
  rope_theta: positive.nullish(),
  partial_rotary_factor: z.number("must be a number").nullish(),
  factor: positive.nullish(),
  low_freq_factor: positive.nullish(),
  high_freq_factor: positive.nullish(),
  original_max_position_embeddings: count.nullish(),
});

/** Reads and checks config.json (and generation_config.json where there is one) of a model directory. */
export async function readDecoderConfig(dir: string): Promise<DecoderConfig> {
  const file = join(dir, "config.json");
  const raw = await readJson(file, "a model directory needs the config.json of its Hugging Face repository");
  const generation = await readJsonIfPresent(join(dir, "generation_config.json"));
  return parseDecoderConfig(raw, { generation, file });
}

export interface ParseConfigOptions {
  /** The content of generation_config.json. */
  generation?: Json | undefined;
  /** Named in error messages. */
  file?: string;
}

export function parseDecoderConfig(
  raw: Json,
  { generation, file = "config.json" }: ParseConfigOptions = {},
): DecoderConfig {
  const { family, head } = readArchitecture(raw, file);
  const config = check(fields, { ...commonDefaults, ...familyDefaults[family], ...raw }, file);
  refuseUnsupported(raw, config, head, file);

  const heads = config.num_attention_heads;
  const kvHeads = config.num_key_value_heads ?? heads;
  if (heads % kvHeads !== 0) {
    throw new UserError(
      `${file}: num_attention_heads (${heads}) must be a multiple of num_key_value_heads (${kvHeads})`,
    );
  }
  if (config.head_dim === null && config.hidden_size % heads !== 0) {
    throw new UserError(
      `${file}: hidden_size (${config.hidden_size}) must be a multiple of num_attention_heads (${heads})`,
    );
  }
  const headDim = config.head_dim ?? config.hidden_size / heads;
  if (headDim % 2 !== 0) {
    throw new UserError(`${file}: rotary embedding needs an even head dimension, not ${headDim}`);
  }
  const hasOptionalBias = family === "llama" || family === "qwen3";
  const rope = readRope(config, file);
  const end = tokenList(
    check(z.object({ eos_token_id: tokenIds }), generation ?? {}, "generation_config.json").eos_token_id,
  );
  return {
    family,
    head,
    vocabSize: config.vocab_size,
    hiddenSize: config.hidden_size,
    intermediateSize: config.intermediate_size,
    layers: config.num_hidden_layers,
    heads,
    kvHeads,
    headDim,
    rmsNormEps: config.rms_norm_eps,
    ropeTheta: rope.theta,
    ropeScaling: rope.scaling,
    tieWordEmbeddings: config.tie_word_embeddings,
    attentionBias: {
      qkv: family === "qwen2" || (hasOptionalBias && config.attention_bias),
      o: hasOptionalBias && config.attention_bias,
    },
    mlpBias: family === "llama" && config.mlp_bias,
    qkNorm: family === "qwen3",
    slidingWindow: slidingWindows(family, config, file),
    maxPositionEmbeddings: config.max_position_embeddings,
    eosIds: end.length > 0 ? end : tokenList(config.eos_token_id),
    bosId: config.bos_token_id,
    padId: config.pad_token_id,
    dtype: readDtype(raw, file),
    raw,
    rawGeneration: generation ?? null,
  };
}

function readArchitecture(raw: Json, file: string): { family: Family; head: Head } {
  const supported = Object.keys(architectures).join(", ");
  const named = check(
    z.object({ architectures: z.array(z.string()).nullish(), model_type: z.string().nullish() }),
    raw,
    file,
  );
  const modelType = named.model_type ?? null;
  if (modelType !== null && !isSupportedFamily(modelType)) {
    throw new UserError(
      `${file}: model_type "${modelType}" is not supported (supported: ${Object.keys(familyDefaults).join(", ")})`,
    );
  }
  const name = named.architectures?.[0] ?? (modelType && architectureName(modelType as Family, "language"));
  if (!name) throw new UserError(`${file} names no architecture (supported: ${supported})`);
  if (!Object.hasOwn(architectures, name)) {
    throw new UserError(`${file}: architecture "${name}" is not supported (supported: ${supported})`);
  }
  const found = architectures[name]!;
  if (modelType !== null && modelType !== found.family) {
    throw new UserError(`${file}: architecture "${name}" contradicts model_type "${modelType}"`);
  }
  return found;
}

function refuseUnsupported(raw: Json, config: Fields, head: Head, file: string): void {
  const refuse = (what: string) => {
    throw new UserError(`${file}: ${what}`);
  };
  if (config.hidden_act !== "silu")
    refuse(`hidden_act "${config.hidden_act}" is not supported (only "silu")`);
  if (raw.quantization_config) refuse("quantization_config is not supported; use the unquantised weights");
  if (raw.per_layer_config) refuse("per_layer_config is not supported; every layer must have the same shape");
  if ((config.partial_rotary_factor ?? 1) !== 1) {
    refuse(`partial_rotary_factor ${config.partial_rotary_factor} is not supported (only 1)`);
  }
  if (head === "scalar") {
    const labels = labelCount(raw);
    if (labels !== 1) refuse(`a reward model has one output, but num_labels is ${labels}`);
  }
}

/** `transformers` counts id2label where there is one and takes 2 for an absent num_labels. */
function labelCount(raw: Json): unknown {
  const names = raw.id2label;
  return typeof names === "object" && names !== null ? Object.keys(names).length : (raw.num_labels ?? 2);
}

/**
 * `rope_scaling` (old) wins over `rope_parameters` (transformers 5), and the theta inside either wins over the
 * top-level `rope_theta`; a theta named nowhere is 10000.
 */
function readRope(config: Fields, file: string): { theta: number; scaling: RopeScaling } {
  const key =
    config.rope_scaling && Object.keys(config.rope_scaling).length > 0 ? "rope_scaling" : "rope_parameters";
  const given = config[key] ?? {};
  for (const layerType of ["full_attention", "sliding_attention"]) {
    if (layerType in given) {
      throw new UserError(`${file}: ${key} that differs by layer type ("${layerType}") is not supported`);
    }
  }
  const rope = check(ropeFields, given, `${file}, ${key}`);
  if ((rope.partial_rotary_factor ?? 1) !== 1) {
    throw new UserError(
      `${file}: partial_rotary_factor ${rope.partial_rotary_factor} is not supported (only 1)`,
    );
  }
  const theta = rope.rope_theta ?? config.rope_theta ?? 10000;
  const need = (name: "factor" | "low_freq_factor" | "high_freq_factor"): number => {
    const value = rope[name];
    if (value == null) throw new UserError(`${file}: ${key} of type "${kind}" needs "${name}"`);
    return value;
  };
  const kind = rope.rope_type ?? rope.type ?? "default";
  switch (kind) {
    case "default":
      return { theta, scaling: { kind } };
    case "linear":
      return { theta, scaling: { kind, factor: need("factor") } };
    case "llama3":
      return {
        theta,
        scaling: {
          kind,
          factor: need("factor"),
          lowFreqFactor: need("low_freq_factor"),
          highFreqFactor: need("high_freq_factor"),
          originalMaxPositionEmbeddings:
            config.original_max_position_embeddings ??
            rope.original_max_position_embeddings ??
            config.max_position_embeddings,
        },
      };
    default:
      throw new UserError(
        `${file}: rotary scaling "${kind}" is not supported (supported: default, linear, llama3)`,
      );
  }
}

function slidingWindows(family: Family, config: Fields, file: string): (number | null)[] {
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i) => i);
  if (family === "llama") return layers.map(() => null);
  if (family === "mistral") return layers.map(() => config.sliding_window ?? null);

  const window = config.use_sliding_window ? (config.sliding_window ?? null) : null;
  const types = config.layer_types;
  if (types === null) return layers.map((i) => (i >= config.max_window_layers ? window : null));
  if (types.length !== layers.length) {
    throw new UserError(`${file}: layer_types has ${types.length} entries for ${layers.length} layers`);
  }
  return types.map((type) => {
    if (type === "full_attention" || type === "attention") return null;
    if (type !== "sliding_attention") {
      throw new UserError(
        `${file}: layer type "${type}" is not supported (full_attention, sliding_attention)`,
      );
    }
    if (window === null) {
      throw new UserError(
        `${file}: layer_types asks for sliding_attention, but use_sliding_window and sliding_window do not set a window`,
      );
    }
    return window;
  });
}

const floatTypes: Record<string, FloatType> = { float32: "F32", float16: "F16", bfloat16: "BF16" };
const floatTypeNames: Record<FloatType, string> = { F32: "float32", F16: "float16", BF16: "bfloat16" };

function readDtype(raw: Json, file: string): FloatType {
  const name = raw.dtype ?? raw.torch_dtype ?? "float32";
  const type = floatTypes[String(name)];
  if (type === undefined) {
    throw new UserError(`${file}: dtype "${name}" is not supported (${Object.keys(floatTypes).join(", ")})`);
  }
  return type;
}

function tokenList(ids: number | number[] | null | undefined): number[] {
  return ids == null ? [] : Array.isArray(ids) ? ids : [ids];
}

/** Validates `value`; the first problem becomes one sentence that names the file and the field. */
function check<T>(schema: z.ZodType<T>, value: unknown, file: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new UserError(`${file}: ${issue.path.join(".")} ${issue.message}`);
}

/** The same trunk under another head: saving it writes the matching `architectures`, and one label for a scalar. */
export function withHead(config: DecoderConfig, head: Head): DecoderConfig {
  const { id2label: _, label2id: __, num_labels: ___, problem_type: ____, ...rest } = config.raw;
  const scalar = { id2label: { 0: "LABEL_0" }, label2id: { LABEL_0: 0 } };
  const raw = {
    ...rest,
    architectures: [architectureName(config.family, head)],
    ...(head === "scalar" && scalar),
  };
  return { ...config, head, raw };
}

/** config.json for weights saved as `dtype`: the file as it was read, with the changed fields replaced. */
export function configJson(config: DecoderConfig, dtype: FloatType): Json {
  const { torch_dtype: _, ...rest } = config.raw;
  return {
    ...rest,
    architectures: [architectureName(config.family, config.head)],
    model_type: config.family,
    dtype: floatTypeNames[dtype],
  };
}

export interface ParameterSpec {
  /** The name in the checkpoint. */
  name: string;
  /** Matrices are [out, in], as `torch.nn.Linear` stores them. */
  shape: readonly number[];
  kind: "embedding" | "matrix" | "norm" | "bias" | "head";
}

/** Every parameter tensor of the model, in the order of its forward pass. */
export function parameterSpecs(config: DecoderConfig): ParameterSpec[] {
  const { hiddenSize, intermediateSize, headDim, attentionBias, mlpBias } = config;
  const queries = config.heads * headDim;
  const keys = config.kvHeads * headDim;
  const linear = (name: string, out: number, input: number, bias: boolean): ParameterSpec[] => [
    { name: `${name}.weight`, shape: [out, input], kind: "matrix" },
    ...(bias ? [{ name: `${name}.bias`, shape: [out], kind: "bias" as const }] : []),
  ];
  const norm = (name: string, size: number): ParameterSpec => ({
    name: `${name}.weight`,
    shape: [size],
    kind: "norm",
  });
  const layer = (i: number): ParameterSpec[] => {
    const at = `model.layers.${i}`;
    return [
      norm(`${at}.input_layernorm`, hiddenSize),
      ...linear(`${at}.self_attn.q_proj`, queries, hiddenSize, attentionBias.qkv),
      ...linear(`${at}.self_attn.k_proj`, keys, hiddenSize, attentionBias.qkv),
      ...linear(`${at}.self_attn.v_proj`, keys, hiddenSize, attentionBias.qkv),
      ...linear(`${at}.self_attn.o_proj`, hiddenSize, queries, attentionBias.o),
      ...(config.qkNorm
        ? [norm(`${at}.self_attn.q_norm`, headDim), norm(`${at}.self_attn.k_norm`, headDim)]
        : []),
      norm(`${at}.post_attention_layernorm`, hiddenSize),
      ...linear(`${at}.mlp.gate_proj`, intermediateSize, hiddenSize, mlpBias),
      ...linear(`${at}.mlp.up_proj`, intermediateSize, hiddenSize, mlpBias),
      ...linear(`${at}.mlp.down_proj`, hiddenSize, intermediateSize, mlpBias),
    ];
  };
  const head: ParameterSpec[] =
    config.head === "scalar"
      ? [{ name: "score.weight", shape: [1, hiddenSize], kind: "head" }]
      : config.tieWordEmbeddings
        ? []
        : [{ name: "lm_head.weight", shape: [config.vocabSize, hiddenSize], kind: "head" }];
  return [
    { name: "model.embed_tokens.weight", shape: [config.vocabSize, hiddenSize], kind: "embedding" },
    ...Array.from({ length: config.layers }, (_, i) => layer(i)).flat(),
    norm("model.norm", hiddenSize),
    ...head,
  ];
}
