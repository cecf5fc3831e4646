import { describe, expect, it } from "vitest";
import { all, countVerdicts, isAbove, isBelow, isNoLoss, some } from "./verdicts.js";

const range = (low: number, high: number) => ({ low, high });
const nothing = range(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY);

describe("the verdict on a claim", () => {
  it("is decided by the side on which the interval lies, and by nothing where it lies on both", () => {
    expect(isAbove(range(0.1, 0.2))).toBe("reproduced");
    expect(isAbove(range(-0.2, 0))).toBe("not reproduced");
    expect(isAbove(range(-1.485, 1.268))).toBe("inconclusive");
    expect(isAbove(range(0.473, 0.588), 0.5)).toBe("inconclusive");
    expect(isBelow(range(-0.2, -0.1))).toBe("reproduced");
    expect(isBelow(range(0.01, 0.2))).toBe("not reproduced");
    expect(isBelow(range(0.06, 0.09), 0.1)).toBe("reproduced");
  });

  it("of no loss needs an interval within the bound: not seen to be worse is not as good", () => {
    expect(isNoLoss(range(-0.03, 0.1), 0.05)).toBe("reproduced");
    expect(isNoLoss(range(-0.04, -0.01), 0.05)).toBe("reproduced");
    expect(isNoLoss(range(-0.065, 0.037), 0.05)).toBe("inconclusive");
    expect(isNoLoss(range(-0.283, -0.144), 0.05)).toBe("not reproduced");
  });

  it("is inconclusive without an interval", () => {
    for (const judge of [isAbove, isBelow]) expect(judge(nothing)).toBe("inconclusive");
    expect(isNoLoss(nothing, 0.05)).toBe("inconclusive");
  });

  it("of several parts needs all, and falls with one", () => {
    expect(all(["reproduced", "reproduced"])).toBe("reproduced");
    expect(all(["reproduced", "inconclusive"])).toBe("inconclusive");
    expect(all(["inconclusive", "not reproduced"])).toBe("not reproduced");
    expect(some(["not reproduced", "inconclusive"])).toBe("inconclusive");
    expect(some(["not reproduced", "reproduced"])).toBe("reproduced");
    expect(some(["not reproduced"])).toBe("not reproduced");
  });

  it("is counted in words", () => {
    expect(countVerdicts(["reproduced", "inconclusive", "inconclusive", "not reproduced"])).toBe(
      "1 of 4 claims is reproduced, 1 is not, 2 are inconclusive",
    );
  });
});
