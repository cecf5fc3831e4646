// RLOO, REINFORCE leave-one-out (Ahmadian et al., 2402.14740): every sample's baseline is the mean return of the other
// samples of its prompt. Without `oldLogprobs` the batch is on-policy and the ratio is 1.

import { standardDeviation } from "../base/statistics.js";
import { clippedSurrogate } from "./clipped-ratio.js";
import {
  emptySampleResult,
  findingsOf,
  judgedSamples,
  type Logprobs,
  leaveOneOutMeans,
  meanOf,
  type SampleBatch,
  type SampleObjectiveResult,
  samplesByPrompt,
  sequenceLogRatio,
  zerosLike,
} from "./objective.js";

export interface RlooBatch extends SampleBatch {
  /** Log-probabilities when the batch was sampled; absent on the first update. */
  oldLogprobs?: Logprobs;
  /** Needed when `beta` is not 0. */
  referenceLogprobs?: Logprobs;
}

export interface RlooOptions {
  /** Weight of the sequence's log(pi_old/pi_ref) in the return. */
  beta?: number;
  /** The sequence-level ratio is clipped to [1 - epsilon, 1 + epsilonHigh]. */
  epsilon?: number;
  epsilonHigh?: number;
  /** Divide the advantages by their standard deviation over the batch, after centring. */
  normaliseAdvantages?: boolean;
}

/**
 * L = -(1/n) sum_i min( rho_i A_i, clip(rho_i) A_i ),  rho_i = pi_w(a_i)/pi_old(a_i) for the whole response,
 * A_i = Z_i - mean of the prompt's other Z,  Z = r - beta log(pi_old/pi_ref). Of the verdicts only `failed` counts.
 */
export function rloo(
  batch: RlooBatch,
  { beta = 0.05, epsilon = 0.2, epsilonHigh = epsilon, normaliseAdvantages = false }: RlooOptions = {},
): SampleObjectiveResult {
  const { logprobs, rewards, oldLogprobs = logprobs, referenceLogprobs } = batch;
  const judged = judgedSamples(batch);
  const n = judged.length;
  const failed = { failed_samples: logprobs.length - n };
  if (n === 0) return emptySampleResult(batch, failed);
  if (beta !== 0 && referenceLogprobs === undefined) {
    throw new Error("A KL coefficient needs the reference log-probabilities of the batch.");
  }

  const logRatio = (i: number): number =>
    referenceLogprobs === undefined ? 0 : sequenceLogRatio({ logprobs: oldLogprobs, referenceLogprobs }, i);
  const returns = new Float64Array(logprobs.length);
  for (const i of judged) returns[i] = rewards[i]! - beta * logRatio(i);
  const others = leaveOneOutMeans(samplesByPrompt(batch, judged), (i) => returns[i]!);
  const compared = judged.filter((i) => others.has(i));
  const advantages = new Float64Array(logprobs.length);
  for (const i of compared) advantages[i] = returns[i]! - others.get(i)!;
  if (normaliseAdvantages && compared.length > 1) {
    const values = compared.map((i) => advantages[i]!);
    const centre = meanOf(compared, (i) => advantages[i]!);
    const scale = standardDeviation(values) + 1e-4;
    for (const i of compared) advantages[i] = (advantages[i]! - centre) / scale;
  }

  const g = zerosLike(logprobs);
  const clip = { low: epsilon, high: epsilonHigh };
  let loss = 0;
  let clippedCount = 0;
  for (const i of judged) {
    const ratio = sequenceLogRatio({ logprobs, referenceLogprobs: oldLogprobs }, i);
    const surrogate = clippedSurrogate(ratio, advantages[i]!, clip);
    loss += surrogate.loss / n;
    clippedCount += Number(surrogate.clipped);
    g[i]!.fill(surrogate.derivative / n);
  }
  return {
    loss,
    g,
    findings: findingsOf(batch, (i) => advantages[i]!),
    metrics: {
      samples: n,
      ...failed,
      reward: meanOf(judged, (i) => rewards[i]!),
      return: meanOf(judged, (i) => returns[i]!),
      clip_ratio: clippedCount / n,
      ...(referenceLogprobs && { log_ratio: meanOf(judged, logRatio) }),
    },
  };
}
