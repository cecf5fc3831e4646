import { describe, expect, it } from "vitest";
import reference from "../../test/fixtures/objectives/statistics.json" with { type: "json" };
import { RandomStream } from "../base/random.js";
import { mean } from "../base/statistics.js";
import { bestOfN, bestOfNCurve, bestOfNKl } from "./best-of-n.js";

const { proxy, gold, tied } = reference;

describe("best-of-n", () => {
  it("equals the average over all subsets, ties included", () => {
    for (const expected of reference.bestOfN) {
      expect(bestOfN(proxy, gold, expected.n)).toBeCloseTo(expected.gold, 12);
      expect(bestOfN(tied, gold, expected.n)).toBeCloseTo(expected.tied, 12);
    }
  });

  it("weights sum to 1 at sizes where the binomials overflow", () => {
    const stream = new RandomStream(1, "proxy");
    const many = Float64Array.from({ length: 12500 }, () => stream.uniform());
    const ones = new Float64Array(12500).fill(1);
    for (const n of [1, 2, 512, 6000, 12500]) expect(bestOfN(many, ones, n)).toBeCloseTo(1, 9);
    expect(bestOfN(many, many, 12500)).toBe(many.reduce((a, b) => Math.max(a, b)));
  });

  it("averages prompts and gives the KL of every n", () => {
    const curve = bestOfNCurve([proxy, tied], [gold, gold], [1, 4]);
    expect(curve[0]).toMatchObject({ n: 1, kl: 0 });
    expect(curve[0]!.gold).toBeCloseTo(mean(gold), 12);
    expect(curve[1]!.gold).toBeCloseTo((reference.bestOfN[3]!.gold + reference.bestOfN[3]!.tied) / 2, 12);
    expect(curve[1]!.proxy).toBeGreaterThan(curve[0]!.proxy);
  });

  it("KL: the figures of Gao et al.", () => {
    expect(bestOfNKl(1000)).toBeCloseTo(5.91, 2);
    expect(bestOfNKl(12500)).toBeCloseTo(8.43, 2);
  });

  it("refuses an n that the sample cannot give", () => {
    expect(() => bestOfN([1, 2], [1, 2], 3)).toThrow("between 1 and 2");
  });
});
