// touchstone/judges: what judges a response. Loads neither the engine nor a sandbox until a judge needs it.

export { UserError } from "../base/errors.js";
export type { JudgeContext, JudgeKind } from "../judges/kind.js";
export {
  type BatchJudgement,
  createMixture,
  type FailedPolicy,
  JudgeFailureError,
  judgeBatch,
  type Mixture,
  type MixtureMember,
  type MixtureOptions,
  type SampleJudgement,
} from "../judges/mixture.js";
export { createMember, judgeKinds, mixtureFrom } from "../judges/registry.js";
export {
  failed,
  type Judge,
  type JudgeInput,
  type Message,
  satisfied,
  type Verdict,
  violated,
} from "../judges/verdict.js";
