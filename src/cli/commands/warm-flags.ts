// Flags that the subcommands of `warm` share.

import { type Command, Option } from "commander";
import { renameKeys, snakeCase } from "../../base/case.js";
import type { ModelChoice } from "../../eval/inference.js";
import type { ContextFlags } from "../context.js";
import { type ModelFlags, modelChoice } from "../model-flags.js";

export { addChatFlags } from "../model-flags.js";

export interface EngineFlags
  extends ContextFlags,
    Pick<ModelFlags, "device" | "threads" | "maxBatchTokens" | "chatTemplate" | "chat" | "limit"> {}

export const addEngineFlags = (command: Command): Command =>
  command
    .option("--limit <n>", "use the first rows of each file only")
    .option("--chat-template <file>", "a Jinja template instead of the model's own")
    .addOption(new Option("--device <device>", "where to run").choices(["cpu", "webgpu"]).default("cpu"))
    .option("--threads <n>", "CPU threads (default: all)")
    .option("--max-batch-tokens <n>", "tokens of one batch: bounds memory, never changes results", "4096");

export const addOutputFlags = (command: Command): Command =>
  command
    .option("--quiet", "no progress")
    .option("--json", "the result as one JSON object on stdout; no progress");

export const choiceOf = (model: string, flags: EngineFlags): ModelChoice => modelChoice({ ...flags, model });

/** Keys as files have them. Strings, such as the names of splits, are values here and stay as they are. */
export const snakeKeys = (value: object) => renameKeys(value, snakeCase) as object;
