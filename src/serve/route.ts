// How a dialect is written: its routes, each a path, what it reads and what it answers, and its own errors. Types, and the
// few words that all dialects share.

import { z } from "zod";
import type { ServeRecipe } from "../recipe/recipe.js";
import { Problem, type ProblemKind, statusOf } from "./problem.js";
import type { ServedResult, ServedSample } from "./sample.js";
import type { RewardService } from "./service.js";

/** A request as a route sees it. */
export interface Call<Body> {
  body: Body;
  service: RewardService;
  /** Of the path, after `:name`. */
  params: Readonly<Record<string, string>>;
  query: URLSearchParams;
  headers: Headers;
  /** The task that the path names (`/task/<name>/...`). */
  task: string | undefined;
  /** Aborts when the client has gone. */
  signal: AbortSignal;
  /** Asks the service in this dialect's name. */
  score(samples: readonly ServedSample[], task?: string): Promise<ServedResult[]>;
}

export interface Reply {
  status?: number;
  headers?: Record<string, string>;
  /** JSON, unless it is text already. */
  body: unknown;
}

export interface Route<Body = unknown> {
  method: "GET" | "POST";
  path: string;
  summary: string;
  /** What the body has to be; absent: it is not read. */
  body?: z.ZodType<Body>;
  /** Whoever asks may: probes. */
  isOpen?: boolean;
  handle(call: Call<Body>): Promise<Reply | Response> | Reply | Response;
}

export interface Dialect {
  name: string;
  routes: readonly Route[];
  /** What the protocol says when something is wrong; `status` is the usual one of that kind. */
  error(problem: Problem, status: number): Reply;
}

/** Infers the body's type from its schema. */
export const route = <Body>(given: Route<Body>): Route => given as unknown as Route;

/** The text that becomes a reply. */
export function toResponse({ status = 200, headers = {}, body }: Reply): Response {
  const isText = typeof body === "string";
  const type = isText ? "text/plain; charset=utf-8" : "application/json";
  return new Response(isText ? body : JSON.stringify(body), {
    status,
    headers: { "content-type": type, ...headers },
  });
}

/** An answer to a problem, with what HTTP says of it. */
export function problemReply(dialect: Dialect, problem: Problem): Response {
  const reply = dialect.error(problem, statusOf[problem.kind]);
  const { retryAfterSeconds } = problem.details;
  const headers = {
    ...(retryAfterSeconds !== undefined && { "retry-after": String(retryAfterSeconds) }),
    ...(problem.kind === "unauthorised" && { "www-authenticate": "Bearer" }),
    // Whatever is still on its way is read by nobody.
    ...(["too_large", "slow"].includes(problem.kind) && { connection: "close" }),
    ...reply.headers,
  };
  return toResponse({ status: statusOf[problem.kind], ...reply, headers });
}

/** The first mistake in a body, as a sentence. */
export function mistakeIn(error: z.ZodError): string {
  const { path, message } = error.issues[0]!;
  return path.length === 0 ? `the body: ${message}` : `${path.join(".")}: ${message}`;
}

/** Text or messages, as all protocols write a prompt. */
export const promptField = z.union(
  [z.string(), z.array(z.looseObject({ role: z.string(), content: z.string() })).min(1)],
  { error: "must be a text, or a list of messages { role, content }" },
);

export const metadataField = z.record(z.string(), z.unknown());

/** What a failed sample is answered with where the protocol has nothing for it: a number that the recipe answers for, or 503. */
export function valueOrUnavailable(result: ServedResult, { onFailed }: ServeRecipe): number {
  if (result.value !== null) return result.value;
  if (typeof onFailed === "number") return onFailed;
  throw unavailable(result);
}

/** The same where the protocol has a way of its own: null, unless the recipe wants it otherwise. */
export function valueOrNull(result: ServedResult, { onFailed }: ServeRecipe): number | null {
  if (result.value !== null || onFailed === "own") return result.value;
  return valueOrUnavailable(result, { onFailed } as ServeRecipe);
}

const unavailable = ({ reason }: ServedResult): Problem =>
  new Problem("unavailable", `the sample could not be scored: ${reason}`, { retryAfterSeconds: 1 });

export type { ProblemKind };
