// The language models under `llm:` as rubrics use them: each opened once, with its log in the run directory.

import { join } from "node:path";
import { UserError } from "../base/errors.js";
import { didYouMean } from "../base/suggest.js";
import { OpenAIChatClient } from "../mpo/client.js";
import { RecordedClient } from "../mpo/recorded-client.js";
import type { LlmEndpointRecipe } from "./recipe.js";

export interface ChatModel {
  client: RecordedClient;
  /** What the server calls it. */
  model: string;
}

export interface ChatModelsOptions {
  /** Directory of the run; each model's requests and replies are kept there. */
  outputDir: string;
  /** Directory of another run whose logs answer everything. */
  replay?: string;
}

const logOf = (runDir: string, name: string) => join(runDir, "llm", `${encodeURIComponent(name)}.jsonl`);

export class ChatModels {
  private readonly opened = new Map<string, ChatModel>();

  constructor(
    private readonly endpoints: Readonly<Record<string, LlmEndpointRecipe>>,
    private readonly options: ChatModelsOptions,
  ) {}

  /** A model by its name under `llm`. */
  open(name: string): ChatModel {
    const known = this.opened.get(name);
    if (known) return known;
    const { outputDir, replay } = this.options;
    const endpoint = Object.hasOwn(this.endpoints, name) ? this.endpoints[name] : undefined;
    if (!endpoint) {
      const names = Object.keys(this.endpoints);
      throw new UserError(
        `a reward names the model "${name}", which is not listed under llm${didYouMean(name, names)}`,
      );
    }
    const { model, concurrency, budget, prices } = endpoint;
    const client = new RecordedClient(openEndpoint(name, endpoint), {
      concurrency,
      ...(budget && { budget }),
      ...(prices && { prices }),
      log: logOf(outputDir, name),
      ...(replay !== undefined && { replay: logOf(replay, name) }),
    });
    const opened = { client, model };
    this.opened.set(name, opened);
    return opened;
  }
}

function openEndpoint(name: string, endpoint: LlmEndpointRecipe): OpenAIChatClient {
  const { baseUrl, apiKeyEnv, timeoutSeconds, maxRetries, retrySeconds } = endpoint;
  if (baseUrl === undefined)
    throw new UserError(`llm.${name} has no base_url, the address of an OpenAI-compatible server`);
  return new OpenAIChatClient({
    baseUrl,
    apiKey: process.env[apiKeyEnv] || "none",
    timeoutSeconds,
    retries: maxRetries,
    backoffSeconds: retrySeconds,
  });
}
