// Parts of the decoder against float64 arithmetic written out here. Whole models are compared with transformers in
// test/engine-fixtures.test.ts.

import { describe, expect, it } from "vitest";
import { evaluate } from "../../test/support/gradient-check.js";
import { RandomStream } from "../base/random.js";
import { compile } from "../tensor/compile.js";
import { input, type Value } from "../tensor/graph.js";
import { Tensor } from "../tensor/runtime.js";
import { parseDecoderConfig } from "./config.js";
import {
  decodeStep,
  loraA,
  loraB,
  samplingOutputs,
  tokenLogprobs,
  weightInputs,
  weightShapes,
} from "./decoder.js";
import { inverseFrequencies, rotaryTables } from "./rope.js";

const json = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 11,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 4,
  hidden_act: "silu",
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 100,
  tie_word_embeddings: true,
};
const config = parseDecoderConfig(json);

const random = new RandomStream(5, "decoder test");
const normal = (size: number, deviation = 1): Float32Array =>
  Float32Array.from({ length: size }, () => deviation * random.normal());

describe("tokenLogprobs", () => {
  const [rows, hidden, vocabulary] = [7, 5, 9];
  const h = normal(rows * hidden);
  const w = normal(vocabulary * hidden);
  const targets = Int32Array.from({ length: rows }, (_, i) => (i * 4) % vocabulary);
  const g = normal(rows);
  const tensors = {
    hidden: Tensor.float32(h, [rows, hidden]),
    head: Tensor.float32(w, [vocabulary, hidden]),
    targets: Tensor.int32(targets, [rows, 1]),
    g: Tensor.float32(g, [rows, 1]),
  };
  const graph = (chunks: number, wantHead = true) =>
    tokenLogprobs(
      input("hidden", "float32", ["N", hidden]),
      input("head", "float32", [vocabulary, hidden]),
      input("targets", "int32", ["N", 1]),
      chunks,
      input("g", "float32", ["N", 1]),
      { wantHead },
    );
  const run = (chunks: number) => {
    const { logprobs, gradient } = graph(chunks);
    const { hidden: dh, head: dw, targetRows } = gradient!;
    return evaluate({ logprobs, dh, dw: dw!, targetRows }, tensors, { N: rows });
  };

  /** log softmax(h W^T) in float64. */
  const reference = Float64Array.from({ length: rows * vocabulary });
  for (let n = 0; n < rows; n++) {
    const logits = Array.from({ length: vocabulary }, (_, v) => {
      let sum = 0;
      for (let d = 0; d < hidden; d++) sum += h[n * hidden + d]! * w[v * hidden + d]!;
      return sum;
    });
    const normaliser = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
    logits.forEach((logit, v) => {
      reference[n * vocabulary + v] = logit - normaliser;
    });
  }

  const expectClose = (actual: Float32Array, wanted: ArrayLike<number>) => {
    expect(actual.length).toBe(wanted.length);
    for (let i = 0; i < wanted.length; i++) expect(Math.abs(actual[i]! - wanted[i]!)).toBeLessThan(1e-5);
  };

  // 7 rows in 4 chunks: the last chunk is shorter.
  it.each([1, 2, 4])("are the log-softmax of the targets, with its gradient, in %i chunks", (chunks) => {
    const { logprobs, dh, dw, targetRows } = run(chunks);
    expectClose(
      logprobs!,
      Array.from({ length: rows }, (_, n) => reference[n * vocabulary + targets[n]!]!),
    );
    // d sum_n g_n log p_n / dlogits[n, v] = g_n (1[v = target] - p[n, v])
    const slope = reference.map(
      (logp, i) =>
        g[Math.floor(i / vocabulary)]! *
        (Number(targets[Math.floor(i / vocabulary)] === i % vocabulary) - Math.exp(logp)),
    );
    expectClose(
      dh!,
      Array.from({ length: rows * hidden }, (_, i) => {
        const [n, d] = [Math.floor(i / hidden), i % hidden];
        return Array.from(
          { length: vocabulary },
          (_, v) => slope[n * vocabulary + v]! * w[v * hidden + d]!,
        ).reduce((a, b) => a + b);
      }),
    );
    // The head's gradient comes in two parts: -P^T (g h), and g h for the target's row.
    const whole = Float32Array.from(dw!);
    for (let n = 0; n < rows; n++)
      for (let d = 0; d < hidden; d++) whole[targets[n]! * hidden + d]! += targetRows![n * hidden + d]!;
    expectClose(
      whole,
      Array.from({ length: vocabulary * hidden }, (_, i) => {
        const [v, d] = [Math.floor(i / hidden), i % hidden];
        return Array.from({ length: rows }, (_, n) => slope[n * vocabulary + v]! * h[n * hidden + d]!).reduce(
          (a, b) => a + b,
        );
      }),
    );
  });

  it("leave out the head's gradient where it does not train", () => {
    expect(graph(2, false).gradient!.head).toBeUndefined();
  });

  it("stay finite and exact for logits that differ by hundreds", () => {
    const extreme = {
      ...tensors,
      hidden: Tensor.float32(
        h.map((x) => 200 * x),
        [rows, hidden],
      ),
    };
    const { logprobs } = evaluate({ logprobs: graph(1).logprobs }, extreme, { N: rows });
    for (const value of logprobs!) {
      expect(Number.isFinite(value)).toBe(true);
      expect(value).toBeLessThanOrEqual(0);
    }
  });
});

