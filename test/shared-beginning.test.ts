// Sequences that begin alike are computed together, their beginning once: numbers and gradients are those of each for itself.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { RandomStream } from "../src/base/random.js";
import { cutGroups, groupByBeginning } from "../src/engine/local/groups.js";
import { LocalLanguageModel, LocalScalarModel } from "../src/engine/local/index.js";
import type { LocalModel } from "../src/engine/local/model.js";
import { writeRandomModel } from "../src/lab/base.js";
import { tinyLlama, tinyLora } from "./support/tiny-llama.js";

const root = mkdtempSync(join(tmpdir(), "touchstone-shared-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const configs: Record<string, Record<string, unknown>> = {
  llama: tinyLlama,
  "qwen3, norms of heads": {
    ...tinyLlama,
    architectures: ["Qwen3ForCausalLM"],
    model_type: "qwen3",
    head_dim: 16,
    tie_word_embeddings: false,
  },
  "gemma2, caps and windows": {
    ...tinyLlama,
    architectures: ["Gemma2ForCausalLM"],
    model_type: "gemma2",
    head_dim: 16,
    query_pre_attn_scalar: 16,
    attn_logit_softcapping: 50,
    final_logit_softcapping: 30,
    sliding_window: 12,
    hidden_activation: "gelu_pytorch_tanh",
  },
};

const random = new RandomStream(3, "sequences");
const some = (length: number): number[] => Array.from({ length }, () => 1 + random.integer(95));
const [long, short] = [some(30), some(11)];
/** Two prompts with several samples each, of different lengths, in no order, and one sequence alone. */
const sequences = [
  { prompt: long, length: 7 },
  { prompt: short, length: 20 },
  { prompt: long, length: 1 },
  { prompt: some(9), length: 5 },
  { prompt: short, length: 3 },
  { prompt: long, length: 12 },
].map(({ prompt, length }) => ({ tokens: [...prompt, ...some(length)], promptLength: prompt.length }));
const gradientOf = (lengths: readonly number[]) =>
  lengths.map((length, i) => Float32Array.from({ length }, (_, t) => Math.sin(1 + 3 * i + t)));

const inner = (model: object) => (model as { model: LocalModel }).model;
const gradients = (model: object): Map<string, Float32Array> =>
  new Map(inner(model).trainable.map(({ name, gradient }) => [name, gradient!.floats.slice()]));

function largestRelative(actual: Map<string, Float32Array>, wanted: Map<string, Float32Array>): number {
  let largest = 0;
  for (const [name, values] of wanted) {
    const size = Math.max(1e-3, ...values.map(Math.abs));
    values.forEach((value, i) => {
      largest = Math.max(largest, Math.abs(actual.get(name)![i]! - value) / size);
    });
  }
  return largest;
}

const far = (a: readonly Float32Array[], b: readonly Float32Array[]): number =>
  Math.max(...a.flatMap((row, i) => Array.from(row, (x, t) => Math.abs(x - b[i]![t]!))));

describe.each(Object.entries(configs))("%s", (name, config) => {
  it.each(["full", "lora"])("log-probabilities and gradients, %s", async (training) => {
    const dir = join(root, `${name} ${training}`);
    await writeRandomModel(dir, config, 5);
    const model = await LocalLanguageModel.load(dir, training === "lora" ? { lora: tinyLora, seed: 1 } : {});
    const alone: Float32Array[] = [];
    for (const sequence of sequences) alone.push(...(await model.logprobs([sequence])));
    expect(far(await model.logprobs(sequences), alone)).toBeLessThan(2e-5);
    const g = gradientOf(alone.map(({ length }) => length));
    for (const [i, sequence] of sequences.entries()) await model.backward([sequence], [g[i]!]);
    const wanted = gradients(model);
    // One pass for all, and several because little fits into one.
    for (const budget of [4096, 60]) {
      model.zeroGrad();
      inner(model).tokenBudget.backward = budget;
      expect(far(await model.backward(sequences, g), alone)).toBeLessThan(2e-5);
      expect(largestRelative(gradients(model), wanted)).toBeLessThan(1e-4);
    }
    model.dispose();
  });
});

it("a reward model's scores and gradients", async () => {
  const dir = join(root, "reward");
  const raw = { ...tinyLlama, architectures: ["LlamaForSequenceClassification"], num_labels: 1 };
  await writeRandomModel(dir, raw, 5);
  const model = await LocalScalarModel.load(dir);
  const rows = sequences.map(({ tokens }) => tokens);
  const alone: Float32Array[] = [];
  for (const row of rows) alone.push(...(await model.values([row], "last")));
  expect(far(await model.values(rows, "last"), alone)).toBeLessThan(2e-5);
  const g = gradientOf(rows.map(() => 1));
  for (const [i, row] of rows.entries()) await model.backward([row], [g[i]!]);
  const wanted = gradients(model);
  model.zeroGrad();
  await model.backward(rows, g);
  expect(largestRelative(gradients(model), wanted)).toBeLessThan(1e-4);
  model.dispose();
});

it("a copy of an adapter that has learned nothing is its base, and of one that has, itself", async () => {
  const dir = join(root, "snapshot");
  await writeRandomModel(dir, tinyLlama, 5);
  const model = await LocalLanguageModel.load(dir, { lora: tinyLora, seed: 1 });
  const untaught = await model.snapshot();
  expect(inner(untaught).programs.lora).toBeUndefined();
  expect(await untaught.logprobs(sequences)).toEqual(await model.logprobs(sequences));
  await model.backward(sequences, gradientOf(sequences.map((s) => s.tokens.length - s.promptLength)));
  await model.step({ learningRate: 1e-2 });
  const taught = await model.snapshot();
  expect(inner(taught).programs.lora).toBeDefined();
  expect(await taught.logprobs(sequences)).toEqual(await model.logprobs(sequences));
  expect(far(await taught.logprobs(sequences), await untaught.logprobs(sequences))).toBeGreaterThan(1e-4);
});

describe("groups", () => {
  const wanted = sequences.map(({ tokens, promptLength }) => ({ tokens, rows: [promptLength - 1] }));

  it("share what stands before the first wanted position, and no less than is worth it", () => {
    const { groups, alone } = groupByBeginning(wanted);
    expect(groups.map(({ shared, members }) => [shared, members.toSorted()]).toSorted()).toEqual([
      [10, [1, 4]],
      [29, [0, 2, 5]],
    ]);
    expect(alone).toEqual([3]);
    expect(groupByBeginning([wanted[3]!, { ...wanted[3]!, rows: [7] }]).groups).toEqual([]);
  });

  it("are cut where they are too large, and nothing is lost", () => {
    const { groups } = groupByBeginning(wanted);
    const { batches, alone } = cutGroups(groups, wanted, 45);
    const members = batches.flat().flatMap((group) => group.members);
    expect([...members, ...alone].toSorted()).toEqual([0, 1, 2, 4, 5]);
    for (const batch of batches) {
      const size = batch.reduce(
        (sum, { shared, members }) =>
          members.reduce((tokens, i) => tokens + wanted[i]!.tokens.length - shared, sum + shared),
        0,
      );
      expect(size).toBeLessThanOrEqual(45);
    }
  });
});
