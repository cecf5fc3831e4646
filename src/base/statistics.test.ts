import { describe, expect, it } from "vitest";
import reference from "../../test/fixtures/objectives/statistics.json" with { type: "json" };
import { RandomStream } from "./random.js";
import {
  fitBestOfNLaw,
  fitReinforcementLaw,
  hierarchicalBootstrap,
  incompleteBeta,
  kendall,
  logGamma,
  mean,
  normalQuantile,
  pairedBootstrap,
  pearson,
  RunningStatistics,
  ranks,
  sortedQuantile,
  spearman,
  standardDeviation,
  studentCdf,
  studentQuantile,
  tInterval,
  variance,
  wilsonInterval,
  winRate,
} from "./statistics.js";

const { x, y } = reference;
const relative = (actual: number, expected: number): number =>
  Math.abs(actual - expected) / Math.max(Math.abs(expected), 1e-300);

describe("distributions, against scipy", () => {
  it("Student quantiles", () => {
    for (const { p, df, t } of reference.student) {
      if (t === 0) expect(studentQuantile(p, df)).toBe(0);
      else expect(relative(studentQuantile(p, df), t)).toBeLessThan(1e-9);
      expect(studentCdf(t, df)).toBeCloseTo(p, 12);
    }
  });

  it("normal quantiles", () => {
    for (const { p, z } of reference.normal) expect(normalQuantile(p)).toBeCloseTo(z, 10);
  });

  it("log gamma and incomplete beta", () => {
    for (const { x, value } of reference.logGamma) expect(logGamma(x)).toBeCloseTo(value, 9);
    for (const { x, a, b, value } of reference.incompleteBeta) {
      expect(Math.abs(incompleteBeta(x, a, b) - value)).toBeLessThan(1e-11);
    }
  });
});

describe("intervals", () => {
  it("mean, variance, quantiles and the t-interval agree with numpy and scipy", () => {
    expect(mean(x)).toBeCloseTo(reference.mean, 12);
    expect(variance(x)).toBeCloseTo(reference.variance, 12);
    const { estimate, low, high } = tInterval(x);
    expect(estimate).toBe(mean(x));
    expect(low).toBeCloseTo(reference.tInterval[0]!, 10);
    expect(high).toBeCloseTo(reference.tInterval[1]!, 10);
    const sorted = [...x].sort((a, b) => a - b);
    for (const { p, value } of reference.quantiles) expect(sortedQuantile(sorted, p)).toBeCloseTo(value, 12);
  });

  it("one value has an infinitely wide interval and no spread", () => {
    expect(tInterval([3])).toEqual({ estimate: 3, low: -Infinity, high: Infinity });
    expect(standardDeviation([3])).toBe(0);
  });

  it("Wilson's interval agrees with scipy and stays inside [0, 1]", () => {
    for (const { k, n, interval } of reference.wilson) {
      const { low, high } = wilsonInterval(k, n);
      expect(low).toBeCloseTo(interval[0]!, 10);
      expect(high).toBeCloseTo(interval[1]!, 10);
    }
    expect(wilsonInterval(0, 0)).toMatchObject({ low: 0, high: 1 });
  });

  it("a running mean and variance continue from their saved state", () => {
    const first = new RunningStatistics();
    for (const value of x.slice(0, 17)) first.push(value);
    const second = new RunningStatistics(first.state());
    for (const value of x.slice(17)) second.push(value);
    expect(second.count).toBe(x.length);
    expect(second.mean).toBeCloseTo(reference.mean, 12);
    expect(second.variance()).toBeCloseTo(reference.variance, 12);
    expect(first.count).toBe(17);
  });

  it("a tie is half a win", () => {
    const rate = winRate([1, 2, 3, 4], [0, 2, 5, 1]);
    expect(rate).toMatchObject({ wins: 2, ties: 1, losses: 1, estimate: 0.625 });
    expect(rate.low).toBeLessThan(0.625);
    expect(rate.high).toBeGreaterThan(0.625);
  });
});

describe("bootstrap", () => {
  it("is a function of its stream", () => {
    const run = (seed: number) =>
      pairedBootstrap(x, y, { stream: new RandomStream(seed, "b"), resamples: 200 });
    expect(run(1)).toEqual(run(1));
    expect(run(1)).not.toEqual(run(2));
  });

  it("of paired values finds the standard error of the mean difference", () => {
    const differences = x.map((value, i) => value - y[i]!);
    const expected = Math.sqrt(variance(differences, 0) / x.length);
    const { estimate, standardError, low, high } = pairedBootstrap(x, y, {
      stream: new RandomStream(3, "b"),
      resamples: 8000,
    });
    expect(estimate).toBeCloseTo(mean(differences), 12);
    expect(relative(standardError, expected)).toBeLessThan(0.03);
    expect(relative(high - low, 2 * 1.96 * expected)).toBeLessThan(0.05);
  });

  it("of nested values sees the spread between groups that pooling hides", () => {
    // Five seeds far apart, 200 nearly equal prompts in each: the seeds are the unit.
    const stream = new RandomStream(5, "data");
    const seeds = [0, 1, 2, 3, 4].map((s) => Array.from({ length: 200 }, () => s + 0.01 * stream.normal()));
    const options = { resamples: 1000 };
    const nested = hierarchicalBootstrap(seeds, { ...options, stream: new RandomStream(1, "b") });
    const pooled = hierarchicalBootstrap(seeds.flat(), { ...options, stream: new RandomStream(1, "b") });
    expect(nested.estimate).toBeCloseTo(2, 1);
    expect(relative(nested.standardError, Math.sqrt(2 / 5))).toBeLessThan(0.1);
    expect(pooled.standardError).toBeLessThan(0.06);
  });
});

describe("correlation, against scipy", () => {
  it("Pearson, Spearman, Kendall with ties", () => {
    expect(Array.from(ranks(x))).toEqual(reference.ranks);
    expect(pearson(x, y)).toBeCloseTo(reference.pearson, 12);
    expect(spearman(x, y)).toBeCloseTo(reference.spearman, 12);
    expect(kendall(x, y)).toBeCloseTo(reference.kendall, 12);
  });

  it("refuses lists of different length", () => {
    expect(() => pearson([1, 2], [1])).toThrow("2 and 1 values");
  });
});

describe("Gao's laws", () => {
  it("agree with numpy's least squares, and the peak with scipy's maximiser", () => {
    for (const [fitLaw, law] of [
      [fitBestOfNLaw, reference.bestOfNLaw],
      [fitReinforcementLaw, reference.reinforcementLaw],
    ] as const) {
      const { a, b, peakDistance, peakReward, rSquared } = fitLaw(reference.distances, law.reward);
      expect(a).toBeCloseTo(law.a, 9);
      expect(b).toBeCloseTo(law.b, 9);
      expect(rSquared).toBeCloseTo(law.rSquared, 9);
      expect(peakDistance).toBeCloseTo(law.peakDistance, 5);
      expect(peakReward).toBeCloseTo(law.peakReward, 9);
    }
  });

  it("have no peak where gold only rises", () => {
    expect(fitBestOfNLaw([1, 2, 3], [1, 4, 9]).peakDistance).toBeUndefined();
  });

  it("refuse fewer than two distances", () => {
    expect(() => fitBestOfNLaw([0, 1, 1], [0, 1, 1])).toThrow("two different distances");
  });
});
