// PPO for language models (Schulman et al., 1707.06347; Ziegler et al., 1909.08593): `ppoAdvantages` once for each
// batch of samples, then `ppo` once for each epoch and minibatch, with fresh log-probabilities and values.

import { clippedSurrogate } from "./clipped-ratio.js";
import {
  emptyResult,
  findingsOf,
  judgedSamples,
  type Logprobs,
  type Metrics,
  meanOf,
  type ObjectiveResult,
  type SampleBatch,
  type SampleFinding,
  sequenceLogRatio,
  zerosLike,
} from "./objective.js";

export interface PpoRollout extends SampleBatch {
  referenceLogprobs: Logprobs;
  /** The critic's estimate before each completion token: V(s, a_0 .. a_{t-1}). */
  values: Logprobs;
}

export interface PpoAdvantageOptions {
  /** Weight of the k1 penalty log(pi/pi_ref) in each token's reward. */
  klCoefficient?: number;
  gamma?: number;
  /** lambda of generalised advantage estimation. */
  gaeLambda?: number;
  /** Divide the token rewards by their standard deviation over the batch (the mean stays). */
  whitenRewards?: boolean;
  /** Centre and scale the advantages over the batch. */
  whitenAdvantages?: boolean;
}

export interface PpoAdvantages {
  /** One row per sample; the rows of failed samples are empty. */
  advantages: Float64Array[];
  returns: Float64Array[];
  /** The advantage of a sample is the mean of its tokens' A_t. */
  findings: SampleFinding[];
  metrics: Metrics;
}

/**
 * Token rewards r_t = -klCoefficient log(pi/pi_ref)_t, plus the response's reward at its last token; then generalised
 * advantages A_t = sum_k (gamma lambda)^k delta_{t+k}, delta_t = r_t + gamma V_{t+1} - V_t, and returns A + V.
 */
export function ppoAdvantages(
  rollout: PpoRollout,
  {
    klCoefficient = 0.05,
    gamma = 1,
    gaeLambda = 0.95,
    whitenRewards = false,
    whitenAdvantages = true,
  }: PpoAdvantageOptions = {},
): PpoAdvantages {
  const { logprobs, referenceLogprobs, values, rewards } = rollout;
  const judged = judgedSamples(rollout);
  const tokenRewards = logprobs.map(() => new Float64Array());
  for (const i of judged) {
    const row = new Float64Array(logprobs[i]!.length);
    for (let t = 0; t < row.length; t++) {
      row[t] = -klCoefficient * (logprobs[i]![t]! - referenceLogprobs[i]![t]!);
    }
    if (row.length > 0) row[row.length - 1]! += rewards[i]!;
    tokenRewards[i] = row;
  }
  if (whitenRewards) whiten(tokenRewards, { keepMean: true });

  const advantages = tokenRewards.map((row, i) => generalisedAdvantages(row, values[i]!, gamma, gaeLambda));
  const returns = advantages.map((row, i) => row.map((a, t) => a + values[i]![t]!));
  if (whitenAdvantages) whiten(advantages);

  const findings = findingsOf(rollout, (i) => meanOver(advantages[i]!));
  const n = judged.length;
  if (n === 0)
    return { advantages, returns, findings, metrics: { samples: 0, failed_samples: logprobs.length } };
  const kl = meanOf(judged, (i) => sequenceLogRatio(rollout, i));
  const reward = meanOf(judged, (i) => rewards[i]!);
  return {
    advantages,
    returns,
    findings,
    metrics: {
      samples: n,
      failed_samples: logprobs.length - n,
      reward,
      log_ratio: kl,
      non_score_reward: -klCoefficient * kl,
      rlhf_reward: reward - klCoefficient * kl,
    },
  };
}

/** Generalised advantage estimation along one response; the value after the last token is 0. */
export function generalisedAdvantages(
  rewards: ArrayLike<number>,
  values: ArrayLike<number>,
  gamma: number,
  gaeLambda: number,
): Float64Array {
  const advantages = new Float64Array(rewards.length);
  let advantage = 0;
  let nextValue = 0;
  for (let t = rewards.length - 1; t >= 0; t--) {
    advantage = rewards[t]! + gamma * nextValue - values[t]! + gamma * gaeLambda * advantage;
    advantages[t] = advantage;
    nextValue = values[t]!;
  }
  return advantages;
}

