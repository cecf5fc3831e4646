import { describe, expect, it } from "vitest";
import { randomBatch } from "../../test/objectives/batches.js";
import { UserError } from "../base/errors.js";
import { calibratedReward } from "./calibrated-reward.js";
import {
  constraintRegularisedReward,
  klFactor,
  klRegularisedReward,
} from "./constraint-regularised-reward.js";
import { type CrpgBatch, crpg } from "./crpg.js";

const batch = randomBatch(11);
/** -n * g: the advantages. */
const advantages = (b: CrpgBatch, options = {}) => {
  const { g, metrics } = crpg(b, { klMax: 2, ...options });
  return g.map((row) => -row[0]! * metrics.samples!);
};

describe("calibrated reward, equation 5", () => {
  it("is one half for the baseline response, and rises with the reward", () => {
    expect(calibratedReward(3.7, 3.7)).toBe(0.5);
    const rewards = [-5, -1, 0, 0.1, 4];
    const calibrated = rewards.map((r) => calibratedReward(r, 0.3));
    expect([...calibrated].sort((a, b) => a - b)).toEqual(calibrated);
  });

  it("does not see a shift of a prompt's rewards", () => {
    for (const shift of [-100, 0.25, 64]) {
      expect(calibratedReward(1.5 + shift, 0.5 + shift)).toBeCloseTo(calibratedReward(1.5, 0.5), 12);
    }
  });

  it("stays finite for any rewards", () => {
    expect(calibratedReward(1e5, -1e5)).toBe(1);
    expect(calibratedReward(-1e5, 1e5)).toBe(0);
  });
});

describe("constraint-regularised reward, equations 8 and 11", () => {
  it("is 0 outside the feasible set, whatever the factor", () => {
    expect(constraintRegularisedReward(0.8, false)).toBe(0);
    expect(constraintRegularisedReward(0.8, true)).toBe(0.8);
    expect(klRegularisedReward(0, Infinity)).toBe(0);
  });

  it("falls from 1 at the reference to 0 at KLmax, and exceeds 1 below", () => {
    expect(klFactor(0, 5)).toBe(1);
    expect(klFactor(2.5, 5)).toBe(0.5);
    expect(klFactor(5, 5)).toBe(0);
    expect(klFactor(50, 5)).toBe(0);
    expect(klFactor(-10, 5)).toBe(3);
    expect(klFactor(-10, 5, 1.5)).toBe(1.5);
    expect(klFactor(1000, Infinity)).toBe(1);
  });
});

describe("CRPG, equation 12", () => {
  it("has factor exactly 1 for every sample at step 0", () => {
    const { metrics } = crpg({ ...batch, referenceLogprobs: batch.logprobs }, { klMax: 0.01 });
    expect(metrics.log_ratio).toBe(0);
    expect(metrics.kl_factor_zero_rate).toBe(0);
    expect(metrics.kl_factor_above_one_rate).toBe(0);
  });

  it("advantages sum to 0 over the task batch, with either baseline", () => {
    for (const baseline of ["batch", "group"] as const) {
      const sum = advantages(batch, { baseline }).reduce((a, b) => a + b, 0);
      expect(Math.abs(sum)).toBeLessThan(1e-6);
    }
  });

  it("an all-violating or all-equal batch has zero gradient", () => {
    const n = batch.logprobs.length;
    const violating = { ...batch, verdicts: new Array(n).fill("violated") };
    const equal = {
      ...batch,
      referenceLogprobs: batch.logprobs,
      rewards: new Array(n).fill(0.5),
      baselineRewards: new Array(batch.promptCount).fill(0.25),
      verdicts: new Array(n).fill("satisfied"),
    };
    for (const b of [violating, equal]) {
      expect(Math.max(...advantages(b).map(Math.abs))).toBeLessThan(1e-15);
    }
  });

  it("leaves failed samples out: the rest is as if they had not been drawn", () => {
    const kept = batch.verdicts.flatMap((v, i) => (v === "failed" ? [] : [i]));
    expect(kept.length).toBeLessThan(batch.verdicts.length);
    const pick = <T>(items: readonly T[]) => kept.map((i) => items[i]!);
    const without = {
      ...batch,
      logprobs: pick(batch.logprobs),
      referenceLogprobs: pick(batch.referenceLogprobs),
      rewards: pick(batch.rewards),
      promptIndex: pick(batch.promptIndex),
      verdicts: pick(batch.verdicts),
    };
    const full = crpg(batch, { klMax: 2 });
    const reduced = crpg(without, { klMax: 2 });
    expect(full.loss).toBe(reduced.loss);
    expect(pick(full.g)).toEqual(reduced.g);
    expect(full.metrics.failed_samples).toBe(batch.verdicts.length - kept.length);
    full.g.forEach((row, i) => {
      if (!kept.includes(i)) expect(row.every((x) => x === 0)).toBe(true);
    });
  });

  it("a failed sample may lack a reward, a judged one may not", () => {
    const i = batch.verdicts.indexOf("failed");
    const j = batch.verdicts.indexOf("violated");
    const withNaN = (k: number) => ({
      ...batch,
      rewards: batch.rewards.map((r, n) => (n === k ? Number.NaN : r)),
    });
    expect(crpg(withNaN(i), { klMax: 2 }).loss).toBe(crpg(batch, { klMax: 2 }).loss);
    expect(() => crpg(withNaN(j), { klMax: 2 })).toThrow(`The reward of sample ${j} is NaN.`);
  });

  it("does not depend on the order of the samples", () => {
    const order = batch.logprobs.map((_, i) => (i * 5) % batch.logprobs.length);
    const permute = <T>(items: readonly T[]) => order.map((i) => items[i]!);
    const permuted = {
      ...batch,
      logprobs: permute(batch.logprobs),
      referenceLogprobs: permute(batch.referenceLogprobs),
      rewards: permute(batch.rewards),
      promptIndex: permute(batch.promptIndex),
      verdicts: permute(batch.verdicts),
    };
    for (const baseline of ["batch", "group"] as const) {
      const a = permute(advantages(batch, { baseline }));
      advantages(permuted, { baseline }).forEach((x, i) => {
        expect(x).toBeCloseTo(a[i]!, 6);
      });
    }
  });

  it("a batch with nothing to learn from says so", () => {
    const empty = { logprobs: [], referenceLogprobs: [], rewards: [], baselineRewards: [], verdicts: [] };
    expect(crpg({ ...empty, promptIndex: [], promptCount: 0 }, { klMax: 1 })).toEqual({
      loss: 0,
      g: [],
      findings: [],
      metrics: { samples: 0, failed_samples: 0 },
    });
    const failed = crpg({ ...batch, verdicts: batch.verdicts.map(() => "failed" as const) }, { klMax: 1 });
    expect(failed.loss).toBe(0);
    expect(failed.g.map((row) => row.length)).toEqual(batch.logprobs.map((row) => row.length));
    expect(failed.metrics).toEqual({ samples: 0, failed_samples: 16 });
  });

  it("refuses a prompt without a baseline reward", () => {
    expect(() => crpg({ ...batch, baselineRewards: [0] }, { klMax: 1 })).toThrow("4 prompts but 1 baseline");
    const missing = { ...batch, baselineRewards: [0, Number.NaN, 0, 0] };
    expect(() => crpg(missing, { klMax: 1 })).toThrow("baseline response of prompt 1 is NaN");
  });

  it("refuses a bound that bounds nothing", () => {
    expect(() => crpg(batch, { klMax: 0 })).toThrow(UserError);
    expect(() => crpg(batch, { klMax: Number.NaN })).toThrow("klMax must be greater than 0, not NaN.");
  });
});
