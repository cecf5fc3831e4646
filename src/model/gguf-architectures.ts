// The architectures of llama.cpp that are families here: what llama.cpp calls their parts, and what it computes without
// being told. Read by gguf-model.ts, written by export/gguf-model.ts.

/** What differs between the architectures of llama.cpp that are families here. */
export interface Architecture {
  /** The `model_type`. Default: the architecture's own name. */
  family?: string;
  class: string;
  /** Query and key rows are stored in pairs, for llama.cpp's interleaved rotation. */
  pairs?: boolean;
  /** Fields of config.json, from keys of the metadata without the architecture's prefix. */
  fields?: Readonly<Record<string, string>>;
  /**
   * query_pre_attn_scalar is not in the file: llama.cpp takes the head dimension, or hidden size / heads of the model
   * that has this many layers.
   */
  queryScalar?: { wideLayers: number };
  /** Projections that may have biases. Default none. */
  biases?: "all" | "qkv";
  /** Every `period`-th layer sees everything, the others a window. Default: llama.cpp computes no window. */
  windowPeriod?: number;
  /** Whether capped scores and logits are computed. Default no. */
  softcaps?: boolean;
}

export const architectures: Readonly<Record<string, Architecture>> = {
  llama: { class: "LlamaForCausalLM", pairs: true, biases: "all" },
  qwen2: { class: "Qwen2ForCausalLM", biases: "qkv" },
  qwen3: { class: "Qwen3ForCausalLM" },
  gemma2: {
    class: "Gemma2ForCausalLM",
    fields: {
      attn_logit_softcapping: "attn_logit_softcapping",
      final_logit_softcapping: "final_logit_softcapping",
      "attention.sliding_window": "sliding_window",
    },
    queryScalar: { wideLayers: 46 },
    windowPeriod: 2,
    softcaps: true,
  },
  gemma3: {
    family: "gemma3_text",
    class: "Gemma3ForCausalLM",
    fields: { "attention.sliding_window": "sliding_window" },
    queryScalar: { wideLayers: 62 },
    windowPeriod: 6,
  },
  smollm3: { class: "SmolLM3ForCausalLM", pairs: true },
  phi3: { class: "Phi3ForCausalLM", fields: { "attention.sliding_window": "sliding_window" } },
  olmo2: { class: "Olmo2ForCausalLM" },
  granite: {
    class: "GraniteForCausalLM",
    pairs: true,
    biases: "all",
    fields: {
      "attention.scale": "attention_multiplier",
      embedding_scale: "embedding_multiplier",
      residual_scale: "residual_multiplier",
      logit_scale: "logits_scaling",
    },
  },
};

/** Fields of config.json that every architecture has. */
export const commonFields: Readonly<Record<string, string>> = {
  embedding_length: "hidden_size",
  block_count: "num_hidden_layers",
  feed_forward_length: "intermediate_size",
  context_length: "max_position_embeddings",
  "attention.head_count": "num_attention_heads",
  "attention.head_count_kv": "num_key_value_heads",
  "attention.key_length": "head_dim",
  "attention.layer_norm_rms_epsilon": "rms_norm_eps",
  "rope.freq_base": "rope_theta",
};

/** Modules of a layer whose names do not depend on where the norms stand. */
const plainModules: Readonly<Record<string, string>> = {
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_qkv: "self_attn.qkv_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
};

/** Tensors outside the layers, with their Hugging Face names. */
export const wholeModules: Readonly<Record<string, string>> = {
  "token_embd.weight": "model.embed_tokens.weight",
  "output_norm.weight": "model.norm.weight",
  "output.weight": "lm_head.weight",
};

interface Branch {
  before?: string;
  after?: string;
}

/** The modules of a layer of a family (its row of `families`) by llama.cpp's name; undefined: it has none. */
export function layerModules({
  norms,
  fusedProjections,
}: {
  norms?: { attention: Branch; feedForward: Branch };
  fusedProjections?: boolean;
}): Readonly<Record<string, string | undefined>> {
  return {
    ...plainModules,
    ...(fusedProjections && { ffn_up: "mlp.gate_up_proj" }),
    attn_norm: norms ? norms.attention.before : "input_layernorm",
    post_attention_norm: norms?.attention.after,
    ffn_norm: norms ? norms.feedForward.before : "post_attention_layernorm",
    post_ffw_norm: norms?.feedForward.after,
  };
}
