// The library: everything that the command line does, as functions.

export { NonFiniteError, UserError } from "./base/errors.js";
export { RandomStream } from "./base/random.js";
export * as statistics from "./base/statistics.js";
export * as data from "./data/index.js";
export type * from "./engine/contract.js";
export { createMixture, judgeBatch } from "./judges/mixture.js";
export { createMember, judgeKinds, mixtureFrom } from "./judges/registry.js";
export type { Judge, JudgeInput, Verdict } from "./judges/verdict.js";
export * as llm from "./llm/index.js";
export { ChatTemplate } from "./model/chat-template.js";
export { loadCheckpoint, saveCheckpoint } from "./model/checkpoint.js";
export { Tokenizer } from "./model/tokenizer.js";
export * as mpo from "./mpo/index.js";
export * as objectives from "./objectives/index.js";
export { loadRecipe, parseRecipe, toYaml } from "./recipe/recipe.js";
export { averageCheckpoints } from "./reward/average.js";
export * as bestOfN from "./reward/best-of-n.js";
export * as calibration from "./reward/calibration.js";
export * as ensemble from "./reward/ensemble.js";
export { InterruptedError, type Reporter, type RunContext, silent } from "./run/context.js";
export {
  type AlignOptions,
  type AlignResult,
  type AlignSettings,
  runAlign,
} from "./train/align/align.js";
export { openAlign } from "./train/align/open.js";
export type * from "./train/align/parts.js";
export { runAlignRecipe } from "./train/align/stages.js";
export { openPolicy, openRewardModel, openScalarModel } from "./train/models.js";
export { runReward } from "./train/reward-model/runs.js";
export { rewardFrom, rewardOfModel } from "./train/rewards/fixed.js";
export type * from "./train/rewards/source.js";
export { runSft } from "./train/sft.js";
export { type Codec, TextCodec } from "./train/text.js";
