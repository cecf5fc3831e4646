// The reward server in its own protocol: what a recipe says of samples, failures, repetition, batches, limits, rubrics.

import { once } from "node:events";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { scoreRows } from "../src/eval/inference.js";
import { gradeItem, type Hack } from "../src/mpo/scripted/dialect.js";
import { startScriptedServer } from "../src/mpo/scripted/server.js";
import { silent } from "../src/run/context.js";
import { openChoice } from "../src/serve/task.js";
import { type ChatServer, chatServer, type Script } from "./support/chat-server.js";
import { runCli } from "./support/cli.js";
import { type RewardServer, serveChoice, serveRecipe, serveTasks } from "./support/reward-server.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
let server: RewardServer | undefined;
let chat: ChatServer | undefined;
beforeAll(async () => {
  shop = await openWorkshop();
});
afterEach(async () => {
  await server?.close();
  await chat?.close();
  server = undefined;
  chat = undefined;
  await rm(shop.path("out"), { recursive: true, force: true });
});
afterAll(() => shop.remove());

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const engine = { kind: "local", device: "cpu", threads: 1, maxBatchTokens: 4096 } as const;

const recipeOf = (task: object = {}, changes: object = {}) => ({
  output_dir: shop.path("out"),
  policy: shop.policy,
  steps: 1,
  engine: { threads: 1 },
  tasks: [
    {
      name: "writing",
      prompts: shop.data("prompts/writing.jsonl"),
      reward: { warm: shop.reward },
      judges: [{ kind: "length", max_words: 3 }],
      optimizer: { name: "crpg", generations: 2, batch_prompts: 2, max_new_tokens: 4 },
      ...task,
    },
  ],
  ...changes,
});

const yesNo = (name = "kind") => ({
  kind: "yes_no",
  name,
  question: "Is the response kind?",
  base_url: chat!.baseUrl,
  model: "judge",
  max_retries: 0,
  retry_seconds: 0,
});

async function ask(script: Script) {
  chat = await chatServer(script);
}