describe("samplingOutputs", () => {
  it("give the tempered distribution beside the untempered normaliser", () => {
    const logits = Float32Array.of(1, 2, 0.5, -1, -3, 4);
    const temperature = 0.7;
    const outputs = samplingOutputs(input("logits", "float32", ["B", 3]), input("inverse", "float32", [1]));
    const { probabilities, normaliser } = evaluate(
      { probabilities: outputs.probabilities, normaliser: outputs.normaliser },
      {
        logits: Tensor.float32(logits, [2, 3]),
        inverse: Tensor.float32(Float32Array.of(1 / temperature), [1]),
      },
      { B: 2 },
    );
    for (const b of [0, 1]) {
      const row = Array.from(logits.subarray(3 * b, 3 * b + 3));
      const sum = (t: number) => row.reduce((total, x) => total + Math.exp(x / t), 0);
      expect(normaliser![b]).toBeCloseTo(Math.log(sum(1)), 5);
      row.forEach((x, i) => {
        expect(probabilities![3 * b + i]).toBeCloseTo(Math.exp(x / temperature) / sum(temperature), 5);
      });
    }
  });
});

describe("rotary frequencies", () => {
  const plain = Float32Array.of(1, 0.1);

  it("are theta^(-2i/headDim), divided by a linear factor", () => {
    expect(inverseFrequencies(config.ropes[0]!)).toEqual(plain);
    const linear = parseDecoderConfig({ ...json, rope_scaling: { rope_type: "linear", factor: 4 } });
    expect(inverseFrequencies(linear.ropes[0]!)).toEqual(plain.map((f) => f / 4));
  });

  it("keep short wavelengths, divide long ones and blend between under llama3", () => {
    const original = 64;
    const llama3 = parseDecoderConfig({
      ...json,
      head_dim: 8,
      rope_theta: 10_000,
      rope_scaling: {
        rope_type: "llama3",
        factor: 8,
        low_freq_factor: 0.5,
        high_freq_factor: 4,
        original_max_position_embeddings: original,
      },
    });
    // Turns within the original context: 10.2 (kept), 1.02 (blended), 0.1 and 0.01 (divided).
    const turns = (original * 0.1) / (2 * Math.PI);
    const smooth = (turns - 0.5) / 3.5;
    const wanted = [1, (1 - smooth) * (0.1 / 8) + smooth * 0.1, 0.01 / 8, 0.001 / 8];
    const found = inverseFrequencies(llama3.ropes[0]!);
    wanted.forEach((f, i) => {
      expect(found[i]! / f).toBeCloseTo(1, 6);
    });
  });

  it("fill the tables with the angle of every position", () => {
    const { cos, sin } = rotaryTables(config.ropes[0]!, 3);
    for (const p of [0, 1, 2])
      for (const i of [0, 1]) {
        expect(cos[2 * p + i]).toBeCloseTo(Math.cos(p * plain[i]!), 6);
        expect(sin[2 * p + i]).toBeCloseTo(Math.sin(p * plain[i]!), 6);
      }
  });
});

