// Dropout in reward-model training: Bradley-Terry under a fixed mask against PyTorch (test/oracle/reward_dropout.py),
// and what must not depend on how the work is cut.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { dropoutMask } from "../src/engine/local/dropout.js";
import { LocalScalarModel } from "../src/engine/local/index.js";
import type { LocalModel } from "../src/engine/local/model.js";
import { SafetensorsReader } from "../src/model/safetensors.js";
import { bradleyTerry } from "../src/objectives/bradley-terry.js";

const fixtures = join(import.meta.dirname, "fixtures");
const dir = join(fixtures, "reward/dropout");

interface Expected {
  rate: number;
  seed: number;
  head: number[];
  sequences: number[][];
  pairs: [chosen: number, rejected: number][];
  scores: number[];
  loss: number;
  dropped: string[][];
}
const want: Expected = JSON.parse(readFileSync(join(dir, "expected.json"), "utf8"));
const dropout = { rate: want.rate, seed: want.seed };

const inner = (model: LocalScalarModel): LocalModel => (model as unknown as { model: LocalModel }).model;

async function open(): Promise<LocalScalarModel> {
  const model = await LocalScalarModel.load(join(fixtures, "engine/llama-tied"));
  model.setHead(want.head);
  return model;
}

async function scores(model: LocalScalarModel, options?: Parameters<LocalScalarModel["values"]>[2]) {
  return (await model.values(want.sequences, "last", options)).map(([value]) => value!);
}

/** Loss, and its gradient by parameter name. */
async function step(model: LocalScalarModel, options = { dropout }) {
  const values = await scores(model, options);
  const { loss, gChosen, gRejected } = bradleyTerry({
    chosen: want.pairs.map(([chosen]) => values[chosen]!),
    rejected: want.pairs.map(([, rejected]) => values[rejected]!),
  });
  const g = want.sequences.map(() => new Float32Array(1));
  want.pairs.forEach(([chosen, rejected], i) => {
    g[chosen]![0]! += gChosen[i]!;
    g[rejected]![0]! += gRejected[i]!;
  });
  const again = (await model.backward(want.sequences, g, options)).map(([value]) => value!);
  const gradients = new Map(
    inner(model).trainable.map(({ name, gradient }) => [name, gradient!.floats.slice()]),
  );
  return { loss, values, again, gradients };
}

function relativeError(actual: Float32Array, wanted: Float32Array): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < wanted.length; i++) {
    difference += (actual[i]! - wanted[i]!) ** 2;
    norm += wanted[i]! ** 2;
  }
  return Math.sqrt(difference / norm);
}

describe("Bradley-Terry with dropout", () => {
  it("draws the masks that the fixture holds", () => {
    const hidden = want.head.length;
    want.sequences.forEach(({ length }, index) => {
      want.dropped[index]!.forEach((hex, site) => {
        const shape = { lengths: [length], indices: [index], width: length, hidden };
        const bits = [...Buffer.from(hex, "hex")].flatMap((byte) =>
          Array.from({ length: 8 }, (_, bit) => (byte >> (7 - bit)) & 1),
        );
        expect(Array.from(dropoutMask(shape, site, dropout), (value) => Number(value === 0))).toEqual(bits);
      });
    });
  });

  it("gives PyTorch's rewards, loss and gradients under the same mask", async () => {
    const { loss, values, again, gradients } = await step(await open());
    want.scores.forEach((score, i) => {
      expect(Math.abs(values[i]! - score)).toBeLessThan(2e-5);
    });
    expect(again).toEqual(values);
    expect(Math.abs(loss - want.loss)).toBeLessThan(1e-5);
    const reader = await SafetensorsReader.open(join(dir, "grads.safetensors"));
    expect([...gradients.keys()].sort()).toEqual([...reader.tensors.keys()].sort());
    for (const [name, gradient] of gradients)
      expect([name, relativeError(gradient, await reader.readFloat32(name))]).toEqual([
        name,
        expect.toSatisfy((error: number) => error < 1e-5),
      ]);
    await reader.close();
  });

  it("does not depend on how sequences are cut into batches", async () => {
    const together = await step(await open());
    const model = await open();
    model.tokenBudget.backward = 1;
    const apart = await step(model);
    apart.values.forEach((value, i) => {
      expect(Math.abs(value - together.values[i]!)).toBeLessThan(1e-5);
    });
    for (const [name, gradient] of apart.gradients)
      expect(relativeError(gradient, together.gradients.get(name)!)).toBeLessThan(1e-5);
  });

  it("with rate 0 is training without dropout, bit for bit", async () => {
    const off = await step(await open(), { dropout: { rate: 0, seed: 5 } });
    const model = await open();
    const g = want.sequences.map((_, i) => Float32Array.of(i - 1));
    expect(off.values).toEqual(await scores(model));
    await model.backward(want.sequences, g);
    const plain = inner(model).trainable.map(({ gradient }) => gradient!.floats.slice());
    const zero = await open();
    await zero.backward(want.sequences, g, { dropout: { rate: 0, seed: 5 } });
    expect(inner(zero).trainable.map(({ gradient }) => gradient!.floats)).toEqual(plain);
  });

  it("leaves scoring alone", async () => {
    const model = await open();
    const before = await scores(model);
    await step(model);
    expect(await scores(model)).toEqual(before);
    expect(before).not.toEqual(want.scores);
  });
});
