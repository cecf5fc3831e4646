// Every objective's g against central differences of its loss in float64. Factors that the papers hold constant in
// the gradient (advantages, R_calib) are computed once, at the point of differentiation.

import { describe, expect, it } from "vitest";
import {
  alternatingPairs,
  bestWorstPairs,
  bradleyTerry,
  calibratedReward,
  codpo,
  codpoPairs,
  crpg,
  crraft,
  crraftChoices,
  dpo,
  grpo,
  klFactor,
  ppo,
  ppoAdvantages,
  raft,
  reinforce,
  rloo,
  sequenceLogprob,
  sequenceLogRatio,
  sft,
} from "../../src/objectives/index.js";
import { centralDifferences, randomBatch, relativeDifference } from "./batches.js";

const batch = randomBatch(1);
const { logprobs, promptIndex, promptCount, verdicts, rewards, baselineRewards } = batch;
const sum = (xs: readonly number[]) => xs.reduce((a, b) => a + b, 0);
/** g is float32. */
const tolerance = 3e-7;

describe("score-function objectives, coefficients held constant", () => {
  it("CRPG, equations 8, 11 and 12 written out", () => {
    const klMax = 1.5;
    const judged = verdicts.flatMap((v, i) => (v === "failed" ? [] : [i]));
    const rTilde = logprobs.map((_, i) =>
      verdicts[i] === "satisfied"
        ? Math.max(1 - sequenceLogRatio(batch, i) / klMax, 0) *
          (1 / (1 + Math.exp(baselineRewards[promptIndex[i]!]! - rewards[i]!)))
        : 0,
    );
    const centre = sum(judged.map((i) => rTilde[i]!)) / judged.length;
    const loss = (rows: Float64Array[]) =>
      -sum(judged.map((i) => (rTilde[i]! - centre) * sequenceLogprob(rows[i]!))) / judged.length;
    const result = crpg(batch, { klMax });
    expect(result.loss).toBeCloseTo(loss(logprobs), 12);
    expect(relativeDifference(result.g, centralDifferences(loss, logprobs))).toBeLessThan(tolerance);
  });

  it("CRPG with a group baseline, a capped factor and a length divisor", () => {
    const options = { klMax: 0.7, klFactorMax: 1.2, baseline: "group", lengthDivisor: 16 } as const;
    const result = crpg(batch, options);
    const rTilde = logprobs.map((_, i) =>
      verdicts[i] === "satisfied"
        ? klFactor(sequenceLogRatio(batch, i), 0.7, 1.2) *
          calibratedReward(rewards[i]!, baselineRewards[promptIndex[i]!]!)
        : 0,
    );
    const judged = verdicts.flatMap((v, i) => (v === "failed" ? [] : [i]));
    for (const i of judged) {
      const others = judged.filter((j) => j !== i && promptIndex[j] === promptIndex[i]);
      const baseline = others.length > 0 ? sum(others.map((j) => rTilde[j]!)) / others.length : rTilde[i]!;
      expect(result.g[i]![0]).toBeCloseTo(-(rTilde[i]! - baseline) / (judged.length * 16), 7);
    }
  });

  it("CRRAFT, equation 18, with fallback on the baseline responses", () => {
    const baselines = {
      logprobs: randomBatch(2, promptCount, 1).logprobs,
      verdicts: ["satisfied", "violated", "satisfied", "satisfied"] as const,
    };
    const full = { ...batch, verdicts: verdicts.map((v, i) => (i < 8 ? "violated" : v)), baselines };
    const choices = crraftChoices(full, { klMax: 1 });
    const loss = (rows: Float64Array[], baselineRows: readonly ArrayLike<number>[]) =>
      -sum(
        choices.map((choice, p) => {
          if (choice === "skip") return 0;
          if (choice === "baseline") return 0.5 * sequenceLogprob(baselineRows[p]!);
          const i = choice.sample;
          return calibratedReward(rewards[i]!, baselineRewards[p]!) * sequenceLogprob(rows[i]!);
        }),
      ) / promptCount;
    const result = crraft(full, { klMax: 1 });
    expect(choices.slice(0, 2)).toEqual(["baseline", "skip"]);
    expect(result.loss).toBeCloseTo(loss(logprobs, baselines.logprobs), 12);
    expect(
      relativeDifference(
        result.g,
        centralDifferences((rows) => loss(rows, baselines.logprobs), logprobs),
      ),
    ).toBeLessThan(tolerance);
    expect(
      relativeDifference(
        result.baselineG,
        centralDifferences((rows) => loss(logprobs, rows), baselines.logprobs),
      ),
    ).toBeLessThan(tolerance);
  });

  it("RAFT and SFT, whose loss has no factors at all", () => {
    for (const objective of [
      (rows: Float64Array[]) => raft({ ...batch, logprobs: rows }, { lengthDivisor: 3 }),
      (rows: Float64Array[]) => sft({ logprobs: rows }),
      (rows: Float64Array[]) => sft({ logprobs: rows }, { average: "sequence" }),
      (rows: Float64Array[]) =>
        sft({ logprobs: rows, mask: rows.map((row, i) => row.map((_, t) => Number((i + t) % 3 > 0))) }),
    ]) {
      const numeric = centralDifferences((rows) => objective(rows).loss, logprobs);
      expect(relativeDifference(objective(logprobs).g, numeric)).toBeLessThan(tolerance);
    }
  });

  it("REINFORCE with batch baseline and convex penalty", () => {
    const alpha = 0.1;
    const judged = verdicts.flatMap((v, i) => (v === "failed" ? [] : [i]));
    const z = logprobs.map((_, i) => (1 - alpha) * rewards[i]! - alpha * sequenceLogRatio(batch, i));
    const centre = sum(judged.map((i) => z[i]!)) / judged.length;
    const loss = (rows: Float64Array[]) =>
      -sum(judged.map((i) => (z[i]! - centre) * sequenceLogprob(rows[i]!))) / judged.length;
    const result = reinforce(batch, { klCoefficient: alpha, klForm: "convex" });
    expect(result.loss).toBeCloseTo(loss(logprobs), 12);
    expect(relativeDifference(result.g, centralDifferences(loss, logprobs))).toBeLessThan(tolerance);
  });

  it("REINFORCE with a critic: both gradients", () => {
    const alpha = 0.2;
    const values = batch.oldLogprobs;
    const judged = verdicts.flatMap((v, i) => (v === "failed" ? [] : [i]));
    const z = logprobs.map((row, i) =>
      row.map((_, t) => {
        let toGo = rewards[i]!;
        for (let u = t; u < row.length; u++) toGo -= alpha * (row[u]! - batch.referenceLogprobs[i]![u]!);
        return toGo;
      }),
    );
    const policyLoss = (rows: Float64Array[]) =>
      -sum(judged.flatMap((i) => Array.from(rows[i]!, (x, t) => (z[i]![t]! - values[i]![t]!) * x))) /
      judged.length;
    const valueLoss = (rows: Float64Array[]) =>
      sum(judged.flatMap((i) => Array.from(rows[i]!, (v, t) => (z[i]![t]! - v) ** 2))) / judged.length;
    const result = reinforce({ ...batch, values }, { klCoefficient: alpha });
    expect(result.loss).toBeCloseTo(policyLoss(logprobs), 12);
    expect(result.metrics.value_loss).toBeCloseTo(valueLoss(values), 12);
    expect(relativeDifference(result.g, centralDifferences(policyLoss, logprobs))).toBeLessThan(tolerance);
    expect(relativeDifference(result.gValues, centralDifferences(valueLoss, values))).toBeLessThan(tolerance);
  });
});

