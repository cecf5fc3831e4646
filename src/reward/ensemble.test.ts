import { describe, expect, it } from "vitest";
import {
  ensembleMean,
  majorityVote,
  penaliseLength,
  uncertaintyWeighted,
  votesWithinPrompts,
  worstCase,
  zScoreMembers,
} from "./ensemble.js";

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

  it("votes within a prompt, whatever the members' scales", () => {
    const members = [
      [1, 2, 3, 5, 5, 7],
      [900, 100, 1000, 2, 3, -7],
    ];
    const votes = votesWithinPrompts(members, ["a", "a", "a", "b", "b", "c"]);
    expect(Array.from(votes)).toEqual([0.25, 0.25, 1, 0.25, 0.75, 0.5]);
    // It is the mean over the other answers of the pairwise vote.
    const [first, second, third] = [0, 1, 2].map((i) => members.map((member) => [member[i]!]));
    expect(votes[0]).toBe((majorityVote(first!, second!)[0]! + majorityVote(first!, third!)[0]!) / 2);
  });

  it("a length penalty begins where the free tokens end", () => {
    const penalised = penaliseLength([1, 1, 1], [3, 4, 10], { perToken: 0.5, freeTokens: 4 });
    expect(Array.from(penalised)).toEqual([1, 1, -2]);
    expect(Array.from(penaliseLength([1], [3], { perToken: 1 }))).toEqual([-2]);
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
