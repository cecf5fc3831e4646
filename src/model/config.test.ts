import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../base/errors.js";
import { configJson, parameterSpecs, parseDecoderConfig, readDecoderConfig, withHead } from "./config.js";
import type { Json } from "./json.js";

interface Case {
  name: string;
  raw: Json;
  expected: Json;
  parameters: Record<string, number[]>;
}
const fixture = new URL("../../test/fixtures/formats/configs.json", import.meta.url);
const cases = JSON.parse(await readFile(fixture, "utf8")) as Case[];

const llama: Json = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 64,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
};
const qwen3: Json = {
  ...llama,
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  num_key_value_heads: 4,
};

describe("parseDecoderConfig agrees with transformers", () => {
  it.each(cases)("$name", ({ raw, expected, parameters }) => {
    const { raw: _, rawGeneration: __, ...config } = parseDecoderConfig(raw);
    expect(config).toEqual(expected);
    const specs = parameterSpecs(parseDecoderConfig(raw));
    expect(Object.fromEntries(specs.map(({ name, shape }) => [name, shape]))).toEqual(parameters);
  });
});

describe("parameterSpecs", () => {
  it("lists the parameters in the order of the forward pass, with their kinds", () => {
    const specs = parameterSpecs(parseDecoderConfig({ ...qwen3, num_hidden_layers: 1 }));
    expect(specs.map(({ name, kind }) => `${kind} ${name}`)).toEqual([
      "embedding model.embed_tokens.weight",
      "norm model.layers.0.input_layernorm.weight",
      "matrix model.layers.0.self_attn.q_proj.weight",
      "matrix model.layers.0.self_attn.k_proj.weight",
      "matrix model.layers.0.self_attn.v_proj.weight",
      "matrix model.layers.0.self_attn.o_proj.weight",
      "norm model.layers.0.self_attn.q_norm.weight",
      "norm model.layers.0.self_attn.k_norm.weight",
      "norm model.layers.0.post_attention_layernorm.weight",
      "matrix model.layers.0.mlp.gate_proj.weight",
      "matrix model.layers.0.mlp.up_proj.weight",
      "matrix model.layers.0.mlp.down_proj.weight",
      "norm model.norm.weight",
      "head lm_head.weight",
    ]);
  });
});

