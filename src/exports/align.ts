// touchstone/align: alignment from parts of one's own, or from a recipe.

export { defineOptimizer, objectiveOf } from "../recipe/optimizers.js";
export { loadRecipe, parseRecipe, toYaml } from "../recipe/recipe.js";
export { InterruptedError, type Reporter, type RunContext, silent } from "../run/context.js";
export type { Metrics, Rollout } from "../run/metrics.js";
export {
  type AlignOptions,
  type AlignResult,
  type AlignSettings,
  runAlign,
} from "../train/align/align.js";
export { type OpenContext, openAlign } from "../train/align/open.js";
export type {
  AlignParts,
  JudgeGate,
  PpoObjective,
  PreferenceTask,
  SamplingLimits,
  SamplingTask,
  TaskParts,
} from "../train/align/parts.js";
export { runAlignRecipe } from "../train/align/stages.js";
export type { RewardInput } from "../train/rewards/external.js";
export { rewardFrom, rewardOfModel } from "../train/rewards/fixed.js";
export type { RewardSource, ScoredResponse, Scores } from "../train/rewards/source.js";
