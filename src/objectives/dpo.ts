// Direct preference optimisation, offline (pairs from a file) and online (pairs picked among fresh samples).

import { logSigmoid, sigmoid } from "./numerics.js";
import {
  argmax,
  emptyResult,
  findingsOf,
  judgedSamples,
  type ObjectiveResult,
  requirePositive,
  type SampleBatch,
  type SampleObjectiveResult,
  type SequenceLogprobs,
  samplesByPrompt,
  sequenceLogprob,
  sequenceLogRatio,
  zerosLike,
} from "./objective.js";

/** Indices of the preferred and of the other response among the sequences of a batch. */
export interface PreferencePair {
  chosen: number;
  rejected: number;
}

/** The pairs of a batch laid out as chosen, rejected, chosen, rejected ... */
export function alternatingPairs(count: number): PreferencePair[] {
  return Array.from({ length: count }, (_, i) => ({ chosen: 2 * i, rejected: 2 * i + 1 }));
}

/** Online DPO: the best and the worst sample of every prompt by reward; a prompt whose samples all tie gives none. */
export function bestWorstPairs(batch: SampleBatch): PreferencePair[] {
  const { rewards } = batch;
  return samplesByPrompt(batch, judgedSamples(batch)).flatMap((candidates) => {
    const chosen = argmax(candidates, (i) => rewards[i]!);
    const rejected = argmax(candidates, (i) => -rewards[i]!);
    return chosen === undefined || rejected === undefined || chosen === rejected
      ? []
      : [{ chosen, rejected }];
  });
}

export interface DpoOptions {
  /** Strength of the pull towards the reference. */
  beta?: number;
  /** lambda of CODPO's equation 14: weight of the length-normalised NLL of the chosen response. */
  lambda?: number;
  /** Divides the sum over pairs. Default: the number of pairs. */
  divisor?: number;
}

/**
 * L = -(1/n) sum log sigma( beta log[pi_w(a_p)/pi_ref(a_p)] - beta log[pi_w(a_n)/pi_ref(a_n)] )
 *     - (1/n) sum (lambda/|a_p|) log pi_w(a_p)       (equations 13 and 14 in the CGPO paper; DPO is lambda = 0).
 */
export function dpo(
  batch: SequenceLogprobs,
  pairs: readonly PreferencePair[],
  { beta = 0.1, lambda = 0, divisor = pairs.length }: DpoOptions = {},
): ObjectiveResult {
  requirePositive("beta", beta);
  const { logprobs } = batch;
  if (pairs.length === 0) return emptyResult(logprobs);
  requirePositive("divisor", divisor);
  const g = zerosLike(logprobs);
  let loss = 0;
  let accuracy = 0;
  let chosenReward = 0;
  let rejectedReward = 0;
  let chosenLogprob = 0;
  let rejectedLogprob = 0;
  for (const { chosen, rejected } of pairs) {
    const rewardChosen = beta * sequenceLogRatio(batch, chosen);
    const rewardRejected = beta * sequenceLogRatio(batch, rejected);
    const margin = rewardChosen - rewardRejected;
    const chosenLogp = sequenceLogprob(logprobs[chosen]!);
    const nll = nllWeight(logprobs[chosen]!, lambda);
    loss -= (logSigmoid(margin) + (nll === 0 ? 0 : nll * chosenLogp)) / divisor;
    const push = beta * sigmoid(-margin);
    addTo(g[chosen]!, -(push + nll) / divisor);
    addTo(g[rejected]!, push / divisor);
    accuracy += margin > 0 ? 1 : margin === 0 ? 0.5 : 0;
    chosenReward += rewardChosen;
    rejectedReward += rewardRejected;
    chosenLogprob += chosenLogp;
    rejectedLogprob += sequenceLogprob(logprobs[rejected]!);
  }
  const n = pairs.length;
  return {
    loss,
    g,
    metrics: {
      samples: n,
      "rewards/chosen": chosenReward / n,
      "rewards/rejected": rejectedReward / n,
      "rewards/margins": (chosenReward - rejectedReward) / n,
      "rewards/accuracies": accuracy / n,
      "logps/chosen": chosenLogprob / n,
      "logps/rejected": rejectedLogprob / n,
    },
  };
}

/** `dpo` on pairs among the samples of a batch. A is beta sigma(-margin) plus the weight of the NLL for a chosen sample, -beta sigma(-margin) for a rejected one. */
export function samplePairsDpo(
  batch: SampleBatch & SequenceLogprobs,
  pairs: readonly PreferencePair[],
  options: DpoOptions = {},
): SampleObjectiveResult {
  const { beta = 0.1, lambda = 0 } = options;
  const advantages = new Map<number, number>();
  for (const { chosen, rejected } of pairs) {
    const push = pairPush(batch, { chosen, rejected }, beta);
    advantages.set(chosen, push + nllWeight(batch.logprobs[chosen]!, lambda));
    advantages.set(rejected, -push);
  }
  return { ...dpo(batch, pairs, options), findings: findingsOf(batch, (i) => advantages.get(i)) };
}

/** Online DPO: `dpo` on the best and the worst sample of every prompt. */
export const onlineDpo = (
  batch: SampleBatch & SequenceLogprobs,
  options: Pick<DpoOptions, "beta"> = {},
): SampleObjectiveResult => samplePairsDpo(batch, bestWorstPairs(batch), options);

/** beta sigma(-margin) of a pair. */
function pairPush(batch: SequenceLogprobs, { chosen, rejected }: PreferencePair, beta: number): number {
  return beta * sigmoid(-(beta * sequenceLogRatio(batch, chosen) - beta * sequenceLogRatio(batch, rejected)));
}

/** lambda/|a+| of equation 14. */
const nllWeight = (tokens: ArrayLike<number>, lambda: number): number =>
  lambda === 0 ? 0 : lambda / Math.max(tokens.length, 1);

function addTo(row: Float32Array, x: number): void {
  for (let t = 0; t < row.length; t++) row[t]! += x;
}
