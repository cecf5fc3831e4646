// Chat completions from any OpenAI-compatible server, through the official client: bounded concurrency, retries, budget,
// and a log of every request and reply that a later run can replay exactly.

import { createHash } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync, readFileSync, truncateSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import OpenAI, { APIConnectionError, APIError } from "openai";
import { UserError } from "../base/errors.js";

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

export interface ChatUsage {
  /** Requests that were asked for and not answered from the log. */
  calls: number;
  /** HTTP requests, retries included. */
  attempts: number;
  /** Calls without a usable reply. */
  failed: number;
  /** Calls answered from the log. */
  replayed: number;
  promptTokens: number;
  completionTokens: number;
  /** In the currency of `prices`. */
  cost: number;
}

const noUsage = (): ChatUsage => ({
  calls: 0,
  attempts: 0,
  failed: 0,
  replayed: 0,
  promptTokens: 0,
  completionTokens: 0,
  cost: 0,
});

/** What was used between two readings of `usage()`. */
export function usageSince(now: ChatUsage, before: ChatUsage): ChatUsage {
  const keys = Object.keys(now) as (keyof ChatUsage)[];
  return Object.fromEntries(keys.map((key) => [key, now[key] - before[key]])) as unknown as ChatUsage;
}

export interface OpenAIClientOptions {
  /** Up to and including `/v1`. */
  baseUrl: string;
  /** Local servers ignore it. Default: OPENAI_API_KEY, or "none". */
  apiKey?: string;
  /** Requests under way at the same time. */
  concurrency?: number;
  timeoutSeconds?: number;
  /** Further attempts after a failed one. */
  retries?: number;
  /** First pause before a retry; doubles each time, with jitter. */
  backoffSeconds?: number;
  /** Upper bound on any pause, a server's Retry-After included. */
  maxPauseSeconds?: number;
  /** Checked before each call, so that calls already under way may pass a bound on tokens or cost. */
  budget?: { calls?: number; tokens?: number; cost?: number };
  /** Per million tokens. */
  prices?: { prompt: number; completion: number };
  /** JSONL file of requests and replies. */
  log?: string;
  /** `record` appends to the log; `reuse` also answers from it what it holds; `strict` calls no server at all. */
  replay?: "record" | "reuse" | "strict";
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

/** Lets `limit` tasks run at the same time, the others wait in order. */
export function limiter(limit: number): <T>(task: () => Promise<T>) => Promise<T> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (task) => {
    if (running >= limit) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      return await task();
    } finally {
      // The slot goes to the next in line without being freed in between.
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  };
}

type LogEntry = { key: string; tag?: string; request: unknown } & ({ reply: ChatReply } | { error: string });

const isTransient = (status: number | undefined): boolean =>
  status === undefined || status === 408 || status === 409 || status === 429 || status >= 500;

/** Seconds that a Retry-After header asks for: a number, or a date. */
export function retryAfterSeconds(header: string | null | undefined, now = Date.now()): number | undefined {
  if (!header) return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(seconds, 0);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max((date - now) / 1000, 0);
}

export class OpenAIChatClient implements ChatClient {
  private readonly options: Required<Omit<OpenAIClientOptions, "apiKey" | "prices" | "log">> &
    OpenAIClientOptions;
  private readonly openai: OpenAI;
  private readonly limit: ReturnType<typeof limiter>;
  private readonly used = noUsage();
  private readonly replies = new Map<string, Promise<ChatReply>>();
  /** Per model, the first entry of `jsonFormats` that its server has not refused. */
  private readonly jsonFormat = new Map<string, number>();

  constructor(options: OpenAIClientOptions) {
    this.options = {
      concurrency: 8,
      timeoutSeconds: 120,
      retries: 4,
      backoffSeconds: 0.5,
      maxPauseSeconds: 60,
      budget: {},
      replay: "record",
      pause: async (seconds, signal) => {
        await delay(seconds * 1000, undefined, signal ? { signal } : {});
      },
      ...options,
    };
    this.openai = new OpenAI({
      baseURL: options.baseUrl,
      apiKey: options.apiKey ?? (process.env.OPENAI_API_KEY || "none"),
      maxRetries: 0,
      timeout: this.options.timeoutSeconds * 1000,
    });
    this.limit = limiter(this.options.concurrency);
    this.openLog();
  }

  /** Totals since the client was made. */
  usage(): ChatUsage {
    return { ...this.used };
  }

  /** How JSON is asked for from this model: the strictest form that its server has not refused. */
  jsonFormatOf(model: string): JsonFormat {
    return jsonFormats[this.jsonFormat.get(model) ?? 0]!;
  }

  chat(request: ChatRequest, signal?: AbortSignal): Promise<ChatReply> {
    if (this.options.log === undefined) return this.call(request, signal);
    const key = requestKey(request);
    const known = this.replies.get(key);
    if (known) {
      this.used.replayed++;
      return known;
    }
    if (this.options.replay === "strict") {
      const what = request.tag === undefined ? "" : ` (${request.tag})`;
      const message = `the log ${this.options.log} holds no reply to a request of this run${what}; replay needs the same recipe, seed and version`;
      return Promise.reject(new ReplayError(message));
    }
    const reply = this.recorded(key, request, signal);
    this.replies.set(key, reply);
    return reply;
  }

