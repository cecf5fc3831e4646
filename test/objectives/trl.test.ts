// Losses and gradients against TRL's own trainers and torch; test/oracle/objectives_trl.py made the fixture.

import { describe, expect, it } from "vitest";
import {
  bradleyTerry,
  dpo,
  type GrpoOptions,
  grpo,
  ppo,
  ppoAdvantages,
  rloo,
  sft,
} from "../../src/objectives/index.js";
import fixture from "../fixtures/objectives/trl.json" with { type: "json" };
import { relativeDifference } from "./batches.js";

const { logprobs, oldLogprobs, referenceLogprobs, rewards, promptIndex, promptCount } = fixture;
const onPolicy = { logprobs, referenceLogprobs, rewards, promptIndex, promptCount };
const tolerance = 1e-6;

describe("against TRL", () => {
  it.each(fixture.grpo)(
    "GRPO: $options.lossType, $options.importanceLevel, beta $options.beta",
    (expected) => {
      const batch = expected.onPolicy ? onPolicy : { ...onPolicy, oldLogprobs };
      const { loss, g, metrics } = grpo(batch, expected.options as GrpoOptions);
      expect(loss).toBeCloseTo(expected.loss, 9);
      expect(relativeDifference(g, expected.g)).toBeLessThan(tolerance);
      expect(metrics.clip_ratio).toBeCloseTo(expected.clipRatio, 6);
      if (expected.kl !== null) expect(metrics.kl).toBeCloseTo(expected.kl, 9);
    },
  );

  it.each(fixture.rloo)("RLOO: %#", (expected) => {
    const batch = expected.onPolicy ? onPolicy : { ...onPolicy, oldLogprobs };
    const { loss, g, metrics } = rloo(batch, expected.options);
    expect(loss).toBeCloseTo(expected.loss, 9);
    expect(relativeDifference(g, expected.g)).toBeLessThan(tolerance);
    expect(metrics.clip_ratio).toBeCloseTo(expected.clipRatio, 6);
  });

  it.each(fixture.dpo)("DPO: beta $beta", (expected) => {
    const pairs = [0, 1, 2].map((i) => ({ chosen: i, rejected: i + 3 }));
    const { loss, g, metrics } = dpo({ logprobs, referenceLogprobs }, pairs, { beta: expected.beta });
    expect(loss).toBeCloseTo(expected.loss, 9);
    expect(relativeDifference(g, expected.g)).toBeLessThan(tolerance);
    for (const [name, value] of Object.entries(expected.metrics)) expect(metrics[name]).toBeCloseTo(value, 9);
  });

  it.each(fixture.bradleyTerry)("Bradley-Terry: %#", (expected) => {
    const { chosen, rejected, margins, centerRewardsCoefficient } = expected;
    const result = bradleyTerry(
      { chosen, rejected, ...(margins && { margins }) },
      { centerRewardsCoefficient },
    );
    expect(result.loss).toBeCloseTo(expected.loss, 9);
    expect(relativeDifference([result.gChosen], [expected.gChosen])).toBeLessThan(tolerance);
    expect(relativeDifference([result.gRejected], [expected.gRejected])).toBeLessThan(tolerance);
    for (const [name, value] of Object.entries(expected.metrics))
      expect(result.metrics[name]).toBeCloseTo(value, 9);
  });
});

describe("against torch", () => {
  it.each(fixture.ppo)("PPO: gamma $options.gamma, lambda $options.gaeLambda", (expected) => {
    const { oldValues, values } = expected;
    const rollout = { ...onPolicy, logprobs: oldLogprobs, values: oldValues };
    const { advantages, returns } = ppoAdvantages(rollout, expected.options);
    expect(relativeDifference(advantages, expected.advantages)).toBeLessThan(1e-9);
    expect(relativeDifference(returns, expected.returns)).toBeLessThan(1e-9);
    const result = ppo({ logprobs, oldLogprobs, values, oldValues, advantages, returns });
    expect(result.loss).toBeCloseTo(expected.loss, 9);
    expect(result.metrics.policy_loss).toBeCloseTo(expected.policyLoss, 9);
    expect(result.metrics.value_loss).toBeCloseTo(expected.valueLoss, 9);
    expect(relativeDifference(result.g, expected.g)).toBeLessThan(tolerance);
    expect(relativeDifference(result.gValues, expected.gValues)).toBeLessThan(tolerance);
  });

  it("SFT is the mean cross-entropy of the labelled tokens", () => {
    expect(sft({ logprobs: fixture.sft.logprobs }).loss).toBeCloseTo(fixture.sft.loss, 9);
  });
});
