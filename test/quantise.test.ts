// Weights that are kept small: what they are kept as, that passes see exactly those numbers, and that gradients through them are
// those of a float32 model with the same numbers and of finite differences.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RandomStream } from "../src/base/random.js";
import { LocalLanguageModel, LocalScalarModel } from "../src/engine/local/index.js";
import type { LocalModel } from "../src/engine/local/model.js";
import { writeRandomModel } from "../src/lab/base.js";
import type { LoraConfig } from "../src/model/adapter.js";
import { parameterSpecs, parseDecoderConfig } from "../src/model/config.js";
import { GgufHeader, readGgufTensor } from "../src/model/gguf.js";
import { blockTypes } from "../src/model/gguf-blocks.js";
import { restore, type Storage, storageOf, storages, store } from "../src/model/stored.js";
import { parseRecipe } from "../src/recipe/recipe.js";
import { tinyLlama } from "./support/tiny-llama.js";

const dir = mkdtempSync(join(tmpdir(), "touchstone-quantise-"));
const configs: Record<string, Record<string, unknown>> = {
  "llama, tied": tinyLlama,
  "qwen2, own head and biases": {
    ...tinyLlama,
    architectures: ["Qwen2ForCausalLM"],
    model_type: "qwen2",
    tie_word_embeddings: false,
  },
  "gemma2, caps": {
    ...tinyLlama,
    architectures: ["Gemma2ForCausalLM"],
    model_type: "gemma2",
    head_dim: 16,
    query_pre_attn_scalar: 16,
    attn_logit_softcapping: 50,
    final_logit_softcapping: 30,
    sliding_window: 8,
    hidden_activation: "gelu_pytorch_tanh",
  },
  "phi3, fused projections": {
    ...tinyLlama,
    architectures: ["Phi3ForCausalLM"],
    model_type: "phi3",
    pad_token_id: 0,
    tie_word_embeddings: false,
  },
};
const lora: LoraConfig = {
  r: 4,
  alpha: 8,
  targetModules: "all-linear",
  taskType: "CAUSAL_LM",
  baseModel: null,
};
const sequences = [
  { tokens: [5, 17, 40, 3, 60, 61, 7, 8, 90], promptLength: 3 },
  { tokens: [9, 2, 44, 1], promptLength: 1 },
];
const g = sequences.map(({ tokens, promptLength }, i) =>
  Float32Array.from({ length: tokens.length - promptLength }, (_, t) => Math.sin(1 + 3 * i + t)),
);
const inner = (model: object) => (model as { model: LocalModel }).model;
const flat = (rows: readonly Float32Array[]) => rows.flatMap((row) => Array.from(row));
const far = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let [difference, size] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    difference = Math.max(difference, Math.abs(a[i]! - b[i]!));
    size = Math.max(size, Math.abs(b[i]!));
  }
  return difference / size;
};

