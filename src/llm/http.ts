// One POST to a server that may do anything: its reply has a bounded size once decoded and one deadline for headers and
// body together, and a redirect is a failure, so that neither prompts nor keys go where nobody named them.

import { isTransient, retryAfterSeconds } from "../base/requests.js";
import type { Failure } from "../base/retry.js";
import { redact } from "../base/secrets.js";
import { brief } from "./types.js";

/** Why there is no reply, in a few words. */
export class HttpError extends Error implements Failure {
  override name = "HttpError";
  readonly status: number | undefined;
  readonly isTransient: boolean;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    message: string,
    {
      status,
      isTransient: again,
      retryAfter,
    }: { status?: number; isTransient?: boolean; retryAfter?: string | null } = {},
  ) {
    super(redact(message));
    this.status = status;
    this.isTransient = again ?? isTransient(status);
    this.retryAfterSeconds = retryAfterSeconds(retryAfter);
  }
}

export interface PostOptions {
  apiKey?: string | undefined;
  /** Until the last byte of the reply. */
  timeoutSeconds: number;
  /** Of the decoded reply. */
  maxReplyBytes: number;
  signal?: AbortSignal | undefined;
}

/** Of a reply that is only to be quoted. */
const maxErrorBytes = 16_384;

type Undici = typeof import("undici");
let opened: Promise<{ fetch: Undici["fetch"]; dispatcher: InstanceType<Undici["Agent"]> }> | undefined;

/** Without the usual limits of five minutes: the deadline of the request is the only one. */
const transport = () =>
  (opened ??= import("undici").then(({ fetch, Agent }) => ({
    fetch,
    dispatcher: new Agent({ headersTimeout: 0, bodyTimeout: 0 }),
  })));

/** The parsed reply. Throws HttpError, or what the signal was aborted with. */
export async function postJson(url: URL, body: object, options: PostOptions): Promise<unknown> {
  const { timeoutSeconds, signal } = options;
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), Math.min(1000 * timeoutSeconds, 2 ** 31 - 1));
  const stop = () => deadline.abort();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    signal?.throwIfAborted();
    return await exchange(url, body, options, deadline.signal);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof HttpError) throw error;
    if (deadline.signal.aborted)
      throw new HttpError(`no whole reply within ${timeoutSeconds} s (timeout_seconds)`);
    throw new HttpError(`no answer from the server: ${brief(causeOf(error))}`);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
    // Whatever is still on its way.
    deadline.abort();
  }
}

async function exchange(
  url: URL,
  body: object,
  { apiKey, maxReplyBytes }: PostOptions,
  signal: AbortSignal,
): Promise<unknown> {
  const { fetch, dispatcher } = await transport();
  const response = await fetch(url, {
    method: "POST",
    headers: {
      accept: "application/json",
      "content-type": "application/json",
      ...(apiKey && { authorization: `Bearer ${apiKey}` }),
    },
    body: JSON.stringify(body),
    redirect: "manual",
    dispatcher,
    signal,
  });
  const { status, headers } = response;
  if (status >= 300 && status < 400) {
    const to = brief(headers.get("location") ?? "nowhere", 100);
    throw new HttpError(
      `${status}: the server redirects to ${to}, which is not followed; name the final address as base_url`,
      { status },
    );
  }
  if (!response.ok) {
    const { text } = await decoded(response.body, maxErrorBytes);
    throw new HttpError(`${status} ${brief(errorIn(text)) || "without a message"}`, {
      status,
      retryAfter: headers.get("retry-after"),
    });
  }
  const { text, isWhole } = await decoded(response.body, maxReplyBytes);
  if (!isWhole)
    throw new HttpError(`the reply is larger than ${maxReplyBytes} bytes (max_reply_bytes)`, {
      isTransient: false,
    });
  try {
    return JSON.parse(text);
  } catch {
    throw new HttpError(`the reply is not JSON: ${JSON.stringify(brief(text, 60))}`);
  }
}

/** The first `limit` bytes of a body as text; what is behind them is not fetched. */
async function decoded(
  body: AsyncIterable<Uint8Array> | null,
  limit: number,
): Promise<{ text: string; isWhole: boolean }> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > limit) break;
  }
  const text = Buffer.concat(chunks).subarray(0, limit).toString("utf8");
  return { text, isWhole: size <= limit };
}

/** What an error reply says: OpenAI's `{ error: { message } }`, or the text as it is. */
function errorIn(text: string): string {
  try {
    const { error, message } = JSON.parse(text) as Record<string, unknown>;
    const said =
      typeof error === "object" && error !== null ? (error as { message?: unknown }).message : error;
    return [said, message].find((part) => typeof part === "string") ?? text;
  } catch {
    return text;
  }
}

/** `fetch` says only "fetch failed"; the cause says why. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error as { cause?: { code?: string; message?: string } };
  return cause?.message || cause?.code || error.message;
}
