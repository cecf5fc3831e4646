// The base model of the lab: its shape, and the recipe that trains it with this repository's own commands. See
// ../README.md for what to expect of it.

import { specialTokens } from "./chat.js";

/** The seed of the world whose corpus and SFT data made the shipped model. */
export const baseWorldSeed = 1;

export const vocabSize = 768;

/** `config.json` of the base model: 0.89 M parameters, tied embeddings. */
export const baseModelConfig = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: vocabSize,
  hidden_size: 128,
  intermediate_size: 344,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 4,
  head_dim: 32,
  hidden_act: "silu",
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  attention_bias: false,
  mlp_bias: false,
  tie_word_embeddings: true,
  initializer_range: 0.02,
  bos_token_id: null,
  eos_token_id: Object.values(specialTokens).indexOf(specialTokens.turnEnd),
  pad_token_id: Object.values(specialTokens).indexOf(specialTokens.pad),
  dtype: "float32",
} as const;

/** Two stages: `corpus.jsonl` (loss on every token), then `sft.jsonl` (loss on completions), AdamW, cosine to zero. */
export const baseModelRecipe = {
  pretrain: {
    steps: 4500,
    batch: 64,
    learningRate: 2e-3,
    warmupSteps: 100,
    weightDecay: 0.01,
    maxGradNorm: 1,
  },
  sft: { steps: 300, batch: 64, learningRate: 3e-4, warmupSteps: 20, weightDecay: 0, maxGradNorm: 1 },
} as const;

/** Longest completion of an ordinary author is under this many tokens. */
export const maxNewTokens = 48;
