// The library: everything that the command line does, as functions. The parts have entries of their own, which load less:
// touchstone/align, /data, /engine, /judges, /llm, /mpo, /objectives, /reward.

export { NonFiniteError, UserError } from "./base/errors.js";
export { RandomStream } from "./base/random.js";
export * as statistics from "./base/statistics.js";
export * as data from "./data/index.js";
export * from "./exports/align.js";
export * from "./exports/engine.js";
export {
  createMember,
  createMixture,
  type Judge,
  type JudgeInput,
  judgeBatch,
  judgeKinds,
  mixtureFrom,
  type Verdict,
} from "./exports/judges.js";
export * from "./exports/reward.js";
export * as llm from "./llm/index.js";
export { ChatTemplate } from "./model/chat-template.js";
export { loadCheckpoint, saveCheckpoint } from "./model/checkpoint.js";
export { Tokenizer } from "./model/tokenizer.js";
export * as mpo from "./mpo/index.js";
export * as objectives from "./objectives/index.js";
export { runSft } from "./train/sft.js";