describe("what is not supported is refused by name", () => {
  const refusals: [string, Json, RegExp][] = [
    [
      "architecture",
      { ...llama, architectures: ["GemmaForCausalLM"], model_type: null },
      /"GemmaForCausalLM"/,
    ],
    ["a bare trunk", { ...llama, architectures: ["LlamaModel"] }, /"LlamaModel" is not supported/],
    ["model type", { ...llama, model_type: "gpt2" }, /model_type "gpt2" is not supported \(supported: llama/],
    [
      "experts",
      { ...llama, model_type: "qwen3_moe" },
      /model_type "qwen3_moe" is not supported: it is a mixture of experts/,
    ],
    ["experts by field", { ...llama, model_type: "gpt_oss", num_local_experts: 8 }, /mixture of experts/],
    ["hybrid", { ...llama, model_type: "falcon_h1" }, /its layers are not all attention/],
    [
      "hybrid by layers",
      { ...llama, model_type: "qwen3_next", layer_types: ["linear_attention"] },
      /not all attention/,
    ],
    ["multimodal", { model_type: "gemma3", text_config: {} }, /more than a language model/],
    [
      "reward model of a family without one",
      { ...llama, model_type: "granite", architectures: ["GraniteForSequenceClassification"] },
      /"GraniteForSequenceClassification" is not supported/,
    ],
    [
      "bidirectional Gemma",
      { ...llama, model_type: "gemma3_text", architectures: null, use_bidirectional_attention: true },
      /use_bidirectional_attention/,
    ],
    ["contradiction", { ...llama, model_type: "qwen2" }, /contradicts model_type "qwen2"/],
    ["no architecture", { ...llama, architectures: [], model_type: null }, /names no architecture/],
    ["activation", { ...llama, hidden_act: "gelu" }, /hidden_act "gelu"/],
    [
      "dynamic",
      { ...llama, rope_parameters: { rope_type: "dynamic", factor: 2 } },
      /rotary scaling "dynamic"/,
    ],
    [
      "longrope",
      { ...llama, rope_scaling: { type: "longrope" } },
      /rope_scaling of type "longrope" needs "short_factor"/,
    ],
    [
      "longrope of another width",
      { ...llama, rope_scaling: { type: "longrope", short_factor: [1], long_factor: [1] } },
      /short_factor has 1 numbers, but 4 frequencies turn/,
    ],
    [
      "no factor",
      { ...llama, rope_scaling: { type: "linear" } },
      /rope_scaling of type "linear" needs "factor"/,
    ],
    ["rope by layer", { ...llama, rope_parameters: { full_attention: {} } }, /differs by layer type/],
    ["partial rotary", { ...llama, partial_rotary_factor: 0.5 }, /partial_rotary_factor 0.5/],
    ["partial rotary inside", { ...llama, rope_parameters: { partial_rotary_factor: 0.25 } }, /factor 0.25/],
    ["quantised", { ...llama, quantization_config: { bits: 4 } }, /quantization_config/],
    ["per-layer shapes", { ...llama, per_layer_config: { 0: {} } }, /per_layer_config/],
    ["labels", { ...llama, architectures: ["LlamaForSequenceClassification"] }, /num_labels is 2/],
    ["head ratio", { ...llama, num_key_value_heads: 3 }, /multiple of num_key_value_heads \(3\)/],
    ["head size", { ...llama, hidden_size: 30 }, /multiple of num_attention_heads/],
    ["odd head", { ...llama, head_dim: 7 }, /even head dimension, not 7/],
    ["type", { ...llama, num_hidden_layers: "2" }, /num_hidden_layers must be a positive integer/],
    ["layers without end", { ...llama, num_hidden_layers: 1e8 }, /num_hidden_layers must be at most 400/],
    ["a head without end", { ...llama, head_dim: 1e12 }, /a head has 1000000000000 dimensions/],
    ["dtype", { ...llama, dtype: "float8_e4m3fn" }, /dtype "float8_e4m3fn"/],
    ["layer type", { ...qwen3, layer_types: ["chunked_attention", "full_attention"] }, /"chunked_attention"/],
    ["window off", { ...qwen3, layer_types: ["sliding_attention", "full_attention"] }, /do not set a window/],
    ["layer count", { ...qwen3, layer_types: ["full_attention"] }, /1 entries for 2 layers/],
  ];
  it.each(refusals)("%s", (_, raw, message) => {
    expect(() => parseDecoderConfig(raw, { file: "m/config.json" })).toThrow(UserError);
    expect(() => parseDecoderConfig(raw, { file: "m/config.json" })).toThrow(message);
    expect(() => parseDecoderConfig(raw, { file: "m/config.json" })).toThrow(/^m\/config.json/);
  });
});

describe("heads", () => {
  it("switches architectures and labels, and keeps every other field", () => {
    const scalar = withHead(parseDecoderConfig({ ...llama, note: 1, torch_dtype: "float32" }), "scalar");
    const json = configJson(scalar, "BF16");
    expect(json).toMatchObject({
      architectures: ["LlamaForSequenceClassification"],
      id2label: { 0: "LABEL_0" },
      note: 1,
      dtype: "bfloat16",
    });
    expect(json).not.toHaveProperty("torch_dtype");
    expect(parseDecoderConfig(json).head).toBe("scalar");
    expect(configJson(withHead(scalar, "language"), "F32")).toEqual({ ...llama, note: 1, dtype: "float32" });
  });

  it("a model_type without architectures is a language model", () => {
    expect(parseDecoderConfig({ ...llama, architectures: null }).head).toBe("language");
  });
});

describe("readDecoderConfig", () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "touchstone-config-"));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it("takes the end tokens of generation_config.json first", async () => {
    await writeFile(join(dir, "config.json"), JSON.stringify({ ...llama, eos_token_id: 5 }));
    expect((await readDecoderConfig(dir)).eosIds).toEqual([5]);
    await writeFile(join(dir, "generation_config.json"), JSON.stringify({ eos_token_id: [7, 8] }));
    expect((await readDecoderConfig(dir)).eosIds).toEqual([7, 8]);
  });

  it("says which file is missing or malformed", async () => {
    await expect(readDecoderConfig(dir)).rejects.toThrow(/config.json does not exist/);
    await writeFile(join(dir, "config.json"), "{");
    await expect(readDecoderConfig(dir)).rejects.toThrow(/config.json is not valid JSON/);
    await writeFile(join(dir, "config.json"), "[]");
    await expect(readDecoderConfig(dir)).rejects.toThrow(/must hold a JSON object/);
  });
});