  private async recorded(key: string, request: ChatRequest, signal?: AbortSignal): Promise<ChatReply> {
    const { tag, ...sent } = request;
    const entry = { key, ...(tag === undefined ? {} : { tag }), request: sent };
    const result = await this.call(request, signal).then(
      (reply) => ({ reply }),
      (failure: Error) => ({ failure }),
    );
    if ("reply" in result) {
      this.append({ ...entry, ...result });
      return result.reply;
    }
    if (endsRun(result.failure)) this.replies.delete(key);
    else this.append({ ...entry, error: result.failure.message });
    throw result.failure;
  }

  private async call(request: ChatRequest, signal?: AbortSignal): Promise<ChatReply> {
    return await this.limit(async () => {
      signal?.throwIfAborted();
      this.checkBudget();
      this.used.calls++;
      try {
        return await this.attempts(request, signal);
      } catch (error) {
        this.used.failed++;
        throw error;
      }
    });
  }

  private async attempts(request: ChatRequest, signal?: AbortSignal): Promise<ChatReply> {
    const { retries, backoffSeconds, maxPauseSeconds, pause } = this.options;
    for (let attempt = 0; ; ) {
      const format = this.jsonFormat.get(request.model) ?? 0;
      try {
        return await this.attempt(request, format, signal);
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

  private async attempt(request: ChatRequest, format: number, signal?: AbortSignal): Promise<ChatReply> {
    const { model, messages, temperature = 0, seed, maxTokens, stop, json } = request;
    this.used.attempts++;
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
    this.account(completion?.usage);
    const choice = completion?.choices?.[0];
    const content = choice?.message?.content;
    if (!choice || typeof content !== "string") throw new ChatError("the reply holds no message");
    return {
      content,
      finishReason: choice.finish_reason ?? null,
      promptTokens: completion.usage?.prompt_tokens ?? 0,
      completionTokens: completion.usage?.completion_tokens ?? 0,
    };
  }

  private account(usage: { prompt_tokens?: number; completion_tokens?: number } | undefined): void {
    const { prompt_tokens = 0, completion_tokens = 0 } = usage ?? {};
    const { prompt = 0, completion = 0 } = this.options.prices ?? {};
    this.used.promptTokens += prompt_tokens;
    this.used.completionTokens += completion_tokens;
    this.used.cost += (prompt_tokens * prompt + completion_tokens * completion) / 1e6;
  }

  private checkBudget(): void {
    const { calls = Infinity, tokens = Infinity, cost = Infinity } = this.options.budget;
    const { promptTokens, completionTokens } = this.used;
    if (this.used.calls >= calls) throw new BudgetError(`the budget of ${calls} calls is used up`);
    if (promptTokens + completionTokens >= tokens)
      throw new BudgetError(`the budget of ${tokens} tokens is used up`);
    if (this.used.cost >= cost) throw new BudgetError(`the budget of ${cost} (cost) is used up`);
  }

  private openLog(): void {
    const { log, replay } = this.options;
    if (log === undefined) return;
    if (!existsSync(log)) {
      if (replay === "strict") throw new UserError(`there is no log ${log} to replay`);
      mkdirSync(dirname(log), { recursive: true });
      return;
    }
    const entries = readLog(log);
    if (replay === "record") return;
    for (const entry of entries) {
      if ("reply" in entry) this.replies.set(entry.key, Promise.resolve(entry.reply));
      else if (replay === "strict") this.replies.set(entry.key, rejected(new ChatError(entry.error)));
    }
  }

  private append(entry: LogEntry): void {
    appendFileSync(this.options.log!, `${JSON.stringify(entry)}\n`);
  }
}

/** A rejection that may never be asked for. */
function rejected(error: Error): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(() => {});
  return promise;
}

/** Identifies a request: everything that is sent, and the tag. */
export function requestKey({
  model,
  messages,
  temperature = 0,
  seed,
  maxTokens,
  stop,
  json,
  tag,
}: ChatRequest): string {
  const turns = messages.map(({ role, content }) => [role, content]);
  const parts = [
    model,
    turns,
    temperature,
    seed ?? null,
    maxTokens ?? null,
    stop ?? null,
    json ?? null,
    tag ?? null,
  ];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}

/** Entries of a log. A last line that a kill cut short is cut off the file, so that the next one starts a line. */
function readLog(path: string): LogEntry[] {
  const text = readFileSync(path, "utf8");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  if (whole.length < text.length) truncateSync(path, Buffer.byteLength(whole));
  return whole
    .split("\n")
    .slice(0, -1)
    .map((line, i) => {
      try {
        return JSON.parse(line) as LogEntry;
      } catch {
        throw new UserError(`${path}, line ${i + 1}: this is not a line of a request log`);
      }
    });
}

function asChatError(error: unknown, model: string): ChatError {
  if (error instanceof ChatError) return error;
  const detail = error instanceof Error ? error.message : String(error);
  if (error instanceof APIConnectionError)
    return new ChatError(`no answer from the server of ${model}: ${detail}`);
  return new ChatError(`${model}: ${detail}`);
}
