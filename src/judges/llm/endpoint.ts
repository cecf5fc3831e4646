// One OpenAI-compatible server and model: requests through the official client, with a concurrency limit that all judges
// of the process share, and retries with jitter that honour Retry-After.

import { setTimeout as sleep } from "node:timers/promises";
import OpenAI, { APIError } from "openai";
import { UserError } from "../../base/errors.js";
import { apiKeyFor, isTransient, limiter, retryAfterSeconds } from "../../base/requests.js";
import type { ChatMessage } from "./template.js";

export interface EndpointOptions {
  model: string;
  /** Up to and including `/v1`. Default: OpenAI's own. */
  baseUrl?: string | undefined;
  /** Environment variable with the key; local servers need none. */
  apiKeyEnv?: string | undefined;
  concurrency?: number | undefined;
  /** Of one attempt. */
  timeoutSeconds?: number | undefined;
  maxRetries?: number | undefined;
  /** Pause before the first retry; doubles each time, with jitter. */
  retrySeconds?: number | undefined;
}

/** Probabilities of the most likely tokens at one position, by their text. */
export type TokenChoice = readonly { token: string; logprob: number }[];

export interface Reply {
  content: string;
  isComplete: boolean;
  /** One entry a token; undefined when the server gives none. */
  choices: readonly TokenChoice[] | undefined;
}

/** The server understands the request but not this way of asking. */
export class RefusedError extends Error {}

const maxPauseSeconds = 60;

/** A way of asking that never brought a label in so many replies is given up. */
const maxMisses = 3;

const statusOf = (error: unknown) =>
  error instanceof APIError ? (error.status as number | undefined) : undefined;

export class Endpoint {
  readonly model: string;
  /** Replies without a label by way of asking (see decide.ts), and the ways that have brought one. */
  private readonly misses = new Map<string, number>();
  private readonly labelled = new Set<string>();
  private readonly client: OpenAI;
  private readonly limit: ReturnType<typeof limiter>;
  private readonly maxRetries: number;
  private readonly retrySeconds: number;

  constructor({
    model,
    baseUrl,
    apiKeyEnv,
    concurrency = 8,
    timeoutSeconds = 60,
    maxRetries = 4,
    retrySeconds = 0.5,
  }: EndpointOptions) {
    this.model = model;
    const apiKey = apiKeyFor(baseUrl ?? "https://api.openai.com/v1", apiKeyEnv);
    if (!apiKey && baseUrl === undefined) {
      const variable = apiKeyEnv ?? "OPENAI_API_KEY";
      throw new UserError(`judge model "${model}" has no base_url, and ${variable} holds no key for OpenAI`);
    }
    this.client = new OpenAI({
      apiKey: apiKey || "none",
      timeout: 1000 * timeoutSeconds,
      maxRetries: 0,
      ...(baseUrl === undefined ? {} : { baseURL: baseUrl }),
    });
    this.limit = limiter(concurrency);
    this.maxRetries = maxRetries;
    this.retrySeconds = retrySeconds;
  }

  /** Whether a way of asking is worth a request. */
  knows(way: string): boolean {
    return this.labelled.has(way) || (this.misses.get(way) ?? 0) < maxMisses;
  }

  recordLabel(way: string): void {
    this.labelled.add(way);
  }

  recordMiss(way: string): void {
    this.misses.set(way, (this.misses.get(way) ?? 0) + 1);
  }

  recordRefusal(way: string): void {
    this.misses.set(way, maxMisses);
  }

  /** Throws RefusedError, or an error in one sentence after the last attempt. */
  complete(messages: readonly ChatMessage[], parameters: object, signal?: AbortSignal): Promise<Reply> {
    return this.limit(() => this.attempts(messages, parameters, signal));
  }

  private async attempts(
    messages: readonly ChatMessage[],
    parameters: object,
    signal?: AbortSignal,
  ): Promise<Reply> {
    for (let attempt = 0; ; attempt++) {
      signal?.throwIfAborted();
      try {
        return await this.attempt(messages, parameters, signal);
      } catch (error) {
        signal?.throwIfAborted();
        const status = statusOf(error);
        const message = error instanceof Error ? error.message : String(error);
        if (status === 400 || status === 422) throw new RefusedError(message);
        if (!isTransient(status)) throw new Error(`judge model "${this.model}": ${message}`);
        if (attempt >= this.maxRetries) {
          throw new Error(
            `judge model "${this.model}" did not answer in ${attempt + 1} attempts; the last: ${message}`,
          );
        }
        const backoff = this.retrySeconds * 2 ** attempt * (0.5 + Math.random() / 2);
        const asked =
          error instanceof APIError ? retryAfterSeconds(error.headers?.get("retry-after")) : undefined;
        const pause = Math.min(asked ?? backoff, maxPauseSeconds);
        await sleep(1000 * pause, undefined, signal ? { signal } : {});
      }
    }
  }

  private async attempt(
    messages: readonly ChatMessage[],
    parameters: object,
    signal?: AbortSignal,
  ): Promise<Reply> {
    const completion = await this.client.chat.completions.create(
      { model: this.model, messages: [...messages], temperature: 0, seed: 0, ...parameters },
      signal ? { signal } : {},
    );
    const choice = completion?.choices?.[0];
    if (!choice) throw new Error("the reply holds no choice");
    const tokens = choice.logprobs?.content;
    return {
      content: choice.message?.content ?? "",
      isComplete: choice.finish_reason !== "length",
      choices: tokens?.map(({ token, logprob, top_logprobs: top }) =>
        top?.length ? top : [{ token, logprob }],
      ),
    };
  }
}

const endpoints = new Map<string, Endpoint>();

/** The endpoint for these options: one for all judges that name the same. */
export function endpointFor(options: EndpointOptions): Endpoint {
  const key = JSON.stringify(Object.entries(options).toSorted());
  const known = endpoints.get(key) ?? new Endpoint(options);
  endpoints.set(key, known);
  return known;
}
