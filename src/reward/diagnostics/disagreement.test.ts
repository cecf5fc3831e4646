import { expect, it } from "vitest";
import { disagreementOf, firstOrderGap } from "./disagreement.js";
import type { PairScores } from "./pair-scores.js";

const scores = (chosen: number[], rejected: number[]): PairScores => ({
  chosen: Float64Array.from(chosen),
  rejected: Float64Array.from(rejected),
});

it("members that differ in scale and shift alone do not disagree", () => {
  const a = scores([3, 1, 0], [1, 2, -1]);
  const b = scores([7, 3, 1], [3, 5, -1]);
  const { deviation, orderedDifferently, unanimous } = disagreementOf([a, b], [a, b]);
  expect(deviation).toBeCloseTo(0, 12);
  expect([orderedDifferently, unanimous]).toEqual([0, 1]);
});

it("counts the pairs that members order differently", () => {
  const members = [
    scores([1, 1, 1, 1], [0, 0, 0, 0]),
    scores([1, 1, 1, -1], [0, 0, 0, 0]),
    scores([1, 1, 0, -1], [0, 0, 0, 0]),
  ];
  const { orderedDifferently, unanimous } = disagreementOf(members, members);
  // 1 of 4 pairs between the first and the second, 2 between first and third (a tie differs), 1 between the others.
  expect(orderedDifferently).toBeCloseTo((1 / 4 + 2 / 4 + 1 / 4) / 3, 12);
  expect(unanimous).toBe(0.5);
});

it("the first-order gap is in standard deviations of the ensemble", () => {
  const ensemble = scores([1, 1], [-1, -1]);
  expect(firstOrderGap(ensemble, ensemble)).toBe(0);
  expect(firstOrderGap(scores([1.5, 1.5], [-1, -0.5]), ensemble)).toBeCloseTo((0.5 + 0.5 + 0.5) / 4, 12);
});
