// The chat completion on the wire: what is sent for a request, and what a reply says, checked field by field. A reply of
// another shape is an error that names the field.

import { redact } from "../base/secrets.js";
import type { ChatRequest, Paid } from "./types.js";

/** Probabilities of the most likely tokens at one position, by their text. */
export type TokenChoice = readonly { token: string; logprob: number }[];

export interface Completion {
  content: string | null;
  finishReason: string | null;
  /** One entry a token; undefined when the server gives none. */
  choices: readonly TokenChoice[] | undefined;
}

/** The reply is no chat completion. */
export class MalformedError extends Error {
  override name = "MalformedError";
}

/** The body of the request, apart from the way in which JSON or a label is asked for. */
export function completionBody({
  model,
  messages,
  temperature = 0,
  seed,
  maxTokens,
  stop,
}: ChatRequest): object {
  return {
    model,
    messages: messages.map(({ role, content }) => ({ role, content })),
    temperature,
    ...(seed === undefined ? {} : { seed }),
    ...(maxTokens === undefined ? {} : { max_tokens: maxTokens }),
    ...(stop === undefined ? {} : { stop: [...stop] }),
  };
}

type Fields = Readonly<Record<string, unknown>>;

function kindOf(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isAbsent = (value: unknown): value is null | undefined => value === null || value === undefined;

function textOrNull(value: unknown, field: string): string | null {
  if (isAbsent(value)) return null;
  if (typeof value !== "string") throw new MalformedError(`${field} is ${kindOf(value)}, not text`);
  return redact(value);
}

function listOf(value: unknown, field: string): readonly Fields[] {
  if (!Array.isArray(value)) throw new MalformedError(`${field} is ${kindOf(value)}, not a list`);
  return value.map((entry, i) => {
    if (!isFields(entry)) throw new MalformedError(`${field}[${i}] is ${kindOf(entry)}, not an object`);
    return entry;
  });
}

/** The first choice of a reply. Throws MalformedError. */
export function readCompletion(reply: unknown): Completion {
  if (!isFields(reply)) throw new MalformedError(`the reply is ${kindOf(reply)}, not an object`);
  const [choice] = isAbsent(reply.choices) ? [] : listOf(reply.choices, "choices");
  if (!choice) throw new MalformedError("the reply holds no choice");
  const { message, finish_reason: reason, logprobs } = choice;
  if (isAbsent(message)) throw new MalformedError("the reply holds no message");
  if (!isFields(message)) throw new MalformedError(`choices[0].message is ${kindOf(message)}, not an object`);
  return {
    content: textOrNull(message.content, "choices[0].message.content"),
    finishReason: textOrNull(reason, "choices[0].finish_reason"),
    choices: readLogprobs(logprobs),
  };
}

function readLogprobs(logprobs: unknown): readonly TokenChoice[] | undefined {
  const field = "choices[0].logprobs";
  if (isAbsent(logprobs)) return undefined;
  if (!isFields(logprobs)) throw new MalformedError(`${field} is ${kindOf(logprobs)}, not an object`);
  if (isAbsent(logprobs.content)) return undefined;
  return listOf(logprobs.content, `${field}.content`).map((entry, i) => {
    const at = `${field}.content[${i}]`;
    const top = isAbsent(entry.top_logprobs) ? [] : listOf(entry.top_logprobs, `${at}.top_logprobs`);
    return (top.length > 0 ? top : [entry]).map((candidate) => readToken(candidate, at));
  });
}

/** Above what rounding makes of log 1 = 0. */
const maxLogprob = 1e-3;

function readToken({ token, logprob }: Fields, field: string): TokenChoice[number] {
  if (typeof token !== "string")
    throw new MalformedError(`${field} has a token that is ${kindOf(token)}, not text`);
  if (typeof logprob !== "number")
    throw new MalformedError(`${field} has a logprob that is ${kindOf(logprob)}`);
  if (!(logprob <= maxLogprob))
    throw new MalformedError(`${field} has the logprob ${logprob}, which is above 0`);
  return { token: redact(token), logprob: Math.min(logprob, 0) };
}

/** More tokens than any model reads or writes at once: nobody has counted these. */
const mostTokens = 1e9;

/** A count of a text: none for a text that is not empty is no count. */
const isCount = (value: unknown, text: string): value is number =>
  typeof value === "number" &&
  Number.isInteger(value) &&
  value >= (text === "" ? 0 : 1) &&
  value <= mostTokens;

/** Bytes of a token, where the server did not count. */
const bytesPerToken = 4;

/** What the server says the exchange cost; whatever is no count is estimated. */
export function readUsage(reply: unknown, sent: object, content: string): Paid {
  const { usage } = isFields(reply) ? reply : { usage: undefined };
  const { prompt_tokens: prompt, completion_tokens: completion } = isFields(usage) ? usage : ({} as Fields);
  const asked = JSON.stringify((sent as { messages?: unknown }).messages) ?? "";
  const tokens = (text: string) => Math.ceil(Buffer.byteLength(text) / bytesPerToken);
  return {
    promptTokens: isCount(prompt, asked) ? prompt : tokens(asked),
    completionTokens: isCount(completion, content) ? completion : tokens(content),
    ...(!(isCount(prompt, asked) && isCount(completion, content)) && { isEstimated: true }),
  };
}
