// CRRAFT, the calibrated-regularised reward-ranking fine-tuning of CGPO (equations 17 and 18). On-policy: one update
// for each batch. `fallbackKlTest` and `fallbackWeight` are ours; the paper accepts the baseline response untested.

import { calibratedReward } from "./calibrated-reward.js";
import {
  argmax,
  type ConstrainedBatch,
  emptySampleResult,
  findingsOf,
  judgedSamples,
  type Logprobs,
  meanOf,
  type Outcome,
  requireBaselineRewards,
  requirePositive,
  type SampleObjectiveResult,
  samplesByPrompt,
  sequenceLogRatio,
  weightedLogprobLoss,
  zerosLike,
} from "./objective.js";

/** The baseline response abar of every prompt, CRRAFT's answer where no sample survives. */
export interface BaselineResponses {
  logprobs: Logprobs;
  verdicts: readonly Outcome[];
  /** Needed for `fallbackKlTest` only. */
  referenceLogprobs?: Logprobs;
}

export interface CrraftBatch extends ConstrainedBatch {
  /** r_pair(s, abar) of every prompt. */
  baselineRewards: ArrayLike<number>;
  /** Absent: a prompt without survivors is skipped. */
  baselines?: BaselineResponses;
}

export interface CrraftOptions {
  /** Samples with log(pi_w/pi_ref) above this many nats are dropped. */
  klMax: number;
  /** Put abar to the KL test as well. */
  fallbackKlTest?: boolean;
  /** Weight of abar where no sample survives. Default: its R_calib, sigma(0) = 0.5 (paper). */
  fallbackWeight?: number;
  /** A constant that divides the loss; the paper has none. */
  lengthDivisor?: number;
}

export interface CrraftResult extends SampleObjectiveResult {
  /** The gradient at the tokens of the baseline responses, one row per prompt; empty when there are none. */
  baselineG: Float32Array[];
}

/** A prompt's a*: one of its samples, its baseline response abar, or nothing (the prompt is skipped). */
export type CrraftChoice = { sample: number } | "baseline" | "skip";

/**
 * a* = argmax r_pair over the samples that satisfy every constraint and lie within KLmax (CGPO, equation 17); where
 * none survives, abar if it satisfies every constraint. A prompt whose samples all failed to be judged is skipped.
 */
export function crraftChoices(
  batch: CrraftBatch,
  { klMax, fallbackKlTest = false }: Pick<CrraftOptions, "klMax" | "fallbackKlTest">,
): CrraftChoice[] {
  const { baselines, rewards, verdicts } = batch;
  return samplesByPrompt(batch, judgedSamples(batch)).map((candidates, prompt) => {
    if (candidates.length === 0) return "skip";
    const survivors = candidates.filter(
      (i) => verdicts[i] === "satisfied" && sequenceLogRatio(batch, i) <= klMax,
    );
    const sample = argmax(survivors, (i) => rewards[i]!);
    if (sample !== undefined) return { sample };
    if (baselines?.verdicts[prompt] !== "satisfied") return "skip";
    return !fallbackKlTest || baselineLogRatio(baselines, prompt) <= klMax ? "baseline" : "skip";
  });
}

function baselineLogRatio({ logprobs, referenceLogprobs }: BaselineResponses, prompt: number): number {
  if (referenceLogprobs === undefined) {
    throw new Error("The KL test of the baseline responses needs their reference log-probabilities.");
  }
  return sequenceLogRatio({ logprobs, referenceLogprobs }, prompt);
}

/**
 * L = -(1/B) sum_i R_calib(s_i, a*_i) log pi_w(s_i, a*_i), with R_calib constant in the gradient (CGPO, equation 18).
 * B counts all prompts of the task batch, skipped ones included, so a hard task takes a smaller step.
 */
export function crraft(
  batch: CrraftBatch,
  { klMax, fallbackKlTest = false, fallbackWeight = 0.5, lengthDivisor = 1 }: CrraftOptions,
): CrraftResult {
  requirePositive("klMax", klMax);
  requirePositive("lengthDivisor", lengthDivisor);
  requireBaselineRewards(batch.baselineRewards, batch.promptCount);
  const { logprobs, rewards, baselineRewards, promptIndex, promptCount, verdicts } = batch;
  const baselineLogprobs = batch.baselines?.logprobs ?? [];
  const judged = judgedSamples(batch);
  const failed = { failed_samples: logprobs.length - judged.length };
  const choices = crraftChoices(batch, { klMax, fallbackKlTest });

  const calibrated = new Float64Array(logprobs.length);
  for (const i of judged) calibrated[i] = calibratedReward(rewards[i]!, baselineRewards[promptIndex[i]!]!);
  const sampleCoefficients = new Float64Array(logprobs.length);
  const baselineCoefficients = new Float64Array(baselineLogprobs.length);
  const rCalib: number[] = [];
  const chosen: number[] = [];
  choices.forEach((choice, prompt) => {
    if (choice === "skip") return;
    const weight = choice === "baseline" ? fallbackWeight : calibrated[choice.sample]!;
    rCalib.push(weight);
    const coefficient = -weight / (promptCount * lengthDivisor);
    if (choice === "baseline") {
      baselineCoefficients[prompt] = coefficient;
    } else {
      sampleCoefficients[choice.sample] = coefficient;
      chosen.push(choice.sample);
    }
  });

  if (judged.length === 0)
    return { ...emptySampleResult(batch, failed), baselineG: zerosLike(baselineLogprobs) };
  const kept = rCalib.length;
  const samples = weightedLogprobLoss(logprobs, sampleCoefficients);
  const fallbacks = weightedLogprobLoss(baselineLogprobs, baselineCoefficients);
  return {
    loss: samples.loss + fallbacks.loss,
    g: samples.g,
    baselineG: fallbacks.g,
    findings: findingsOf(batch, (i) => (chosen.includes(i) ? calibrated[i]! : undefined), {
      calibrated,
      reason: (i) => {
        if (verdicts[i] === "violated") return "violated";
        return sequenceLogRatio(batch, i) > klMax ? "beyond kl_max" : "outranked";
      },
    }),
    metrics: {
      samples: kept,
      ...failed,
      kept_prompt_rate: kept / promptCount,
      fallback_rate: (kept - chosen.length) / promptCount,
      ...(kept > 0 && { calibrated_reward: rCalib.reduce((sum, r) => sum + r, 0) / kept }),
      reward: meanOf(judged, (i) => rewards[i]!),
      log_ratio: meanOf(judged, (i) => sequenceLogRatio(batch, i)),
      above_kl_max_rate: meanOf(judged, (i) => Number(sequenceLogRatio(batch, i) > klMax)),
      satisfied_rate: meanOf(judged, (i) => Number(verdicts[i] === "satisfied")),
    },
  };
}
