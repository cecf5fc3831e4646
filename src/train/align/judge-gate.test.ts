import { describe, expect, it } from "vitest";
import { judgeGatedRewards } from "./judge-gate.js";

const batch = {
  logprobs: [[], [], []],
  referenceLogprobs: [[], [], []],
  rewards: [3, 9, Number.NaN],
  verdicts: ["satisfied", "violated", "failed"] as const,
  promptIndex: [1, 0, 0],
  promptCount: 2,
  baselineRewards: [0, 3],
};

describe("judgeGatedRewards", () => {
  it("is R_cr of equation 8: R_calib inside the feasible set, 0 outside", () => {
    const gated = judgeGatedRewards(batch, { calibrated: true, violatedReward: 0 });
    expect(Array.from(gated)).toEqual([0.5, 0, Number.NaN]);
  });

  it("keeps raw rewards where it is told to", () => {
    const gated = judgeGatedRewards(batch, { calibrated: false, violatedReward: -4 });
    expect(Array.from(gated)).toEqual([3, -4, Number.NaN]);
  });
});
