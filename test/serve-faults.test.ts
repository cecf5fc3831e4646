// What every dialect of the reward server does about clients that are hostile, slow or gone: each route that takes a body,
// with each fault. The answer is in the dialect's own words, nothing breaks, and nothing is kept.

import { once } from "node:events";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { allDialects } from "../src/serve/dialects/index.js";
import { type RewardServer, serveRecipe } from "./support/reward-server.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

const token = "secret-token";
const maxBodyBytes = 1_000_000;
const requestSeconds = 2;

let shop: Workshop;
let server: RewardServer;
const unexpected: unknown[] = [];
beforeAll(async () => {
  shop = await openWorkshop();
  const recipe = {
    output_dir: shop.path("out"),
    policy: shop.policy,
    steps: 1,
    engine: { threads: 1 },
    tasks: [
      {
        name: "gate",
        prompts: shop.data("prompts/writing.jsonl"),
        reward: { warm: shop.reward },
        judges: [{ kind: "length", max_words: 5 }],
        optimizer: { name: "grpo", generations: 2, batch_prompts: 2, max_new_tokens: 4 },
      },
    ],
  };
  server = await serveRecipe(recipe, shop.path("recipe.yaml"), {
    token,
    maxBodyBytes,
    requestSeconds,
    onError: (error) => unexpected.push(error),
  });
});
afterAll(async () => {
  await server?.close();
  await shop.remove();
});

/** Where each dialect says its sentence. */
// biome-ignore lint/suspicious/noExplicitAny: replies of any shape
const sentences: Record<string, (body: any) => unknown> = {
  native: ({ error }) => error.message,
  openrlhf: ({ error }) => error,
  slime: ({ error }) => error,
  llama_factory: ({ detail }) => detail,
  nemo_gym: ({ detail }) => detail,
  openenv: ({ detail }) => detail,
  ors: ({ detail }) => detail,
  vllm: ({ error }) => error.message,
  tei: ({ error }) => error,
  openai: ({ error }) => error.message,
};

const places = allDialects().flatMap(({ name, routes }) =>
  routes
    .filter(({ body, isOpen }) => body && !isOpen)
    .map(({ path }): [dialect: string, path: string] => [name, path.replace(/:\w+/g, "gate")]),
);
const said = (dialect: string, body: unknown) => sentences[dialect]!(body);
const bearer = { authorization: `Bearer ${token}` };
const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  server.post(path, body, { ...bearer, ...headers });

/** The server answers and has met nothing that it did not expect. */
async function isSound(): Promise<void> {
  const { status } = await post("/v1/reward", { task: "gate", prompt: "a", response: "b" });
  expect([status, unexpected]).toEqual([200, []]);
}

/** Status and body of an answer as it comes over a socket. */
async function answerOn(socket: Socket): Promise<{ status: number; body: unknown }> {
  let text = "";
  for await (const chunk of socket) text += chunk;
  const [head, ...rest] = text.split("\r\n\r\n");
  return { status: Number(head!.split(" ")[1]), body: JSON.parse(rest.join("\r\n\r\n")) };
}

async function half(path: string, length = 100): Promise<Socket> {
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  await once(socket, "connect");
  socket.on("error", () => {});
  socket.write(
    `POST ${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\n` +
      `content-type: application/json\r\ncontent-length: ${length}\r\n\r\n{`,
  );
  return socket;
}

it("every dialect is in the table", () => {
  expect([...new Set(places.map(([dialect]) => dialect))].sort()).toEqual(Object.keys(sentences).sort());
});

describe.each(places)("%s %s", (dialect, path) => {
  it("refuses a wrong token, another type, no JSON, a size that is said", async () => {
    const stranger = await server.post(path, {}, { authorization: "Bearer wrong" });
    expect([stranger.status, said(dialect, stranger.body)]).toEqual([401, expect.stringMatching(/token/)]);
    const text = await post(path, "{}", { "content-type": "text/plain" });
    expect([text.status, said(dialect, text.body)]).toEqual([415, expect.stringMatching(/must be JSON/)]);
    const broken = await post(path, '{"a":');
    expect([400, 422]).toContain(broken.status);
    expect(said(dialect, broken.body)).toMatch(/not JSON/);
    const large = await answerOn(await half(path, 100_000_000));
    expect([large.status, said(dialect, large.body)]).toEqual([413, expect.stringMatching(/larger than/)]);
    await isSound();
  });

  it("refuses what is no request of its own, in a sentence", async () => {
    const deep = `${'{"a":'.repeat(3000)}1${"}".repeat(3000)}`;
    const wrong = [
      null,
      1,
      "text",
      [],
      [[]],
      [1, "two", null],
      { prompt: 5 },
      { messages: "x", input: {} },
      deep,
    ];
    const lengths = [
      {
        query: ["a", "b"],
        prompts: ["a"],
        labels: [],
        responses: [1],
        text_1: [1],
        text_2: {},
        input: [[[]]],
      },
      { inputs: [["a"]], texts: 3, query: 4, prompt: [-1], max_tokens: "many", samples: [{}], model: 7 },
    ];
    for (const body of [...wrong, ...lengths]) {
      const { status, body: reply } = await post(path, body);
      // What a dialect takes for empty is answered as such; nothing is a failure of the server.
      expect(status, JSON.stringify(body)?.slice(0, 60)).toBeLessThan(500);
      if (status >= 400) expect(typeof said(dialect, reply)).toBe("string");
    }
    await isSound();
  });

  it("stops reading 100 MB whose size nobody said, and keeps none of it", async () => {
    const before = process.memoryUsage();
    const sent = await new Promise<{ status: number; body: string; bytes: number }>((resolve, reject) => {
      const { hostname, port } = new URL(server.url);
      const headers = { ...bearer, "content-type": "application/json" };
      const chunk = Buffer.alloc(2 ** 18, 0x20);
      let bytes = 0;
      let isOver = false;
      const asked = request({ hostname, port, path, method: "POST", headers }, async (response) => {
        let body = "";
        for await (const part of response) body += part;
        isOver = true;
        asked.destroy();
        resolve({ status: response.statusCode!, body, bytes });
      });
      // The server hangs up on what it does not read.
      asked.on("error", (error) => isOver || reject(error));
      const more = (): void => {
        while (!isOver && bytes < 1e8) {
          bytes += chunk.length;
          if (!asked.write(chunk)) return void asked.once("drain", more);
        }
        if (!isOver) asked.end();
      };
      more();
    });
    expect([sent.status, said(dialect, JSON.parse(sent.body))]).toEqual([
      413,
      expect.stringMatching(/larger than/),
    ]);
    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(3e7);
    await isSound();
  });
});

it("tells clients that send a byte at a time so, each in its dialect, and forgets those that leave", async () => {
  const slow = await Promise.all(
    places.map(async ([dialect, path]) => {
      const socket = await half(path);
      const drip = setInterval(() => socket.write(" "), 500);
      const answer = await answerOn(socket).finally(() => clearInterval(drip));
      return { dialect, status: answer.status, sentence: said(dialect, answer.body) };
    }),
  );
  expect(slow).toEqual(
    places.map(([dialect]) => ({
      dialect,
      status: 408,
      sentence: expect.stringMatching(/did not come within 2 s/),
    })),
  );
  for (const [, path] of places) {
    // In the middle of the body, and while it is answered.
    (await half(path)).destroy();
    const whole = await half(path, 2);
    whole.write("}");
    whole.destroy();
  }
  await setTimeout(50);
  await isSound();
});
