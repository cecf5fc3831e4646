// A local OpenAI-compatible server whose replies a test scripts. Requests of any other kind are refused and remembered.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface ChatBody {
  model: string;
  messages: { role: string; content: string }[];
  response_format?: { type: string };
  logprobs?: boolean;
  temperature?: number;
  max_tokens?: number;
}

/** The content of the reply, also with probabilities, or the status of a refusal. */
export type Reply = string | { content: string; logprobs: object[] } | { status: number };

export type Script = (body: ChatBody, count: number) => Reply;

export interface ChatServer {
  /** Up to and including `/v1`. */
  baseUrl: string;
  bodies: ChatBody[];
  close(): Promise<void>;
}

export async function chatServer(script: Script): Promise<ChatServer> {
  const bodies: ChatBody[] = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const send = (status: number, value: object) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(value));
    };
    if (request.method !== "POST" || request.url !== "/v1/chat/completions")
      return send(404, { error: { message: `${request.method} ${request.url}` } });
    const body = JSON.parse(text) as ChatBody;
    bodies.push(body);
    const reply = script(body, bodies.length);
    if (typeof reply !== "string" && "status" in reply)
      return send(reply.status, { error: { message: "scripted" } });
    const { content, logprobs } = typeof reply === "string" ? { content: reply, logprobs: undefined } : reply;
    send(200, {
      id: "x",
      object: "chat.completion",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content },
          finish_reason: "stop",
          ...(logprobs && { logprobs: { content: logprobs } }),
        },
      ],
      usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    bodies,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
