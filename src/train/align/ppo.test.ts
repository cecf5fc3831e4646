import { describe, expect, it } from "vitest";
import { RandomStream } from "../../base/random.js";
import { miniBatches } from "./ppo.js";

const samples = [2, 3, 5, 7, 11, 13, 17];

describe("miniBatches", () => {
  const cut = (ppoEpochs: number, count: number, rows: readonly number[] = samples) =>
    miniBatches(rows, { ppoEpochs, miniBatches: count }, new RandomStream(1, "test"));

  it("has every sample once in every epoch, in parts of about one size", () => {
    const parts = cut(3, 3);
    expect(parts.map(({ length }) => length)).toEqual([2, 3, 2, 2, 3, 2, 2, 3, 2]);
    for (const epoch of [0, 3, 6]) {
      const seen = parts.slice(epoch, epoch + 3).flat();
      expect(seen.toSorted((a, b) => a - b)).toEqual(samples);
      expect(seen).not.toEqual(samples);
    }
    expect(parts.slice(0, 3)).not.toEqual(parts.slice(3, 6));
  });

  it("leaves the order alone where a part is the whole, and makes no empty parts", () => {
    expect(cut(2, 1)).toEqual([samples, samples]);
    expect(cut(1, 4, [1, 2])).toHaveLength(2);
    expect(cut(2, 2, [])).toEqual([]);
  });
});
