import { describe, expect, it } from "vitest";
import { type AnchorLabel, compareWithLabels, rankingProbability } from "./anchors.js";
import type { RubricScore } from "./rubric-reward.js";

const scored = (total: number, feasible = true): RubricScore => ({
  status: "scored",
  rubricVersion: 0,
  rubricHash: "",
  items: [],
  total,
  maxTotal: 10,
  feasible,
  reward: total / 10,
  source: "rubric",
});
const failed: RubricScore = { status: "failed", reason: "?", rubricVersion: 0, rubricHash: "" };

describe("a rubric against labels", () => {
  const scores = [9, 8, 4, 7, 2, 1, 1].map((total) => scored(total));
  const labels: AnchorLabel[] = [true, true, true, false, false, false, false];

  it("counts what people and rubric agree on", () => {
    const report = compareWithLabels([...scores, failed], [...labels, false], 0.5);
    expect(report).toMatchObject({ scored: 7, failed: 1, threshold: 0.5 });
    expect(report.agreement!.estimate).toBeCloseTo(5 / 7, 12);
    expect(report.falsePass!.estimate).toBe(1 / 4);
    expect(report.falseFail!.estimate).toBeCloseTo(1 / 3, 12);
    // Of 12 pairs one is in the wrong order.
    expect(report.ranking!.estimate).toBeCloseTo(11 / 12, 12);
    for (const { estimate, low, high } of [report.agreement!, report.falsePass!, report.ranking!]) {
      expect(low).toBeLessThan(estimate);
      expect(high).toBeGreaterThanOrEqual(estimate);
    }
  });

  it("a failed gate does not pass, whatever the points", () => {
    const report = compareWithLabels([scored(10, false), scored(10)], [false, true], 0.5);
    expect(report.falsePass!.estimate).toBe(0);
    expect(report.ranking!.estimate).toBe(1);
  });

  it("ties count one half; without one of the two kinds there is no ranking", () => {
    expect(rankingProbability([1, 2], [1, 0])).toBe((0.5 + 1 + 1 + 1) / 4);
    expect(
      compareWithLabels(
        scores,
        labels.map(() => true),
        0.5,
      ).ranking,
    ).toBeUndefined();
    expect(
      compareWithLabels(
        scores,
        labels.map(() => true),
        0.5,
      ).falsePass!.estimate,
    ).toBeNaN();
  });

  it("scores of people are compared by rank", () => {
    const { correlation, agreement } = compareWithLabels(scores, [90, 80, 40, 70, 20, 10, 10], 0.5);
    expect(correlation!.estimate).toBeCloseTo(1, 12);
    expect(agreement).toBeUndefined();
  });

  it("nothing scored is no figure", () => {
    expect(compareWithLabels([failed], [true], 0.5)).toEqual({
      scored: 0,
      failed: 1,
      failure: "?",
      threshold: 0.5,
    });
  });
});