describe("what comes back", () => {
  it("is the recipe's: raw, calibrated and regularised reward, gate and verdicts", async () => {
    server = await serveRecipe(recipeOf(), shop.path("recipe.yaml"));
    const prompt = "Write about the sea.";
    const samples = [
      { prompt, response: "blue and wide", baseline: "it is water" },
      { prompt, response: "far too many words", baseline: "it is water" },
      { prompt, response: "it is water", baseline: "it is water" },
    ];
    const { status, body } = await server.post("/v1/reward", { samples });
    expect(status).toBe(200);
    const [good, long, same] = body.results;
    expect(good).toMatchObject({ outcome: "satisfied", feasible: true });
    expect(good.calibrated_reward).toBeCloseTo(sigmoid(good.reward - good.baseline_reward), 12);
    expect(good.regularised_reward).toBe(good.calibrated_reward);
    expect(good.value).toBe(good.regularised_reward);
    expect(long).toMatchObject({ outcome: "violated", feasible: false, regularised_reward: 0, value: 0 });
    expect(long.calibrated_reward).toBeGreaterThan(0);
    expect(long.verdicts.length.reason).toMatch(/4 words/);
    expect(same.calibrated_reward).toBeCloseTo(0.5, 6);
  });

  it("is what touchstone score gives", async () => {
    server = await serveChoice({ reward: shop.reward, outputDir: shop.path("out") });
    const rows = [
      { prompt: "What is rain?", completion: "water that falls" },
      { prompt: "And snow?", completion: "cold" },
    ];
    const file = shop.path("rows.jsonl");
    await writeFile(file, rows.map((row) => JSON.stringify(row)).join("\n"));
    const scored = await scoreRows(
      { data: file, model: shop.reward, engine },
      { reporter: silent, resume: false },
    );
    const { body } = await server.post("/v1/reward", {
      samples: rows.map(({ prompt, completion: response }) => ({ prompt, response })),
    });
    for (const [i, { reward }] of scored.entries())
      expect(body.results[i].value).toBeCloseTo(Number(reward), 5);
  });

  it("says once that plain prompts meet a reward model that chats, and makes them messages where that is asked for", async () => {
    const prompt = [{ role: "user", content: "What is rain?" }];
    const plain = { prompt: "What is rain?", response: "water" };
    const values: Record<string, number[]> = {};
    const notes: Record<string, string[]> = {};
    for (const [name, applyChatTemplate] of Object.entries({ absent: undefined, on: true, off: false })) {
      notes[name] = [];
      server = await serveTasks(
        await openChoice(
          {
            reward: shop.reward,
            judges: [],
            engine,
            outputDir: shop.path("out"),
            options: { applyChatTemplate },
          },
          { reporter: silent },
        ),
        {},
        (line) => void notes[name]!.push(line),
      );
      const samples = [plain, { ...plain, prompt }, { ...plain, response: "ice" }];
      const { body } = await server.post("/v1/reward", { samples });
      values[name] = body.results.map(({ value }: { value: number }) => value);
      await server.close();
      server = undefined;
    }
    expect(notes).toEqual({ absent: [expect.stringMatching(/plain text.* --chat/)], on: [], off: [] });
    expect(values.on![0]).toBe(values.on![1]);
    expect(values.off).toEqual(values.absent);
    expect(values.off![0]).not.toBe(values.off![1]);
  });

  it("has a baseline of pi_ref where nobody gives one", async () => {
    server = await serveRecipe(recipeOf(), shop.path("recipe.yaml"));
    const sample = { prompt: "Write about a garden.", response: "green" };
    const [first, again] = [
      await server.post("/v1/reward", sample),
      await server.post("/v1/reward", { ...sample, response: "red" }),
    ];
    expect(first.body.baseline_reward).toEqual(expect.any(Number));
    expect(again.body.baseline_reward).toBe(first.body.baseline_reward);
    expect(first.body.value).toBe(first.body.regularised_reward);
  });

  it("finds a prompt of the data by its id or text, with its columns", async () => {
    server = await serveRecipe(
      recipeOf({ prompts: shop.data("prompts/arithmetic.jsonl"), judges: ["exact"], reward: undefined }),
      shop.path("recipe.yaml"),
    );
    const rows = (await readFile(shop.data("prompts/arithmetic.jsonl"), "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const { prompt, answer } = rows[0];
    const { body } = await server.post("/v1/reward", {
      samples: [
        { prompt, response: String(answer) },
        { prompt, response: "no idea" },
      ],
    });
    expect(body.results.map(({ value }: { value: number }) => value)).toEqual([1, 0]);
  });

  it("averages a directory of members on start", async () => {
    for (const name of ["a", "b"]) await cp(shop.reward, shop.path("members", name), { recursive: true });
    server = await serveChoice({ reward: shop.path("members"), outputDir: shop.path("out") });
    const single = await serveChoice({ reward: shop.reward, outputDir: shop.path("other") });
    const sample = { prompt: "What?", response: "this" };
    const [average, one] = [await server.post("/v1/reward", sample), await single.post("/v1/reward", sample)];
    await single.close();
    // Of two equal members.
    expect(average.body.reward).toBeCloseTo(one.body.reward, 6);
  });
});

describe("a judge that fails", () => {
  const sample = { prompt: "Say something.", response: "Hello." };

  it("is asked again, and what it then says counts", async () => {
    await ask((_, count) => (count === 1 ? { status: 500 } : "yes"));
    server = await serveChoice({ judges: [yesNo()], outputDir: shop.path("out") });
    const { body } = await server.post("/v1/reward", sample);
    expect(body).toMatchObject({ outcome: "satisfied", value: 1 });
    expect(server.service.meter.get("retries_total", { task: "default", what: "judge" })).toBe(1);
  });

  it("is never a zero, is counted, and is not remembered", async () => {
    let isDown = true;
    await ask(() => (isDown ? { status: 500 } : "yes"));
    server = await serveChoice({ judges: [yesNo()], outputDir: shop.path("out") });
    const { body, status } = await server.post("/v1/reward", sample);
    expect(status).toBe(200);
    expect(body).toMatchObject({ outcome: "failed", value: null, feasible: null, regularised_reward: null });
    expect(body.reason).toMatch(/^judge kind: /);
    const metrics = await server.get("/metrics");
    expect(metrics.body).toContain('touchstone_failures_total{task="default",what="judge"} 1');
    isDown = false;
    expect((await server.post("/v1/reward", sample)).body.value).toBe(1);
  });

  it("is a 503 or a number where the recipe says so", async () => {
    await ask(() => ({ status: 500 }));
    const choice = { judges: [yesNo()], outputDir: shop.path("out") };
    server = await serveChoice({ ...choice, options: { onFailed: "unavailable" } });
    const refused = await server.post("/v1/reward", sample);
    expect(refused).toMatchObject({ status: 503, body: { error: { type: "unavailable" } } });
    expect(refused.headers.get("retry-after")).toBe("1");
    await server.close();
    server = await serveChoice({ ...choice, options: { onFailed: -0.5 } });
    expect((await server.post("/v1/reward", sample)).body).toMatchObject({ outcome: "failed", value: -0.5 });
  });

  it("fails its own sample when it answers too late", async () => {
    await ask(() => "yes");
    const slow = shop.path("slow.mjs");
    await writeFile(
      slow,
      `export default ({ response }) => response === "slow" ? new Promise(() => {}) : { verdict: "satisfied", reason: "quick" };`,
    );
    // A rule of one's own has the same deadline as a language model.
    const judge = { module: slow, name: "slow" };
    server = await serveChoice({
      judges: [judge],
      outputDir: shop.path("out"),
      options: { judgeSeconds: 0.2, retries: 0 },
    });
    const { body } = await server.post("/v1/reward", {
      samples: [
        { prompt: "?", response: "slow" },
        { prompt: "?", response: "quick" },
      ],
    });
    expect(body.results[0]).toMatchObject({ outcome: "failed", value: null });
    expect(body.results[0].reason).toMatch(/no answer within 0.2 s/);
    expect(body.results[1].value).toBe(1);
  });

  it("and a request that takes too long: its sample has failed, the others have not", async () => {
    await ask(() => "yes");
    const judge = { module: shop.path("slow.mjs"), name: "slow", kind: "llm" };
    server = await serveChoice({
      judges: [judge],
      outputDir: shop.path("out"),
      options: { deadlineSeconds: 0.3, judgeSeconds: 1, retries: 0 },
    });
    const samples = ["slow", "quick"].map((response) => ({ prompt: "?", response }));
    const { body } = await server.post("/v1/reward", { samples });
    expect(body.results[0].reason).toMatch(/^deadline: there was no result within 0.3 s/);
    expect(body.results[1].value).toBe(1);
  });
});

describe("requests together", () => {
  it("equal ones are answered once", async () => {
    await writeFile(
      shop.path("counting.mjs"),
      `import { appendFileSync } from "node:fs";
       export default async () => {
         appendFileSync(${JSON.stringify(shop.path("asked"))}, "x");
         return { verdict: "satisfied", reason: "" };
       };`,
    );
    const judge = { module: shop.path("counting.mjs"), name: "counting" };
    server = await serveChoice({ judges: [judge], outputDir: shop.path("out") });
    const sample = { prompt: "Say something.", response: "Hello." };
    const replies = await Promise.all(Array.from({ length: 8 }, () => server!.post("/v1/reward", sample)));
    await server.post("/v1/reward", sample);
    expect(replies.map(({ body }) => body.value)).toEqual(Array(8).fill(1));
    expect(await readFile(shop.path("asked"), "utf8")).toBe("x");
    expect(server.service.meter.get("repeated_total", { task: "default" })).toBe(8);
  });

  it("are scored in batches, and a sample that the model cannot read fails alone", async () => {
    server = await serveChoice({ reward: shop.reward, outputDir: shop.path("out") });
    const long = "word ".repeat(400);
    const responses = [...Array.from({ length: 20 }, (_, i) => `answer ${i}`), long];
    const replies = await Promise.all(
      responses.map((response) => server!.post("/v1/reward", { prompt: "?", response })),
    );
    expect(replies.slice(0, -1).every(({ body }) => typeof body.value === "number")).toBe(true);
    expect(replies.at(-1)!.body).toMatchObject({ outcome: "failed", value: null });
    const { body } = await server.get("/metrics");
    const batches = Number(/batch_size_count\{[^}]*\} (\d+)/.exec(body)![1]);
    expect(batches).toBeLessThan(responses.length);
  });

  it("are refused beyond the queue's bound, with a time to come back", async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const served = await openChoice(
      {
        judges: [{ kind: "length", max_words: 3 }],
        engine,
        outputDir: shop.path("out"),
        options: { maxWaiting: 4 },
      },
      { reporter: silent },
    );
    const task = served.tasks[0]!;
    const [member] = task.judges.members;
    (task.judges.members as (typeof member)[])[0] = {
      ...member!,
      judge: { ...member!.judge, judge: () => held.then(() => ({ verdict: "satisfied", reason: "late" })) },
    };
    server = await serveTasks(served);
    const post = (response: string) => server!.post("/v1/reward", { prompt: "?", response });
    const waiting = ["a", "b", "c", "d"].map(post);
    await expect.poll(() => server!.service.health().waiting, { timeout: 20_000 }).toBe(4);
    const refused = await post("e");
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(refused.body.error.type).toBe("busy");
    release();
    expect((await Promise.all(waiting)).map(({ body }) => body.value)).toEqual([1, 1, 1, 1]);
    expect((await post("f")).status).toBe(200);
  });
});

