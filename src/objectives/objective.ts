// What every objective takes and gives back. An objective is a pure function: log-probabilities, rewards and verdicts
// in; the loss, its gradient g with respect to every completion token's log-probability, and metrics out. The engine
// turns g into a parameter gradient (`LanguageModel.backward`) and descends along it.

import { NonFiniteError, UserError } from "../base/errors.js";

/** One row per sequence, one natural log-probability per completion token. */
export type Logprobs = readonly ArrayLike<number>[];

/** What the judges of a task find together; `failed` means that no verdict could be had, not that the sample is bad. */
export type Outcome = "satisfied" | "violated" | "failed";

/** The outcome of a sample; `isViolated`: its reward says so, whatever the judges say. `feasible` is undefined where they failed. */
export function outcomeOf(feasible: boolean | undefined, isViolated = false): Outcome {
  if (feasible === undefined) return "failed";
  return feasible && !isViolated ? "satisfied" : "violated";
}

export type Metrics = Record<string, number>;

export interface ObjectiveResult {
  loss: number;
  /** g[i][t] = dLoss / dlogprob of token t of sequence i. */
  g: Float32Array[];
  /** `samples` counts the sequences that entered the loss; when it is 0 the loss is 0 and g is all zeros. */
  metrics: Metrics;
}

/** Why a sample does not enter the loss. */
export type DropReason =
  /** Its reward or its verdict could not be had. */
  | "failed"
  | "violated"
  /** log(pi_w/pi_ref) above KLmax. */
  | "beyond kl_max"
  /** Another sample of its prompt has a higher reward. */
  | "outranked"
  /** Its prompt's pair is made of other samples, or there is none. */
  | "unpaired";

/** What an objective made of one sample. */
export interface SampleFinding {
  /**
   * A: what log pi of the sample is weighted by in -L, before batch size and lengths divide it; null where the sample
   * does not enter the loss.
   */
  advantage: number | null;
  /** R_calib(s, a) (CGPO, equation 5); null where rewards are not calibrated, or the sample has failed. */
  calibratedReward: number | null;
  dropped: DropReason | null;
}

/** The result of an objective on the samples of a batch. */
export interface SampleObjectiveResult extends ObjectiveResult {
  /** One for each sample. */
  findings: SampleFinding[];
}

/** Findings of samples that enter the loss where `advantage` gives a number; the others were dropped for `reason`. */
export const findingsOf = (
  { logprobs, verdicts }: Pick<SampleBatch, "logprobs" | "verdicts">,
  advantage: (i: number) => number | undefined,
  { calibrated, reason }: { calibrated?: ArrayLike<number>; reason?: (i: number) => DropReason } = {},
): SampleFinding[] =>
  logprobs.map((_, i) => {
    if (verdicts?.[i] === "failed") return { advantage: null, calibratedReward: null, dropped: "failed" };
    const a = advantage(i);
    return {
      advantage: a ?? null,
      calibratedReward: calibrated?.[i] ?? null,
      dropped: a === undefined ? (reason?.(i) ?? "unpaired") : null,
    };
  });

/** Sampled responses to the prompts of one task, in any order. */
export interface SampleBatch {
  /** log pi_w(token), by the trainer's own forward pass. */
  logprobs: Logprobs;
  /** r_pair(s_i, a_i) for every sample. */
  rewards: ArrayLike<number>;
  /** The prompt that each sample answers, 0 .. promptCount - 1. */
  promptIndex: ArrayLike<number>;
  promptCount: number;
  /** Absent: every sample is satisfied. A failed sample is left out everywhere. */
  verdicts?: readonly Outcome[];
}

/** A batch whose feasible set is known and whose distance from the reference policy can be measured. */
export interface ConstrainedBatch extends SampleBatch {
  verdicts: readonly Outcome[];
  /** log pi_ref(token), by the same forward code as `logprobs`. */
  referenceLogprobs: Logprobs;
}

/** All that is known of one task's samples of one step: the sampling half of Algorithm 1 of CGPO, done. */
export interface TaskBatch extends ConstrainedBatch {
  /** When the batch was sampled; absent: as they are now. */
  oldLogprobs?: Logprobs;
  /** r_pair(s, abar) of every prompt; empty where the task does not calibrate. */
  baselineRewards: ArrayLike<number>;
  /** abar of every prompt, where the objective learns from it (`Objective.learnsBaselines`). */
  baselines?: { logprobs: Logprobs; verdicts: readonly Outcome[]; referenceLogprobs?: Logprobs };
}

export interface PolicyGradient extends SampleObjectiveResult {
  /** Gradient at the tokens of the baseline responses; absent where they are not learned from. */
  baselineG?: Float32Array[];
}

/** What a task learns by: a pure function from a batch to the gradient on its log-probabilities. */
export interface Objective {
  name: string;
  /** Compares rewards with those of the baseline responses abar (CGPO, equation 5), so that they are to be had. */
  calibrates?: boolean;
  /** Learns from abar too, whose log-probabilities, and with `both` those of pi_ref, are to be had. */
  learnsBaselines?: "policy" | "both";
  /** Updates of each batch; from the second on `logprobs` are new and `oldLogprobs` those of the first. Default 1. */
  updates?: number;
  gradient(batch: TaskBatch): PolicyGradient;
}

export interface SequenceLogprobs {
  logprobs: Logprobs;
  referenceLogprobs: Logprobs;
}

/** log pi(s, a): the sum over the response's tokens, nats. */
export function sequenceLogprob(tokens: ArrayLike<number>): number {
  let sum = 0;
  for (let t = 0; t < tokens.length; t++) sum += tokens[t]!;
  return sum;
}

