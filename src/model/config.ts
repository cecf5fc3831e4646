// A Hugging Face `config.json`, read into the few facts that a decoder graph needs. Defaults and meaning of every
// field are those of `transformers`; what this engine cannot compute exactly is refused by name.
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../base/errors.js";
import {
  type BlockNorms,
  type ConfigFields,
  commonDefaults,
  configFields,
  type Family,
  families,
  familyOf,
  mostHeadDim,
  type Scales,
  tokenIds,
} from "./families.js";
import { type Json, readJson, readJsonIfPresent } from "./json.js";
import { type Rope, readRopes } from "./rope.js";

/** What stands on the trunk: `lm_head` over the vocabulary, or the one scalar of `score`. */
export type Head = "language" | "scalar";
export type FloatType = "F32" | "F16" | "BF16";

/** Activations of the gated feed-forward branch, by the names of `transformers`. */
export const activations = ["silu", "gelu_pytorch_tanh"] as const;
export type Activation = (typeof activations)[number];

/** The same functions under other names. */
const otherNames: Readonly<Record<string, Activation>> = { swish: "silu", gelu_new: "gelu_pytorch_tanh" };

export interface DecoderConfig {
  /** The `model_type`: a row of `families`. */
  family: string;
  head: Head;
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  rmsNormEps: number;
  /** The distinct rotary embeddings. */
  ropes: readonly Rope[];
  /** One entry a layer: which of `ropes` turns its queries and keys; null is none (NoPE). */
  layerRope: readonly (number | null)[];
  /** The language head is the embedding matrix. */
  tieWordEmbeddings: boolean;
  /** Which attention projections have a bias vector. */
  attentionBias: { qkv: boolean; o: boolean };
  mlpBias: boolean;
  /** RMSNorm of queries and keys before the rotation: over each head, or over the whole projection. */
  qkNorm: "head" | "projection" | null;
  /** Names of the norms of a layer. */
  norms: BlockNorms;
  /** Added to the weight of every norm. */
  normOffset: number;
  /** q, k, v and gate, up are one matrix each. */
  fusedProjections: boolean;
  activation: Activation;
  scales: Scales;
  /** Caps c tanh(x / c) on attention scores and logits; null is none. */
  softcaps: { attention: number | null; logits: number | null };
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

/** Whether `modelType` (a config's `model_type`) is one that this engine computes. */
export function isSupportedFamily(modelType: unknown): modelType is string {
  return familyOf(modelType) !== undefined;
}

/** The class of `transformers` for a family under a head; a reward model of a family without one is refused. */
export function architectureName(family: string, head: Head): string {
  const { stem, scalarStem = stem } = families[family]!;
  if (head === "language") return `${stem}ForCausalLM`;
  if (scalarStem !== null) return `${scalarStem}ForSequenceClassification`;
  throw new UserError(
    `a ${family} model cannot become a reward model: transformers has no ${stem}ForSequenceClassification`,
  );
}

/** Every class name that is supported, with what it stands for. */
function architectures(): Map<string, { family: string; head: Head }> {
  return new Map(
    Object.entries(families).flatMap(([family, { scalarStem }]) =>
      (scalarStem === null ? (["language"] as const) : (["language", "scalar"] as const)).map((head) => [
        architectureName(family, head),
        { family, head },
      ]),
    ),
  );
}

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
  const row = families[family]!;
  const config = check(configFields, { ...commonDefaults, ...row.defaults, ...raw }, file);
  const end = tokenList(
    check(z.object({ eos_token_id: tokenIds }), generation ?? {}, "generation_config.json").eos_token_id,
  );
  return {
    family,
    head,
    ...naming(file, () => readShape(raw, config, row, head)),
    maxPositionEmbeddings: config.max_position_embeddings,
    eosIds: end.length > 0 ? end : tokenList(config.eos_token_id),
    bosId: config.bos_token_id === -1 ? null : config.bos_token_id,
    padId: config.pad_token_id === -1 ? null : config.pad_token_id,
    dtype: readDtype(raw, file),
    raw,
    rawGeneration: generation ?? null,
  };
}

