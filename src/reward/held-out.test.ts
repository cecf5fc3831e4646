import { describe, expect, it } from "vitest";
import { emaMembers } from "./average.js";
import type { PairScores } from "./diagnostics/pair-scores.js";
import { evaluateAverage } from "./held-out.js";

/** Margins of three members on four pairs; those of an average are the average's, as in a linear model. */
const margins = [
  [3, 3, 3, -1],
  [1, -5, 1, 2],
  [-9, -9, -9, -9],
];

const asked: string[] = [];
const score = async (label: string, weights: readonly number[]): Promise<PairScores> => {
  asked.push(label);
  const chosen = Float64Array.from([0, 1, 2, 3], (pair) =>
    weights.reduce((sum, weight, member) => sum + weight * margins[member]![pair]!, 0),
  );
  return { chosen, rejected: new Float64Array(4) };
};

const merge = { models: ["a", "b", "c"].map((model) => ({ model, weight: 1 })) };

describe("an average on held-out pairs", () => {
  it("stands beside its members, all of which stay", async () => {
    const { members, average, gain } = await evaluateAverage(merge, { score });
    expect(members.map(({ member, estimate, kept }) => [member, estimate, kept])).toEqual([
      ["a", 0.75, true],
      ["b", 0.75, true],
      ["c", 0, true],
    ]);
    expect(average.estimate).toBe(0);
    expect(gain.estimate).toBeCloseTo(0 - (0.75 + 0.75 + 0) / 3, 12);
  });

  it("is weighted as given, over the sum of the weights unless it is not to be", async () => {
    const models = [1, 3, 0].map((weight, i) => ({ model: String(i), weight }));
    // (3 + 3, 3 - 15, 3 + 3, -1 + 6) / 4, with or without the division: three of four.
    for (const normalize of [true, false])
      expect((await evaluateAverage({ models, normalize }, { score })).average.estimate).toBe(0.75);
    const whole = await evaluateAverage({ models, normalize: true }, { score });
    const sum = await evaluateAverage({ models, normalize: false }, { score });
    const lossOf = (scale: number) =>
      [6, -12, 6, 5].reduce((all, margin) => all + Math.log1p(Math.exp(-margin * scale)), 0) / 4;
    expect(whole.average.loss).toBeCloseTo(lossOf(1 / 4), 12);
    expect(sum.average.loss).toBeCloseTo(lossOf(1), 12);
  });

  it("with a greedy soup leaves out what it would lose by", async () => {
    asked.length = 0;
    const { members, average } = await evaluateAverage(merge, { score, greedy: true });
    // a has the lower loss of the two best; a + b orders (4, -2, 4, 1), three of four; with c none.
    expect(members.map(({ kept }) => kept)).toEqual([true, true, false]);
    expect(average.estimate).toBe(0.75);
    expect(asked).toEqual(["a", "b", "c", "an average of 2", "an average of 3", "the average"]);
  });
});

it("a moving average takes checkpoints in the order of their steps, others as they are named", () => {
  const of = (...names: string[]) => emaMembers(names, 0.5).map(({ model, weight }) => [model, weight]);
  expect(of("run/step-100", "run/step-20", "run/step-3")).toEqual([
    ["run/step-3", 0.25],
    ["run/step-20", 0.25],
    ["run/step-100", 0.5],
  ]);
  expect(of("b", "step-1")).toEqual([
    ["b", 0.5],
    ["step-1", 0.5],
  ]);
});
