// A family is a row: one that no other file knows is added here, and read, trained, sampled from and saved.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RandomStream } from "../src/base/random.js";
import { LocalLanguageModel, LocalScalarModel } from "../src/engine/local/index.js";
import { saveCheckpoint } from "../src/model/checkpoint.js";
import { parameterSpecs, parseDecoderConfig } from "../src/model/config.js";
import { families } from "../src/model/families.js";

const raw = {
  model_type: "toy",
  architectures: ["ToyForCausalLM"],
  vocab_size: 40,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 3,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  eos_token_id: 2,
  toy_window: 4,
  sliding_window: 4,
};

describe("a row of one's own", () => {
  let dir: string;
  beforeAll(async () => {
    families.toy = {
      stem: "Toy",
      defaults: { max_position_embeddings: 64, hidden_act: "gelu_pytorch_tanh" },
      attentionBias: "qkv",
      qkNorm: "head",
      norms: {
        attention: { before: "norm_a", after: "norm_b" },
        feedForward: { before: "norm_c" },
      },
      windows: ({ num_hidden_layers, sliding_window }) =>
        Array.from({ length: num_hidden_layers }, (_, i) => (i === 1 ? (sliding_window ?? null) : null)),
      isPositionFree: (_, layer) => layer === 2,
      scales: () => ({ residual: 0.5, logits: 2 }),
      softcaps: () => ({ attention: 5, logits: 8 }),
    };
    dir = await mkdtemp(join(tmpdir(), "touchstone-family-"));
    const config = parseDecoderConfig(raw);
    const random = new RandomStream(7, "toy");
    await saveCheckpoint(dir, {
      config,
      read: ({ shape, kind }) =>
        Float32Array.from(
          { length: shape.reduce((a, b) => a * b, 1) },
          () => (kind === "norm" ? 1 : 0) + 0.3 * random.normal(),
        ),
    });
    await writeFile(join(dir, "tokenizer_config.json"), "{}");
  });
  afterAll(async () => {
    delete families.toy;
    await rm(dir, { recursive: true, force: true });
  });

  it("names its parameters", () => {
    const names = parameterSpecs(parseDecoderConfig(raw)).map(({ name }) => name);
    expect(names).toContain("model.layers.0.norm_b.weight");
    expect(names).toContain("model.layers.2.self_attn.q_proj.bias");
    expect(names).not.toContain("model.layers.0.self_attn.o_proj.bias");
    expect(names).not.toContain("model.layers.0.input_layernorm.weight");
  });

  it("samples what it scores, token by token as over whole sequences", async () => {
    const model = await LocalLanguageModel.load(dir, { frozen: true });
    const prompts = [
      [3, 4, 5],
      [6, 7, 8, 9, 10, 11, 12],
    ];
    const completions = await model.sample(prompts, { n: 2, maxNewTokens: 12, stopIds: [], seeds: [1, 2] });
    const sequences = completions.map(({ promptIndex, tokens }) => ({
      tokens: [...prompts[promptIndex]!, ...tokens],
      promptLength: prompts[promptIndex]!.length,
    }));
    const scored = await model.logprobs(sequences);
    completions.forEach(({ logprobs }, i) => {
      expect(logprobs.length).toBe(12);
      logprobs.forEach((logprob, t) => {
        expect(logprob).toBeCloseTo(scored[i]![t]!, 4);
      });
    });
  });

  it("has the gradient that finite differences show", async () => {
    const model = await LocalLanguageModel.load(dir);
    const sequence = { tokens: [3, 9, 14, 15, 9, 26, 5, 35], promptLength: 2 };
    const g = Float32Array.from({ length: 6 }, (_, i) => Math.cos(i));
    const objective = async () => {
      const [logprobs] = await model.logprobs([sequence]);
      return logprobs!.reduce((sum, logprob, t) => sum + g[t]! * logprob, 0);
    };
    await model.backward([sequence], [g]);
    const { parameters } = (model as unknown as { model: { parameters: Map<string, Floats> } }).model;
    const random = new RandomStream(3, "direction");
    for (const [name, { tensor, gradient }] of parameters) {
      const start = tensor.floats.slice();
      const direction = Float32Array.from(start, () => random.normal());
      const norm = Math.sqrt(direction.reduce((sum, x) => sum + x * x, 0));
      const step = 4e-3 / norm;
      const at = async (sign: number) => {
        start.forEach((x, i) => {
          tensor.floats[i] = x + sign * step * direction[i]!;
        });
        return objective();
      };
      const slope = ((await at(1)) - (await at(-1))) / (2 * step);
      tensor.floats.set(start);
      const exact = gradient!.floats.reduce((sum, x, i) => sum + x * direction[i]!, 0);
      const size = norm * Math.sqrt(gradient!.floats.reduce((sum, x) => sum + x * x, 0));
      expect([name, Math.abs(slope - exact)]).toEqual([
        name,
        expect.toSatisfy((error: number) => error < 0.02 * size + 1e-2),
      ]);
    }
  });

  it("becomes a reward model of its own class", async () => {
    const model = await LocalScalarModel.load(dir);
    expect(model.config.raw.architectures).toEqual(["ToyForSequenceClassification"]);
    const [value] = await model.values([[3, 4, 5]], "last");
    expect(Number.isFinite(value![0])).toBe(true);
  });
});

interface Floats {
  tensor: { floats: Float32Array };
  gradient?: { floats: Float32Array };
}
