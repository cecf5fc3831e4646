// The language models under `llm:`: servers, or checkpoints in our own engine, each opened once. What rubrics say to them
// is logged in the run directory.

import { join } from "node:path";
import { UserError } from "../base/errors.js";
import { apiKeyFor } from "../base/requests.js";
import { didYouMean } from "../base/suggest.js";
import { type ChatClient, OpenAIChatClient } from "../mpo/client.js";
import { RecordedClient } from "../mpo/recorded-client.js";
import type { EngineRecipe, LlmEndpointRecipe } from "../recipe/recipe.js";
import { type LocalChat, localChatClient } from "./local-chat.js";
import { type OpenedPolicy, openPolicy } from "./models.js";

export interface ChatModel {
  client: RecordedClient;
  /** What the server calls it. */
  model: string;
}

export interface ChatModelsOptions {
  engine: EngineRecipe;
  /** Directory of the run; each model's requests and replies are kept there. */
  outputDir: string;
  /** Directory of another run whose logs answer everything. */
  replay?: string;
}

const logOf = (runDir: string, name: string) => join(runDir, "llm", `${encodeURIComponent(name)}.jsonl`);

export class ChatModels {
  private readonly opened = new Map<string, Promise<ChatModel>>();
  private readonly checkpoints = new Map<string, Promise<LocalChat>>();
  private readonly policies: OpenedPolicy[] = [];

  constructor(
    private readonly endpoints: Readonly<Record<string, LlmEndpointRecipe>>,
    private readonly options: ChatModelsOptions,
  ) {}

  /** A model by its name under `llm`. */
  open(name: string): Promise<ChatModel> {
    const known = this.opened.get(name);
    if (known) return known;
    const endpoint = Object.hasOwn(this.endpoints, name) ? this.endpoints[name] : undefined;
    if (!endpoint) {
      const names = Object.keys(this.endpoints);
      throw new UserError(
        `a reward names the model "${name}", which is not listed under llm${didYouMean(name, names)}`,
      );
    }
    const opened = this.record(name, endpoint);
    this.opened.set(name, opened);
    return opened;
  }

  private async record(name: string, endpoint: LlmEndpointRecipe): Promise<ChatModel> {
    const { model, baseUrl, concurrency, budget, prices } = endpoint;
    const { outputDir, replay } = this.options;
    const inner = baseUrl === undefined ? await this.checkpoint(model) : serverOf(baseUrl, endpoint);
    const client = new RecordedClient(inner, {
      concurrency,
      ...(budget && { budget }),
      ...(prices && { prices }),
      log: logOf(outputDir, name),
      ...(replay !== undefined && { replay: logOf(replay, name) }),
    });
    return { client, model };
  }

  /** A checkpoint to talk to. */
  checkpoint(model: string): Promise<LocalChat> {
    let chat = this.checkpoints.get(model);
    if (!chat) this.checkpoints.set(model, (chat = this.openCheckpoint(model)));
    return chat;
  }

  private async openCheckpoint(model: string): Promise<LocalChat> {
    const opened = await openPolicy(model, { engine: this.options.engine, frozen: true });
    this.policies.push(opened);
    return localChatClient(opened);
  }

  dispose(): void {
    for (const { policy } of this.policies) policy.dispose();
  }
}

const serverOf = (
  baseUrl: string,
  { apiKeyEnv, timeoutSeconds, maxRetries, retrySeconds }: LlmEndpointRecipe,
): ChatClient =>
  new OpenAIChatClient({
    baseUrl,
    apiKey: apiKeyFor(baseUrl, apiKeyEnv) || "none",
    timeoutSeconds,
    retries: maxRetries,
    backoffSeconds: retrySeconds,
  });
