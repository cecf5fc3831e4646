// The model families that the engine computes: one row each. A row says how a family differs from the plain decoder
// (RMSNorm before each branch, rotary positions, gated feed-forward) in terms that config.ts turns into the facts of
// one model, so that nothing else in the engine asks which family it has. docs/extending.md shows how a row is added.

import { z } from "zod";
import { UserError } from "../base/errors.js";
import type { Json } from "./json.js";

const count = z.int("must be a positive integer").min(1, "must be a positive integer");
/** Far beyond any model: the time of a plan for its memory grows with the square. */
const mostLayers = 400;
export const mostHeadDim = 65_536;
const positive = z.number("must be a positive number").positive("must be a positive number");
const flag = z.boolean("must be true or false");
/** -1 stands for none, as no token has it. */
const tokenId = z.int("must be a token id").min(-1, "must be a token id, -1 or null");
export const tokenIds = z
  .union([tokenId, z.array(tokenId)], "must be a token id or a list of token ids")
  .nullish();
const object = z.looseObject({}, "must be an object");

/** The fields of config.json that decide what a model computes, under the names that `transformers` gives them. */
export const configFields = z.object({
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count.max(mostLayers, `must be at most ${mostLayers}`),
  num_attention_heads: count,
  num_key_value_heads: count.nullable(),
  head_dim: count.nullable(),
  hidden_act: z.string("must be a string"),
  hidden_activation: z.string("must be a string").nullish(),
  max_position_embeddings: count,
  rms_norm_eps: positive,
  tie_word_embeddings: flag,
  attention_bias: flag,
  mlp_bias: flag,
  use_sliding_window: flag,
  sliding_window: count.nullish(),
  sliding_window_pattern: count.nullish(),
  max_window_layers: z.int("must be an integer"),
  layer_types: z.array(z.string(), "must be a list of strings").nullable(),
  no_rope_layers: z.array(z.int(), "must be a list of 0 and 1").nullish(),
  no_rope_layer_interval: count.nullish(),
  use_bidirectional_attention: flag.nullish(),
  query_pre_attn_scalar: positive.nullish(),
  attn_logit_softcapping: positive.nullish(),
  final_logit_softcapping: positive.nullish(),
  embedding_multiplier: positive.nullish(),
  attention_multiplier: positive.nullish(),
  residual_multiplier: positive.nullish(),
  logits_scaling: positive.nullish(),
  bos_token_id: tokenId.nullable(),
  eos_token_id: tokenIds,
  pad_token_id: tokenId.nullable(),
  rope_theta: positive.nullish(),
  rope_local_base_freq: positive.nullish(),
  rope_scaling: object.nullish(),
  rope_parameters: object.nullish(),
  partial_rotary_factor: positive.nullish(),
  original_max_position_embeddings: count.nullish(),
});
export type ConfigFields = z.infer<typeof configFields>;

/** Names of the RMSNorm modules of a layer, before and after each branch; an absent one is no norm. */
export interface BlockNorms {
  attention: { before?: string; after?: string };
  feedForward: { before?: string; after?: string };
}

/** Constant factors of the forward pass. */
export interface Scales {
  /** On the rows of the embedding. */
  embedding: number;
  /** On q k^T. */
  attention: number;
  /** On what each branch adds to the residual stream. */
  residual: number;
  /** On the logits. */
  logits: number;
}

export interface Family {
  /** `${stem}ForCausalLM` is the language model's class in `transformers`. */
  stem: string;
  /** `${scalarStem}ForSequenceClassification` is the reward model's. Default `stem`; null: there is no such class. */
  scalarStem?: string | null;
  /** Values that `transformers` takes for an absent field. (`null` is a value: it is not replaced.) */
  defaults: Json;
  /** Which field names the activation of the feed-forward branch. Default `hidden_act`. */
  activation?: "hidden_act" | "hidden_activation";
  /** Biases of the attention projections: on q, k and v always, or on all four where `attention_bias` says so. Default none. */
  attentionBias?: "qkv" | "configured";
  /** Whether `mlp_bias` is honoured. Default false. */
  mlpBias?: boolean;
  /** RMSNorm of queries and keys before the rotation: over each head, or over the whole projection. Default none. */
  qkNorm?: "head" | "projection";
  /** Where the norms stand and what they are called. Default: one before each branch. */
  norms?: BlockNorms;
  /** Added to the stored weight of every RMSNorm. Default 0. */
  normOffset?: number;
  /** q, k and v are one matrix `qkv_proj`, gate and up one matrix `gate_up_proj`. Default false. */
  fusedProjections?: boolean;
  /** Whether `partial_rotary_factor` is honoured. Default false. */
  partialRotary?: boolean;
  /** Scaling kinds that are another kind under an old name. */
  ropeAliases?: Readonly<Record<string, string>>;
  /** Layers with a sliding window turn by a rotary embedding of their own; the bases that absent fields stand for. */
  ropeByLayerType?: { full: number; sliding: number };
  /** Which layers have no rotary embedding at all. Default none. */
  isPositionFree?: (fields: ConfigFields, layer: number) => boolean;
  /** The window of every layer (position q sees the keys k with q - window < k <= q), or null. Default: none has one. */
  windows?: (fields: ConfigFields) => (number | null)[];
  /** Default: 1, except for attention, which has 1 / sqrt(head dimension). */
  scales?: (fields: ConfigFields) => Partial<Scales>;
  /** Caps c tanh(x / c) on attention scores and logits. Default none. */
  softcaps?: (fields: ConfigFields) => { attention?: number | null; logits?: number | null };
  /** What the family allows and this engine does not compute: a sentence about it, or undefined. */
  refuse?: (fields: ConfigFields) => string | undefined;
}

