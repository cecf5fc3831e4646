// A session with a service that speaks the Tinker protocol: requests that are answered later (futures), retries that
// cannot count twice, and the heartbeat that keeps the session.

import { setTimeout as delay } from "node:timers/promises";
import { UserError } from "../../base/errors.js";
import { HttpError, type Message, parseJson, type Reply, request } from "../../base/http.js";
import { type Failure, type RetryOptions, retrying } from "../../base/retry.js";
import { redact } from "../../base/secrets.js";

/** The service failed in a way that no further attempt mends. */
export class ServiceError extends UserError {
  override name = "ServiceError";
  readonly status: number | undefined;

  constructor(message: string, status?: number) {
    super(redact(message));
    this.status = status;
  }
}

export interface ClientOptions {
  /** Up to, not including, `/api/v1`. */
  baseUrl: string;
  apiKey?: string | undefined;
  /** Of one exchange; a result may take any number of them. Default 330: a service holds a request for 300. */
  timeoutSeconds?: number;
  /** How long a result may take. Default 3600. */
  resultSeconds?: number;
  /** Further attempts after a failed one. Default 6. */
  maxRetries?: number;
  /** Pause before the first; doubles each time, with jitter. Default 0.5. */
  retrySeconds?: number;
  /** Of a decoded reply. Default 256 MiB. */
  maxReplyBytes?: number;
  /** Sleeps; tests give their own. */
  pause?: RetryOptions["pause"];
}

/** Whether a request that got no answer may be sent again. */
type Repeats =
  /** It changes nothing, or the service knows it by its number. */
  | "always"
  /** Only when the service cannot have taken it: a second one would count twice. */
  | "unsent";

const HEARTBEAT_SECONDS = 10;

/** The client of the protocol's authors whose messages these are. */
const SDK_VERSION = "0.25.0";

/** 425: a checkpoint that is still being written. */
const notNow = new Set([425, 429, 503]);

export class TinkerClient {
  private heartbeat: NodeJS.Timeout | undefined;
  sessionId = "";
  private samplers = 0;
  /** The service says which requests are done by one request for all of a sampling session. */
  pollsTogether = false;

  private constructor(private readonly options: ClientOptions) {}

  /** Opens a client and its session. */
  static async open(options: ClientOptions): Promise<TinkerClient> {
    const client = new TinkerClient(options);
    const { session_id: id } = await client.json("create_session", {
      tags: ["touchstone"],
      user_metadata: {},
      sdk_version: SDK_VERSION,
    });
    if (typeof id !== "string") throw client.failure("create_session", "its reply names no session");
    client.sessionId = id;
    client.pollsTogether = (await client.flags()).sample_use_retrieve_futures === true;
    client.heartbeat = setInterval(() => {
      // A lost beat is made up for by the next one; the service waits for minutes.
      client.send("session_heartbeat", { body: JSON.stringify({ session_id: id }) }, {}).catch(() => {});
    }, 1000 * HEARTBEAT_SECONDS);
    client.heartbeat.unref();
    return client;
  }

  close(): void {
    clearInterval(this.heartbeat);
  }

  /** The next number of a sampling session. */
  nextSampler(): number {
    return this.samplers++;
  }

  get service(): string {
    return this.options.baseUrl;
  }

  /** GET of a path below /api/v1. */
  async get(path: string): Promise<Record<string, unknown>> {
    return this.parsed(path, await this.exchange(path, {}, { repeats: "always" }));
  }

  /** How the service wants to be spoken to; many have no such route. */
  private async flags(): Promise<Record<string, unknown>> {
    try {
      return await this.json("client/config", { sdk_version: SDK_VERSION });
    } catch (error) {
      if (error instanceof ServiceError && error.status !== undefined) return {};
      throw error;
    }
  }

  get resultSeconds(): number {
    return this.options.resultSeconds ?? 3600;
  }

  /** POST of JSON to a route that holds the request; undefined: it has nothing yet. */
  async poll(path: string, body: object, signal: AbortSignal): Promise<Record<string, unknown> | undefined> {
    try {
      const message = { body: JSON.stringify(body) };
      return this.parsed(
        path,
        await this.exchange(path, message, { repeats: "always", polls: true, signal }),
      );
    } catch (error) {
      if (error instanceof ServiceError && error.status === 408) return undefined;
      throw error;
    }
  }

  /** POST of JSON that is answered at once. */
  async json(path: string, body: object, repeats: Repeats = "always"): Promise<Record<string, unknown>> {
    return this.parsed(path, await this.exchange(path, { body: JSON.stringify(body) }, { repeats }));
  }

  /** Sends what is answered later; returns the number of the request. */
  async submit(path: string, message: Message, repeats: Repeats, signal?: AbortSignal): Promise<string> {
    const { request_id: id } = this.parsed(path, await this.exchange(path, message, { repeats, signal }));
    if (typeof id !== "string" && typeof id !== "number")
      throw this.failure(path, "its reply names no request");
    return String(id);
  }

