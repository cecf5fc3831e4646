import { describe, expect, it } from "vitest";
import { wilsonInterval } from "../base/statistics.js";
import { averagedMean, passAtK, passKs, pooledMean } from "./estimate.js";

/** Share of the k-subsets of n samples, the first `passed` of which pass, that hold a pass. */
function byEnumeration(n: number, passed: number, k: number): number {
  let [subsets, hits] = [0, 0];
  for (let mask = 0; mask < 2 ** n; mask++) {
    const members = Array.from({ length: n }, (_, i) => i).filter((i) => mask & (1 << i));
    if (members.length !== k) continue;
    subsets++;
    if (members.some((i) => i < passed)) hits++;
  }
  return hits / subsets;
}

describe("pass@k", () => {
  it("is the share of subsets with a pass", () => {
    for (let n = 1; n <= 8; n++)
      for (let passed = 0; passed <= n; passed++)
        for (let k = 1; k <= n; k++)
          expect(passAtK(n, passed, k)).toBeCloseTo(byEnumeration(n, passed, k), 12);
    expect(passKs(20)).toEqual([1, 10, 20]);
    expect(passKs(1)).toEqual([1]);
  });

  it("does not overflow", () => {
    expect(passAtK(10_000, 1, 100)).toBeCloseTo(0.01, 12);
  });
});

describe("pooledMean", () => {
  it("is Wilson's interval for one 0 or 1 a prompt, prompts without a value left out", () => {
    expect(pooledMean([[1], [0], [], [1], [1]])).toEqual(wilsonInterval(3, 4));
  });

  it("resamples prompts where they have several values: wider than if all values were independent", () => {
    const clusters = Array.from({ length: 40 }, (_, i) =>
      Array.from({ length: 8 }, () => (i % 4 === 0 ? 0 : 1)),
    );
    const { estimate, low, high } = pooledMean(clusters);
    const independent = wilsonInterval(240, 320);
    const prompts = wilsonInterval(30, 40);
    expect(estimate).toBe(0.75);
    expect(high - low).toBeGreaterThan(2 * (independent.high - independent.low));
    expect(high - low).toBeCloseTo(prompts.high - prompts.low, 1);
    expect(pooledMean(clusters)).toEqual({ estimate, low, high });
  });

  it("does not call a constant certain", () => {
    const { estimate, low, high } = pooledMean([
      [1, 1],
      [1, 1],
      [1, 1],
    ]);
    expect({ estimate, high }).toEqual({ estimate: 1, high: 1 });
    expect(low).toBeCloseTo(wilsonInterval(3, 3).low, 12);
  });

  it("pools instructions over prompts, not prompts' means", () => {
    expect(pooledMean([[1], [0, 0, 1]]).estimate).toBe(0.5);
  });

  it("is not a number where nothing was judged", () => {
    expect(pooledMean([[], []]).estimate).toBeNaN();
  });
});

describe("averagedMean", () => {
  it("is the mean of the pooled means", () => {
    const { estimate, low, high } = averagedMean([
      [[1], [0], [1], [1]],
      [[1, 1], [0, 1], [1], [0]],
    ]);
    expect(estimate).toBeCloseTo((3 / 4 + 4 / 6) / 2, 12);
    expect(low).toBeLessThan(estimate);
    expect(high).toBeGreaterThan(estimate);
  });
});
