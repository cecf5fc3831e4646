import { describe, expect, it } from "vitest";
import { SpreadTally, standardErrors } from "./spread.js";

const sample = (step: number, prompt: string, reward: number | null, outcome = "satisfied") => ({
  step,
  task: "chat",
  prompt_id: prompt,
  reward,
  outcome,
});

describe("standard errors of a step's means", () => {
  it("count prompts, not samples", () => {
    const errors = standardErrors([
      ...[1, 1, 1].map((reward) => sample(1, "a", reward)),
      ...[3, 3, 3].map((reward) => sample(1, "b", reward)),
    ]);
    // Two prompts with the means 1 and 3: sd sqrt(2), over sqrt(2).
    expect(errors["tasks/chat/reward"]).toEqual({ 1: 1 });
  });

  it("weigh prompts with fewer samples as the mean does", () => {
    // The ratio estimator by hand: mean 7/3; sums less mean times count are -1/3 (2 - 7/3) and 1/3 (5 - 14/3), over 1.5.
    const errors = standardErrors([sample(1, "a", 2), sample(1, "b", 2), sample(1, "b", 3)]);
    const [a, b] = [(2 - 7 / 3) / 1.5, (5 - 14 / 3) / 1.5];
    expect(errors["tasks/chat/reward"]![1]).toBeCloseTo(Math.abs(a - b) / 2, 4);
  });

  it("leave out what a mean leaves out, and steps with one prompt", () => {
    const errors = standardErrors([
      sample(1, "a", 1),
      sample(1, "b", 3),
      sample(1, "c", 100, "failed"),
      sample(2, "a", 1),
      sample(2, "b", null),
    ]);
    expect(errors["tasks/chat/reward"]).toEqual({ 1: 1 });
    expect(errors["tasks/chat/constraints/satisfied_rate"]).toEqual({ 1: 0, 2: 0 });
    expect(errors["tasks/chat/kl"]).toBeUndefined();
  });

  it("grow with a step that is still being written", () => {
    const tally = new SpreadTally();
    tally.add(sample(1, "a", 1));
    tally.add(sample(1, "b", 3));
    expect(tally.errors()["tasks/chat/reward"]).toEqual({ 1: 1 });
    tally.add(sample(1, "c", 2));
    // Means 1, 3 and 2: sd 1, over sqrt(3).
    expect(tally.errors()["tasks/chat/reward"]![1]).toBeCloseTo(1 / Math.sqrt(3), 3);
  });
});
