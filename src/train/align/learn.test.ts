import { expect, it } from "vitest";
import type { SampleFinding } from "../../objectives/index.js";
import { whyNothing } from "./learn.js";

const finding = (dropped: SampleFinding["dropped"]): SampleFinding => ({
  advantage: dropped === null ? 0 : null,
  calibratedReward: null,
  dropped,
});

it("says why no sample entered the gradient", () => {
  expect(whyNothing([null, null].map(finding))).toBe(
    "all 2 samples have advantage 0, for their rewards are alike",
  );
  expect(
    whyNothing(
      ["violated", "failed", "violated", "beyond kl_max"].map((of) => finding(of as "failed")),
      "reward: 401",
    ),
  ).toBe("of 4 samples 2 violate a judge, 1 failed (reward: 401), 1 are beyond kl_max");
  expect(whyNothing([])).toBe("there were no samples");
});