/** What the forward pass is made of. */
function readShape(raw: Json, config: ConfigFields, row: Family, head: Head) {
  const activation = refuseUnsupported(raw, config, row, head);
  const heads = config.num_attention_heads;
  const kvHeads = config.num_key_value_heads ?? heads;
  if (heads % kvHeads !== 0) {
    throw new UserError(
      `num_attention_heads (${heads}) must be a multiple of num_key_value_heads (${kvHeads})`,
    );
  }
  if (config.head_dim === null && config.hidden_size % heads !== 0) {
    throw new UserError(
      `hidden_size (${config.hidden_size}) must be a multiple of num_attention_heads (${heads})`,
    );
  }
  const headDim = config.head_dim ?? config.hidden_size / heads;
  if (headDim > mostHeadDim) {
    throw new UserError(
      `a head has ${headDim} dimensions (head_dim, or hidden_size by num_attention_heads), more than ${mostHeadDim}`,
    );
  }
  const slidingWindow = row.windows?.(config) ?? new Array<null>(config.num_hidden_layers).fill(null);
  const bias = row.attentionBias === "configured" && config.attention_bias;
  const plainScales = { embedding: 1, attention: 1 / Math.sqrt(headDim), residual: 1, logits: 1 };
  return {
    vocabSize: config.vocab_size,
    hiddenSize: config.hidden_size,
    intermediateSize: config.intermediate_size,
    layers: config.num_hidden_layers,
    heads,
    kvHeads,
    headDim,
    rmsNormEps: config.rms_norm_eps,
    ...readRopes(config, row, { headDim, windowed: slidingWindow.map((window) => window !== null) }),
    tieWordEmbeddings: config.tie_word_embeddings,
    attentionBias: { qkv: bias || row.attentionBias === "qkv", o: bias },
    mlpBias: (row.mlpBias ?? false) && config.mlp_bias,
    qkNorm: row.qkNorm ?? null,
    norms: row.norms ?? plainNorms,
    normOffset: row.normOffset ?? 0,
    fusedProjections: row.fusedProjections ?? false,
    activation,
    scales: { ...plainScales, ...row.scales?.(config) },
    softcaps: readSoftcaps(row.softcaps?.(config)),
    slidingWindow,
  };
}

/** An absent cap is no cap. */
const readSoftcaps = ({ attention, logits }: ReturnType<NonNullable<Family["softcaps"]>> = {}) => ({
  attention: attention ?? null,
  logits: logits ?? null,
});

const plainNorms: BlockNorms = {
  attention: { before: "input_layernorm" },
  feedForward: { before: "post_attention_layernorm" },
};