/** log( pi_w(s,a) / pi_ref(s,a) ) of sequence i, nats, summed over the response. */
export function sequenceLogRatio({ logprobs, referenceLogprobs }: SequenceLogprobs, i: number): number {
  const policy = logprobs[i]!;
  const reference = referenceLogprobs[i]!;
  if (policy.length !== reference.length) {
    throw new Error(
      `Sequence ${i} has ${policy.length} log-probabilities under the policy but ${reference.length} under the reference.`,
    );
  }
  let sum = 0;
  for (let t = 0; t < policy.length; t++) sum += policy[t]! - reference[t]!;
  return sum;
}

export function zerosLike(logprobs: Logprobs): Float32Array[] {
  return logprobs.map((tokens) => new Float32Array(tokens.length));
}

/** The result when nothing in the batch can be learned from: `samples` is 0. */
export function emptyResult(logprobs: Logprobs, metrics: Metrics = {}): ObjectiveResult {
  return { loss: 0, g: zerosLike(logprobs), metrics: { samples: 0, ...metrics } };
}

/** The result where no sample has a verdict. */
export function emptySampleResult(batch: SampleBatch, metrics: Metrics = {}): SampleObjectiveResult {
  return { ...emptyResult(batch.logprobs, metrics), findings: findingsOf(batch, () => undefined) };
}

/** Loss sum_i c_i log pi(a_i) with constant coefficients: g is c_i at every token of sequence i. */
export function weightedLogprobLoss(
  logprobs: Logprobs,
  coefficients: ArrayLike<number>,
): Pick<ObjectiveResult, "loss" | "g"> {
  let loss = 0;
  const g = logprobs.map((tokens, i) => {
    const c = coefficients[i]!;
    if (c !== 0) loss += c * sequenceLogprob(tokens);
    return new Float32Array(tokens.length).fill(c);
  });
  return { loss, g };
}

/** Indices of the samples with a verdict. Also checks that the batch is whole and its rewards finite. */
export function judgedSamples({
  logprobs,
  rewards,
  promptIndex,
  promptCount,
  verdicts,
}: SampleBatch): number[] {
  const n = logprobs.length;
  for (const [name, length] of [
    ["rewards", rewards.length],
    ["prompt indices", promptIndex.length],
    ["verdicts", verdicts?.length ?? n],
  ] as const) {
    if (length !== n) throw new Error(`The batch has ${n} samples but ${length} ${name}.`);
  }
  const judged: number[] = [];
  for (let i = 0; i < n; i++) {
    if (verdicts?.[i] === "failed") continue;
    if (!Number.isFinite(rewards[i]!))
      throw new NonFiniteError(`The reward of sample ${i} is ${rewards[i]}.`);
    if (!(promptIndex[i]! >= 0 && promptIndex[i]! < promptCount)) {
      throw new Error(
        `Sample ${i} answers prompt ${promptIndex[i]}, but the batch has ${promptCount} prompts.`,
      );
    }
    judged.push(i);
  }
  return judged;
}

/** Checks that r_pair(s, abar) is there, and finite, for every prompt. */
export function requireBaselineRewards(baselineRewards: ArrayLike<number>, promptCount: number): void {
  if (baselineRewards.length !== promptCount) {
    throw new Error(`The batch has ${promptCount} prompts but ${baselineRewards.length} baseline rewards.`);
  }
  for (let p = 0; p < promptCount; p++) {
    if (!Number.isFinite(baselineRewards[p]!)) {
      throw new NonFiniteError(
        `The reward of the baseline response of prompt ${p} is ${baselineRewards[p]}.`,
      );
    }
  }
}

/** The given samples of each prompt, in order. */
export function samplesByPrompt(batch: SampleBatch, samples: readonly number[]): number[][] {
  const groups: number[][] = Array.from({ length: batch.promptCount }, () => []);
  for (const i of samples) groups[batch.promptIndex[i]!]!.push(i);
  return groups;
}

/** The candidate with the highest score (the first of equals), or undefined when there is none. */
export function argmax(candidates: readonly number[], score: (i: number) => number): number | undefined {
  let best: number | undefined;
  let bestScore = -Infinity;
  for (const i of candidates) {
    const s = score(i);
    if (best === undefined || s > bestScore) {
      best = i;
      bestScore = s;
    }
  }
  return best;
}

/** For every sample, the mean score of the other samples of its prompt; undefined where it is alone. */
export function leaveOneOutMeans(
  groups: readonly (readonly number[])[],
  score: (i: number) => number,
): Map<number, number> {
  const means = new Map<number, number>();
  for (const group of groups) {
    if (group.length < 2) continue;
    let sum = 0;
    for (const i of group) sum += score(i);
    for (const i of group) means.set(i, (sum - score(i)) / (group.length - 1));
  }
  return means;
}

export function meanOf(indices: readonly number[], value: (i: number) => number): number {
  let sum = 0;
  for (const i of indices) sum += value(i);
  return sum / indices.length;
}

/** Refuses a bound or coefficient that is not above zero, by its name. */
export function requirePositive(name: string, value: number): void {
  if (!(value > 0)) throw new UserError(`${name} must be greater than 0, not ${value}.`);
}

/** Indices of the rows of g that are not all zero: only these sequences need a backward pass. */
export function rowsWithGradient(g: readonly Float32Array[]): number[] {
  return g.flatMap((row, i) => (row.some((x) => x !== 0) ? [i] : []));
}

/**
 * Algorithm 2 of CGPO: the step of several tasks is sum_l rho_l g_l, all at the same weights. This is one term of it;
 * the engine's `backward` does the sum.
 */
export function weightTask<R extends { loss: number; g: readonly Float32Array[] }>(
  result: R,
  rho: number,
): R {
  return { ...result, loss: rho * result.loss, g: result.g.map((row) => row.map((x) => rho * x)) };
}
