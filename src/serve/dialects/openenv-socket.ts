// OpenEnv's sessions: a WebSocket at /ws, which its clients use and nothing else.
//   -> {"type":"reset","data":{}} {"type":"step","data":{<action>}} {"type":"state"} {"type":"close"}
//   <- {"type":"observation","data":{...}} {"type":"state","data":{...}} {"type":"error","data":{"message","code"}}

import type { Server } from "node:http";
import { type RawData, type WebSocket, WebSocketServer } from "ws";
import { z } from "zod";
import { UserError } from "../../base/errors.js";
import { errorMessage } from "../../judges/verdict.js";
import type { Guard } from "../http.js";
import { Problem, statusOf } from "../problem.js";
import { mistakeIn } from "../route.js";
import type { ServedSample } from "../sample.js";
import type { RewardService } from "../service.js";
import {
  actionSchema,
  type OpenEnvEpisode,
  resetEpisode,
  resetSchema,
  stateOf,
  stepEpisode,
} from "./openenv.js";

const message = z.strictObject({
  type: z.string(),
  data: z.record(z.string(), z.unknown()).default({}),
});

export interface SocketOptions {
  maxBodyBytes?: number;
  /** Sessions at the same time. Default 4096. */
  maxSessions?: number;
}

type Code = "INVALID_JSON" | "UNKNOWN_TYPE" | "VALIDATION_ERROR" | "EXECUTION_ERROR" | "CAPACITY_REACHED";

class SocketError extends Error {
  constructor(
    readonly code: Code,
    sentence: string,
  ) {
    super(sentence);
  }
}

/** Answers WebSockets of `server` at /ws. */
export function serveSockets(
  server: Server,
  guard: Guard,
  service: RewardService,
  { maxBodyBytes = 2 ** 24, maxSessions = 4096 }: SocketOptions = {},
): void {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: maxBodyBytes });
  server.on("upgrade", (request, stream, head) => {
    const refusal = guard.refuse(request);
    const { url, task } = guard.addressOf(request);
    const isKnown = url.split("?")[0] === "/ws";
    if (refusal || !isKnown) {
      const status = refusal ? statusOf[refusal.kind] : 404;
      stream.end(`HTTP/1.1 ${status} Refused\r\nconnection: close\r\n\r\n`);
      return;
    }
    sockets.handleUpgrade(request, stream, head, (socket) => {
      if (sockets.clients.size > maxSessions) {
        say(socket, errorReply(new SocketError("CAPACITY_REACHED", `${maxSessions} sessions are open`)));
        socket.close();
      } else converse(socket, service, task);
    });
  });
  server.on("close", () => sockets.close());
  service.onClose(() => {
    for (const socket of sockets.clients) socket.close(1001, "the server stops");
  });
}

const say = (socket: WebSocket, reply: object): void => {
  if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(reply));
};

/** One session: messages are answered in their order. */
function converse(socket: WebSocket, service: RewardService, task: string | undefined): void {
  let episode: OpenEnvEpisode | undefined;
  let turn = Promise.resolve();
  const gone = new AbortController();
  const score = (samples: readonly ServedSample[], name?: string) =>
    service.score(samples, { dialect: "openenv", task: name ?? task, signal: gone.signal });
  const handlers: Record<string, (data: Record<string, unknown>) => Promise<object | undefined>> = {
    async reset(data) {
      const { episode: next, reply } = resetEpisode(service, checked(resetSchema, data), task);
      episode = next;
      return { type: "observation", data: reply };
    },
    async step(data) {
      const action = checked(actionSchema, data);
      const reply = await stepEpisode(
        service,
        { ...(task !== undefined && { task }), ...action },
        score,
        episode,
      );
      if (episode) episode.steps++;
      return { type: "observation", data: reply };
    },
    state: async () => ({ type: "state", data: stateOf(episode) }),
    async close() {
      socket.close();
      return undefined;
    },
  };
  const answer = async (raw: RawData) => {
    try {
      const { type, data } = parsed(raw);
      const handler = Object.hasOwn(handlers, type) ? handlers[type] : undefined;
      if (!handler) throw new SocketError("UNKNOWN_TYPE", `Unknown message type: ${type}`);
      const reply = await handler(data);
      if (reply) say(socket, reply);
    } catch (error) {
      say(socket, errorReply(error));
    }
  };
  socket.on("message", (raw) => {
    turn = turn.then(() => answer(raw));
  });
  socket.on("error", () => socket.terminate());
  socket.on("close", () => gone.abort());
}

function parsed(raw: RawData) {
  let value: unknown;
  try {
    value = JSON.parse(String(raw));
  } catch (error) {
    throw new SocketError("INVALID_JSON", `Invalid JSON: ${errorMessage(error)}`);
  }
  return checked(message, value);
}

function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new SocketError("VALIDATION_ERROR", mistakeIn(result.error));
}

function errorReply(error: unknown) {
  const isMistake = error instanceof UserError || (error instanceof Problem && error.kind === "invalid");
  const code = error instanceof SocketError ? error.code : isMistake ? "VALIDATION_ERROR" : "EXECUTION_ERROR";
  return { type: "error", data: { message: errorMessage(error), code } };
}
