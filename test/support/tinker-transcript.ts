// What a real service said, kept: a proxy that writes it down, and a server that says it again to whoever asks the same.

import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { openTinker } from "../../src/engine/tinker/index.js";

export interface Exchange {
  /** Path below /api/v1. */
  path: string;
  /** The request's body: text, or base64 of bytes. */
  request: string;
  status: number;
  type: string;
  location?: string;
  /** The reply's body: text, or base64 of bytes. */
  reply: string;
}

export interface Transcript {
  service: string;
  exchanges: Exchange[];
  results: Results;
}

/** What a client makes of it. */
export interface Results {
  notes: string[];
  clips: boolean;
  tokens: number[][];
  before: number[][];
  reference: number[][];
  gradNorm: number | null;
  after: number[][];
  again: number[][];
}

const isText = (type: string) => type === "" || /json|text/.test(type);
const encoded = (bytes: Buffer, type: string) => bytes.toString(isText(type) ? "utf8" : "base64");
async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function listening(server: ReturnType<typeof createServer>) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** A proxy before the service at `target`. */
export async function recorder(target: string) {
  const exchanges: Exchange[] = [];
  const server = createServer(async (request, response) => {
    const body = await bodyOf(request);
    const type = request.headers["content-type"] ?? "";
    const headers = Object.fromEntries(
      ["content-type", "accept", "x-api-key"].flatMap((name) => {
        const value = request.headers[name];
        return typeof value === "string" ? [[name, value]] : [];
      }),
    );
    const answer = await fetch(target + request.url, {
      method: request.method!,
      headers,
      redirect: "manual",
      ...(body.length > 0 && { body: new Uint8Array(body) }),
    });
    const bytes = Buffer.from(await answer.arrayBuffer());
    const location = answer.headers.get("location")?.replace(target, here.url);
    const replyType = answer.headers.get("content-type") ?? "";
    response.writeHead(answer.status, { "content-type": replyType, ...(location && { location }) });
    response.end(bytes);
    const path = request.url!.replace("/api/v1/", "");
    // Polls that had nothing yet, and beats, say nothing.
    if (answer.status === 408 || path === "session_heartbeat") return;
    exchanges.push({
      path,
      request: encoded(body, type),
      status: answer.status,
      type: replyType,
      ...(location && { location: new URL(location).pathname }),
      reply: encoded(bytes, replyType),
    });
  });
  const here = await listening(server);
  return { ...here, exchanges };
}

/** Names that a client makes up are other ones every time. */
const keyOf = (path: string, request: string) =>
  `${path} ${request}`.replace(/touchstone-([a-z]+)-[0-9a-f]{8}/g, "touchstone-$1");

/** A server that answers each request as it was answered when it was recorded, and nothing else. */
export async function replayer(exchanges: readonly Exchange[]) {
  const waiting = new Map<string, Exchange[]>();
  for (const exchange of exchanges) {
    const key = keyOf(exchange.path, exchange.request);
    waiting.set(key, [...(waiting.get(key) ?? []), exchange]);
  }
  const unknown: string[] = [];
  const server = createServer(async (request, response) => {
    const type = request.headers["content-type"] ?? "";
    const path = request.url!.replace("/api/v1/", "");
    const key = keyOf(path, encoded(await bodyOf(request), type));
    const exchange = waiting.get(key)?.shift();
    if (!exchange) {
      // The last is asked for since after the recordings: none of them was made with requests polled together.
      if (!["session_heartbeat", "unload_model", "client/config"].includes(path))
        unknown.push(key.slice(0, 200));
      response.writeHead(path === "session_heartbeat" ? 200 : 404).end("{}");
      return;
    }
    const { status, type: replyType, location, reply } = exchange;
    response.writeHead(status, {
      "content-type": replyType,
      ...(location && { location: here.url + location }),
    });
    response.end(Buffer.from(reply, isText(replyType) ? "utf8" : "base64"));
  });
  const here = await listening(server);
  return { ...here, unknown };
}

export interface SessionOptions {
  baseModel: string;
  tokenizerDir: string;
  vocabSize: number;
  apiKey?: string;
  /** A folder for what is saved. */
  folder: string;
}

/** A session with everything in it: sample, score, step, save, go on. */
export async function session(url: string, options: SessionOptions): Promise<Results> {
  const { vocabSize, folder, ...rest } = options;
  const notes: string[] = [];
  const model = await openTinker({
    ...rest,
    baseUrl: url,
    rank: 4,
    seed: 7,
    limits: { vocabSize, maxTokens: 256 },
    endIds: [3],
    savedBase: "base",
    concurrency: 1,
    note: (sentence) => notes.push(sentence.replace(url, "URL")),
  });
  const prompts = [
    [5, 6, 7],
    [9, 10, 11],
  ];
  const completions = await model.sample(prompts, { n: 2, maxNewTokens: 6, seeds: [1, 2, 3, 4] });
  const sequences = completions.map(({ promptIndex, tokens }) => ({
    tokens: [...prompts[promptIndex]!, ...tokens],
    promptLength: 3,
  }));
  const plain = (rows: readonly Float32Array[]) => rows.map((row) => Array.from(row));
  const reference = await model.snapshot();
  const before = await model.logprobs(sequences);
  const referenceLogprobs = await reference.logprobs(sequences);
  await model.backward(
    sequences,
    before.map((row, i) => row.map(() => (i % 2 === 0 ? -0.1 : 0.05))),
  );
  const { gradNorm } = await model.step({ learningRate: 1e-3 });
  const after = await model.logprobs(sequences);
  await model.saveState(`${folder}/state`);
  await model.loadState(`${folder}/state`);
  const again = await model.logprobs(sequences);
  model.dispose();
  return {
    notes,
    clips: model.clips,
    tokens: completions.map(({ tokens }) => Array.from(tokens)),
    before: plain(before),
    reference: plain(referenceLogprobs),
    gradNorm: gradNorm ?? null,
    after: plain(after),
    again: plain(again),
  };
}
