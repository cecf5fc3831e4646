import { describe, expect, it } from "vitest";
import { ensembleMean, majorityVote, uncertaintyWeighted, worstCase, zScoreMembers } from "./ensemble.js";

const scores = [
  [1, -2, 0],
  [3, -4, 0],
  [5, 9, 0],
];

describe("ensembles", () => {
  it("mean, worst case, and mean less the population variance", () => {
    expect(Array.from(ensembleMean(scores))).toEqual([3, 1, 0]);
    expect(Array.from(worstCase(scores))).toEqual([1, -4, 0]);
    const [first, second, third] = uncertaintyWeighted(scores, 0.5);
    expect(first).toBeCloseTo(3 - 0.5 * (8 / 3), 12);
    expect(second).toBeCloseTo(1 - 0.5 * (98 / 3), 12);
    expect(third).toBe(0);
  });

  it("a coefficient of 0 is 0, not a default", () => {
    expect(uncertaintyWeighted(scores, 0)).toEqual(ensembleMean(scores));
  });

  it("votes by pair, ties one half", () => {
    const votes = majorityVote(scores, [
      [0, 0, 0],
      [4, 0, 0],
      [4, 0, 1],
    ]);
    expect(votes[0]).toBeCloseTo(2 / 3, 12);
    expect(votes[1]).toBeCloseTo(1 / 3, 12);
    expect(votes[2]).toBeCloseTo(1 / 3, 12);
  });

  it("z-scoring on reference samples undoes each member's own shift and scale", () => {
    const base = [0.3, -1.2, 2.2, 0.1];
    const members = [base, base.map((r) => 10 + 4 * r)];
    const [a, b] = zScoreMembers(members, members);
    for (let i = 0; i < base.length; i++) expect(a![i]).toBeCloseTo(b![i]!, 12);
    expect(Array.from(zScoreMembers([[3]], [[2, 2]])[0]!)).toEqual([1]);
  });

  it("refuses members that scored different samples; no members give no scores", () => {
    expect(() => ensembleMean([[1], [1, 2]])).toThrow("the same samples");
    expect(ensembleMean([])).toHaveLength(0);
  });
});
