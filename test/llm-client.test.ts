// The chat client and what surrounds it in a run, against a local server that can do everything wrong.

import { existsSync, readFileSync, statSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { apiKeyFor, limiter, retryAfterSeconds } from "../src/base/requests.js";
import {
  BudgetError,
  ChatError,
  type ChatRequest,
  RecordedClient,
  type RecordedOptions,
  ReplayError,
  ServerClient,
  type ServerOptions,
  usageSince,
} from "../src/llm/index.js";
import type { Fault } from "../src/mpo/scripted/faults.js";
import { type ScriptedServer, startScriptedServer } from "../src/mpo/scripted/server.js";

const ask = (text = "a"): ChatRequest => ({
  model: "rm",
  messages: [
    {
      role: "user",
      content: `<item>\n### ${text}\n- (5): otherwise\n</item>\n\nWeigh the response on this item alone.`,
    },
  ],
});

let dir: string;
let servers: (ScriptedServer | { close: () => Promise<void> })[];
let pauses: number[];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "mpo-client-"));
  servers = [];
  pauses = [];
});
afterEach(async () => {
  for (const server of servers) await server.close();
  await rm(dir, { recursive: true, force: true });
});

async function scripted(faults: (Fault | undefined)[] = [], options: { latencyMs?: number } = {}) {
  const server = await startScriptedServer({ fault: ({ index }) => faults[index], slowMs: 5000, ...options });
  servers.push(server);
  return server;
}

const openaiOf = (baseUrl: string, options: Partial<ServerOptions> = {}) =>
  new ServerClient({
    baseUrl,
    pause: async (seconds) => void pauses.push(seconds),
    ...options,
  });
const recordedOf = (baseUrl: string, options: RecordedOptions) =>
  new RecordedClient(openaiOf(baseUrl, { maxRetries: 0 }), options);

describe("a reply", () => {
  it("carries content and tokens", async () => {
    const server = await scripted();
    const client = recordedOf(server.baseUrl, { prices: { prompt: 2e6, completion: 1e6 } });
    const reply = await client.chat(ask());
    expect(reply).toMatchObject({
      content: "By its levels. <EOE>",
      finishReason: "stop",
      completionTokens: 4,
    });
    const { promptTokens, completionTokens, cost, ...rest } = client.usage();
    expect(rest).toEqual({ calls: 1, failed: 0, recovered: 0, repeated: 0 });
    expect(cost).toBe(2 * promptTokens + completionTokens);
    expect(usageSince(client.usage(), client.usage()).calls).toBe(0);
  });
});

