import { describe, expect, it } from "vitest";
import { RandomStream } from "../base/random.js";
import { mean } from "../base/statistics.js";
import { bestOfCurve, bestOfNWinRate, powersOfTwo } from "./best-of.js";

/** Every n-subset with every opponent outside of it. */
function byEnumeration(proxy: readonly number[], gold: readonly number[], n: number): number {
  const size = proxy.length;
  const credits: number[] = [];
  for (let mask = 0; mask < 2 ** size; mask++) {
    const members = proxy.map((_, i) => i).filter((i) => mask & (1 << i));
    if (members.length !== n) continue;
    const top = Math.max(...members.map((i) => proxy[i]!));
    const best = members.filter((i) => proxy[i] === top);
    for (let j = 0; j < size; j++) {
      if (members.includes(j)) continue;
      credits.push(mean(best.map((i) => (1 + Math.sign(gold[i]! - gold[j]!)) / 2)));
    }
  }
  return mean(credits);
}

describe("bestOfNWinRate", () => {
  it("is the mean over all subsets and opponents", () => {
    const proxy = [0.3, -1, 2, 0.5, 1.5, -0.2];
    const gold = [1, 0, 0.5, 1, 0, 0.5];
    for (const n of [1, 2, 3, 5]) {
      expect(bestOfNWinRate(proxy, gold, n)).toBeCloseTo(byEnumeration(proxy, gold, n), 12);
      expect(bestOfNWinRate(proxy, proxy, n)).toBeCloseTo(n / (n + 1), 12);
    }
    expect(bestOfNWinRate(proxy, gold, 1)).toBeCloseTo(0.5, 12);
  });

  it("counts ties of the ranking as their mean", () => {
    const proxy = [1, 1, 0, 1];
    const gold = [1, 0, 0.5, 0.2];
    expect(bestOfNWinRate(proxy, gold, 3)).toBeCloseTo(byEnumeration(proxy, gold, 3), 12);
  });

  it("estimates what fresh samples would give", () => {
    // Gold is half of the proxy's variance: the best of 4 by proxy beats a fresh sample by gold at a known rate.
    const stream = new RandomStream(3, "best-of test");
    const draw = () => {
      const shared = stream.normal();
      return { proxy: shared + stream.normal(), gold: shared };
    };
    let [wins, estimate] = [0, 0];
    const trials = 4000;
    for (let t = 0; t < trials; t++) {
      const rows = Array.from({ length: 6 }, draw);
      estimate += bestOfNWinRate(
        rows.map(({ proxy }) => proxy),
        rows.map(({ gold }) => gold),
        4,
      );
      const fresh = Array.from({ length: 4 }, draw);
      const best = fresh.reduce((a, b) => (b.proxy > a.proxy ? b : a));
      if (best.gold > draw().gold) wins++;
    }
    expect(estimate / trials).toBeCloseTo(wins / trials, 1);
    expect(Math.abs(estimate - wins) / trials).toBeLessThan(0.03);
  });
});

describe("bestOfCurve", () => {
  it("goes over powers of two up to N, and N", () => {
    expect(powersOfTwo(1)).toEqual([1]);
    expect(powersOfTwo(8)).toEqual([1, 2, 4, 8]);
    expect(powersOfTwo(6)).toEqual([1, 2, 4, 6]);
  });

  it("has the exact KL bound and rewards that rise with n", () => {
    const stream = new RandomStream(1, "curve");
    const proxy = Array.from({ length: 30 }, () => Array.from({ length: 9 }, () => stream.normal()));
    const gold = proxy.map((row) => row.map((value) => -value));
    const points = bestOfCurve(proxy, gold);
    expect(points.map(({ n }) => n)).toEqual([1, 2, 4, 8]);
    expect(points.map(({ kl }) => kl)).toEqual([1, 2, 4, 8].map((n) => Math.log(n) - (n - 1) / n));
    expect(points[0]!.reward.estimate).toBeCloseTo(mean(proxy.flat()), 12);
    for (let i = 1; i < points.length; i++)
      expect(points[i]!.reward.estimate).toBeGreaterThan(points[i - 1]!.reward.estimate);
    expect(points.at(-1)!.winRate.estimate).toBeCloseTo(8 / 9, 12);
    expect(points.at(-1)!.gold!.winRate.estimate).toBeCloseTo(1 / 9, 12);
    expect(points.at(-1)!.gold!.reward.estimate).toBeCloseTo(-points.at(-1)!.reward.estimate, 12);
  });
});
