// One request to a server that may do anything: its reply has a bounded size once decoded and one deadline for headers and
// body together, and a redirect is a failure unless somebody follows it knowingly, so that neither prompts nor keys go
// where nobody named them.

import { brief } from "./brief.js";
import { isTransient, retryAfterSeconds } from "./requests.js";
import type { Failure } from "./retry.js";
import { redact } from "./secrets.js";

/** Why there is no reply, in a few words. */
export class HttpError extends Error implements Failure {
  override name = "HttpError";
  readonly status: number | undefined;
  readonly isTransient: boolean;
  readonly retryAfterSeconds: number | undefined;
  /** Where a redirect points to. */
  readonly location: string | undefined;
  /** No connection was made, so that the server has seen nothing of the request. */
  readonly isUnsent: boolean;

  constructor(
    message: string,
    {
      status,
      isTransient: again,
      retryAfter,
      location,
      isUnsent = false,
    }: {
      status?: number;
      isTransient?: boolean;
      retryAfter?: string | null;
      location?: string;
      isUnsent?: boolean;
    } = {},
  ) {
    super(redact(message));
    this.status = status;
    this.isTransient = again ?? isTransient(status);
    this.retryAfterSeconds = retryAfterSeconds(retryAfter);
    this.location = location;
    this.isUnsent = isUnsent;
  }
}

export interface RequestOptions {
  apiKey?: string | undefined;
  /** Until the last byte of the reply. */
  timeoutSeconds: number;
  /** Of the decoded reply. */
  maxReplyBytes: number;
  signal?: AbortSignal | undefined;
  /**
   * On a connection of its own. One that is kept may have been closed by the server just now, which leaves open whether
   * the request was seen.
   */
  fresh?: boolean | undefined;
}

/** What is sent: nothing (GET), or bytes of a type (POST). */
export interface Message {
  body?: string | Uint8Array;
  /** Default application/json. */
  contentType?: string;
  /** Default application/json. */
  accept?: string;
  headers?: Record<string, string>;
}

export interface Reply {
  bytes: Buffer;
  /** Media type without parameters, in lower case; "" where there is none. */
  type: string;
}

/** Cleaned of keys before it is cut: half a key is found no more. */
const quoted = (text: string, length?: number) => brief(redact(text), length);

/** Of a reply that is only to be quoted. */
const maxErrorBytes = 16_384;

type Undici = typeof import("undici");
type Agent = InstanceType<Undici["Agent"]>;
let opened: Promise<{ fetch: Undici["fetch"]; kept: Agent; fresh: Agent }> | undefined;

/** Without the usual limits of five minutes: the deadline of the request is the only one. */
const transport = () =>
  (opened ??= import("undici").then(({ fetch, Agent }) => ({
    fetch,
    kept: new Agent({ headersTimeout: 0, bodyTimeout: 0 }),
    fresh: new Agent({ headersTimeout: 0, bodyTimeout: 0, pipelining: 0 }),
  })));

/** The parsed reply to a POST of JSON. Throws HttpError, or what the signal was aborted with. */
export async function postJson(url: URL, body: object, options: RequestOptions): Promise<unknown> {
  return parseJson(await request(url, { body: JSON.stringify(body) }, options));
}

/** The JSON in a reply. */
export function parseJson({ bytes }: Reply): unknown {
  const text = bytes.toString("utf8");
  try {
    return JSON.parse(text);
  } catch {
    throw new HttpError(`the reply is not JSON: ${JSON.stringify(quoted(text, 60))}`);
  }
}

/** The reply to a request. Throws HttpError, or what the signal was aborted with. */
export async function request(url: URL, message: Message, options: RequestOptions): Promise<Reply> {
  const { timeoutSeconds, signal } = options;
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), Math.min(1000 * timeoutSeconds, 2 ** 31 - 1));
  const stop = () => deadline.abort();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    signal?.throwIfAborted();
    return await exchange(url, message, options, deadline.signal);
  } catch (error) {
    const isLate = deadline.signal.aborted;
    // Whatever is still on its way.
    deadline.abort();
    signal?.throwIfAborted();
    if (error instanceof HttpError) throw error;
    if (isLate) throw new HttpError(`no whole reply within ${timeoutSeconds} s (timeout_seconds)`);
    throw new HttpError(`no answer from the server at ${url.origin}: ${whyNone(error)}`, {
      isUnsent: unsent.has(codeOf(error) ?? ""),
    });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

async function exchange(
  url: URL,
  { body, contentType = "application/json", accept = "application/json", headers: extra }: Message,
  { apiKey, maxReplyBytes, fresh }: RequestOptions,
  signal: AbortSignal,
): Promise<Reply> {
  const { fetch, ...agents } = await transport();
  const response = await fetch(url, {
    method: body === undefined ? "GET" : "POST",
    headers: {
      ...extra,
      accept,
      ...(body !== undefined && { "content-type": contentType }),
      ...(apiKey && { authorization: `Bearer ${apiKey}` }),
    },
    ...(body !== undefined && { body }),
    redirect: "manual",
    dispatcher: fresh ? agents.fresh : agents.kept,
    signal,
  });
  const { status, headers } = response;
  if (status >= 300 && status < 400) {
    const location = headers.get("location") ?? undefined;
    throw new HttpError(
      `${status}: the server redirects to ${quoted(location ?? "nowhere", 100)}, which is not followed; name the final address as base_url`,
      { status, ...(location !== undefined && { location }) },
    );
  }
  if (!response.ok) {
    const { bytes } = await decoded(response.body, maxErrorBytes);
    // Most often an address without its last part.
    const asked = status === 404 ? ` (asked: ${url.pathname})` : "";
    const said = quoted(errorIn(bytes.toString("utf8"))) || "without a message";
    throw new HttpError(`${status} ${said}${asked}`, {
      status,
      retryAfter: headers.get("retry-after"),
    });
  }
  const { bytes, isWhole } = await decoded(response.body, maxReplyBytes);
  if (!isWhole)
    throw new HttpError(`the reply is larger than ${maxReplyBytes} bytes (max_reply_bytes)`, {
      isTransient: false,
    });
  return { bytes, type: (headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase() };
}

/** The first `limit` bytes of a body; what is behind them is not fetched. */
async function decoded(
  body: AsyncIterable<Uint8Array> | null,
  limit: number,
): Promise<{ bytes: Buffer; isWhole: boolean }> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > limit) break;
  }
  return { bytes: Buffer.concat(chunks).subarray(0, limit), isWhole: size <= limit };
}

/** What an error reply says: OpenAI's `{ error: { message } }`, FastAPI's `{ detail }`, or the text as it is. */
function errorIn(text: string): string {
  try {
    const { error, message, detail } = JSON.parse(text) as Record<string, unknown>;
    const said =
      typeof error === "object" && error !== null ? (error as { message?: unknown }).message : error;
    return [said, message, detail].find((part) => typeof part === "string") ?? text;
  } catch {
    return text;
  }
}

/** Before there is a connection. */
const unsent = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);

const codeOf = (error: unknown): string | undefined =>
  (error as { cause?: { code?: string } } | undefined)?.cause?.code;

/** Ports of other protocols are never asked (the "bad ports" of the Fetch standard). */
function whyNone(error: unknown): string {
  const why = brief(causeOf(error));
  return why === "bad port"
    ? "its port is reserved for another protocol; let the server listen at another"
    : why;
}

/** `fetch` says only "fetch failed"; the cause says why. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error as { cause?: { code?: string; message?: string } };
  return cause?.message || cause?.code || error.message;
}