describe("the door", () => {
  const sample = { prompt: "?", response: "a b c d" };
  const judges = [{ kind: "length", max_words: 3 }];
  const open = async (options: object = {}) => {
    server = await serveChoice({ judges, outputDir: shop.path("out") }, options);
    return server;
  };

  it("asks for the token, in the header or in the path; probes need none", async () => {
    const { post, get } = await open({ token: "secret-token" });
    expect((await post("/v1/reward", sample)).status).toBe(401);
    expect((await post("/v1/reward", sample, { authorization: "Bearer wrong-token" })).status).toBe(401);
    expect((await post("/v1/reward", sample, { authorization: "Bearer secret-token" })).status).toBe(200);
    expect((await post("/t/secret-token/v1/reward", sample)).status).toBe(200);
    expect((await post("/v1/reward?token=secret-token", sample)).status).toBe(200);
    expect((await post("/t/secret-tokem/v1/reward", sample)).status).toBe(401);
    expect((await get("/health")).status).toBe(200);
    expect((await get("/metrics")).status).toBe(401);
  });

  it("takes the task from the path", async () => {
    const { post } = await open();
    expect((await post("/task/default/v1/reward", sample)).body.task).toBe("default");
    const unknown = await post("/task/defaul/v1/reward", sample);
    expect(unknown.status).toBe(404);
    expect(unknown.body.error.message).toMatch(/did you mean "default"/i);
  });

  it("without a token answers to loopback names only", async () => {
    const { url } = await open();
    const { port } = new URL(url);
    const asked = request({ port, host: "127.0.0.1", path: "/v1/tasks", headers: { host: "evil.example" } });
    asked.end();
    const [response] = await once(asked, "response");
    expect(response.statusCode).toBe(401);
    await expect(open({ host: "0.0.0.0" })).rejects.toThrow(/can be reached by others: give a token/);
  });

  it.each([
    ["no JSON", "{", 400, /not JSON/],
    ["no object", "[1]", 400, /must be \{ task\?, samples/],
    ["a prompt that is a number", { samples: [{ prompt: 3, response: "a" }] }, 400, /the body|prompt/],
    ["no response", { prompt: "a" }, 400, /must be|response/],
    ["an unknown task", { task: "nope", samples: [] }, 404, /no task "nope"/],
    ["deep nesting", "[".repeat(200_000), 400, /not JSON/],
  ])("refuses %s", async (_, body, status, message) => {
    const { post } = await open();
    const reply = await post("/v1/reward", body);
    expect(reply.status).toBe(status);
    expect(reply.body.error.message).toMatch(message);
    expect((await post("/v1/reward", sample)).status).toBe(200);
  });

  it("refuses bodies beyond the limit, said or not, and what is no JSON", async () => {
    const { post, url } = await open({ maxBodyBytes: 10_000 });
    const large = { prompt: "?", response: "x".repeat(20_000) };
    expect((await post("/v1/reward", large)).status).toBe(413);
    const chunked = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 20; i++) controller.enqueue(new TextEncoder().encode("x".repeat(1000)));
        controller.close();
      },
    });
    const headers = { "content-type": "application/json" };
    const init = { method: "POST", headers, body: chunked, duplex: "half" } as RequestInit;
    expect((await fetch(`${url}/v1/reward`, init)).status).toBe(413);
    expect((await post("/v1/reward", sample, { "content-type": "text/plain" })).status).toBe(415);
    expect((await post("/v1/reward", sample)).status).toBe(200);
  });

  it("survives clients that are slow or leave", async () => {
    const { post, url } = await open({ requestSeconds: 1 });
    const port = Number(new URL(url).port);
    const slow = connect(port, "127.0.0.1");
    slow.write(
      "POST /v1/reward HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
    );
    const gone = connect(port, "127.0.0.1");
    gone.write(
      "POST /v1/reward HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
    );
    await once(gone, "connect");
    gone.destroy();
    const [answer] = await once(slow, "data");
    expect(String(answer)).toMatch(/^HTTP\/1.1 408 /);
    slow.destroy();
    expect((await post("/v1/reward", sample)).status).toBe(200);
  });

  it("describes what it serves", async () => {
    const { get } = await open();
    const { body } = await get("/openapi.json");
    expect(body.openapi).toBe("3.1.0");
    expect(body.paths["/v1/reward"].post.requestBody.content["application/json"].schema).toBeDefined();
    expect((await get("/v1/tasks")).body.tasks[0]).toMatchObject({ task: "default", value: "gate" });
    expect((await get("/nothing")).status).toBe(404);
  });

  it("logs every sample", async () => {
    const { post, close } = await open();
    await post("/v1/reward", { samples: [sample, { ...sample, response: "a" }] });
    await close();
    server = undefined;
    const lines = (await readFile(shop.path("out", "rollouts.jsonl"), "utf8")).trim().split("\n");
    const rows = lines.map((line) => JSON.parse(line));
    expect(rows.map(({ outcome, dialect }) => [outcome, dialect])).toEqual([
      ["violated", "native"],
      ["satisfied", "native"],
    ]);
    expect(rows[0].request).toBe(rows[1].request);
  });
});

