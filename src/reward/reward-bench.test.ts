import { describe, expect, it } from "vitest";
import { wilsonInterval } from "../base/statistics.js";
import { rewardBench, sections } from "./reward-bench.js";

describe("RewardBench", () => {
  it("weighs subsets by their size in the benchmark, whatever the file holds of them", () => {
    const subsets = ["mt-bench-med", "mt-bench-med", "alpacaeval-easy", "hep-js", "donotanswer", "my-own"];
    const { subsets: found, sections: named, score, overall } = rewardBench([1, 0, 1, 0.5, 1, 0], subsets);
    expect(found[0]).toEqual({ subset: "mt-bench-med", pairs: 2, ...wilsonInterval(1, 2) });
    expect(found.map(({ subset, estimate }) => [subset, estimate])).toEqual([
      ["mt-bench-med", 0.5],
      ["alpacaeval-easy", 1],
      ["hep-js", 0.5],
      ["donotanswer", 1],
      ["my-own", 0],
    ]);
    const chat = (40 * 0.5 + 100 * 1) / 140;
    expect(named.map(({ section, accuracy }) => [section, accuracy])).toEqual([
      ["Chat", chat],
      ["Safety", 1],
      ["Reasoning", 0.5],
    ]);
    expect(named[2]!.missing).toContain("math-prm");
    expect(score).toBeCloseTo((chat + 1 + 0.5) / 3, 12);
    expect(overall.estimate).toBeCloseTo(3.5 / 6, 12);
  });

  it("has no score without a section", () => {
    const { sections: named, score } = rewardBench([1], ["other"]);
    expect(named).toEqual([]);
    expect(score).toBeUndefined();
  });

  it("counts math as much as all code", () => {
    const { "math-prm": math, ...code } = sections.Reasoning!;
    expect(Object.values(code).reduce((sum, n) => sum + n, 0)).toBe(math);
  });
});
