// Flags of the verbs that run a model over rows: which model, which device, where the rows go.

import { type Command, Option } from "commander";
import type { ModelChoice } from "../eval/inference.js";
import { type Storage, storages } from "../model/stored.js";
import type { ContextFlags } from "./context.js";
import { wholeNumber } from "./values.js";

/** What is read wherever rows are. */
export const DATA = "JSONL, JSON, CSV or Parquet file, Hub name, or - for the standard input";
export const ROWS_AS_JSON = "one JSON object on stdout, with the rows or where they are; no progress";

export interface ModelFlags extends ContextFlags {
  model: string;
  device: "cpu" | "webgpu";
  threads?: string;
  maxBatchTokens: string;
  quantise?: Storage;
  chatTemplate?: string;
  chat?: boolean;
  limit?: string;
  out?: string;
}

/** What plain prompts are to a model with a chat template. */
export const addChatFlags = (command: Command): Command =>
  command
    .option("--chat", "give plain prompts as a user's message, through the chat template")
    .option("--no-chat", "give plain prompts as they stand, and say nothing of it (default: say so)");

/** Of the verbs that run a model over rows. */
export const addModelFlags = (command: Command, what: string): Command =>
  addOneModelFlags(command, what)
    .option("-o, --out <file>", "where to write the rows (default: stdout)")
    .option("--limit <n>", "use the first rows only");

export const addOneModelFlags = (command: Command, what: string): Command =>
  command
    .requiredOption("--model <dir or Hub name>", what)
    .option("--chat-template <file>", "a Jinja template instead of the model's own")
    .addOption(new Option("--device <device>", "where to run").choices(["cpu", "webgpu"]).default("cpu"))
    .addOption(
      new Option("--quantise <kind>", "keep the weights small in memory (default: float32)").choices(
        storages,
      ),
    )
    .option("--threads <n>", "CPU threads (default: all)")
    .option("--max-batch-tokens <n>", "tokens of one batch: bounds memory, never changes results", "4096")
    .option("--quiet", "no progress");

export const modelChoice = ({
  model,
  device,
  threads,
  maxBatchTokens,
  quantise,
  chatTemplate,
  chat,
}: ModelFlags): ModelChoice => ({
  model,
  chatTemplate,
  chat,
  quantise,
  engine: {
    kind: "local",
    device,
    threads: threads === undefined ? undefined : wholeNumber(threads, "--threads", 1),
    maxBatchTokens: wholeNumber(maxBatchTokens, "--max-batch-tokens", 64),
  },
});

export const limitOf = ({ limit }: Pick<ModelFlags, "limit">) =>
  limit === undefined ? undefined : wholeNumber(limit, "--limit", 1);