describe("objectives of the current log-probabilities", () => {
  const cases = {
    DPO: (rows: Float64Array[]) => dpo({ ...batch, logprobs: rows }, alternatingPairs(8), { beta: 0.7 }),
    "online DPO": (rows: Float64Array[]) =>
      dpo({ ...batch, logprobs: rows }, bestWorstPairs(batch), { divisor: 9 }),
    CODPO: (rows: Float64Array[]) => codpo({ ...batch, logprobs: rows }, { beta: 0.3, lambda: 0.8 }),
    RLOO: (rows: Float64Array[]) => rloo({ ...batch, logprobs: rows }, { epsilon: 0.5 }),
    GRPO: (rows: Float64Array[]) => grpo({ ...batch, logprobs: rows }),
    DAPO: (rows: Float64Array[]) =>
      grpo(
        { ...batch, logprobs: rows },
        { lossType: "dapo", beta: 0, epsilonHigh: 0.28, scaleRewards: "batch" },
      ),
    "Dr. GRPO": (rows: Float64Array[]) =>
      grpo(
        { ...batch, logprobs: rows },
        { lossType: "dr_grpo", maxNewTokens: 6, scaleRewards: "none", beta: 0.2 },
      ),
    GSPO: (rows: Float64Array[]) =>
      grpo({ ...batch, logprobs: rows }, { importanceLevel: "sequence", beta: 0 }),
  };
  it.each(Object.entries(cases))("%s", (_, objective) => {
    const numeric = centralDifferences((rows) => objective(rows).loss, logprobs);
    expect(objective(logprobs).metrics.samples).toBeGreaterThan(0);
    expect(relativeDifference(objective(logprobs).g, numeric)).toBeLessThan(tolerance);
  });

  it("CODPO falls when the margin grows and when log pi(a+) rises", () => {
    const { chosen, rejected } = codpoPairs(batch)[0]!;
    const moved = (i: number, by: number) =>
      codpo({ ...batch, logprobs: logprobs.map((row, k) => (k === i ? row.map((x) => x + by) : row)) }).loss;
    expect(moved(rejected, -0.5)).toBeLessThan(codpo(batch).loss);
    expect(moved(chosen, 0.5)).toBeLessThan(codpo(batch).loss);
  });

  it("PPO: policy and critic", () => {
    const oldValues = batch.oldLogprobs;
    const values = batch.referenceLogprobs;
    const rollout = { ...batch, logprobs: batch.oldLogprobs, values: oldValues };
    const { advantages, returns } = ppoAdvantages(rollout);
    const at = (rows: Float64Array[], valueRows: Float64Array[]) =>
      ppo(
        { ...batch, logprobs: rows, values: valueRows, oldValues, advantages, returns },
        { valueCoefficient: 0.5 },
      );
    const result = at(logprobs, values);
    expect(result.metrics.clip_ratio).toBeGreaterThan(0);
    expect(result.metrics.value_clip_ratio).toBeGreaterThan(0);
    const g = centralDifferences((rows) => at(rows, values).loss, logprobs);
    const gValues = centralDifferences((rows) => at(logprobs, rows).loss, values);
    expect(relativeDifference(result.g, g)).toBeLessThan(tolerance);
    expect(relativeDifference(result.gValues, gValues)).toBeLessThan(tolerance);
  });

  it("Bradley-Terry: both rewards", () => {
    const at = (chosen: ArrayLike<number>, rejected: ArrayLike<number>) =>
      bradleyTerry({ chosen, rejected, margins: [0.5, 0, 2] }, { centerRewardsCoefficient: 0.03 });
    const chosen = [1.5, -0.3, 4];
    const rejected = [0.2, 0.4, 4];
    const gChosen = centralDifferences(([row]) => at(row!, rejected).loss, [chosen]);
    const gRejected = centralDifferences(([row]) => at(chosen, row!).loss, [rejected]);
    expect(relativeDifference([at(chosen, rejected).gChosen], gChosen)).toBeLessThan(tolerance);
    expect(relativeDifference([at(chosen, rejected).gRejected], gRejected)).toBeLessThan(tolerance);
  });
});
