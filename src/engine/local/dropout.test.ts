import { describe, expect, it } from "vitest";
import { dropoutMask } from "./dropout.js";

const shape = { lengths: [500], indices: [0], width: 500, hidden: 64 };
const dropped = (mask: Float32Array): number[] => Array.from(mask, (value) => Number(value === 0));
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

describe("dropoutMask", () => {
  it("drops a share of `rate` and scales the rest to keep the expectation", () => {
    for (const rate of [0.05, 0.1, 0.5, 0.9]) {
      const mask = dropoutMask(shape, 0, { rate, seed: 7 });
      expect(new Set(mask)).toEqual(new Set([0, Math.fround(1 / (1 - rate))]));
      const deviation = Math.sqrt((rate * (1 - rate)) / mask.length);
      expect(Math.abs(mean(dropped(mask)) - rate)).toBeLessThan(4 * deviation);
    }
  });

  it("is independent between seeds, sequences, sites, positions and units", () => {
    const rate = 0.3;
    const base = dropped(dropoutMask(shape, 3, { rate, seed: 7 }));
    const others = {
      seed: dropped(dropoutMask(shape, 3, { rate, seed: 8 })),
      sequence: dropped(dropoutMask({ ...shape, indices: [1] }, 3, { rate, seed: 7 })),
      site: dropped(dropoutMask(shape, 4, { rate, seed: 7 })),
      position: [...base.slice(64), ...base.slice(0, 64)],
      unit: [...base.slice(1), ...base.slice(0, 1)],
    };
    const deviation = (rate * (1 - rate)) / Math.sqrt(base.length);
    for (const [name, other] of Object.entries(others)) {
      const covariance = mean(base.map((x, i) => x * other[i]!)) - rate ** 2;
      expect([name, Math.abs(covariance) < 4 * deviation]).toEqual([name, true]);
    }
  });

  it("gives a sequence the same mask whatever it is batched with", () => {
    const hidden = 8;
    const dropout = { rate: 0.4, seed: 1 };
    const alone = dropoutMask({ lengths: [5], indices: [9], width: 5, hidden }, 2, dropout);
    const together = dropoutMask({ lengths: [7, 5], indices: [4, 9], width: 11, hidden }, 2, dropout);
    expect(together.slice(11 * hidden, 16 * hidden)).toEqual(alone);
    expect(together.slice(16 * hidden)).toEqual(new Float32Array(6 * hidden));
  });
});
