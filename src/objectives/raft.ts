// RAFT, reward-ranked fine-tuning (equation 16 in the CGPO paper): CRRAFT with weight 1 and without constraints.

import {
  argmax,
  emptySampleResult,
  findingsOf,
  judgedSamples,
  meanOf,
  requirePositive,
  type SampleBatch,
  type SampleObjectiveResult,
  samplesByPrompt,
  weightedLogprobLoss,
} from "./objective.js";

export interface RaftOptions {
  /** A constant that divides the loss. */
  lengthDivisor?: number;
}

/**
 * L = -(1/B) sum_i log pi_w(s_i, a*_i), a*_i the prompt's sample of highest reward. Of the verdicts only `failed`
 * counts: an unconstrained method ranks violating samples like any other.
 */
export function raft(batch: SampleBatch, { lengthDivisor = 1 }: RaftOptions = {}): SampleObjectiveResult {
  requirePositive("lengthDivisor", lengthDivisor);
  const { logprobs, rewards, promptCount } = batch;
  const judged = judgedSamples(batch);
  const failed = { failed_samples: logprobs.length - judged.length };
  if (judged.length === 0) return emptySampleResult(batch, failed);

  const coefficients = new Float64Array(logprobs.length);
  const best: number[] = [];
  for (const candidates of samplesByPrompt(batch, judged)) {
    const sample = argmax(candidates, (i) => rewards[i]!);
    if (sample === undefined) continue;
    coefficients[sample] = -1 / (promptCount * lengthDivisor);
    best.push(sample);
  }
  return {
    ...weightedLogprobLoss(logprobs, coefficients),
    findings: findingsOf(batch, (i) => (best.includes(i) ? 1 : undefined), { reason: () => "outranked" }),
    metrics: {
      samples: best.length,
      ...failed,
      reward: meanOf(judged, (i) => rewards[i]!),
      best_reward: meanOf(best, (i) => rewards[i]!),
    },
  };
}
