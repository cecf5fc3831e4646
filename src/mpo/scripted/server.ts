// A local OpenAI-compatible server whose models are scripted programs (models.ts). It says so in everything it sends:
// model owner, reply ids, system fingerprint and a header.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { essayReviewer, type Reviewer } from "./dialect.js";
import { contentFaults, type Fault } from "./faults.js";
import { type ScriptedMessage, scriptedModels, scriptedReply } from "./models.js";

export interface ScriptedRequest {
  /** 0 for the first chat request. */
  index: number;
  model: string;
  messages: ScriptedMessage[];
}

export interface ScriptedServerOptions {
  /** Default: a free one. */
  port?: number;
  /** The fault of a request, if it is to have one. */
  fault?: (request: ScriptedRequest) => Fault | undefined;
  /** Which hacks the meta reward model knows. Default: those of the canned answers. */
  reviewer?: Reviewer;
  /** Pause before every reply. */
  latencyMs?: number;
  /** Pause of the fault `slow`. */
  slowMs?: number;
}

export interface ScriptedServer {
  /** For the client: ends in /v1. */
  baseUrl: string;
  /** Every chat request so far, in the order of arrival. */
  requests: readonly ScriptedRequest[];
  /** Most requests that were under way at the same time. */
  peak: () => number;
  close: () => Promise<void>;
}

const label = "scripted";

const countWords = (text: string): number => text.split(/\s+/).length;

function completion(model: string, messages: readonly ScriptedMessage[], content: string, isCutOff: boolean) {
  const promptTokens = messages.reduce((sum, message) => sum + countWords(message.content), 0);
  return {
    id: `${label}-${model}`,
    object: "chat.completion",
    created: 0,
    model,
    system_fingerprint: label,
    choices: [
      {
        index: 0,
        message: { role: "assistant", content },
        finish_reason: isCutOff ? "length" : "stop",
        logprobs: null,
      },
    ],
    usage: {
      prompt_tokens: promptTokens,
      completion_tokens: countWords(content),
      total_tokens: promptTokens + countWords(content),
    },
  };
}

function send(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  response.writeHead(status, {
    "content-type": "application/json",
    "x-touchstone-models": label,
    ...headers,
  });
  response.end(text);
}

const apiError = (message: string) => ({ error: { message, type: label } });

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

/** What every model says to the question whether it is there, which a run asks before its first step. */
const greeting = (messages: ScriptedRequest["messages"]): string | undefined =>
  messages.at(-1)?.content === "Reply with the word ready." ? "ready" : undefined;

/** Starts the server on the loopback interface. */
export async function startScriptedServer({
  port: wanted = 0,
  fault = () => undefined,
  reviewer = essayReviewer,
  latencyMs = 0,
  slowMs = 2000,
}: ScriptedServerOptions = {}): Promise<ScriptedServer> {
  const requests: ScriptedRequest[] = [];
  let active = 0;
  let peak = 0;

  const chat = async (body: string, response: ServerResponse): Promise<void> => {
    const { model, messages } = JSON.parse(body) as Omit<ScriptedRequest, "index">;
    const request = { index: requests.length, model, messages };
    requests.push(request);
    const chosen = fault(request);
    if (latencyMs > 0) await delay(latencyMs);
    if (chosen === "slow") await delay(slowMs);
    if (chosen === "closed-socket") return void response.destroy();
    if (chosen === "500") return send(response, 500, apiError("the scripted server fails on request"));
    if (chosen === "429") return send(response, 429, apiError("too many requests"), { "retry-after": "2" });
    if (chosen === "invalid-json") return send(response, 200, '{"choices": [{"message": ');
    const reply = scriptedReply(model, messages, reviewer) ?? greeting(messages);
    if (reply === undefined) return send(response, 400, apiError(`${model} has no reply to this question`));
    const isContentFault = chosen !== undefined && chosen in contentFaults;
    const content = isContentFault ? contentFaults[chosen as keyof typeof contentFaults](reply) : reply;
    const whole = completion(model, messages, content, chosen === "cut-off");
    send(response, 200, chosen === "empty-choices" ? { ...whole, choices: [] } : whole);
  };

  const server = createServer(async (request, response) => {
    active++;
    peak = Math.max(peak, active);
    try {
      if (request.method === "GET" && request.url === "/v1/models") {
        const data = Object.keys(scriptedModels).map((id) => ({ id, object: "model", owned_by: label }));
        send(response, 200, { object: "list", data });
      } else if (request.method === "POST" && request.url === "/v1/chat/completions") {
        await chat(await readBody(request), response);
      } else send(response, 404, apiError(`there is no ${request.method} ${request.url}`));
    } catch (error) {
      send(response, 400, apiError(String(error)));
    } finally {
      active--;
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(wanted, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    requests,
    peak: () => peak,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
