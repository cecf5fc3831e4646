// CODPO, the constrained online DPO of CGPO (equations 13 to 15). The paper prints equation 15 as a descent along the
// gradient of a log-likelihood; the loss here is its negative. There is no KLmax: beta is the only hold on the policy.

import { type PreferencePair, samplePairsDpo } from "./dpo.js";
import {
  argmax,
  type ConstrainedBatch,
  emptySampleResult,
  judgedSamples,
  meanOf,
  requirePositive,
  type SampleObjectiveResult,
  samplesByPrompt,
  sequenceLogRatio,
} from "./objective.js";

export interface CodpoOptions {
  beta?: number;
  /** Weight of the chosen response's length-normalised negative log-likelihood. */
  lambda?: number;
}

/**
 * The pair of each prompt: a+ = argmax r_pair over X+, a- = argmin r_pair over X-, or over all samples when none is
 * violating. No pair where nothing satisfies the constraints, or where a+ and a- are the same sample.
 */
export function codpoPairs(batch: ConstrainedBatch): PreferencePair[] {
  const { rewards, verdicts } = batch;
  return samplesByPrompt(batch, judgedSamples(batch)).flatMap((candidates) => {
    const satisfied = candidates.filter((i) => verdicts[i] === "satisfied");
    const violated = candidates.filter((i) => verdicts[i] === "violated");
    const chosen = argmax(satisfied, (i) => rewards[i]!);
    const rejected = argmax(violated.length > 0 ? violated : candidates, (i) => -rewards[i]!);
    return chosen === undefined || rejected === undefined || chosen === rejected
      ? []
      : [{ chosen, rejected }];
  });
}

/**
 * L = -(1/B) sum_i [ l_DPO(i) + (lambda/|a+|) log pi_w(s_i, a+_i) ] (CGPO, equations 13 to 15, sign corrected).
 * B counts all prompts of the task batch, skipped ones included.
 */
export function codpo(
  batch: ConstrainedBatch,
  { beta = 0.1, lambda = 1 }: CodpoOptions = {},
): SampleObjectiveResult {
  requirePositive("beta", beta);
  const judged = judgedSamples(batch);
  const failed = { failed_samples: batch.logprobs.length - judged.length };
  const pairs = codpoPairs(batch);
  if (judged.length === 0) return emptySampleResult(batch, failed);
  const result = samplePairsDpo(batch, pairs, { beta, lambda, divisor: batch.promptCount });
  return {
    ...result,
    metrics: {
      ...result.metrics,
      ...failed,
      kept_prompt_rate: pairs.length / batch.promptCount,
      reward: meanOf(judged, (i) => batch.rewards[i]!),
      log_ratio: meanOf(judged, (i) => sequenceLogRatio(batch, i)),
      satisfied_rate: meanOf(judged, (i) => Number(batch.verdicts[i] === "satisfied")),
    },
  };
}
