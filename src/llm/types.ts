// Language models as something to talk to: one message, one request, one reply, whoever answers (an OpenAI-compatible
// server, a checkpoint in our own engine, the log of an earlier run).

import { UserError } from "../base/errors.js";

export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

/** A question that one of several words answers. */
export interface LabelQuestion {
  /** Each one word, all different; of equally likely ones the first wins. */
  words: readonly string[];
  /** Tokens asked for where the probabilities of the first one that is not blank decide. */
  tokens: number;
  /** The words must hold more of the probability than this, or the model is saying something else. Default 0.5. */
  minShare?: number;
}

export interface ChatRequest {
  model: string;
  messages: readonly Message[];
  /** Default 0. */
  temperature?: number;
  seed?: number;
  maxTokens?: number;
  stop?: readonly string[];
  /** Asks for a reply in JSON of this schema, as far as the server can. */
  json?: { name: string; schema: Record<string, unknown> };
  /** Asks which of the words it is; the reply has `answer`. */
  labels?: LabelQuestion;
  /**
   * What the call is for ("update 12, prompt 7, item 2"); not sent. Calls that agree in everything, tag included, are
   * one call and get one reply.
   */
  tag?: string;
}

export interface LabelAnswer {
  /** One of the words asked for. */
  label: string;
  /** The way of asking that brought it (labels.ts). */
  by: string;
  /** P(word) over the words together, in their order; only where probabilities decided. */
  probabilities?: readonly number[];
  /** What the model said for itself. */
  explanation?: string;
  /** Ways that the server refused for this question, and ways whose reply held no label. */
  refused?: readonly string[];
  missed?: readonly string[];
}

/** Tokens that were paid for, retries included. */
export interface Paid {
  promptTokens: number;
  completionTokens: number;
  /** The server did not count, at least once: one token for every four bytes. */
  isEstimated?: true;
}

export interface ChatReply extends Paid {
  content: string;
  /** "length": cut off at `maxTokens`. */
  finishReason: string | null;
  /** To a request with `labels`. */
  answer?: LabelAnswer;
}

export interface ChatClient {
  /** A reply, or an error in one sentence. */
  chat(request: ChatRequest, signal?: AbortSignal): Promise<ChatReply>;
  /** Takes notice of a reply that came from a log: what is known of the model afterwards is as if it had been asked. */
  learn?(request: Pick<ChatRequest, "model" | "labels">, reply: ChatReply): void;
}

/** There was no usable reply, retries included. */
export class ChatError extends Error {
  override name = "ChatError";

  constructor(
    message: string,
    readonly paid: Paid = { promptTokens: 0, completionTokens: 0 },
  ) {
    super(message);
  }
}

/** An error of a request that ends the run instead of failing one sample. */
export class RunEndingError extends UserError {
  override name = "RunEndingError";
}

/** The budget of calls, tokens or money is used up. */
export class BudgetError extends RunEndingError {
  override name = "BudgetError";
}

/** A replayed run asked something that the log does not hold. */
export class ReplayError extends RunEndingError {
  override name = "ReplayError";
}

/** A log of requests cannot be read or written. */
export class LogError extends RunEndingError {
  override name = "LogError";
}

/** Errors of requests that end a run, and its interruption. */
export const endsRun = (error: unknown): boolean =>
  error instanceof RunEndingError || (error as Error)?.name === "AbortError";
