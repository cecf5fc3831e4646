// touchstone/reward: averaging reward models (WARM), ensembles, best-of-N, calibration.

export { averageCheckpoints } from "../reward/average.js";
export * as bestOfN from "../reward/best-of-n.js";
export * as calibration from "../reward/calibration.js";
export * as ensemble from "../reward/ensemble.js";
export { runReward } from "../train/reward-model/runs.js";
