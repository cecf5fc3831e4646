// How far a reward model's scores can be read as probabilities, and the shift and scale that make scores of different
// models comparable. The probability that y+ beats y- is sigma(margin), margin = r(x, y+) - r(x, y-).

import { mean, standardDeviation } from "../base/statistics.js";
import { logSigmoid, sigmoid } from "../objectives/numerics.js";

/** r -> (r - shift) / scale. */
export interface RewardScale {
  shift: number;
  scale: number;
}

/**
 * Recentres rewards to mean 0 on reference samples (of the starting policy) and, unless told otherwise, to standard
 * deviation 1. Bradley-Terry fixes a reward only up to a constant, so no two models agree before this.
 */
export function fitRewardScale(referenceRewards: ArrayLike<number>, { rescale = true } = {}): RewardScale {
  return {
    shift: mean(referenceRewards),
    scale: (rescale && standardDeviation(referenceRewards, 0)) || 1,
  };
}

export function applyRewardScale(rewards: ArrayLike<number>, { shift, scale }: RewardScale): Float64Array {
  return Float64Array.from({ length: rewards.length }, (_, i) => (rewards[i]! - shift) / scale);
}

/** Predicted probabilities and what came of them: 1, 0, or 0.5 for a tie. */
export interface Predictions {
  probabilities: ArrayLike<number>;
  outcomes: ArrayLike<number>;
}

/**
 * Preference margins as predictions about the response with the higher reward: its probability of winning, and whether
 * it is the preferred one. So all probabilities are at least one half.
 */
export function marginPredictions(margins: ArrayLike<number>): Predictions {
  const n = margins.length;
  return {
    probabilities: Float64Array.from({ length: n }, (_, i) => sigmoid(Math.abs(margins[i]!))),
    outcomes: Float64Array.from({ length: n }, (_, i) => (Math.sign(margins[i]!) + 1) / 2),
  };
}

export interface ReliabilityBin {
  low: number;
  high: number;
  count: number;
  /** Mean predicted probability; NaN in an empty bin. */
  predicted: number;
  /** Mean outcome; NaN in an empty bin. */
  observed: number;
}

/** Equal-width bins between `from` and 1; a probability of exactly 1 belongs to the last. */
export function reliabilityBins(
  { probabilities, outcomes }: Predictions,
  { bins = 10, from = 0 } = {},
): ReliabilityBin[] {
  const width = (1 - from) / bins;
  const sums = Array.from({ length: bins }, () => ({ count: 0, predicted: 0, observed: 0 }));
  for (let i = 0; i < probabilities.length; i++) {
    const p = probabilities[i]!;
    const bin = sums[Math.min(Math.max(Math.floor((p - from) / width), 0), bins - 1)]!;
    bin.count++;
    bin.predicted += p;
    bin.observed += outcomes[i]!;
  }
  return sums.map(({ count, predicted, observed }, b) => ({
    low: from + b * width,
    high: from + (b + 1) * width,
    count,
    predicted: predicted / count,
    observed: observed / count,
  }));
}

/** ECE: the gap between predicted and observed in each bin, weighted by its count. */
export function expectedCalibrationError(
  predictions: Predictions,
  options?: { bins?: number; from?: number },
): number {
  const total = predictions.probabilities.length;
  return reliabilityBins(predictions, options).reduce(
    (sum, { count, predicted, observed }) =>
      count === 0 ? sum : sum + (count / total) * Math.abs(predicted - observed),
    0,
  );
}

/** Mean squared distance between probability and outcome. */
export function brierScore({ probabilities, outcomes }: Predictions): number {
  let sum = 0;
  for (let i = 0; i < probabilities.length; i++) sum += (probabilities[i]! - outcomes[i]!) ** 2;
  return sum / probabilities.length;
}

/** Mean negative log-likelihood of the labels under sigma(margin / temperature); a label of 1 says that y+ is better. */
export function marginNll(
  margins: ArrayLike<number>,
  { temperature = 1, labels }: MarginNllOptions = {},
): number {
  let sum = 0;
  for (let i = 0; i < margins.length; i++) {
    const label = labels?.[i] ?? 1;
    const logit = margins[i]! / temperature;
    if (label !== 0) sum -= label * logSigmoid(logit);
    if (label !== 1) sum -= (1 - label) * logSigmoid(-logit);
  }
  return sum / margins.length;
}

export interface MarginNllOptions {
  temperature?: number;
  /** Probability that y+ really is better; default 1. Soft labels of a gold model give Gao's recalibration. */
  labels?: ArrayLike<number>;
}

/**
 * The temperature T > 0 that minimises `marginNll`, by bisection on its slope in log T between 1e-6 and 1e6. It ends at
 * 1e6 where the margins know no more than chance, and at 1e-6 where they are always right.
 */
export function bestTemperature(margins: ArrayLike<number>, labels?: ArrayLike<number>): number {
  // In s = 1/T the loss is convex, so its slope changes sign once.
  const slope = (s: number): number => {
    let sum = 0;
    for (let i = 0; i < margins.length; i++)
      sum += margins[i]! * (sigmoid(s * margins[i]!) - (labels?.[i] ?? 1));
    return sum;
  };
  let low = Math.log(1e-6);
  let high = Math.log(1e6);
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (slope(Math.exp(-middle)) > 0) low = middle;
    else high = middle;
  }
  return Math.exp((low + high) / 2);
}
