// The HTTP side: routes of all dialects behind one door, which checks the token, the size and the shape of what comes in,
// and says what is wrong in the words of the protocol that was spoken.

import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener, type HttpBindings } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { UserError } from "../base/errors.js";
import { keepSecret } from "../base/secrets.js";
import { errorMessage } from "../judges/verdict.js";
import { RunEndingError } from "../llm/types.js";
import { native, unknownPath } from "./dialects/native.js";
import { openApi } from "./openapi.js";
import { type Address, addressOf } from "./prefixes.js";
import { Problem } from "./problem.js";
import { type Call, type Dialect, mistakeIn, problemReply, type Route, toResponse } from "./route.js";
import type { RewardService } from "./service.js";

export interface HttpOptions {
  /** Default 127.0.0.1. */
  host?: string;
  /** 0: whichever is free. */
  port: number;
  /** Absent: whoever reaches the port may ask, which is for loopback alone. */
  token?: string | undefined;
  /** Of a request's body. Default 16 MiB. */
  maxBodyBytes?: number;
  /** For a client to send the whole of a request. Default 60. */
  requestSeconds?: number;
  version: string;
  /** Sees errors that nobody expected. */
  onError?(error: unknown): void;
  /** Sees the server before it listens: protocols that need more than requests. */
  onServer?(server: Server, guard: Guard): void;
}

/** What a socket that is not a request has to pass. */
export interface Guard {
  /** Whether the request may come in; why not otherwise. */
  refuse(request: IncomingMessage): Problem | undefined;
  addressOf(request: IncomingMessage): Address;
}

export interface HttpServer {
  url: string;
  server: Server;
  close(): Promise<void>;
}

const loopback = new Set(["127.0.0.1", "localhost", "::1", "[::1]"]);

const hostOf = (header: string): string => header.replace(/:\d+$/, "");

type Env = { Bindings: HttpBindings };

/** Starts to answer for `service` in every dialect. */
export async function serveHttp(
  service: RewardService,
  dialects: readonly Dialect[],
  options: HttpOptions,
): Promise<HttpServer> {
  const { host = "127.0.0.1", port, token, requestSeconds = 60 } = options;
  requireToken(host, token);
  if (token !== undefined) keepSecret(token);
  const guard = guardOf(options);
  const app = appOf(service, dialects, options, guard);
  const listener = getRequestListener((request, env) => app.fetch(request, env), {
    overrideGlobalObjects: false,
  });
  const server = createServer(
    {
      // Behind the dialects' own word for it (textOf), for whoever is slow before there is a path.
      requestTimeout: 1000 * (requestSeconds + 5),
      headersTimeout: 1000 * Math.min(30, requestSeconds),
      connectionsCheckingInterval: 1000,
      keepAliveTimeout: 65_000,
    },
    (request, response) => {
      addresses.set(request, addressOf(request.url ?? "/"));
      request.url = addresses.get(request)!.url;
      void listener(request, response);
    },
  );
  options.onServer?.(server, guard);
  await listen(server, port, host);
  const { port: actual } = server.address() as AddressInfo;
  const name = host.includes(":") ? `[${host}]` : host;
  return {
    url: `http://${name}:${actual}`,
    server,
    async close() {
      // Connections that are kept alive have nothing to say any more; the others end with their replies.
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      await service.close();
      server.closeIdleConnections();
      const force = setTimeout(() => server.closeAllConnections(), 2000);
      await closed;
      clearTimeout(force);
    },
  };
}

function requireToken(host: string, token: string | undefined): void {
  if (token === undefined && !loopback.has(host))
    throw new UserError(`${host} can be reached by others: give a token (--token or --token-env)`);
}

/** Whether the address may be served at and can be had, before anything is opened or written for it. */
export async function checkDoor({
  host = "127.0.0.1",
  port,
  token,
}: Pick<HttpOptions, "host" | "port" | "token">): Promise<void> {
  requireToken(host, token);
  const server = createServer();
  await listen(server, port, host);
  await new Promise((resolve) => server.close(resolve));
}

const listen = (server: Server, port: number, host: string): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(
        error.code === "EADDRINUSE"
          ? new UserError(`port ${port} of ${host} is in use; choose another with --port`)
          : error.code === "EACCES" || error.code === "EADDRNOTAVAIL"
            ? new UserError(`cannot listen on ${host}, port ${port}: ${error.message}`)
            : error,
      );
    });
    server.listen(port, host, resolve);
  });

/** The address of every request, prefixes taken off. */
const addresses = new WeakMap<IncomingMessage, Address>();

function guardOf({ token }: HttpOptions): Guard {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  const wanted = token === undefined ? undefined : digest(token);
  const isToken = (given: string | undefined) =>
    given !== undefined && timingSafeEqual(digest(given), wanted!);
  return {
    addressOf: (request) => addresses.get(request) ?? addressOf(request.url ?? "/"),
    refuse(request) {
      if (wanted === undefined) {
        // A page in a browser may know the port; it cannot make its host's name a loopback one.
        const { host: header } = request.headers;
        return header !== undefined && loopback.has(hostOf(header))
          ? undefined
          : new Problem("unauthorised", "without a token the server answers to loopback names only");
      }
      const bearer = /^Bearer\s+(.+)$/i.exec(request.headers.authorization ?? "")?.[1];
      const { "x-api-key": key } = request.headers;
      if ([bearer, [key].flat()[0], this.addressOf(request).token].some(isToken)) return undefined;
      return new Problem(
        "unauthorised",
        "the token is missing or wrong; send Authorization: Bearer <token>, or put /t/<token> before the path",
      );
    },
  };
}

