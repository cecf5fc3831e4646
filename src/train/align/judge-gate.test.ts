import { describe, expect, it } from "vitest";
import { gated } from "./judge-gate.js";

const batch = {
  logprobs: [[], [], []],
  referenceLogprobs: [[], [], []],
  rewards: [3, 9, Number.NaN],
  verdicts: ["satisfied", "violated", "failed"] as const,
  promptIndex: [1, 0, 0],
  promptCount: 2,
  baselineRewards: [0, 3],
};

describe("gated", () => {
  it("is R_cr of equation 8: R_calib inside the feasible set, 0 outside", () => {
    const { batch: seen, calibrated } = gated(batch, { calibrated: true, violatedReward: 0 });
    expect(Array.from(seen.rewards)).toEqual([0.5, 0, Number.NaN]);
    expect(calibrated).toEqual([0.5, 1 / (1 + Math.exp(-9)), null]);
  });

  it("keeps raw rewards where it is told to", () => {
    const { batch: seen, calibrated } = gated(batch, { calibrated: false, violatedReward: -4 });
    expect(Array.from(seen.rewards)).toEqual([3, -4, Number.NaN]);
    expect(calibrated).toBeUndefined();
  });

  it("leaves a batch without a gate as it is", () => {
    expect(gated(batch, undefined)).toEqual({ batch });
  });
});
