// REINFORCE with a KL penalty in the reward: the plain policy gradient that CGPO and WARM are compared with; with `values`
// a learned baseline, as WARM's RL runs have. On-policy: one update for each batch.

import {
  emptySampleResult,
  findingsOf,
  judgedSamples,
  type Logprobs,
  meanOf,
  requirePositive,
  type SampleBatch,
  type SampleObjectiveResult,
  sequenceLogRatio,
  weightedLogprobLoss,
  zerosLike,
} from "./objective.js";

export interface ReinforceBatch extends SampleBatch {
  /** Needed when `klCoefficient` is not 0. */
  referenceLogprobs?: Logprobs;
  /** A critic's estimate V before each completion token. */
  values?: Logprobs;
}

export interface ReinforceOptions {
  /** alpha: weight of the penalty log(pi/pi_ref). */
  klCoefficient?: number;
  /** "additive": r - alpha KL. "convex": (1 - alpha) r - alpha KL, as in RLAIF and WARM. */
  klForm?: "additive" | "convex";
  /** What is subtracted from the return where there is no critic. */
  baseline?: "batch" | "none";
  /** A constant that divides the loss. */
  lengthDivisor?: number;
}

export interface ReinforceResult extends SampleObjectiveResult {
  /** dL_V / dV for the critic's loss L_V = (1/n) sum_t (Z_t - V_t)^2; empty rows without a critic. */
  gValues: Float32Array[];
}

/**
 * L = -(1/n) sum_i sum_t A log pi(a_t), A constant in the gradient. Without a critic A is the whole response's return
 * Z = r - alpha log(pi/pi_ref) minus the mean return. With one, A_t = Z_t - V_t, where Z_t leaves out the penalty paid
 * before token t. Of the verdicts only `failed` counts.
 */
export function reinforce(
  batch: ReinforceBatch,
  { klCoefficient = 0, klForm = "additive", baseline = "batch", lengthDivisor = 1 }: ReinforceOptions = {},
): ReinforceResult {
  requirePositive("lengthDivisor", lengthDivisor);
  const { logprobs, rewards, values } = batch;
  const judged = judgedSamples(batch);
  const n = judged.length;
  const failed = { failed_samples: logprobs.length - n };
  const gValues = zerosLike(values ?? []);
  if (n === 0) return { ...emptySampleResult(batch, failed), gValues };

  const reference = klCoefficient === 0 ? undefined : requireReference(batch.referenceLogprobs);
  const scale = klForm === "convex" ? 1 - klCoefficient : 1;
  const logRatio = new Float64Array(logprobs.length);
  for (const i of judged) {
    if (reference !== undefined)
      logRatio[i] = sequenceLogRatio({ logprobs, referenceLogprobs: reference }, i);
  }
  const returns = (i: number): number => scale * rewards[i]! - klCoefficient * logRatio[i]!;
  const metrics = {
    samples: n,
    ...failed,
    reward: meanOf(judged, (i) => rewards[i]!),
    return: meanOf(judged, returns),
    ...(reference && { log_ratio: meanOf(judged, (i) => logRatio[i]!) }),
  };

  if (values === undefined) {
    const b = baseline === "batch" ? metrics.return : 0;
    const coefficients = new Float64Array(logprobs.length);
    for (const i of judged) coefficients[i] = -(returns(i) - b) / (n * lengthDivisor);
    const findings = findingsOf(batch, (i) => returns(i) - b);
    return { ...weightedLogprobLoss(logprobs, coefficients), gValues, findings, metrics };
  }

  const g = zerosLike(logprobs);
  let loss = 0;
  let valueLoss = 0;
  /** Mean over the tokens of A_t. */
  const tokenMeans = new Float64Array(logprobs.length);
  for (const i of judged) {
    const tokens = logprobs[i]!;
    let toGo = scale * rewards[i]!;
    for (let t = tokens.length - 1; t >= 0; t--) {
      if (reference !== undefined) toGo -= klCoefficient * (tokens[t]! - reference[i]![t]!);
      const advantage = toGo - values[i]![t]!;
      tokenMeans[i]! += advantage / tokens.length;
      g[i]![t] = -advantage / (n * lengthDivisor);
      loss -= (advantage * tokens[t]!) / (n * lengthDivisor);
      valueLoss += advantage ** 2 / n;
      gValues[i]![t] = (-2 * advantage) / n;
    }
  }
  const findings = findingsOf(batch, (i) => tokenMeans[i] ?? 0);
  return { loss, g, gValues, findings, metrics: { ...metrics, value_loss: valueLoss } };
}

function requireReference(referenceLogprobs: Logprobs | undefined): Logprobs {
  if (referenceLogprobs === undefined) {
    throw new Error("A KL coefficient needs the reference log-probabilities of the batch.");
  }
  return referenceLogprobs;
}