function appOf(
  service: RewardService,
  dialects: readonly Dialect[],
  options: HttpOptions,
  guard: Guard,
): Hono<Env> {
  const app = new Hono<Env>();
  const taken = new Set<string>();
  for (const dialect of dialects)
    for (const route of dialect.routes) {
      const place = `${route.method} ${route.path}`;
      if (taken.has(place)) throw new Error(`two dialects answer ${place}`);
      taken.add(place);
      app.on(route.method, [route.path], (context) =>
        answer(context, dialect, route, { service, options, guard }),
      );
    }
  app.get("/openapi.json", (context) => context.json(openApi(dialects, options.version)));
  app.notFound((context) => problemReply(native, unknownPath(context.req.path)));
  return app;
}

interface Surroundings {
  service: RewardService;
  options: HttpOptions;
  guard: Guard;
}

async function answer(
  context: Context<Env>,
  dialect: Dialect,
  route: Route,
  { service, options, guard }: Surroundings,
): Promise<Response> {
  const { incoming } = context.env;
  const begun = performance.now();
  let response: Response;
  try {
    const refusal = route.isOpen ? undefined : guard.refuse(incoming);
    if (refusal) throw refusal;
    const body = route.body ? await bodyOf(context, route, options) : undefined;
    const call = callOf(context, dialect, { service, body, address: guard.addressOf(incoming) });
    const reply = await route.handle(call);
    response = reply instanceof Response ? reply : toResponse(reply);
  } catch (error) {
    response = problemReply(dialect, problemOf(error, options));
  }
  service.meter.count("requests_total", { dialect: dialect.name, status: String(response.status) });
  service.meter.observe("request_seconds", (performance.now() - begun) / 1000, { dialect: dialect.name });
  return response;
}

function callOf(
  { req }: Context<Env>,
  dialect: Dialect,
  { service, body, address }: { service: RewardService; body: unknown; address: Address },
): Call<unknown> {
  const { signal } = req.raw;
  const at = address.url.indexOf("?");
  return {
    body,
    service,
    params: req.param() as Record<string, string>,
    query: new URLSearchParams(at < 0 ? "" : address.url.slice(at)),
    headers: req.raw.headers,
    task: address.task,
    signal,
    score: (samples, task = address.task) => service.score(samples, { dialect: dialect.name, task, signal }),
  };
}

function problemOf(error: unknown, { onError }: HttpOptions): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof RunEndingError) return new Problem("unavailable", error.message);
  if (error instanceof UserError) return new Problem("invalid", error.message);
  if ((error as Error)?.name === "AbortError") return hasGone();
  onError?.(error);
  return new Problem("internal", `the server has failed: ${errorMessage(error)}`);
}

const hasGone = () => new Problem("unavailable", "the client has gone");

/** The body, checked. Nothing of it is kept beyond the limit. */
async function bodyOf(
  { req }: Context<Env>,
  route: Route,
  { maxBodyBytes = 2 ** 24, requestSeconds = 60 }: HttpOptions,
): Promise<unknown> {
  const type = req.header("content-type") ?? "";
  // Pages of other origins may post plain text and forms without being asked; JSON they may not.
  if (!/^application\/(?:[\w.-]+\+)?json\b/i.test(type))
    throw new Problem("wrong_type", `the body must be JSON (content-type: application/json), not "${type}"`);
  const late = new Problem("slow", `the body did not come within ${requestSeconds} s`);
  const text = await inTime(requestSeconds, late, textOf(req.raw, maxBodyBytes)).catch((error: unknown) => {
    throw (error as NodeJS.ErrnoException)?.code === "ECONNRESET" ? hasGone() : error;
  });
  let value: unknown;
  try {
    value = text.trim() === "" ? {} : JSON.parse(text);
  } catch (error) {
    throw new Problem("invalid", `the body is not JSON: ${errorMessage(error)}`);
  }
  const parsed = route.body!.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path } = parsed.error.issues[0]!;
  throw new Problem("invalid", mistakeIn(parsed.error), path.length > 0 ? { param: path.join(".") } : {});
}

/** What the work gives, or `late`. The work is not stopped: its connection closes behind the answer. */
async function inTime<T>(seconds: number, late: Problem, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const end = new Promise<never>((_, reject) => {
    timer = setTimeout(reject, 1000 * seconds, late);
  });
  try {
    return await Promise.race([work, end]);
  } finally {
    clearTimeout(timer);
  }
}

async function textOf(request: Request, limit: number): Promise<string> {
  const tooLarge = () => new Problem("too_large", `the body is larger than the limit of ${limit} bytes`);
  const length = Number(request.headers.get("content-length") ?? Number.NaN);
  if (length > limit) throw tooLarge();
  if (Number.isFinite(length)) return request.text();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > limit) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
