import { describe, expect, it } from "vitest";
import { formatColumn, formatEstimate } from "./numbers.js";
import { domainOf, isWhole, ofShare, onSharedScales, toneAgainst } from "./rules.js";
import { makeScale } from "./scale.js";
import type { LineChartSection } from "./sections.js";

const chart = (label: string, ys: number[], quantity?: string): LineChartSection => ({
  kind: "lineChart",
  x: { label: "step" },
  y: { label, quantity, format: "percent" },
  series: [{ name: "a", points: ys.map((y, x) => ({ x, y })) }],
});

describe("axes", () => {
  it("have whole numbers where the quantity is one", () => {
    expect(isWhole([1, 2, 10], { label: "step" })).toBe(true);
    expect(isWhole([1, 2.5], { label: "KL" })).toBe(false);
    expect(isWhole([0, 1], { label: "accuracy", format: "percent" })).toBe(false);
    expect(isWhole([1, 2], { label: "lambda", whole: false })).toBe(false);
    for (const [low, high] of [[1, 3] as const, [0, 10] as const, [1, 12] as const, [0, 119] as const]) {
      const { ticks } = makeScale([low, high], [0, 1], { whole: true });
      expect(ticks.every(Number.isInteger)).toBe(true);
      expect(ticks.length).toBeGreaterThan(1);
    }
    expect(makeScale([0, 119], [0, 1], { whole: true }).ticks).toEqual([0, 25, 50, 75, 100]);
  });

  it("show the whole of a share, unless its values lie close together", () => {
    const share = { label: "accuracy", format: "percent" } as const;
    expect(domainOf([0.1, 0.9], share)).toEqual([0, 1]);
    expect(domainOf([0.6, 0.7], share)).toEqual([0.6, 0.7]);
    expect(domainOf([0.92, 1], { ...share, holds: [0.1, 0.9] })).toEqual([0, 1]);
    expect(domainOf([-2.68, 0.5], share, 0.1)[0]).toBeLessThan(-2.68);
  });

  it("are the same for charts of one quantity, and only for those", () => {
    const [first, second, other] = onSharedScales([
      chart("Violations: a", [0.92, 1], "violations"),
      chart("Violations: b", [0.1, 0.3], "violations"),
      chart("accuracy", [0.5, 0.6]),
    ]);
    expect(first!.y.holds).toEqual([0.1, 1]);
    expect(second!.y.holds).toEqual([0.1, 1]);
    expect(other!.y.holds).toEqual([0.5, 0.6]);
  });
});

describe("figures", () => {
  it("have the digits that their interval leaves meaning to", () => {
    expect(formatEstimate(0.528123, [0.48, 0.57])).toBe("0.528");
    expect(formatEstimate(0.000501, [0.0004, 0.0006])).toBe("0.00050");
    expect(formatEstimate(1234.5678, [1000, 1500])).toBe("1235");
    expect(formatEstimate(0.63417, [0.5, 0.77], "percent")).toBe("63\u2009%");
    expect(formatEstimate(0.63417, [0.6, 0.66], "percent")).toBe("63.4\u2009%");
    expect(formatEstimate(-0.0001, [-0.1, 0.1])).toBe("0.00");
  });

  it("of one column have one number of decimals", () => {
    expect(formatColumn([0.000501, 0.528, 0, -0.5])).toEqual(["0.001", "0.528", "0", "−0.500"]);
    expect(formatColumn([0.0001, 0.528, -0.0002])).toEqual(["<0.001", "0.528", ">−0.001"]);
    expect(formatColumn([50, 7])).toEqual(["50", "7"]);
    expect(formatColumn([12.345, 1.2])).toEqual(["12.3", "1.2"]);
    expect(formatColumn([1e-6, 2.5e-7])).toEqual(["1.00e−6", "2.50e−7"]);
  });

  it("that are shares stay between 0 and 100 %", () => {
    expect(ofShare([-2.68, 3.4])).toEqual([0, 1]);
    expect(ofShare([0.2, 0.4])).toEqual([0.2, 0.4]);
  });

  it("are called better or worse only where the intervals do not meet", () => {
    expect(toneAgainst({ low: 0.57, high: 0.59 }, { low: 0.56, high: 0.585 })).toBe("neutral");
    expect(toneAgainst({ low: 0.6, high: 0.7 }, { low: 0.5, high: 0.59 })).toBe("good");
    expect(toneAgainst({ low: 0.2, high: 0.3 }, { low: 0.5, high: 0.59 })).toBe("bad");
    expect(toneAgainst({ low: -Infinity, high: Infinity }, { low: 0.5, high: 0.59 })).toBe("neutral");
  });
});