describe("retries", () => {
  it.each<Fault>(["500", "429", "closed-socket", "invalid-json", "empty-choices"])(
    "%s is asked again",
    async (fault) => {
      const server = await scripted([fault, fault]);
      const client = openaiOf(server.baseUrl);
      expect((await client.chat(ask())).content).toBe("By its levels. <EOE>");
      expect(client.attempts).toBe(3);
      expect(pauses).toHaveLength(2);
    },
  );

  it("a slow reply times out and is asked again", async () => {
    const server = await scripted(["slow"]);
    const client = openaiOf(server.baseUrl, { timeoutSeconds: 0.3 });
    await client.chat(ask());
    expect(client.attempts).toBe(2);
  });

  it("waits as long as Retry-After says, within bounds; doubles with jitter otherwise", async () => {
    const limited = await scripted(["429"]);
    await openaiOf(limited.baseUrl).chat(ask());
    expect(pauses).toEqual([2]);
    pauses.length = 0;
    const bounded = await scripted(["429"]);
    await openaiOf(bounded.baseUrl, { maxPauseSeconds: 1 }).chat(ask());
    expect(pauses).toEqual([1]);
    pauses.length = 0;
    const failing = await scripted(["500", "500", "500"]);
    await openaiOf(failing.baseUrl, { retrySeconds: 1 }).chat(ask());
    for (const [i, pause] of pauses.entries()) {
      expect(pause).toBeGreaterThanOrEqual(2 ** i / 2);
      expect(pause).toBeLessThanOrEqual(2 ** i);
    }
  });

  it("gives up after the last attempt, with a sentence", async () => {
    const server = await scripted(["500", "500", "500"]);
    const client = openaiOf(server.baseUrl, { maxRetries: 2 });
    await expect(client.chat(ask())).rejects.toThrow(ChatError);
    expect(client.attempts).toBe(3);
  });

  it("a request that the server refuses is not repeated", async () => {
    const server = await scripted();
    const client = openaiOf(server.baseUrl);
    const refused = client.chat({ model: "rm", messages: [{ role: "user", content: "What is the time?" }] });
    await expect(refused).rejects.toThrow("no reply to this question");
    expect(client.attempts).toBe(1);
  });

  it("nobody there", async () => {
    const server = await scripted();
    await server.close();
    await expect(openaiOf(server.baseUrl, { maxRetries: 1 }).chat(ask())).rejects.toThrow(
      /the model "rm" did not answer in 2 attempts; the last: no answer from the server at \S+: connect ECONNREFUSED/,
    );
    expect(pauses).toHaveLength(1);
  });

  it("a key that nobody named for a server goes to nobody but its own service", () => {
    vi.stubEnv("OPENAI_API_KEY", "secret");
    vi.stubEnv("MY_KEY", "mine");
    expect(apiKeyFor("https://api.openai.com/v1")).toBe("secret");
    expect(apiKeyFor("https://api.openai.com.example.org/v1")).toBeUndefined();
    expect(apiKeyFor("http://127.0.0.1:8000/v1")).toBeUndefined();
    expect(apiKeyFor("http://127.0.0.1:8000/v1", "MY_KEY")).toBe("mine");
    vi.unstubAllEnvs();
  });

  it("reads Retry-After as seconds or as a date", () => {
    expect(retryAfterSeconds("7")).toBe(7);
    expect(retryAfterSeconds("-1")).toBe(0);
    expect(retryAfterSeconds("Thu, 01 Jan 1970 00:00:09 GMT", 4000)).toBe(5);
    expect(retryAfterSeconds("soon")).toBeUndefined();
    expect(retryAfterSeconds(null)).toBeUndefined();
  });
});

describe("concurrency", () => {
  it("keeps the configured number of requests under way, never more", async () => {
    const server = await scripted([], { latencyMs: 50 });
    const client = recordedOf(server.baseUrl, { concurrency: 4 });
    await Promise.all(Array.from({ length: 24 }, (_, i) => client.chat(ask(`item ${"x".repeat(i + 1)}`))));
    expect(server.peak()).toBe(4);
  });

  it("a failing task frees its slot", async () => {
    const limit = limiter(1);
    const results = await Promise.allSettled([
      limit(() => Promise.reject(new Error("first"))),
      limit(() => Promise.resolve("second")),
      limit(() => Promise.resolve("third")),
    ]);
    expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "fulfilled"]);
  });
});

describe("budget", () => {
  it.each<[string, RecordedOptions["budget"]]>([
    ["2 calls", { calls: 2 }],
    ["30 tokens", { tokens: 30 }],
    ["30 (cost)", { cost: 30 }],
  ])("of %s ends the calls", async (what, budget) => {
    const server = await scripted();
    const client = recordedOf(server.baseUrl, {
      budget,
      concurrency: 1,
      prices: { prompt: 1e6, completion: 1e6 },
    });
    await client.chat(ask("a"));
    await client.chat(ask("b"));
    await expect(client.chat(ask("c"))).rejects.toThrow(BudgetError);
    await expect(client.chat(ask("c"))).rejects.toThrow(`the budget of ${what} is used up`);
    expect(server.requests).toHaveLength(2);
  });
});

