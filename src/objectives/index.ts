// Every objective: log-probabilities, rewards and verdicts in; loss, gradient and metrics out.

export * from "./bradley-terry.js";
export * from "./calibrated-reward.js";
export * from "./clipped-ratio.js";
export * from "./codpo.js";
export * from "./constraint-regularised-reward.js";
export * from "./crpg.js";
export * from "./crraft.js";
export * from "./dpo.js";
export * from "./grpo.js";
export * from "./numerics.js";
export * from "./objective.js";
export * from "./ppo.js";
export * from "./raft.js";
export * from "./reinforce.js";
export * from "./rloo.js";
export * from "./sft.js";
