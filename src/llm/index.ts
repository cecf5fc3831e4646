// Language models behind one client: OpenAI-compatible servers and checkpoints in our own engine.

export { type ChatEngine, checkpointClient } from "./checkpoint.js";
export { type ChatModel, type EndpointOptions, LlmModels, type LlmOptions, openServer } from "./models.js";
export {
  type ChatMeter,
  type ChatUsage,
  RecordedClient,
  type RecordedOptions,
  usageSince,
} from "./recorder.js";
export { ServerClient, type ServerOptions } from "./server.js";
export * from "./types.js";
