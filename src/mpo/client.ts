// Chat completions from any OpenAI-compatible server, through the official client, with timeouts and retries.
// What a run adds (concurrency, counting, budget, replay) is recorded-client.ts.

import { setTimeout as delay } from "node:timers/promises";
import OpenAI, { APIConnectionError, APIError } from "openai";
import { UserError } from "../base/errors.js";
import { apiKeyFor, isTransient, retryAfterSeconds } from "../base/requests.js";

export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface ChatRequest {
  model: string;
  messages: readonly ChatMessage[];
  /** Default 0. */
  temperature?: number;
  seed?: number;
  maxTokens?: number;
  stop?: readonly string[];
  /** Asks for a reply in JSON of this schema, as far as the server can. */
  json?: { name: string; schema: Record<string, unknown> };
  /**
   * What the call is for ("update 12, prompt 7, item 2"); not sent. Calls that agree in everything, tag included, are
   * one call and get one reply.
   */
  tag?: string;
}

export interface ChatReply {
  content: string;
  /** "length": cut off at `maxTokens`. */
  finishReason: string | null;
  /** What was paid for, retries included. */
  promptTokens: number;
  completionTokens: number;
}

export interface ChatClient {
  /** A reply, or an error in one sentence. */
  chat(request: ChatRequest, signal?: AbortSignal): Promise<ChatReply>;
}

/** The server gave no usable reply, retries included. */
export class ChatError extends Error {
  override name = "ChatError";
}

/** The budget of calls, tokens or money is used up. */
export class BudgetError extends UserError {
  override name = "BudgetError";
}

/** A replayed run asked something that the log does not hold. */
export class ReplayError extends UserError {
  override name = "ReplayError";
}

/** Errors that end a run instead of failing one sample. */
export const endsRun = (error: unknown): boolean =>
  error instanceof BudgetError || error instanceof ReplayError || (error as Error)?.name === "AbortError";

export interface OpenAIClientOptions {
  /** Up to and including `/v1`. */
  baseUrl: string;
  /** Default: OPENAI_API_KEY for OpenAI's own service, none for any other. */
  apiKey?: string;
  timeoutSeconds?: number;
  /** Further attempts after a failed one. */
  retries?: number;
  /** First pause before a retry; doubles each time, with jitter. */
  backoffSeconds?: number;
  /** Upper bound on any pause, a server's Retry-After included. */
  maxPauseSeconds?: number;
  /** Sleeps; tests give their own. */
  pause?: (seconds: number, signal?: AbortSignal) => Promise<void>;
}

/** Ways to ask for JSON, the strictest first; a server that refuses one is asked in the next from then on. */
const jsonFormats = ["json_schema", "flat_schema", "json_object", "text"] as const;
type JsonFormat = (typeof jsonFormats)[number];

function responseFormat(format: JsonFormat, { name, schema }: NonNullable<ChatRequest["json"]>): object {
  if (format === "json_schema")
    return { response_format: { type: "json_schema", json_schema: { name, schema, strict: true } } };
  if (format === "flat_schema") return { response_format: { type: "json_schema", schema } };
  return format === "json_object" ? { response_format: { type: "json_object" } } : {};
}

export class OpenAIChatClient implements ChatClient {
  private readonly options: Required<Omit<OpenAIClientOptions, "apiKey">>;
  private readonly openai: OpenAI;
  private sent = 0;
  /** Per model, the first entry of `jsonFormats` that its server has not refused. */
  private readonly jsonFormat = new Map<string, number>();

  constructor({ apiKey, ...options }: OpenAIClientOptions) {
    this.options = {
      timeoutSeconds: 120,
      retries: 4,
      backoffSeconds: 0.5,
      maxPauseSeconds: 60,
      pause: async (seconds, signal) => {
        await delay(seconds * 1000, undefined, signal ? { signal } : {});
      },
      ...options,
    };
    this.openai = new OpenAI({
      baseURL: options.baseUrl,
      apiKey: apiKey ?? (apiKeyFor(options.baseUrl) || "none"),
      maxRetries: 0,
      timeout: this.options.timeoutSeconds * 1000,
    });
  }

  /** HTTP requests so far, retries included. */
  get attempts(): number {
    return this.sent;
  }

  /** How JSON is asked for from this model: the strictest form that its server has not refused. */
  jsonFormatOf(model: string): JsonFormat {
    return jsonFormats[this.jsonFormat.get(model) ?? 0]!;
  }

  async chat(request: ChatRequest, signal?: AbortSignal): Promise<ChatReply> {
    const { retries, backoffSeconds, maxPauseSeconds, pause } = this.options;
    const paid: Paid = { promptTokens: 0, completionTokens: 0 };
    for (let attempt = 0; ; ) {
      signal?.throwIfAborted();
      const format = this.jsonFormat.get(request.model) ?? 0;
      try {
        return { ...(await this.attempt(request, format, paid, signal)), ...paid };
      } catch (error) {
        signal?.throwIfAborted();
        const status = error instanceof APIError ? (error.status as number | undefined) : undefined;
        if (request.json && (status === 400 || status === 422) && format < jsonFormats.length - 1) {
          this.jsonFormat.set(request.model, Math.max(format + 1, this.jsonFormat.get(request.model) ?? 0));
          continue;
        }
        if (attempt >= retries || !isTransient(status)) throw asChatError(error, request.model);
        const jitter = 0.5 + Math.random() / 2;
        const asked =
          error instanceof APIError ? retryAfterSeconds(error.headers?.get("retry-after")) : undefined;
        await pause(Math.min(asked ?? backoffSeconds * 2 ** attempt * jitter, maxPauseSeconds), signal);
        attempt++;
      }
    }
  }

  /** One HTTP request; what it costs is added to `paid`, whatever it brings. */
  private async attempt(
    request: ChatRequest,
    format: number,
    paid: Paid,
    signal?: AbortSignal,
  ): Promise<Pick<ChatReply, "content" | "finishReason">> {
    const { model, messages, temperature = 0, seed, maxTokens, stop, json } = request;
    this.sent++;
    const completion = await this.openai.chat.completions.create(
      {
        model,
        messages: messages.map(({ role, content }) => ({ role, content })),
        temperature,
        ...(seed === undefined ? {} : { seed }),
        ...(maxTokens === undefined ? {} : { max_tokens: maxTokens }),
        ...(stop === undefined ? {} : { stop: [...stop] }),
        ...(json === undefined ? {} : responseFormat(jsonFormats[format]!, json)),
      },
      signal ? { signal } : {},
    );
    paid.promptTokens += completion?.usage?.prompt_tokens ?? 0;
    paid.completionTokens += completion?.usage?.completion_tokens ?? 0;
    const choice = completion?.choices?.[0];
    const content = choice?.message?.content;
    if (!choice || typeof content !== "string") throw new ChatError("the reply holds no message");
    return { content, finishReason: choice.finish_reason ?? null };
  }
}

type Paid = Pick<ChatReply, "promptTokens" | "completionTokens">;

function asChatError(error: unknown, model: string): ChatError {
  if (error instanceof ChatError) return error;
  const detail = error instanceof Error ? error.message : String(error);
  if (error instanceof APIConnectionError)
    return new ChatError(`no answer from the server of ${model}: ${detail}`);
  return new ChatError(`${model}: ${detail}`);
}
