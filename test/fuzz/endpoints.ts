// The endpoints that we ask, and our own that others ask: a server in this process answers with the mutated reply, and
// whoever wanted the reply must say in a sentence what is wrong with it.

import { mkdirSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer as createSocketServer } from "node:net";
import { join } from "node:path";
import { openRepo } from "../../src/data/index.js";
import { preferenceIn } from "../../src/eval/pairwise.js";
import { type ChatRequest, ServerClient } from "../../src/llm/index.js";
import { parseRubric } from "../../src/mpo/index.js";
import { presetNames, taskPreset } from "../../src/mpo/presets/index.js";
import { RubricReward, type ScoringMode } from "../../src/mpo/rubric-reward.js";
import { initialRubric } from "../../src/mpo/task.js";
import { openUrlReward } from "../../src/train/rewards/external.js";
import { type RewardServer, serveChoice } from "../support/reward-server.js";
import { dir, type Target } from "./scratch.js";

const listen = (handle: RequestListener): Promise<string> => {
  const server = createServer(handle);
  return new Promise((resolve) =>
    server.listen(0, "127.0.0.1", () =>
      resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    ),
  );
};

/** What is answered, by the first part of the address. */
const replies = new Map<string, { status: number; body: Buffer }>();
let http: Promise<string> | undefined;

/** The address of a server that answers everything below it with `body`. */
async function answering(key: string, body: Buffer): Promise<string> {
  http ??= listen(async (request, response) => {
    for await (const _ of request);
    const reply = replies.get(request.url!.split("/")[1]!)!;
    response.writeHead(reply.status, { "content-type": "application/json", "retry-after": "0" });
    response.end(reply.body);
  });
  // By the length, so that an input has one status.
  const status = [200, 200, 200, 200, 200, 200, 400, 500][body.length % 8]!;
  replies.set(key, { status, body });
  return `${await http}/${key}`;
}

const completion = (content: unknown, more: object = {}) =>
  Buffer.from(
    JSON.stringify({
      id: "x",
      object: "chat.completion",
      choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop", ...more }],
      usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
    }),
  );

const task = taskPreset(presetNames[0]!);
const rubric = initialRubric(task);
const scores = {
  items: rubric.items.map(({ name, levels }) => ({ name, rationale: "r", score: levels[0]!.points })),
};

const question: ChatRequest = { model: "m", messages: [{ role: "user", content: "Is it good?" }] };
const requests: ChatRequest[] = [
  question,
  { ...question, labels: { words: ["Yes", "No"], tokens: 4 } },
  { ...question, json: { name: "scores", schema: { type: "object" } } },
];
const modes: ScoringMode[] = ["one-reply", "item-reply", "dialogue", "plan"];

const clientOf = (baseUrl: string) =>
  new ServerClient({ baseUrl, timeoutSeconds: 8, maxRetries: 1, pause: async () => {} });

async function askAll(baseUrl: string, input: Buffer): Promise<void> {
  const client = clientOf(baseUrl);
  const failures: unknown[] = [];
  for (const request of requests)
    await client.chat(request).then(
      ({ content }) => {
        parseRubric(content);
        preferenceIn(content);
      },
      (error) => failures.push(error),
    );
  const mode = modes[input.length % modes.length]!;
  const reward = new RubricReward({ client, model: "m", task, mode });
  await reward.score({ promptId: "p", prompt: "p", response: "r" }, rubric);
  for (const error of failures) if ((error as Error).name !== "ChatError") throw error;
}

const seeds = () => [
  completion("Yes"),
  completion(JSON.stringify(scores)),
  completion("A good reply. <score>1</score>"),
  completion(JSON.stringify({ label: "No", explanation: "because" })),
  completion("Yes", {
    logprobs: {
      content: [{ token: "Yes", logprob: -0.1, top_logprobs: [{ token: "No", logprob: -2.3 }] }],
    },
  }),
  completion("## Clarity (grade)\n- 0: none\n- 1-3: some. Example: x\n\n<rubric>\n1. Ideas\n</rubric>"),
];