const meanOver = (row: Float64Array): number =>
  row.length === 0 ? 0 : row.reduce((sum, a) => sum + a, 0) / row.length;

/** Scales all numbers in place to variance 1 (n - 1 in the denominator) and, unless told otherwise, mean 0. */
function whiten(rows: readonly Float64Array[], { keepMean = false } = {}): void {
  let count = 0;
  let mean = 0;
  let squares = 0;
  for (const row of rows) {
    for (const x of row) {
      const delta = x - mean;
      mean += delta / ++count;
      squares += delta * (x - mean);
    }
  }
  if (count < 2) return;
  const scale = 1 / Math.sqrt(squares / (count - 1) + 1e-8);
  const offset = keepMean ? mean : 0;
  for (const row of rows) {
    for (let t = 0; t < row.length; t++) row[t] = (row[t]! - mean) * scale + offset;
  }
}

export interface PpoBatch {
  logprobs: Logprobs;
  /** When the batch was sampled. */
  oldLogprobs: Logprobs;
  values: Logprobs;
  oldValues: Logprobs;
  /** From `ppoAdvantages`; a sample whose row is empty is left out. */
  advantages: Logprobs;
  returns: Logprobs;
}

export interface PpoOptions {
  /** The ratio is clipped to [1 - clipRange, 1 + clipRange]. */
  clipRange?: number;
  /** A new value further than this from the old one is clipped to it. */
  valueClipRange?: number;
  /** Weight of the critic's loss. */
  valueCoefficient?: number;
}

export interface PpoResult extends ObjectiveResult {
  /** dLoss / dvalue before each completion token. */
  gValues: Float32Array[];
}

/**
 * L = mean over tokens of -min( rho A, clip(rho) A )  +  valueCoefficient * 1/2 mean of max( (V - R)^2,
 * (clip(V, V_old) - R)^2 ), R the return.
 */
export function ppo(
  batch: PpoBatch,
  { clipRange = 0.2, valueClipRange = 0.2, valueCoefficient = 0.1 }: PpoOptions = {},
): PpoResult {
  const { logprobs, oldLogprobs, values, oldValues, advantages, returns } = batch;
  const gValues = zerosLike(values);
  let tokenCount = 0;
  let samples = 0;
  for (const row of advantages) {
    tokenCount += row.length;
    samples += Number(row.length > 0);
  }
  if (tokenCount === 0) return { ...emptyResult(logprobs), gValues };

  const g = zerosLike(logprobs);
  const clip = { low: clipRange, high: clipRange };
  let policyLoss = 0;
  let valueLoss = 0;
  let clipped = 0;
  let valueClipped = 0;
  let squaredLogRatio = 0;
  for (let i = 0; i < logprobs.length; i++) {
    for (let t = 0; t < advantages[i]!.length; t++) {
      const logRatio = logprobs[i]![t]! - oldLogprobs[i]![t]!;
      const surrogate = clippedSurrogate(logRatio, advantages[i]![t]!, clip);
      policyLoss += surrogate.loss / tokenCount;
      g[i]![t] = surrogate.derivative / tokenCount;
      clipped += Number(surrogate.clipped);
      squaredLogRatio += logRatio ** 2;

      const step = values[i]![t]! - oldValues[i]![t]!;
      const clippedStep = Math.min(Math.max(step, -valueClipRange), valueClipRange);
      const error = values[i]![t]! - returns[i]![t]!;
      const clippedError = oldValues[i]![t]! + clippedStep - returns[i]![t]!;
      const useClipped = clippedStep !== step && clippedError ** 2 > error ** 2;
      valueLoss += (0.5 * (useClipped ? clippedError : error) ** 2) / tokenCount;
      gValues[i]![t] = useClipped ? 0 : (valueCoefficient * error) / tokenCount;
      valueClipped += Number(useClipped);
    }
  }
  return {
    loss: policyLoss + valueCoefficient * valueLoss,
    g,
    gValues,
    metrics: {
      samples,
      policy_loss: policyLoss,
      value_loss: valueLoss,
      approx_kl: (0.5 * squaredLogRatio) / tokenCount,
      clip_ratio: clipped / tokenCount,
      value_clip_ratio: valueClipped / tokenCount,
    },
  };
}