describe("weightShapes", () => {
  it("add a pair of matrices for every adapted module, and for no other", () => {
    const module = "model.layers.0.self_attn.k_proj";
    const lora = { r: 3, scale: 2, modules: new Set([module]) };
    const added = weightShapes(config, lora).slice(weightShapes(config).length);
    expect(added).toEqual([
      { name: loraA(module), shape: [3, 8] },
      { name: loraB(module), shape: [8, 3] },
    ]);
  });
});

describe("decodeStep by columns", () => {
  it("computes the same logits as by rows", async () => {
    const config = parseDecoderConfig({
      architectures: ["Qwen2ForCausalLM"],
      model_type: "qwen2",
      vocab_size: 24,
      hidden_size: 32,
      intermediate_size: 20,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      tie_word_embeddings: true,
    });
    const random = new RandomStream(5, "decode by columns");
    const lora = { r: 2, scale: 1.5, modules: new Set(["model.layers.0.mlp.up_proj"]) };
    const feeds = new Map<string, Tensor>(
      weightShapes(config, lora).map(({ name, shape }) => {
        const size = shape.reduce((a, b) => a * b, 1);
        return [
          name,
          Tensor.float32(
            Float32Array.from({ length: size }, () => random.normal()),
            shape,
          ),
        ];
      }),
    );
    const [rows, capacity] = [3, 5];
    const { cos, sin } = rotaryTables(config.ropes[0]!, 8);
    feeds.set("cos", Tensor.float32(cos, [8, 4])).set("sin", Tensor.float32(sin, [8, 4]));
    feeds.set("tokens", Tensor.int32(Int32Array.of(3, 7, 11), [rows, 1]));
    feeds.set("positions", Tensor.int64([2, 0, 3], [rows, 1]));
    feeds
      .set("lengths", Tensor.int32(Int32Array.of(2, 0, 3), [rows]))
      .set("total", Tensor.int32(Int32Array.of(4), [1]));
    const logitsOf = async (byColumns: boolean): Promise<Float32Array> => {
      const step = decodeStep(config, weightInputs(config, lora), lora, { byColumns });
      const program = compile({ logits: step.logits, ...prefixed(step.caches) });
      const binding = program.bind();
      for (const { name, dims } of program.inputs) {
        const cache = () =>
          Tensor.float32(new Float32Array(rows * 2 * capacity * 8).fill(0.3), [rows, 2, capacity, 8]);
        const tensor = feeds.get(name) ?? cache();
        binding.input(name, tensor);
        if (dims.length === 4) binding.output(`next_${name}`, tensor);
      }
      const logits = Tensor.zeros("float32", [rows, config.vocabSize]);
      binding.output("logits", logits).runSync();
      return logits.floats;
    };
    const [byRows, byColumns] = [await logitsOf(false), await logitsOf(true)];
    expect(byRows.some((logit) => Math.abs(logit) > 1)).toBe(true);
    byRows.forEach((logit, i) => {
      expect(byColumns[i]).toBeCloseTo(logit, 4);
    });
  });
});

const prefixed = (caches: Record<string, Value>): Record<string, Value> =>
  Object.fromEntries(Object.entries(caches).map(([name, value]) => [`next_${name}`, value]));