beforeAll(async () => {
  for (const [name, config] of Object.entries(configs)) await writeRandomModel(join(dir, name), config, 3);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("store and restore", () => {
  const random = new RandomStream(1, "quantise");
  const values = Float32Array.from({ length: 4096 }, (_, i) =>
    i < 64 ? 0 : random.normal() * (1 + (i % 7)),
  );

  it("8bit and 4bit hold what ggml's Q8_0 and Q4_0 hold", () => {
    for (const [storage, type] of [
      ["8bit", "Q8_0"],
      ["4bit", "Q4_0"],
    ] as const) {
      const [data, scales] = store(storage, values, "w");
      const blockBytes = storage === "8bit" ? 34 : 18;
      const bytes = new Uint8Array((values.length / 32) * blockBytes);
      for (let b = 0; b < values.length / 32; b++) {
        bytes.set([scales![b]! & 255, scales![b]! >> 8], b * blockBytes);
        const quants = new Uint8Array(data!.buffer, b * (blockBytes - 2), blockBytes - 2);
        bytes.set(storage === "8bit" ? quants : quants.map((x) => x ^ 0x88), b * blockBytes + 2);
      }
      const out = new Float32Array(values.length);
      Object.values(blockTypes).find(({ name }) => name === type)!.decode!(bytes, out);
      expect(restore(storage, [data!, scales!])).toEqual(out);
    }
  });

  it.each([
    ["8bit", "Q8_0", 32],
    ["4bit", "Q4_0", 16],
  ] as const)("%s chooses the numbers that the gguf package chooses for %s", (storage, type, bytes) => {
    const file = join(import.meta.dirname, "fixtures/gguf/types.gguf");
    const { tensors } = GgufHeader.read(file);
    const given = readGgufTensor(file, tensors.get("F32")!);
    const { start, bytes: size } = tensors.get(type)!;
    const wanted = readFileSync(file).subarray(start, start + size);
    const [data, scales] = store(storage, given, "w");
    const found = Buffer.alloc(size);
    for (let b = 0; b < given.length / 32; b++) {
      found.writeUInt16LE(scales![b]!, b * (bytes + 2));
      for (let i = 0; i < bytes; i++)
        found[b * (bytes + 2) + 2 + i] = data![b * bytes + i]! ^ (storage === "8bit" ? 0 : 0x88);
    }
    expect(Buffer.compare(found, wanted)).toBe(0);
  });

  it("is near: by half a place of the type, or half a step of the block", () => {
    const bound: Record<Storage, (most: number, x: number) => number> = {
      float16: (_, x) => Math.abs(x) * 2 ** -11,
      bfloat16: (_, x) => Math.abs(x) * 2 ** -8,
      "8bit": (most) => (most / 127) * 0.51 + most * 2 ** -10,
      "4bit": (most) => (most / 8) * 1.01,
    };
    for (const storage of storages) {
      const back = restore(storage, store(storage, values, "w"));
      for (let i = 0; i < values.length; i++) {
        const within = values.subarray(32 * Math.floor(i / 32), 32 * Math.floor(i / 32) + 32);
        const most = Math.max(...within.map(Math.abs));
        expect(Math.abs(back[i]! - values[i]!)).toBeLessThanOrEqual(bound[storage](most, values[i]!) + 1e-8);
      }
    }
  });

  it("names the weight that float16 does not hold", () => {
    expect(() => store("float16", Float32Array.of(1, 1e6), "layer 3")).toThrow(
      "layer 3 holds a number that float16 does not; quantise to bfloat16 or 8bit",
    );
  });

  it("keeps norms, biases and rows that are no whole blocks in float32, and embeddings in 8 bits at least", () => {
    const config = parseDecoderConfig({ ...configs["qwen2, own head and biases"], intermediate_size: 80 });
    const kept = (storage: Storage) =>
      Object.fromEntries(
        parameterSpecs(config).map((spec) => [
          spec.name.replace("model.layers.0.", ""),
          storageOf(spec, storage) ?? "float32",
        ]),
      );
    expect(kept("4bit")).toMatchObject({
      "model.embed_tokens.weight": "8bit",
      "lm_head.weight": "8bit",
      "self_attn.q_proj.weight": "4bit",
      "self_attn.q_proj.bias": "float32",
      "input_layernorm.weight": "float32",
      "mlp.up_proj.weight": "4bit",
      "mlp.down_proj.weight": "float32",
    });
    expect(kept("bfloat16")["mlp.down_proj.weight"]).toBe("bfloat16");
  });
});

/** A directory with an adapter that is not zero, and the float32 model of the numbers that `quantise` keeps of `base`. */
async function pair(base: string, quantise: Storage) {
  const [restored, adapter] = ["restored", "adapter"].map((name) => join(dir, `${name} ${base} ${quantise}`));
  const small = await LocalLanguageModel.load(join(dir, base), { frozen: true, quantise });
  await small.save(restored!);
  const trained = await LocalLanguageModel.load(restored!, { lora, seed: 5 });
  for (let step = 0; step < 3; step++) {
    await trained.backward(sequences, g);
    await trained.step({ learningRate: 0.05 });
    await expect(trained.step({ learningRate: 0.05 })).rejects.toThrow(
      /there is no gradient to apply, for nothing/,
    );
  }
  await trained.save(adapter!);
  return {
    small: await LocalLanguageModel.load(join(dir, base), { lora, quantise, adapter: adapter! }),
    whole: await LocalLanguageModel.load(restored!, { lora, adapter: adapter! }),
  };
}

describe.each(storages)("a base in %s", (quantise) => {
  it.each(Object.keys(configs))("is the float32 model of the same numbers: %s", async (base) => {
    const { small, whole } = await pair(base, quantise);
    expect(inner(small).memoryBytes()).toBeLessThan(0.75 * inner(whole).memoryBytes());
    expect(far(flat(await small.logprobs(sequences)), flat(await whole.logprobs(sequences)))).toBeLessThan(
      1e-5,
    );
    const options = { maxNewTokens: 12, temperature: 0, seeds: [1, 2, 3, 4, 5] };
    const prompts = [[5, 6], [7, 8, 9], [1], [30, 31], [50]];
    const said = async (model: LocalLanguageModel) =>
      (await model.sample(prompts, options)).map(({ tokens }) => Array.from(tokens));
    expect(await said(small)).toEqual(await said(whole));

    // Twice: into nothing, and on what is there.
    for (const model of [small, whole]) for (let i = 0; i < 2; i++) await model.backward(sequences, g);
    for (const { name, gradient } of inner(whole).trainable)
      expect(far(inner(small).parameters.get(name)!.gradient!.floats, gradient!.floats), name).toBeLessThan(
        2e-5,
      );
    const taken = await Promise.all([small, whole].map((model) => model.step({ learningRate: 1e-3 })));
    expect(taken[0]!.gradNorm).toBeCloseTo(taken[1]!.gradNorm!, 4);
    // A frozen copy shares what is kept small.
    const copy = await small.snapshot();
    expect(flat(await copy.logprobs(sequences))).toEqual(flat(await small.logprobs(sequences)));
  });

  it("has the gradient of finite differences", async () => {
    const { small } = await pair("llama, tied", quantise);
    const objective = async () =>
      (await small.logprobs(sequences)).reduce(
        (sum, row, i) => sum + row.reduce((s, x, t) => s + x * g[i]![t]!, 0),
        0,
      );
    await small.backward(sequences, g);
    for (const name of [
      "model.layers.0.self_attn.q_proj.lora_A.weight",
      "model.layers.0.mlp.down_proj.lora_B.weight",
      "model.layers.1.mlp.gate_proj.lora_A.weight",
    ]) {
      const { tensor, gradient } = inner(small).parameters.get(name)!;
      // Along the gradient, where the slope is its squared norm.
      const direction = gradient!.floats.slice();
      const norm = Math.hypot(...direction);
      const at = tensor.floats.slice();
      const [h, values] = [2e-3, [] as number[]];
      for (const sign of [1, -1]) {
        tensor.floats.set(at.map((x, i) => x + (sign * h * direction[i]!) / norm));
        values.push(await objective());
      }
      tensor.floats.set(at);
      const slope = (values[0]! - values[1]!) / (2 * h);
      expect(Math.abs(slope / norm - 1), name).toBeLessThan(5e-3);
    }
  });
});

describe("where it goes", () => {
  it("a reward model scores as the float32 model of the same numbers", async () => {
    const scalar = {
      ...tinyLlama,
      architectures: ["LlamaForSequenceClassification"],
      num_labels: 1,
      pad_token_id: 0,
    };
    await writeRandomModel(join(dir, "scorer"), scalar, 7);
    const small = await LocalScalarModel.load(join(dir, "scorer"), { frozen: true, quantise: "4bit" });
    await small.save(join(dir, "scorer restored"));
    const whole = await LocalScalarModel.load(join(dir, "scorer restored"), { frozen: true });
    const tokens = sequences.map((sequence) => sequence.tokens);
    expect(
      far(flat(await small.values(tokens, "last")), flat(await whole.values(tokens, "last"))),
    ).toBeLessThan(1e-5);
  });

  it("is refused where the weights train", async () => {
    await expect(LocalLanguageModel.load(join(dir, "llama, tied"), { quantise: "8bit" })).rejects.toThrow(
      "quantised weights do not train: quantise goes with lora, or with a model that is frozen",
    );
    const recipe = "model: m\ndata: d.jsonl\noutput_dir: o\nquantise: 8bit\n";
    expect(() => parseRecipe("sft", recipe, "r.yaml")).toThrow(/quantise goes with lora/);
    expect(() => parseRecipe("sft", `${recipe}lora: { r: 4 }\n`, "r.yaml")).not.toThrow();
    expect(() => parseRecipe("sft", `${recipe}lora: { r: 4 }\n`.replace("8bit", "int8"), "r.yaml")).toThrow(
      /quantise must be one of float16, bfloat16, 8bit, 4bit/,
    );
  });
});
