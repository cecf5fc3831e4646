// GRPO (DeepSeekMath, 2402.03300, equations 3 and 4) with the variants that DAPO, Dr. GRPO and GSPO made of it as
// options. Without `oldLogprobs` the batch is on-policy and every ratio is 1.

import { standardDeviation } from "../base/statistics.js";
import { clippedSurrogate } from "./clipped-ratio.js";
import {
  emptySampleResult,
  findingsOf,
  judgedSamples,
  type Logprobs,
  meanOf,
  requirePositive,
  type SampleBatch,
  type SampleObjectiveResult,
  samplesByPrompt,
  zerosLike,
} from "./objective.js";

export interface GrpoBatch extends SampleBatch {
  /** Log-probabilities when the batch was sampled; absent on the first update. */
  oldLogprobs?: Logprobs;
  /** Needed when `beta` is not 0. */
  referenceLogprobs?: Logprobs;
}

export interface GrpoOptions {
  /** Weight of the k3 estimate of KL(pi | pi_ref) at each token. */
  beta?: number;
  /** The ratio is clipped to [1 - epsilon, 1 + epsilonHigh]; DAPO "clips higher" with epsilonHigh 0.28. */
  epsilon?: number;
  epsilonHigh?: number;
  /** What the centred rewards are divided by: the group's standard deviation, the batch's, or nothing (Dr. GRPO). */
  scaleRewards?: "group" | "batch" | "none";
  /**
   * How token losses are averaged. "grpo": over each response, then over responses. "dapo": over all tokens of the
   * batch. "dr_grpo": sum over n * maxNewTokens, a constant.
   */
  lossType?: "grpo" | "dapo" | "dr_grpo";
  /** Needed by "dr_grpo". */
  maxNewTokens?: number;
  /** "sequence": one ratio for each response, the geometric mean of its tokens' (GSPO). */
  importanceLevel?: "token" | "sequence";
}

/** (r - mean of the group) / (std + 1e-4), std with n - 1; 0 for a sample that is alone. */
export function grpoAdvantages(
  batch: SampleBatch,
  judged: readonly number[],
  scaleRewards: NonNullable<GrpoOptions["scaleRewards"]>,
): { advantages: Float64Array; equalGroups: number } {
  const { rewards } = batch;
  const advantages = new Float64Array(batch.logprobs.length);
  const batchScale = standardDeviation(judged.map((i) => rewards[i]!)) + 1e-4;
  let equalGroups = 0;
  for (const group of samplesByPrompt(batch, judged)) {
    if (group.length === 0) continue;
    const centre = meanOf(group, (i) => rewards[i]!);
    const deviation = standardDeviation(group.map((i) => rewards[i]!));
    if (deviation < 1e-8) equalGroups++;
    const scale = { group: deviation + 1e-4, batch: batchScale, none: 1 }[scaleRewards];
    for (const i of group) advantages[i] = (rewards[i]! - centre) / scale;
  }
  return { advantages, equalGroups };
}

/**
 * L = mean over tokens of -min( rho A, clip(rho) A ) + beta k3,  rho = pi_w/pi_old,
 * k3 = pi_ref/pi_w - log(pi_ref/pi_w) - 1. Of the verdicts only `failed` counts.
 */
export function grpo(
  batch: GrpoBatch,
  {
    beta = 0.04,
    epsilon = 0.2,
    epsilonHigh = epsilon,
    scaleRewards = "group",
    lossType = "grpo",
    maxNewTokens,
    importanceLevel = "token",
  }: GrpoOptions = {},
): SampleObjectiveResult {
  const { logprobs, oldLogprobs = logprobs, rewards } = batch;
  const reference = beta === 0 ? undefined : batch.referenceLogprobs;
  if (beta !== 0 && reference === undefined) {
    throw new Error("A KL coefficient needs the reference log-probabilities of the batch.");
  }
  const judged = judgedSamples(batch);
  const n = judged.length;
  const failed = { failed_samples: logprobs.length - n };
  const tokenCount = judged.reduce((sum, i) => sum + logprobs[i]!.length, 0);
  if (tokenCount === 0) return emptySampleResult(batch, failed);

  const { advantages, equalGroups } = grpoAdvantages(batch, judged, scaleRewards);
  const tokenWeight = tokenWeights(lossType, n, tokenCount, maxNewTokens);
  const clip = { low: epsilon, high: epsilonHigh };
  const g = zerosLike(logprobs);
  let loss = 0;
  let kl = 0;
  let clipped = 0;
  for (const i of judged) {
    const tokens = logprobs[i]!;
    const old = oldLogprobs[i]!;
    const length = tokens.length;
    if (length === 0) continue;
    const weight = tokenWeight(length);
    const row = g[i]!;
    if (importanceLevel === "sequence") {
      let meanLogRatio = 0;
      for (let t = 0; t < length; t++) meanLogRatio += (tokens[t]! - old[t]!) / length;
      const surrogate = clippedSurrogate(meanLogRatio, advantages[i]!, clip);
      loss += weight * length * surrogate.loss;
      clipped += Number(surrogate.clipped);
      row.fill(weight * surrogate.derivative);
    } else {
      for (let t = 0; t < length; t++) {
        const surrogate = clippedSurrogate(tokens[t]! - old[t]!, advantages[i]!, clip);
        loss += weight * surrogate.loss;
        clipped += Number(surrogate.clipped);
        row[t] = weight * surrogate.derivative;
      }
    }
    if (reference === undefined) continue;
    for (let t = 0; t < length; t++) {
      const logRatio = reference[i]![t]! - tokens[t]!;
      const excess = Math.expm1(logRatio);
      loss += weight * beta * (excess - logRatio);
      kl += excess - logRatio;
      row[t]! -= weight * beta * excess;
    }
  }
  return {
    loss,
    g,
    findings: findingsOf(batch, (i) => advantages[i]!),
    metrics: {
      samples: n,
      ...failed,
      reward: meanOf(judged, (i) => rewards[i]!),
      frac_reward_zero_std: equalGroups / batch.promptCount,
      clip_ratio: clipped / (importanceLevel === "sequence" ? n : tokenCount),
      ...(reference && { kl: kl / tokenCount }),
    },
  };
}

/** The weight of one token's loss in a response of the given length. */
function tokenWeights(
  lossType: NonNullable<GrpoOptions["lossType"]>,
  n: number,
  tokenCount: number,
  maxNewTokens: number | undefined,
): (length: number) => number {
  if (lossType === "grpo") return (length) => 1 / (n * length);
  if (lossType === "dapo") return () => 1 / tokenCount;
  if (maxNewTokens === undefined) throw new Error('The loss type "dr_grpo" needs maxNewTokens, its divisor.');
  requirePositive("maxNewTokens", maxNewTokens);
  return () => 1 / (n * maxNewTokens);
}