describe("log and replay", () => {
  const path = () => join(dir, "log", "requests.jsonl");

  it("replays replies and failures exactly, without a server", async () => {
    const server = await scripted([undefined, "500", undefined]);
    const recording = recordedOf(server.baseUrl, { log: path(), concurrency: 1 });
    const first = await recording.chat(ask("a"));
    const error = await recording.chat(ask("b")).catch((error: Error) => error.message);
    await server.close();
    const own = join(dir, "log", "own.jsonl");
    const replaying = recordedOf(server.baseUrl, { log: own, replay: path() });
    expect(await replaying.chat(ask("a"))).toEqual(first);
    await expect(replaying.chat(ask("b"))).rejects.toThrow(error as string);
    const { promptTokens, completionTokens } = recording.usage();
    expect(replaying.usage()).toMatchObject({
      calls: 2,
      failed: 1,
      recovered: 2,
      promptTokens,
      completionTokens,
    });
    expect(readFileSync(own, "utf8")).toBe(readFileSync(path(), "utf8"));
  });

  it("what failed may be asked again, and fails and succeeds alike in a replay", async () => {
    const server = await scripted(["500"]);
    const recording = recordedOf(server.baseUrl, { log: path() });
    await expect(recording.chat(ask())).rejects.toThrow(ChatError);
    const reply = await recording.chat(ask());
    const replaying = recordedOf("http://127.0.0.1:1/v1", { replay: path() });
    await expect(replaying.chat(ask())).rejects.toThrow(ChatError);
    expect(await replaying.chat(ask())).toEqual(reply);
    expect(await replaying.chat(ask())).toEqual(reply);
    expect(replaying.usage()).toMatchObject({ calls: 2, failed: 1, repeated: 1 });
  });

  it("a request that the log does not hold ends a replay, and is asked for in a resumed run", async () => {
    const server = await scripted();
    await recordedOf(server.baseUrl, { log: path() }).chat(ask("a"));
    const replaying = recordedOf(server.baseUrl, { replay: path() });
    await expect(replaying.chat({ ...ask("b"), tag: "update 3" })).rejects.toThrow(ReplayError);
    await expect(replaying.chat({ ...ask("b"), tag: "update 3" })).rejects.toThrow("(update 3)");
    const resumed = recordedOf(server.baseUrl, { log: path() });
    await resumed.chat(ask("a"));
    await resumed.chat(ask("b"));
    expect(server.requests).toHaveLength(2);
  });

  it("counts a resumed run like one that was left alone, and its budget goes on", async () => {
    const server = await scripted();
    const options = { log: path(), budget: { calls: 3 } };
    const whole = recordedOf(server.baseUrl, options);
    await whole.chat(ask("a"));
    const position = whole.position();
    const before = whole.usage();
    await whole.chat(ask("a"));
    await whole.chat(ask("b"));
    const resumed = recordedOf(server.baseUrl, options);
    resumed.restore(position);
    await resumed.chat(ask("a"));
    await resumed.chat(ask("b"));
    expect({ ...resumed.usage(), recovered: 0 }).toEqual(usageSince(whole.usage(), before));
    expect(resumed.position()).toBe(2);
    expect(server.requests).toHaveLength(2);
    await resumed.chat(ask("c"));
    await expect(resumed.chat(ask("d"))).rejects.toThrow("the budget of 3 calls is used up");
  });

  it("a checkpoint among what an interrupted run had asked already leaves the rest for later", async () => {
    const server = await scripted();
    const options = { log: path(), concurrency: 1 };
    const killed = recordedOf(server.baseUrl, options);
    for (const text of ["a", "b", "c", "d"]) await killed.chat(ask(text));
    const resumed = recordedOf(server.baseUrl, options);
    resumed.restore(1);
    await resumed.chat(ask("c"));
    expect(resumed.position()).toBe(2);
    await resumed.chat(ask("e"));
    expect(resumed.position()).toBe(3);
    const again = recordedOf(server.baseUrl, options);
    again.restore(3);
    for (const text of ["b", "c", "d"]) await again.chat(ask(text));
    expect(again.usage()).toMatchObject({ calls: 2, recovered: 2, repeated: 1 });
    expect(again.position()).toBe(5);
    expect(server.requests).toHaveLength(5);
  });

  it("a resumed run asks again what had failed after its checkpoint, and logs it once", async () => {
    const server = await scripted([undefined, "500", "500", "500"]);
    const options = { log: path(), concurrency: 1 };
    const killed = recordedOf(server.baseUrl, options);
    await killed.chat(ask("a"));
    await expect(killed.chat(ask("b"))).rejects.toThrow(ChatError);
    const resumed = recordedOf(server.baseUrl, options);
    resumed.restore(1);
    await expect(resumed.chat(ask("b"))).rejects.toThrow(ChatError);
    expect(resumed.position()).toBe(2);
    // One that replays goes back too.
    const replaying = recordedOf(server.baseUrl, { log: join(dir, "log", "own.jsonl"), replay: path() });
    await replaying.chat(ask("a"));
    await expect(replaying.chat(ask("b"))).rejects.toThrow(ChatError);
    const again = recordedOf(server.baseUrl, { log: join(dir, "log", "own.jsonl"), replay: path() });
    again.restore(1);
    await expect(again.chat(ask("b"))).rejects.toThrow(ChatError);
    expect(readFileSync(join(dir, "log", "own.jsonl"), "utf8")).toBe(readFileSync(path(), "utf8"));
    expect(server.requests).toHaveLength(3);
  });

  it("is for its owner alone", async () => {
    const server = await scripted();
    await recordedOf(server.baseUrl, { log: path() }).chat(ask());
    expect(statSync(path()).mode & 0o777).toBe(0o600);
  });

  it("calls that agree in everything are one call; a tag tells them apart", async () => {
    const server = await scripted();
    const client = recordedOf(server.baseUrl, { log: path() });
    await Promise.all([client.chat(ask()), client.chat(ask()), client.chat({ ...ask(), tag: "again" })]);
    expect(server.requests).toHaveLength(2);
  });

  it("a line that a kill cut short is dropped, a strange one refused", async () => {
    const server = await scripted();
    await recordedOf(server.baseUrl, { log: path() }).chat(ask("a"));
    await writeFile(path(), `${readFileSync(path(), "utf8")}{"key": "cut`);
    await recordedOf(server.baseUrl, { log: path() }).chat(ask("b"));
    const lines = readFileSync(path(), "utf8").trimEnd().split("\n");
    expect(lines.map((line) => typeof JSON.parse(line).reply.content)).toEqual(["string", "string"]);
    await writeFile(path(), "hello\n");
    expect(() => recordedOf(server.baseUrl, { replay: path() }).chat(ask())).toThrow(
      /line 1: this is not a line/,
    );
  });

  it("a log to replay must exist; a used-up budget is not logged", async () => {
    expect(() => recordedOf("http://127.0.0.1:1/v1", { replay: path() }).chat(ask())).toThrow(
      "there is no log",
    );
    await expect(
      recordedOf("http://127.0.0.1:1/v1", { log: path(), budget: { calls: 0 } }).chat(ask()),
    ).rejects.toThrow(BudgetError);
    expect(existsSync(path())).toBe(false);
  });
});

describe("JSON", () => {
  it("asks in the next form when the server refuses one, and remembers it", async () => {
    const forms: unknown[] = [];
    const server: Server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk) => (body += chunk));
      request.on("end", () => {
        const form = JSON.parse(body).response_format;
        forms.push(form?.json_schema ? "nested" : form?.schema ? "flat" : (form?.type ?? "text"));
        const isRefused = form?.type === "json_schema";
        response.writeHead(isRefused ? 400 : 200, { "content-type": "application/json" });
        response.end(
          JSON.stringify(
            isRefused ? { error: { message: "no schemas" } } : { choices: [{ message: { content: "{}" } }] },
          ),
        );
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    servers.push({ close: () => new Promise((resolve) => server.close(() => resolve())) });
    const client = openaiOf(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`);
    const request: ChatRequest = { ...ask(), json: { name: "x", schema: { type: "object" } } };
    await client.chat(request);
    await client.chat(request);
    expect(forms).toEqual(["nested", "flat", "json_object", "json_object"]);
    expect(client.jsonFormOf("rm")).toBe("json_object");
    expect(pauses).toEqual([]);
  });
});
