// Curves for a screen: their number of points, their means, and that one huge value stays where it is.

import { describe, expect, it } from "vitest";
import { MAX_POINTS, smoothed, thinned } from "./points.js";

const curve = (ys: readonly number[]) => ys.map((y, x) => ({ x, y }));

describe("thinned", () => {
  it("leaves short curves alone", () => {
    const points = curve([3, 1, 2]);
    expect(thinned(points)).toBe(points);
  });

  it("means over neighbours, intervals too, up to the last point", () => {
    const points = Array.from({ length: 3 * MAX_POINTS - 1 }, (_, x) => ({
      x,
      y: x,
      low: x - 1,
      high: x + 2,
    }));
    const drawn = thinned(points);
    expect(drawn).toHaveLength(MAX_POINTS);
    expect(drawn[0]!.x).toBe(2);
    expect(drawn[0]!.y).toBeCloseTo(1, 12);
    expect(drawn[0]!.low).toBeCloseTo(0, 12);
    expect(drawn[0]!.high).toBeCloseTo(3, 12);
    expect(drawn.at(-1)).toMatchObject({ x: 5998, y: 5997.5 });
  });
});

describe("smoothed", () => {
  it("is the mean of the points to either side, fewer at the ends", () => {
    expect(smoothed(curve([0, 2, 4, 6, 14]), 0.2)).toEqual(curve([1, 2, 4, 8, 10]));
  });

  it("a huge value changes its neighbours alone", () => {
    const ys = Array.from({ length: 100 }, (_, i) => (i === 10 ? 1e300 : 1));
    const means = smoothed(curve(ys), 0.05).map(({ y }) => y);
    for (const y of means.slice(16)) expect(y).toBeCloseTo(1, 12);
    expect(means[10]).toBeGreaterThan(1e298);
    expect(smoothed(curve([1e308, 1e308, 1e308]), 0.4).every(({ y }) => Number.isFinite(y))).toBe(true);
  });
});