describe("an evolving rubric", () => {
  const effort = gradeItem("Effort", [6, "at least 4 words"], [5, "at least 3 words"], [0, "otherwise"]);
  const remedy = gradeItem("Variety", [1, "distinct-word ratio at least 0.99"], [0, "otherwise"]);
  const hacks: Hack[] = [{ name: "Variety", shows: () => true, remedy: [remedy] }];

  it("is revised over the window of what was scored, and every reply says its version", async () => {
    const models = await startScriptedServer({ reviewer: { hacks, mergeShare: 0 } });
    await shop.recipe("rubric.yaml", { items: [effort] });
    const llm = (model: string) => ({ model, base_url: models.baseUrl, max_retries: 0, retry_seconds: 0 });
    const recipe = recipeOf(
      {
        reward: {
          rubric: shop.path("rubric.yaml"),
          judge_model: "rm",
          meta: {
            model: "mrm",
            interval: 1,
            samples: 4,
            refinement: "single-shot",
            sampling: "uniform",
            flagged_score_lower: false,
          },
        },
        judges: [],
        baseline_response: "dataset",
        optimizer: { name: "grpo", generations: 2, batch_prompts: 2 },
      },
      { llm: { rm: llm("rm"), mrm: llm("mrm") } },
    );
    const open = () => serveRecipe(recipe, shop.path("recipe.yaml"));
    try {
      server = await open();
      const score = async (response: string) =>
        (await server!.post("/v1/reward", { prompt: "Write.", response })).body;
      const first = await Promise.all(["one two three", "a a a a", "one", "two two"].map(score));
      expect(first.map(({ rubric }) => rubric.version)).toEqual([0, 0, 0, 0]);
      expect(first.map(({ value }) => value)).toEqual([5 / 6, 1, 0, 0]);
      const status = async () => (await server!.get("/v1/rubrics/writing")).body;
      await expect.poll(async () => (await status()).updates, { timeout: 20_000 }).toBe(1);
      expect((await status()).rubrics[0].version).toBe(1);
      // An answer of an earlier version is no answer of this one.
      const again = await score("one two three");
      expect(again.rubric).toMatchObject({ version: 1 });
      expect(again.value).toBeCloseTo(6 / 7, 12);
      await server.close();

      server = await open();
      expect((await score("a a a a")).rubric.version).toBe(1);
      const rolled = await server.post("/v1/rubrics/writing/rollback", { version: 0 });
      expect(rolled.body.rubrics[0]).toMatchObject({ version: 2, maxTotal: 6 });
      expect((await score("one two three")).value).toBeCloseTo(5 / 6, 12);
      const frozen = await server.post("/v1/rubrics/writing/freeze", { frozen: true });
      expect(frozen.body.frozen).toBe(true);
      for (const response of ["a", "b", "c", "d", "e"]) await score(response);
      expect((await status()).updates).toBe(1);
      const { body } = await server.get("/v1/rubrics/writing/history");
      expect(
        body.versions.map(({ version, reason }: { version: number; reason?: string }) => [version, reason]),
      ).toEqual([
        [0, undefined],
        [1, expect.stringMatching(/update 1/)],
        [2, "rolled back to version 0"],
      ]);
      expect((await server.post("/v1/rubrics/writing/rollback", { version: 9 })).status).toBe(404);
      expect((await server.get("/v1/rubrics/nope")).status).toBe(404);
    } finally {
      await models.close();
    }
  });
});

