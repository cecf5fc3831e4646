// touchstone/engine: the contract that every loop is written against, and the local engine's models behind it.

export type * from "../engine/contract.js";
export {
  type ModelOptions,
  type OpenedPolicy,
  openCodec,
  openPolicy,
  openRewardModel,
  openScalarModel,
} from "../train/models.js";
export { type Codec, TextCodec } from "../train/text.js";
