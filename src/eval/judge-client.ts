// The client of a judge or classifier model: any OpenAI-compatible server, with a log from which a restart takes the
// replies that are there.

import { UserError } from "../base/errors.js";
import { type ChatClient, OpenAIChatClient } from "../mpo/client.js";
import { RecordedClient } from "../mpo/recorded-client.js";

export interface JudgeEndpoint {
  model: string;
  /** Up to and including `/v1`. */
  baseUrl: string;
  /** Environment variable with the key; local servers need none. */
  apiKeyEnv?: string | undefined;
  concurrency?: number | undefined;
  timeoutSeconds?: number | undefined;
}

/** `log`: JSONL file of requests and replies. */
export function judgeClient(
  { model, baseUrl, apiKeyEnv, concurrency = 8, timeoutSeconds = 120 }: JudgeEndpoint,
  log?: string,
): ChatClient {
  const apiKey = apiKeyEnv === undefined ? "none" : process.env[apiKeyEnv];
  if (!apiKey) throw new UserError(`${apiKeyEnv} holds no key for the model "${model}"`);
  const client = new OpenAIChatClient({ baseUrl, apiKey, timeoutSeconds });
  return new RecordedClient(client, { concurrency, ...(log !== undefined && { log }) });
}
