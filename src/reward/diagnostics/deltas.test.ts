import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../../base/errors.js";
import { loadCheckpoint, saveCheckpoint } from "../../model/checkpoint.js";
import { parameterSpecs, withHead } from "../../model/config.js";
import { MemberSet } from "../member-set.js";
import { deltaGeometry } from "./deltas.js";

const fixture = (name: string) =>
  fileURLToPath(new URL(`../../../test/fixtures/formats/${name}`, import.meta.url));

let root: string;
let set: MemberSet;
/** The first member's weights as a language model's: without a score head. */
let init: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "touchstone-deltas-"));
  init = join(root, "init");
  const { config, tensors } = await loadCheckpoint(fixture("member-a"));
  const language = withHead(config, "language");
  await saveCheckpoint(init, {
    config: language,
    read: ({ name, shape }) =>
      tensors.get(name)?.map((x) => x / 2) ?? new Float32Array(shape.reduce((a, b) => a * b, 1)),
  });
  set = await MemberSet.open([{ dir: fixture("member-a") }, { dir: fixture("member-b") }]);
});
afterAll(async () => {
  await set.close();
  await rm(root, { recursive: true, force: true });
});

/** Deltas of all parameters that `wanted` names, one after another, in float64. */
async function flatDeltas(inits: readonly string[], wanted: (name: string) => boolean): Promise<number[][]> {
  const dirs = [fixture("member-a"), fixture("member-b")];
  const origins = await Promise.all(inits.map((dir) => loadCheckpoint(dir)));
  return Promise.all(
    dirs.map(async (dir, i) => {
      const { config, tensors } = await loadCheckpoint(dir);
      const origin = (origins[i] ?? origins[0]!).tensors;
      return parameterSpecs(config)
        .filter(({ name }) => wanted(name))
        .flatMap(({ name }) => Array.from(tensors.get(name)!, (x, k) => x - (origin.get(name)?.[k] ?? 0)));
    }),
  );
}

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

describe("weight deltas", () => {
  it("have the norms, cosines and mean of brute force, in all and in every group", async () => {
    const groups = await deltaGeometry(set, { init: [init] });
    expect(groups.map(({ group }) => group)).toEqual([
      "all",
      "embeddings",
      "layer 0",
      "layer 1",
      "rest",
      "head",
    ]);
    const wanted: Record<string, (name: string) => boolean> = {
      all: () => true,
      head: (name) => name === "score.weight",
      "layer 0": (name) => name.includes("layers.0."),
    };
    for (const [group, isWanted] of Object.entries(wanted)) {
      const [a, b] = (await flatDeltas([init], isWanted)) as [number[], number[]];
      const found = groups.find((one) => one.group === group)!;
      const norms = [Math.sqrt(dot(a, a)), Math.sqrt(dot(b, b))];
      for (const [i, norm] of found.norms.entries()) expect(norm / norms[i]!).toBeCloseTo(1, 6);
      expect(found.meanCosine).toBeCloseTo(dot(a, b) / norms[0]! / norms[1]!, 6);
      const middle = a.map((x, i) => (x + b[i]!) / 2);
      expect(found.shrinkage).toBeCloseTo(Math.sqrt(dot(middle, middle)) / ((norms[0]! + norms[1]!) / 2), 6);
      expect(found.expectedShrinkage).toBeCloseTo(Math.sqrt((1 + found.meanCosine) / 2), 12);
    }
    // A language model has no score head: the whole head is delta.
    expect(groups.at(-1)!.initialNorm).toBe(0);
  });

  it("count from each member's own beginning where each has one", async () => {
    const inits = [init, fixture("member-a")];
    const [all] = await deltaGeometry(set, { init: inits });
    const [a, b] = (await flatDeltas(inits, () => true)) as [number[], number[]];
    expect(all!.cosines[0]![1]).toBeCloseTo(dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)), 6);
    expect(all!.cosines[1]![1]).toBe(1);
  });

  it("refuse a beginning of another shape", async () => {
    const other = join(root, "other");
    await cp(init, other, { recursive: true });
    const { config, tensors } = await loadCheckpoint(init);
    const wide = {
      ...config,
      vocabSize: config.vocabSize + 1,
      raw: { ...config.raw, vocab_size: config.vocabSize + 1 },
    };
    await saveCheckpoint(other, {
      config: wide,
      read: ({ name, shape }) => {
        const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
        values.set(tensors.get(name)!.subarray(0, values.length));
        return values;
      },
    });
    const deltas = deltaGeometry(set, { init: [other] });
    await expect(deltas).rejects.toThrow(UserError);
    await expect(deltas).rejects.toThrow(
      /other is not where .*member-a began: its tensor "model.embed_tokens.weight"/,
    );
  });
});
