// A small architecture with random weights, and adapters on all of it.

import type { LoraConfig } from "../../src/model/adapter.js";

export const tinyLlama = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 96,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  eos_token_id: 0,
};

export const tinyLora: LoraConfig = {
  r: 4,
  alpha: 8,
  targetModules: "all-linear",
  taskType: "CAUSAL_LM",
  baseModel: null,
};
