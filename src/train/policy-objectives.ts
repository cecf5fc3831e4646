// Which objective an optimizer name stands for. Every entry turns one judged and scored task batch into the gradient
// on its log-probabilities.

import { UserError } from "../base/errors.js";
import {
  alternatingPairs,
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
} from "../objectives/index.js";
import type { OptimizerRecipe } from "./recipe.js";

export interface TaskBatch {
  logprobs: Logprobs;
  referenceLogprobs: Logprobs;
  rewards: ArrayLike<number>;
  verdicts: readonly Outcome[];
  promptIndex: readonly number[];
  promptCount: number;
  /** r_pair(s, abar) of every prompt. */
  baselineRewards: ArrayLike<number>;
  /** abar of every prompt, for CRRAFT's fallback. */
  baselines?: { logprobs: Logprobs; verdicts: readonly Outcome[]; referenceLogprobs: Logprobs };
}

export interface PolicyGradient extends ObjectiveResult {
  /** Gradient at the tokens of the baseline responses (CRRAFT). */
  baselineG?: Float32Array[];
}

type Named<N extends OptimizerRecipe["name"]> = Extract<OptimizerRecipe, { name: N }>;

type Objectives = {
  [N in OptimizerRecipe["name"]]?: (batch: TaskBatch, options: Named<N>) => PolicyGradient;
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
  online_dpo: (batch, options) => onlineDpo(batch, options.beta),
};

/** Online DPO: the best and the worst of each prompt's samples, by reward, as a preference pair. */
function onlineDpo(batch: TaskBatch, beta: number): PolicyGradient {
  const pairs = bestWorstPairs(batch);
  const order = pairs.flatMap(({ chosen, rejected }) => [chosen, rejected]);
  const pick = (rows: Logprobs) => order.map((i) => rows[i]!);
  const result = dpo(
    { logprobs: pick(batch.logprobs), referenceLogprobs: pick(batch.referenceLogprobs) },
    alternatingPairs(pairs.length),
    { beta },
  );
  const g: Float32Array[] = batch.logprobs.map((row) => new Float32Array(row.length));
  order.forEach((i, k) => {
    g[i] = result.g[k]!;
  });
  return { ...result, g };
}

/** The gradient of a task batch under the optimizer that its recipe names. */
export function policyGradient(batch: TaskBatch, options: OptimizerRecipe): PolicyGradient {
  const objective = objectives[options.name] as
    | ((batch: TaskBatch, options: OptimizerRecipe) => PolicyGradient)
    | undefined;
  if (!objective) throw new UserError(unavailable(options.name));
  return objective(batch, options);
}

/** Refuses an optimizer that `align` cannot run, before any work is done. */
export function checkOptimizer(name: OptimizerRecipe["name"]): void {
  if (!objectives[name]) throw new UserError(unavailable(name));
}

const unavailable = (name: string): string =>
  `optimizer ${name} is not available in align yet; there are ${Object.keys(objectives).join(", ")}`;
