import { describe, expect, it } from "vitest";
import { RandomStream } from "../../base/random.js";
import { gainOf, pathOf, pathSteps } from "./connectivity.js";
import type { PairScores } from "./pair-scores.js";

const stream = new RandomStream(3, "connectivity test");
/** Pairs whose margins are given. */
const scoresOf = (margins: readonly number[]): PairScores => ({
  chosen: Float64Array.from(margins),
  rejected: new Float64Array(margins.length),
});
/** `n` pairs of which each is right with probability `p`. */
const random = (n: number, p: number): PairScores =>
  scoresOf(Array.from({ length: n }, () => (stream.uniform() < p ? 1 : -1)));

describe("the gain of an average", () => {
  it("is its accuracy less the members', pair by pair", () => {
    const members = [scoresOf([1, 1, -1, -1]), scoresOf([1, -1, 1, 0])];
    const gain = gainOf(scoresOf([1, 1, 1, -1]), members, { stream });
    expect(gain.estimate).toBeCloseTo(3 / 4 - (2 / 4 + 2.5 / 4) / 2, 12);
    const weighted = gainOf(scoresOf([1, 1, 1, -1]), members, { stream, weights: [0, 1] });
    expect(weighted.estimate).toBeCloseTo(3 / 4 - 2.5 / 4, 12);
  });

  it("has a standard error like that of independent pairs", () => {
    const [average, member] = [random(2000, 0.8), random(2000, 0.7)];
    const { standardError } = gainOf(average, [member], { stream });
    expect(standardError).toBeCloseTo(Math.sqrt((0.8 * 0.2 + 0.7 * 0.3) / 2000), 2.5);
  });

  it("tells a broken connection from a sagging one, and both from noise", () => {
    const connectionAt = (p: number, ends: readonly number[]) =>
      gainOf(
        random(2000, p),
        ends.map((end) => random(2000, end)),
        { stream },
      ).connection;
    expect(connectionAt(0.75, [0.7, 0.7])).toBe("connected");
    expect(connectionAt(0.695, [0.7, 0.7])).toBe("connected");
    expect(connectionAt(0.7, [0.6, 0.9])).toBe("sagging");
    expect(connectionAt(0.55, [0.7, 0.7])).toBe("broken");
  });
});

describe("a path between two members", () => {
  it("of models that are linear in their weights is the ensemble's, and has no barrier in the loss", () => {
    const [first, second] = [
      [2, -1, 0.5, -3],
      [-1, 2, 0.25, -1],
    ];
    const along = pathSteps.map((l) => scoresOf(first!.map((m, i) => (1 - l) * m + l * second![i]!)));
    const { points, barrier, midpoint } = pathOf(along, stream);
    expect(points).toHaveLength(11);
    for (const { average, ensemble } of points) {
      expect(average.accuracy).toBe(ensemble.accuracy);
      expect(average.loss).toBeCloseTo(ensemble.loss, 12);
    }
    // Middle: margins 0.5, 0.5, 0.375, -2 are right three times of four; the ends are right half of the time.
    expect(points[5]!.average.accuracy).toBe(0.75);
    expect(points[5]!.diagonal.accuracy).toBe(0.5);
    expect(midpoint.estimate).toBe(0.25);
    // The loss is convex in the margin.
    expect(barrier.loss).toBeCloseTo(0, 12);
    expect(barrier.accuracy).toBe(0);
  });

  it("shows the barrier of models that do not mix", () => {
    const along = pathSteps.map((l) => scoresOf(Array(50).fill(l === 0 || l === 1 ? 1 : -1)));
    const { barrier, midpoint } = pathOf(along, stream);
    expect(barrier.accuracy).toBe(-1);
    expect(barrier.loss).toBeCloseTo(1, 12);
    expect(midpoint.connection).toBe("broken");
  });
});
