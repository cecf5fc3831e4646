// MPO: an evolving rubric between an LLM reward model and a meta reward model.

export { type Clustering, kMeans, nearestCentroid } from "./clusters.js";
export { type RoundRecord, RubricHistory, readRounds } from "./history.js";
export { MpoHook, type MpoOptions, type MpoRound, type MpoState } from "./hook.js";
export {
  MetaRewardModel,
  type MetaRewardModelOptions,
  type Revision,
  type RevisionReport,
} from "./meta-reward-model.js";
export { type OpenedRubric, openRubric } from "./open-rubric.js";
export { type PresetName, presetNames, taskPreset } from "./presets/index.js";
export type { TaskPrompts } from "./prompts.js";
export { type MpoRollout, normalised, type ScoredRollout } from "./rollout.js";
export {
  createRubric,
  defaultLimits,
  type ItemKind,
  itemRange,
  type Level,
  type Rubric,
  type RubricItem,
  type RubricLimits,
} from "./rubric.js";
export {
  historyClusters,
  type RubricVersion,
  readHistory,
  readRubric,
  rubricFromYaml,
  rubricToYaml,
  saveVersion,
} from "./rubric-file.js";
export {
  type ItemScore,
  type RewardSample,
  RubricReward,
  type RubricRewardOptions,
  type RubricScore,
  type ScoringMode,
} from "./rubric-reward.js";
export { parseRubric, renderRubric } from "./rubric-text.js";
export {
  faithfulMetaOptions,
  faithfulRewardOptions,
  initialRubric,
  metaOptions,
  readTask,
  rewardOptions,
  type TaskPreset,
  taskFromYaml,
  taskToYaml,
} from "./task.js";
export type { TriggerOptions } from "./triggers.js";
export type { Anchor, ValidationOptions } from "./validation.js";