const layersOf = <T>(fields: ConfigFields, value: (layer: number) => T): T[] =>
  Array.from({ length: fields.num_hidden_layers }, (_, i) => value(i));

/** Every layer has the window. */
const windowEverywhere = (fields: ConfigFields) => layersOf(fields, () => fields.sliding_window ?? null);

/** The layers that `layer_types` (or `absent`, where there is none) calls "sliding_attention" have the window. */
function windowsByType(
  fields: ConfigFields,
  window: number | null | undefined,
  absent: (layer: number) => boolean,
): (number | null)[] {
  const types = fields.layer_types;
  if (types === null) return layersOf(fields, (i) => (absent(i) ? (window ?? null) : null));
  if (types.length !== fields.num_hidden_layers) {
    throw new UserError(`layer_types has ${types.length} entries for ${fields.num_hidden_layers} layers`);
  }
  return types.map((type) => {
    if (type === "full_attention" || type === "attention") return null;
    if (type !== "sliding_attention") {
      throw new UserError(`layer type "${type}" is not supported (full_attention, sliding_attention)`);
    }
    if (window == null) {
      throw new UserError(
        "layer_types asks for sliding_attention, but use_sliding_window and sliding_window do not set a window",
      );
    }
    return window;
  });
}

/** Qwen's rule: from layer `max_window_layers` on, where `use_sliding_window` is set. */
const qwenWindows = (fields: ConfigFields) =>
  windowsByType(
    fields,
    fields.use_sliding_window ? fields.sliding_window : null,
    (i) => i >= fields.max_window_layers,
  );

/** Every `period`-th layer sees everything, the others a window. */
const gemmaWindows = (period: (fields: ConfigFields) => number) => (fields: ConfigFields) =>
  windowsByType(fields, fields.sliding_window, (i) => (i + 1) % period(fields) !== 0);

const hasNoRope = (fields: ConfigFields, layer: number): boolean =>
  fields.no_rope_layers
    ? fields.no_rope_layers[layer] === 0
    : (layer + 1) % (fields.no_rope_layer_interval ?? 4) === 0;

const qwenDefaults: Json = {
  vocab_size: 151936,
  intermediate_size: 22016,
  num_key_value_heads: 32,
  max_position_embeddings: 32768,
  sliding_window: 4096,
};

const gemmaDefaults: Json = {
  hidden_size: 2304,
  intermediate_size: 9216,
  num_hidden_layers: 26,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 256,
  hidden_activation: "gelu_pytorch_tanh",
  query_pre_attn_scalar: 256,
  sliding_window: 4096,
  tie_word_embeddings: true,
  pad_token_id: 0,
  eos_token_id: 1,
  bos_token_id: 2,
};

/** RMSNorm with weight 1 + w on both sides of each branch, embeddings times sqrt(hidden), tanh-approximated GELU. */
const gemma = {
  defaults: gemmaDefaults,
  activation: "hidden_activation",
  attentionBias: "configured",
  normOffset: 1,
  norms: {
    attention: { before: "input_layernorm", after: "post_attention_layernorm" },
    feedForward: { before: "pre_feedforward_layernorm", after: "post_feedforward_layernorm" },
  },
  scales: ({ hidden_size, query_pre_attn_scalar }) => ({
    embedding: Math.sqrt(hidden_size),
    attention: 1 / Math.sqrt(query_pre_attn_scalar!),
  }),
  refuse: ({ use_bidirectional_attention }) =>
    use_bidirectional_attention ? "use_bidirectional_attention is not supported" : undefined,
} as const satisfies Partial<Family>;