const commit = "c0ffee".padEnd(40, "0");
const hubRoot = join(dir, "hub");
let hubCount = 0;
let served: Promise<RewardServer> | undefined;
const paths = ["/v1/reward", "/get_reward", "/rm", "/v1/score/evaluation", "/pooling", "/predict", "/rerank"];

export const endpoints: Record<string, Target> = {
  reply: {
    seeds,
    run: async (input, slot) => askAll(`${await answering(`reply-${slot}`, input)}/v1`, input),
  },
  /** The bytes on the socket, status line and headers too. */
  socket: {
    seeds: () =>
      seeds().map((body) =>
        Buffer.concat([
          Buffer.from(
            `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nretry-after: 0\r\n\r\n`,
          ),
          body,
        ]),
      ),
    run: async (input) => {
      const server = createSocketServer((socket) => {
        socket.on("error", () => {});
        socket.once("data", () => socket.end(input));
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      try {
        const { port } = server.address() as AddressInfo;
        await askAll(`http://127.0.0.1:${port}/v1`, input);
      } finally {
        server.close();
      }
    },
  },
  reward: {
    seeds: () => [Buffer.from('{"rewards":[0.5,null]}'), Buffer.from("[1, -2.5]")],
    run: async (input, slot) => {
      const url = await answering(`reward-${slot}`, input);
      const source = openUrlReward({ url, timeoutSeconds: 8, maxRetries: 0 } as never);
      const row = { id: "1", prompt: "p", metadata: {} };
      const response = { row, text: "r" } as never;
      const { failed, reasons, rewards } = await source.score([response, response], {} as never);
      failed.forEach((isFailed, i) => {
        if (isFailed ? !reasons?.[i] : !Number.isFinite(rewards[i])) throw new Error("a failure is silent");
      });
    },
  },
  hub: {
    seeds: () => [
      Buffer.from(JSON.stringify({ _id: "1", id: "acme/tiny", sha: commit })),
      Buffer.from(
        JSON.stringify([
          { type: "file", path: "config.json", size: 2, oid: "0".repeat(40) },
          { type: "directory", path: "d", size: 0, oid: "1".repeat(40) },
          {
            type: "file",
            path: "model.safetensors",
            size: 9,
            oid: "2".repeat(40),
            lfs: { oid: "3".repeat(64), size: 9, pointerSize: 130 },
          },
        ]),
      ),
    ],
    run: async (input, slot) => {
      const endpoint = await answering(`hub-${slot}`, input);
      const cacheDir = join(hubRoot, String(hubCount++));
      mkdirSync(cacheDir, { recursive: true });
      const isList = input.subarray(0, 8).includes("[");
      await openRepo(
        { type: "model", name: "acme/tiny" },
        { endpoint, cacheDir, idleSeconds: 8, revision: isList ? commit : "main" },
      );
    },
  },
  serve: {
    seeds: () => [
      Buffer.from('{"samples":[{"prompt":"p","response":"r","metadata":{"a":1}}]}'),
      Buffer.from(
        '{"prompt":[{"role":"user","content":"p"}],"response":"r","truncated":true,"baseline":"b"}',
      ),
      Buffer.from('{"query":["p r"],"prompts":["p"],"labels":["x"]}'),
      Buffer.from('{"inputs":[["p","r"]],"model":"default","input":"p","documents":["a","b"],"messages":[]}'),
    ],
    run: async (input) => {
      served ??= serveChoice({
        outputDir: join(dir, "serve"),
        judges: [{ kind: "length", max_words: 3 }] as never,
      });
      const { post } = await served;
      const { status, body } = await post(paths[input.length % paths.length]!, input.toString("utf8"));
      if (status >= 500 && status !== 503) throw new Error(`${status}: ${JSON.stringify(body)}`);
    },
  },
};
