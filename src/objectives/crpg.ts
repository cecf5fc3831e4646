// CRPG, the calibrated-regularised policy gradient of CGPO (equation 12). On-policy: one update for each batch, no
// importance ratio. Nothing of the paper is left out; `baseline: "group"`, `klFactorMax` and `lengthDivisor` are ours.

import { calibratedReward } from "./calibrated-reward.js";
import {
  constraintRegularisedReward,
  klFactor,
  klRegularisedReward,
} from "./constraint-regularised-reward.js";
import {
  type ConstrainedBatch,
  emptySampleResult,
  findingsOf,
  judgedSamples,
  leaveOneOutMeans,
  meanOf,
  requireBaselineRewards,
  requirePositive,
  type SampleObjectiveResult,
  samplesByPrompt,
  sequenceLogRatio,
  weightedLogprobLoss,
} from "./objective.js";

export interface CrpgBatch extends ConstrainedBatch {
  /** r_pair(s, abar) of every prompt. */
  baselineRewards: ArrayLike<number>;
}

export interface CrpgOptions {
  /** KLmax: nats, summed over the response. */
  klMax: number;
  /** Upper bound of equation 11's factor; the paper has none. */
  klFactorMax?: number;
  /** What is subtracted from R~_cr: the mean over the whole task batch (paper), or over the prompt's other samples. */
  baseline?: "batch" | "group";
  /** A constant that divides the loss (such as maxNewTokens), so that the direction stays equation 12's. */
  lengthDivisor?: number;
}

/**
 * L = -(1/n) sum_i A_i log pi_w(s_i, a_i),  A_i = R~_cr(i) - (1/n) sum_j R~_cr(j), with A constant in the gradient
 * (CGPO, equations 11 and 12). n counts the samples that have a verdict; violating ones are in it with R~_cr = 0.
 */
export function crpg(
  batch: CrpgBatch,
  { klMax, klFactorMax = Infinity, baseline = "batch", lengthDivisor = 1 }: CrpgOptions,
): SampleObjectiveResult {
  requirePositive("klMax", klMax);
  requirePositive("lengthDivisor", lengthDivisor);
  requireBaselineRewards(batch.baselineRewards, batch.promptCount);
  const judged = judgedSamples(batch);
  const n = judged.length;
  const failed = batch.logprobs.length - n;
  if (n === 0) return emptySampleResult(batch, { failed_samples: failed });

  const { rewards, baselineRewards, promptIndex, verdicts } = batch;
  const size = batch.logprobs.length;
  const rCalib = new Float64Array(size);
  const logRatio = new Float64Array(size);
  const factor = new Float64Array(size);
  const rTilde = new Float64Array(size);
  for (const i of judged) {
    rCalib[i] = calibratedReward(rewards[i]!, baselineRewards[promptIndex[i]!]!);
    logRatio[i] = sequenceLogRatio(batch, i);
    factor[i] = klFactor(logRatio[i]!, klMax, klFactorMax);
    const rCr = constraintRegularisedReward(rCalib[i]!, verdicts[i] === "satisfied");
    rTilde[i] = klRegularisedReward(rCr, factor[i]!);
  }

  const batchMean = meanOf(judged, (i) => rTilde[i]!);
  const groupMeans =
    baseline === "group" ? leaveOneOutMeans(samplesByPrompt(batch, judged), (i) => rTilde[i]!) : undefined;
  const advantages = new Float64Array(size);
  const coefficients = new Float64Array(size);
  for (const i of judged) {
    // A sample that is alone in its group has nothing to be compared with, so it does not move the policy.
    const b = groupMeans === undefined ? batchMean : (groupMeans.get(i) ?? rTilde[i]!);
    advantages[i] = rTilde[i]! - b;
    coefficients[i] = -advantages[i]! / (n * lengthDivisor);
  }

  return {
    ...weightedLogprobLoss(batch.logprobs, coefficients),
    findings: findingsOf(batch, (i) => advantages[i]!, { calibrated: rCalib }),
    metrics: {
      samples: n,
      failed_samples: failed,
      reward: meanOf(judged, (i) => rewards[i]!),
      calibrated_reward: meanOf(judged, (i) => rCalib[i]!),
      regularised_reward: batchMean,
      log_ratio: meanOf(judged, (i) => logRatio[i]!),
      kl_factor_zero_rate: meanOf(judged, (i) => Number(factor[i] === 0)),
      kl_factor_above_one_rate: meanOf(judged, (i) => Number(factor[i]! > 1)),
      satisfied_rate: meanOf(judged, (i) => Number(verdicts[i] === "satisfied")),
    },
  };
}