/** Runs `work`; a mistake that it finds is one of `file`. */
function naming<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${file}: ${error.message}`) : error;
  }
}

function readArchitecture(raw: Json, file: string): { family: string; head: Head } {
  const named = check(
    z.object({ architectures: z.array(z.string()).nullish(), model_type: z.string().nullish() }),
    raw,
    file,
  );
  const modelType = named.model_type ?? null;
  const known = architectures();
  if (modelType !== null && !isSupportedFamily(modelType)) {
    const kind = unsupportedKind(raw, modelType);
    throw new UserError(
      `${file}: model_type "${modelType}" is not supported${kind} (supported: ${Object.keys(families).join(", ")})`,
    );
  }
  const name = named.architectures?.[0] ?? (modelType && architectureName(modelType, "language"));
  const supported = [...known.keys()].join(", ");
  if (!name) throw new UserError(`${file} names no architecture (supported: ${supported})`);
  const found = known.get(name);
  if (!found)
    throw new UserError(`${file}: architecture "${name}" is not supported (supported: ${supported})`);
  if (modelType !== null && modelType !== found.family) {
    throw new UserError(`${file}: architecture "${name}" contradicts model_type "${modelType}"`);
  }
  return found;
}

/** Why a model of an unknown type could not be computed anyway, where its config shows it. */
function unsupportedKind(raw: Json, modelType: string): string {
  const experts = ["num_experts", "num_local_experts", "n_routed_experts", "moe_intermediate_size"];
  if (/moe|mixtral/i.test(modelType) || experts.some((field) => raw[field] != null))
    return ": it is a mixture of experts";
  const types = Array.isArray(raw.layer_types) ? raw.layer_types : [];
  const mixes = types.some((type) => /linear|mamba|conv|recurrent/.test(String(type)));
  if (mixes || /mamba|hybrid|jamba|rwkv|lfm|falcon_h|recurrent|zamba|bamba/i.test(modelType))
    return ": its layers are not all attention";
  if (raw.vision_config != null || raw.text_config != null) return ": it is more than a language model";
  return "";
}

/** Refuses by name what this engine would compute wrongly; returns the activation. */
function refuseUnsupported(raw: Json, config: ConfigFields, row: Family, head: Head): Activation {
  const refuse = (what: string): never => {
    throw new UserError(what);
  };
  const field = row.activation ?? "hidden_act";
  const activation = activations.find((name) => name === (otherNames[config[field] ?? ""] ?? config[field]));
  if (raw.quantization_config) refuse("quantization_config is not supported; use the unquantised weights");
  if (raw.per_layer_config) refuse("per_layer_config is not supported; every layer must have the same shape");
  const own = row.refuse?.(config);
  if (own) refuse(own);
  if (head === "scalar") {
    const labels = labelCount(raw);
    if (labels !== 1) refuse(`a reward model has one output, but num_labels is ${labels}`);
  }
  return (
    activation ??
    refuse(
      `${field} "${config[field]}" is not supported (only ${activations.map((a) => `"${a}"`).join(", ")})`,
    )
  );
}

/** `transformers` counts id2label where there is one and takes 2 for an absent num_labels. */
function labelCount(raw: Json): unknown {
  const names = raw.id2label;
  return typeof names === "object" && names !== null ? Object.keys(names).length : (raw.num_labels ?? 2);
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
  return [ids ?? []].flat().filter((id) => id >= 0);
}

/** Validates `value`; the first problem becomes one sentence that names the file and the field. */
function check<T>(schema: z.ZodType<T>, value: unknown, file: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new UserError(`${file}: ${issue.path.join(".")} ${issue.message}`);
}

/** The same model with a head of its own. */
export function untied(config: DecoderConfig): DecoderConfig {
  return { ...config, tieWordEmbeddings: false, raw: { ...config.raw, tie_word_embeddings: false } };
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

/** The attention projections of a layer with their output sizes. */
export function attentionProjections(config: DecoderConfig): [module: string, out: number][] {
  const queries = config.heads * config.headDim;
  const keys = config.kvHeads * config.headDim;
  if (config.fusedProjections) return [["self_attn.qkv_proj", queries + 2 * keys]];
  return [
    ["self_attn.q_proj", queries],
    ["self_attn.k_proj", keys],
    ["self_attn.v_proj", keys],
  ];
}

/** Every parameter tensor of the model, in the order of its forward pass. */
export function parameterSpecs(config: DecoderConfig): ParameterSpec[] {
  const { hiddenSize, intermediateSize, headDim, attentionBias, mlpBias, norms } = config;
  const queries = config.heads * headDim;
  const linear = (name: string, out: number, input: number, bias: boolean): ParameterSpec[] => [
    { name: `${name}.weight`, shape: [out, input], kind: "matrix" },
    ...(bias ? [{ name: `${name}.bias`, shape: [out], kind: "bias" as const }] : []),
  ];
  const norm = (name: string, size: number): ParameterSpec => ({
    name: `${name}.weight`,
    shape: [size],
    kind: "norm",
  });
  const qkNorms = {
    head: [headDim, headDim],
    projection: [queries, config.kvHeads * headDim],
    none: [],
  }[config.qkNorm ?? "none"];
  const layer = (i: number): ParameterSpec[] => {
    const at = `model.layers.${i}`;
    const branchNorm = (name: string | undefined) => (name ? [norm(`${at}.${name}`, hiddenSize)] : []);
    const gates = config.fusedProjections
      ? linear(`${at}.mlp.gate_up_proj`, 2 * intermediateSize, hiddenSize, mlpBias)
      : ["gate_proj", "up_proj"].flatMap((name) =>
          linear(`${at}.mlp.${name}`, intermediateSize, hiddenSize, mlpBias),
        );
    return [
      ...branchNorm(norms.attention.before),
      ...attentionProjections(config).flatMap(([module, out]) =>
        linear(`${at}.${module}`, out, hiddenSize, attentionBias.qkv),
      ),
      ...linear(`${at}.self_attn.o_proj`, hiddenSize, queries, attentionBias.o),
      ...qkNorms.map((size, k) => norm(`${at}.self_attn.${k === 0 ? "q" : "k"}_norm`, size)),
      ...branchNorm(norms.attention.after),
      ...branchNorm(norms.feedForward.before),
      ...gates,
      ...linear(`${at}.mlp.down_proj`, hiddenSize, intermediateSize, mlpBias),
      ...branchNorm(norms.feedForward.after),
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
