// Flags that name a language model on an OpenAI-compatible server, for the verbs that ask one.

import type { Command } from "commander";
import { UserError } from "../base/errors.js";
import type { ServerModel } from "../llm/models.js";
import { wholeNumber } from "./values.js";

export interface EndpointFlags {
  judge: string;
  judgeModel?: string;
  judgeKeyEnv?: string;
  concurrency: string;
}

export const addEndpointFlags = (command: Command, what: string): Command =>
  command
    .requiredOption("--judge <name@url>", `${what}: its name, and the address of its server up to /v1`)
    .option("--judge-model <name>", "the model's name, where --judge is the address alone")
    .option("--judge-key-env <variable>", "environment variable with the server's key")
    .option("--concurrency <n>", "requests under way at the same time", "8");

/** `qwen3:8b@http://127.0.0.1:11434/v1` */
export function endpointOf({ judge, judgeModel, judgeKeyEnv, concurrency }: EndpointFlags): ServerModel {
  const [, name, url] = /^(?:(.+)@)?(https?:\/\/.+)$/.exec(judge) ?? [];
  if (url === undefined || !URL.canParse(url))
    throw new UserError(
      `--judge must be name@url, such as qwen3:8b@http://127.0.0.1:11434/v1, not "${judge}"`,
    );
  const model = name ?? judgeModel;
  if (model === undefined)
    throw new UserError("--judge names no model; write it as name@url, or give --judge-model");
  return {
    baseUrl: url,
    model,
    apiKeyEnv: judgeKeyEnv,
    concurrency: wholeNumber(concurrency, "--concurrency", 1),
  };
}
