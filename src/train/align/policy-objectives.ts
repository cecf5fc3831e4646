// Which objective an optimizer name stands for. Every entry turns one judged and scored task batch into the gradient
// on its log-probabilities.

import {
  bestWorstPairs,
  codpo,
  crpg,
  crraft,
  dpo,
  grpo,
  type Logprobs,
  type ObjectiveResult,
  type Outcome,
  raft,
  reinforce,
  rloo,
} from "../../objectives/index.js";
import type { SamplingOptimizer } from "./task.js";

export interface TaskBatch {
  logprobs: Logprobs;
  /** When the batch was sampled; absent: as they are now. */
  oldLogprobs?: Logprobs;
  referenceLogprobs: Logprobs;
  rewards: ArrayLike<number>;
  verdicts: readonly Outcome[];
  promptIndex: readonly number[];
  promptCount: number;
  /** r_pair(s, abar) of every prompt; empty where the task does not calibrate. */
  baselineRewards: ArrayLike<number>;
  /** abar of every prompt, for CRRAFT's fallback. */
  baselines?: { logprobs: Logprobs; verdicts: readonly Outcome[]; referenceLogprobs?: Logprobs };
}

export interface PolicyGradient extends ObjectiveResult {
  /** Gradient at the tokens of the baseline responses (CRRAFT). */
  baselineG?: Float32Array[];
}

/** The optimizers that are one objective on log-probabilities; PPO (ppo.ts) has a critic beside it. */
export type ObjectiveOptimizer = Exclude<SamplingOptimizer, { name: "ppo" }>;

type Objectives = {
  [N in ObjectiveOptimizer["name"]]: (
    batch: TaskBatch,
    options: Extract<ObjectiveOptimizer, { name: N }>,
  ) => PolicyGradient;
};

/** Eq. 12 sums log-probabilities over the response; a constant divisor keeps its direction. */
const divisor = (options: { lengthNormalization: "none" | "constant"; maxNewTokens: number }): number =>
  options.lengthNormalization === "constant" ? options.maxNewTokens : 1;

const objectives: Objectives = {
  crpg: (batch, options) =>
    crpg(batch, {
      klMax: options.klMax,
      klFactorMax: options.klFactorMax,
      baseline: options.baseline,
      lengthDivisor: divisor(options),
    }),
  crraft: (batch, options) =>
    crraft(batch, {
      klMax: options.klMax,
      fallbackKlTest: options.fallbackKlTest,
      fallbackWeight: options.fallbackWeight,
      lengthDivisor: divisor(options),
    }),
  codpo: (batch, options) => codpo(batch, options),
  raft: (batch, options) => raft(batch, { lengthDivisor: divisor(options) }),
  reinforce: (batch, options) =>
    reinforce(batch, {
      klCoefficient: options.klCoef,
      baseline: options.baseline,
      lengthDivisor: divisor(options),
    }),
  rloo: (batch, options) => rloo(batch, { beta: options.klCoef }),
  grpo: (batch, options) =>
    grpo(batch, {
      beta: options.beta,
      epsilon: options.clipRange,
      epsilonHigh: options.clipRangeHigh,
      scaleRewards: options.scaleRewards,
    }),
  online_dpo: (batch, options) => dpo(batch, bestWorstPairs(batch), options),
};

/** The gradient of a task batch under the optimizer that its recipe names. */
export function policyGradient(batch: TaskBatch, options: ObjectiveOptimizer): PolicyGradient {
  const objective = objectives[options.name] as (
    batch: TaskBatch,
    options: ObjectiveOptimizer,
  ) => PolicyGradient;
  return objective(batch, options);
}