const llamaDefaults: Json = {
  vocab_size: 32000,
  intermediate_size: 11008,
  num_key_value_heads: null,
  max_position_embeddings: 2048,
  bos_token_id: 1,
  eos_token_id: 2,
};

/** By `model_type`. */
export const families: Record<string, Family> = {
  llama: {
    stem: "Llama",
    defaults: llamaDefaults,
    attentionBias: "configured",
    mlpBias: true,
  },
  mistral: {
    stem: "Mistral",
    defaults: {
      vocab_size: 32000,
      intermediate_size: 14336,
      num_key_value_heads: 8,
      max_position_embeddings: 131072,
      sliding_window: 4096,
      bos_token_id: 1,
      eos_token_id: 2,
    },
    windows: windowEverywhere,
  },
  qwen2: { stem: "Qwen2", defaults: qwenDefaults, attentionBias: "qkv", windows: qwenWindows },
  qwen3: {
    stem: "Qwen3",
    defaults: { ...qwenDefaults, head_dim: 128 },
    attentionBias: "configured",
    qkNorm: "head",
    windows: qwenWindows,
  },
  gemma2: {
    ...gemma,
    stem: "Gemma2",
    defaults: {
      ...gemmaDefaults,
      vocab_size: 256000,
      max_position_embeddings: 8192,
      attn_logit_softcapping: 50,
      final_logit_softcapping: 30,
    },
    windows: gemmaWindows(() => 2),
    softcaps: ({ attn_logit_softcapping, final_logit_softcapping }) => ({
      attention: attn_logit_softcapping,
      logits: final_logit_softcapping,
    }),
  },
  gemma3_text: {
    ...gemma,
    stem: "Gemma3",
    scalarStem: "Gemma3Text",
    defaults: { ...gemmaDefaults, vocab_size: 262208, max_position_embeddings: 131072 },
    qkNorm: "head",
    windows: gemmaWindows(({ sliding_window_pattern }) => sliding_window_pattern ?? 6),
    ropeByLayerType: { full: 1e6, sliding: 1e4 },
    softcaps: ({ final_logit_softcapping }) => ({ logits: final_logit_softcapping }),
  },
  smollm3: {
    stem: "SmolLM3",
    defaults: {
      vocab_size: 128256,
      hidden_size: 2048,
      intermediate_size: 11008,
      num_hidden_layers: 36,
      num_attention_heads: 16,
      num_key_value_heads: 4,
      max_position_embeddings: 32768,
      rope_theta: 2e6,
      tie_word_embeddings: true,
      pad_token_id: 128004,
      bos_token_id: 128000,
      eos_token_id: 128001,
    },
    attentionBias: "configured",
    mlpBias: true,
    isPositionFree: hasNoRope,
    windows: (fields) =>
      windowsByType(fields, fields.use_sliding_window ? fields.sliding_window : null, (i) =>
        hasNoRope(fields, i),
      ),
  },
  phi3: {
    stem: "Phi3",
    defaults: {
      vocab_size: 32064,
      hidden_size: 3072,
      intermediate_size: 8192,
      num_key_value_heads: null,
      max_position_embeddings: 4096,
      original_max_position_embeddings: 4096,
      rms_norm_eps: 1e-5,
      bos_token_id: 1,
      eos_token_id: 32000,
      pad_token_id: 32000,
    },
    fusedProjections: true,
    partialRotary: true,
    ropeAliases: { su: "longrope", yarn: "longrope" },
    windows: windowEverywhere,
  },
  olmo2: {
    stem: "Olmo2",
    defaults: {
      vocab_size: 50304,
      intermediate_size: 11008,
      num_key_value_heads: null,
      max_position_embeddings: 2048,
      rms_norm_eps: 1e-5,
      pad_token_id: 1,
      eos_token_id: 50279,
    },
    attentionBias: "configured",
    qkNorm: "projection",
    norms: {
      attention: { after: "post_attention_layernorm" },
      feedForward: { after: "post_feedforward_layernorm" },
    },
  },
  granite: {
    stem: "Granite",
    scalarStem: null,
    defaults: llamaDefaults,
    attentionBias: "configured",
    mlpBias: true,
    scales: (fields) => ({
      embedding: fields.embedding_multiplier ?? 1,
      attention: fields.attention_multiplier ?? 1,
      residual: fields.residual_multiplier ?? 1,
      logits: 1 / (fields.logits_scaling ?? 1),
    }),
  },
};

/** What `transformers` takes for a field that neither the file nor the family has. */
export const commonDefaults: Json = {
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

/** The row of a `model_type`, or undefined. */
export function familyOf(modelType: unknown): Family | undefined {
  return typeof modelType === "string" && Object.hasOwn(families, modelType)
    ? families[modelType]
    : undefined;
}