it("touchstone serve finishes what runs when it is stopped", { timeout: 60_000 }, async () => {
  await writeFile(
    shop.path("slowly.mjs"),
    `export default () => new Promise((resolve) => setTimeout(() => resolve({ verdict: "satisfied", reason: "late" }), 1000));`,
  );
  let reply: Promise<Response> | undefined;
  const result = await runCli(
    [
      "serve",
      "--judge",
      `{module: ${shop.path("slowly.mjs")}, kind: llm}`,
      "--port",
      "0",
      "-o",
      shop.path("out"),
    ],
    {
      onStart(child) {
        child.stdout!.on("data", (chunk: Buffer) => {
          const url = /at (http:\S+)/.exec(String(chunk))?.[1];
          if (!url) return;
          reply = fetch(`${url}/v1/reward`, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ prompt: "?", response: "a" }),
          });
          setTimeout(() => child.kill("SIGTERM"), 400);
        });
      },
    },
  );
  expect(result).toMatchObject({ code: 0 });
  expect(((await (await reply!).json()) as { value: number }).value).toBe(1);
});

it.each([
  [["serve"], /nothing to serve: give a recipe, --reward, --judge or --policy/],
  [["serve", "--judge", "lenght"], /no judge "lenght".*length/],
  [["serve", "--judge", "math", "--token", "short"], /a token has 8 characters or more/],
  [["serve", "--judge", "math", "--host", "0.0.0.0"], /give a token/],
  [["serve", "--judge", "math", "--port", "x"], /--port must be a whole number/],
])("%j is refused with a sentence", async (argv, message) => {
  const { run } = await import("./support/in-process.js");
  const { code, err } = await run(...argv, "-o", shop.path("out"));
  expect(err).toMatch(message);
  expect(code).toBe(2);
});