  /** Waits for the result of a request. A request that failed is a ServiceError with what the service says of it. */
  async result(id: string, what: string, accept?: string, signal?: AbortSignal): Promise<Reply> {
    const deadline = performance.now() + 1000 * this.resultSeconds;
    const message = { body: JSON.stringify({ request_id: id }), ...(accept && { accept }) };
    for (let polls = 0; ; polls++) {
      if (performance.now() > deadline)
        throw this.failure(what, `there is no result after ${this.resultSeconds} s`);
      try {
        const reply = await this.exchange("retrieve_future", message, {
          repeats: "always",
          signal,
          polls: true,
        });
        if (!isPending(reply)) return reply;
      } catch (error) {
        if (!(error instanceof ServiceError) || error.status !== 408) throw error;
      }
      await delay(Math.min(20 * 2 ** polls, 1000), undefined, signal ? { signal } : {});
    }
  }

  /** The bytes behind a path that redirects to where they are. The key goes to the service itself only. */
  async download(path: string): Promise<Buffer> {
    let url = this.url(path);
    for (let hops = 0; hops < 4; hops++) {
      try {
        const own = url.origin === this.url("").origin;
        const reply = await this.again(
          () => request(url, { accept: "*/*", ...(own && this.key()) }, this.limits()),
          "always",
        );
        return reply.bytes;
      } catch (error) {
        const location = error instanceof HttpError ? error.location : undefined;
        if (location === undefined) throw this.failure(path, (error as Error).message);
        url = new URL(location, url);
        if (url.protocol !== "https:" && url.protocol !== "http:")
          throw this.failure(path, `it redirects to ${url.protocol}`);
      }
    }
    throw this.failure(path, "it redirects again and again");
  }

  failure(what: string, why: string, status?: number): ServiceError {
    return new ServiceError(`the service at ${this.service}: ${what}: ${why}`, status);
  }

  private parsed(path: string, reply: Reply): Record<string, unknown> {
    try {
      const value = parseJson(reply);
      if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
    } catch {
      // Said below.
    }
    throw this.failure(path, "its reply is not a JSON object");
  }

  private async exchange(
    path: string,
    message: Message,
    { repeats, signal, polls }: { repeats: Repeats; signal?: AbortSignal | undefined; polls?: boolean },
  ): Promise<Reply> {
    try {
      return await this.again(
        () => this.send(path, message, { signal, fresh: repeats === "unsent" }),
        repeats,
        { signal, polls },
      );
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      const isLost = repeats === "unsent" && error.status === undefined && !error.isUnsent;
      const lost = isLost
        ? "; whether the service has counted the request is not known, and it does not recognise one that is sent again: continue from the last checkpoint with --resume"
        : "";
      throw this.failure(path, error.message + lost, error.status);
    }
  }

  private send(
    path: string,
    message: Message,
    { signal, fresh }: { signal?: AbortSignal | undefined; fresh?: boolean },
  ): Promise<Reply> {
    return request(this.url(path), { ...message, ...this.key() }, { ...this.limits(), signal, fresh });
  }

  private again<T>(
    attempt: () => Promise<T>,
    repeats: Repeats,
    { signal, polls = false }: { signal?: AbortSignal | undefined; polls?: boolean | undefined } = {},
  ): Promise<T> {
    const { maxRetries: retries = 6, retrySeconds: backoffSeconds = 0.5, pause } = this.options;
    const failureOf = (error: unknown): Failure => {
      if (!(error instanceof HttpError)) return { isTransient: false };
      const { status, isUnsent, retryAfterSeconds } = error;
      const refused = isUnsent || (status !== undefined && notNow.has(status));
      // 408 is how a long poll ends that has nothing yet; 409 is an answer.
      const isTransient =
        refused ||
        (repeats === "always" && error.isTransient && status !== 409 && !(polls && status === 408));
      return { isTransient, retryAfterSeconds };
    };
    return retrying(attempt, failureOf, { retries, backoffSeconds, signal, ...(pause && { pause }) });
  }

  private url(path: string): URL {
    return new URL(`${this.service.replace(/\/+$/, "")}/api/v1/${path}`);
  }

  private limits() {
    const { timeoutSeconds = 330, maxReplyBytes = 256 * 2 ** 20 } = this.options;
    return { timeoutSeconds, maxReplyBytes };
  }

  /** Both headers in which services look for a key. */
  private key(): Pick<Message, "headers"> {
    const { apiKey } = this.options;
    return apiKey ? { headers: { authorization: `Bearer ${apiKey}`, "x-api-key": apiKey } } : {};
  }
}

/** Services that answer a poll with a sign instead of status 408. */
function isPending({ bytes, type }: Reply): boolean {
  if (type !== "application/json" || bytes.length > 1000) return false;
  const text = bytes.toString("utf8");
  return /"(status|type)"\s*:\s*"(pending|try_again)"/.test(text);
}
