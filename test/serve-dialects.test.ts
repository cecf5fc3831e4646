// Every protocol of the reward server: its reply, how it says that a sample failed, and what it says to bad input. Their real
// clients are asked in test/clients.

import { writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import type { ServeRecipe } from "../src/recipe/recipe.js";
import { openPolicy } from "../src/train/models.js";
import { type Reply, type RewardServer, serveRecipe } from "./support/reward-server.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
let server: RewardServer;
const engine = { kind: "local", device: "cpu", threads: 1, maxBatchTokens: 4096 } as const;
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** Tasks: `gate` (R_cr of eq. 8), `raw` (a reward model alone) and `flaky` (a judge that always fails). */
const recipeOf = (onFailed?: ServeRecipe["onFailed"], out = "out") => {
  const prompts = shop.data("prompts/writing.jsonl");
  const grpo = { name: "grpo", generations: 2, batch_prompts: 2, max_new_tokens: 4 };
  return {
    output_dir: shop.path(out),
    policy: shop.policy,
    steps: 1,
    engine: { threads: 1 },
    tasks: [
      {
        name: "gate",
        prompts,
        reward: { warm: shop.reward },
        judges: [{ kind: "length", max_words: 5 }],
        optimizer: { ...grpo, name: "crpg" },
      },
      { name: "raw", prompts, reward: { warm: shop.reward }, optimizer: grpo },
      {
        name: "flaky",
        prompts,
        judges: [{ module: shop.path("flaky.mjs"), name: "flaky" }],
        judge_gate: {},
        optimizer: grpo,
      },
    ],
    serve: { retries: 0, max_waiting: 64, ...(onFailed !== undefined && { on_failed: onFailed }) },
  };
};

beforeAll(async () => {
  shop = await openWorkshop();
  await writeFile(shop.path("flaky.mjs"), `export default () => { throw new Error("no answer"); };`);
  server = await serveRecipe(recipeOf(), shop.path("recipe.yaml"));
});
afterAll(async () => {
  await server?.close();
  await shop.remove();
});

/** The raw reward of a response by the server's own protocol. */
async function raw(prompt: unknown, response: string): Promise<number> {
  const { body } = await server.post("/v1/reward", { task: "raw", prompt, response });
  return body.value;
}

/** A server whose failed samples are what `onFailed` says. */
async function withPolicy<T>(onFailed: ServeRecipe["onFailed"], work: (other: RewardServer) => Promise<T>) {
  const other = await serveRecipe(recipeOf(onFailed, "other"), shop.path("recipe.yaml"), {});
  try {
    return await work(other);
  } finally {
    await other.close();
  }
}

const prompt = "Write about the sea.";
const long = "one two three four five six seven";

describe("OpenRLHF", () => {
  const ask = (query: string, label: unknown = { task: "gate" }) =>
    server.post("/get_reward", { query: [query], prompts: [prompt], labels: [JSON.stringify(label)] });

  it("gets rewards, scores and one number under the same keys for every sample", async () => {
    const [inside, outside] = [await ask(`${prompt} blue<|end|>`), await ask(`${prompt} ${long}`)];
    expect(inside.body.rewards[0]).toBeGreaterThan(0);
    expect(inside.body.scores).toEqual([1]);
    expect(outside.body).toMatchObject({ rewards: [0], scores: [0] });
    expect(outside.body.extra_logs["judges/length/violated"]).toEqual([1]);
    expect(Object.keys(inside.body.extra_logs)).toEqual(Object.keys(outside.body.extra_logs));
  });

  it("does not show the end of a response to judges and reward", async () => {
    const { body } = await ask(`${prompt}blue`, { task: "raw" });
    expect(body.rewards[0]).toBeCloseTo(await raw(prompt, "blue"), 6);
  });

  it("answers the empty lists of spare servers with empty lists", async () => {
    const { status, body } = await server.post("/get_reward", { query: [], prompts: [], labels: [] });
    expect(status).toBe(200);
    expect(body).toMatchObject({ rewards: [], scores: [] });
  });

  it("is told 503, never 0, of a sample that failed; or the recipe's number", async () => {
    const failed = await ask(`${prompt} blue`, { task: "flaky" });
    expect(failed).toMatchObject({ status: 503, body: { error: expect.stringMatching(/no answer/) } });
    await withPolicy(-1, async ({ post }) => {
      const body = { query: ["a b"], prompts: ["a"], labels: ['{"task":"flaky"}'] };
      expect((await post("/get_reward", body)).body.rewards).toEqual([-1]);
    });
  });

  it.each([
    ["lengths that differ", { query: ["a", "b"], prompts: ["a"], labels: [] }, /of one length/],
    ["texts that are none", { query: [1], prompts: ["a"], labels: [""] }, /query/],
    ["no query", { prompts: ["a"] }, /query/],
    ["an unknown task", { query: ["a"], prompts: ["a"], labels: ['{"task":"nope"}'] }, /no task "nope"/],
  ])("refuses %s", async (_, body, message) => {
    const { status, body: reply } = await server.post("/get_reward", body);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
    expect(reply.error).toMatch(message);
  });
});

describe("slime and LLaMA-Factory", () => {
  it("get a bare number", async () => {
    const { body } = await server.post("/task/raw/rm", { prompt, response: "blue", label: "3" });
    expect(body).toBeCloseTo(await raw(prompt, "blue"), 6);
    const messages = [{ role: "user", content: prompt }];
    const typed = await server.post("/task/raw/rm/details", {
      prompt: messages,
      response: "blue",
      label: null,
    });
    expect(typed.body).toMatchObject({ outcome: "satisfied", value: expect.any(Number) });
  });

  it("get a list of scores for whole texts", async () => {
    const { body } = await server.post("/task/raw/llama_factory", { model: "m", messages: ["a b", "c"] });
    expect(body.scores).toHaveLength(2);
    expect(body.scores[1]).toBeCloseTo(await raw("", "c"), 6);
    const own = await server.post("/task/raw/v1/score/evaluation", { model: "m", messages: ["c"] });
    expect(own.body).toMatchObject({ object: "score.evaluation", scores: [body.scores[1]] });
  });

  it("are told 503 of a sample that failed", async () => {
    expect((await server.post("/task/flaky/rm", { prompt, response: "a" })).status).toBe(503);
    const { status, body } = await server.post("/task/flaky/llama_factory", { messages: ["a"] });
    expect(status).toBe(503);
    expect(body.scores).toBeUndefined();
  });

  it("are refused bad input", async () => {
    expect((await server.post("/rm", { prompt: 3, response: "a" })).body.error).toMatch(/prompt/);
    expect((await server.post("/llama_factory", { messages: "a" })).body.detail).toMatch(/messages/);
    expect((await server.post("/v1/score/evaluation", { messages: [] })).status).toBe(400);
  });
});

describe("vLLM's pooling", () => {
  it("classify: the reward alone in probs, raw or through the sigmoid", async () => {
    const reward = await raw("", "blue");
    const plain = await server.post("/task/raw/classify", {
      model: "m",
      input: "blue",
      use_activation: false,
    });
    expect(plain.body.data[0]).toMatchObject({ index: 0, label: "LABEL_0", num_classes: 1 });
    expect(plain.body.data.at(-1).probs.at(-1)).toBeCloseTo(reward, 6);
    const { body } = await server.post("/task/raw/classify", { input: ["red", "blue"] });
    expect(body.data[1].probs[0]).toBeCloseTo(sigmoid(reward), 6);
    const { codec, policy } = await openPolicy(shop.policy, { engine, frozen: true });
    policy.dispose();
    const tokens = codec.tokenizer.encode("blue", { addSpecialTokens: false });
    const ids = await server.post("/task/raw/classify", { input: tokens, use_activation: false });
    expect(ids.body.data[0].probs[0]).toBeCloseTo(reward, 6);
  });

  it("a conversation is scored by its last turn", async () => {
    const messages = [
      { role: "user", content: prompt },
      { role: "assistant", content: "blue" },
    ];
    const { body } = await server.post("/task/raw/classify", { messages, use_activation: false });
    expect(body.data[0].probs[0]).toBeCloseTo(await raw(messages.slice(0, 1), "blue"), 6);
  });

  it("pooling, score and rerank", async () => {
    const reward = await raw(prompt, "blue");
    const pooled = await server.post("/task/raw/pooling", { input: "blue", use_activation: false });
    // Found by the fuzzer: messages beside an input that are none.
    for (const messages of [[], "blue", [{ role: 1 }]])
      expect((await server.post("/task/raw/pooling", { input: "blue", messages })).status).toBe(200);
    expect(pooled.body.data[0].data[0]).toBeCloseTo(await raw("", "blue"), 6);
    const coded = await server.post("/task/raw/pooling", {
      input: "blue",
      use_activation: false,
      encoding_format: "base64",
    });
    expect(Buffer.from(coded.body.data[0].data, "base64").readFloatLE()).toBeCloseTo(
      await raw("", "blue"),
      5,
    );
    const pair = { text_1: prompt, text_2: ["blue", long], use_activation: false };
    const scored = await server.post("/task/raw/score", pair);
    expect(scored.body.data[0].score).toBeCloseTo(reward, 6);
    const ranked = await server.post("/task/raw/v1/rerank", {
      query: prompt,
      documents: ["blue", long],
      top_n: 1,
    });
    expect(ranked.body.results).toHaveLength(1);
    expect(ranked.body.results[0].relevance_score).toBeCloseTo(
      sigmoid(Math.max(reward, scored.body.data[1].score)),
      6,
    );
  });

  it.each([
    ["normalize", "/classify", { input: "a", normalize: true }, 400, /use_activation/],
    ["no input", "/classify", {}, 400, /input/],
    ["mixed input", "/classify", { input: ["a", 3] }, 400, /input/],
    ["pairs of other lengths", "/score", { text_1: ["a", "b"], text_2: ["c"] }, 400, /of one length/],
    ["half a pair", "/score", { text_1: "a" }, 400, /text_1 and text_2/],
    ["no documents", "/v1/rerank", { query: "a", documents: [] }, 400, /documents/],
    ["a failed judge", "/task/flaky/classify", { input: "a" }, 503, /no answer/],
  ])("%s: vLLM's error", async (_, path, body, status, message) => {
    const reply = await server.post(path, body);
    expect(reply.status).toBe(status);
    expect(reply.body.error).toMatchObject({ message: expect.stringMatching(message), code: status });
  });
});

describe("TEI", () => {
  it("predict: a text, a pair, a batch", async () => {
    const reward = await raw("", "blue");
    const one = await server.post("/task/raw/predict", { inputs: "blue", raw_scores: true });
    expect(one.body).toEqual([{ label: "LABEL_0", score: expect.closeTo(reward, 6) }]);
    const pair = await server.post("/task/raw/predict", { inputs: [prompt, "blue"], raw_scores: true });
    expect(pair.body[0].score).toBeCloseTo(await raw(prompt, "blue"), 6);
    const batch = await server.post("/task/raw/predict", { inputs: [["blue"], [prompt, "blue"]] });
    expect(batch.body[0][0].score).toBeCloseTo(sigmoid(reward), 6);
    expect(batch.body[1][0].score).toBeCloseTo(sigmoid(pair.body[0].score), 6);
  });

  it("rerank and info", async () => {
    const { body } = await server.post("/task/raw/rerank", {
      query: prompt,
      texts: ["blue", long],
      return_text: true,
    });
    expect(body.map(({ score }: { score: number }) => score)).toEqual(
      [...body.map(({ score }: { score: number }) => score)].sort((a: number, b: number) => b - a),
    );
    expect(body[0].text).toBe(["blue", long][body[0].index]);
    const documents = await server.post("/task/raw/rerank", { query: prompt, documents: ["blue"] });
    expect(documents.body.results[0].document.text).toBe("blue");
    const info = await server.get("/task/raw/info");
    expect(info.body).toMatchObject({ model_id: "raw", max_input_length: 256 });
  });

  it.each([
    ["an empty batch", "/predict", { inputs: [] }, 422, "validation"],
    ["a number", "/predict", { inputs: 3 }, 422, "validation"],
    ["three texts", "/predict", { inputs: [["a", "b", "c"]] }, 422, "validation"],
    ["a failed judge", "/task/flaky/predict", { inputs: "a" }, 424, "backend"],
    ["too many texts", "/predict", { inputs: Array(65).fill(["a"]) }, 413, "validation"],
  ])("%s: TEI's error", async (_, path, body, status, type) => {
    const reply = await server.post(path, body);
    expect(reply.status).toBe(status);
    expect(reply.body).toMatchObject({ error: expect.any(String), error_type: type });
  });
});

describe("NeMo Gym", () => {
  const said = (text: string) => ({
    id: "r",
    output: [{ type: "message", role: "assistant", content: [{ type: "output_text", text }] }],
  });
  const row = {
    responses_create_params: { input: [{ role: "user", content: prompt }] },
    answer: "7",
    touchstone_task: "gate",
  };
  const verify = (body: object, headers?: Record<string, string>) => server.post("/verify", body, headers);

  it("legacy: echoes the row, with the reward", async () => {
    const seeded = await server.post("/seed_session", row);
    expect(seeded.body).toEqual({});
    expect(seeded.headers.get("set-cookie")).toMatch(/^touchstone_session=/);
    const { body } = await verify({ ...row, response: said("blue") });
    expect(body).toMatchObject({
      answer: "7",
      response: said("blue"),
      mask_sample: false,
      failure_kind: null,
    });
    expect(body.reward).toBeGreaterThan(0);
    expect((await verify({ ...row, response: said(long) })).body.reward).toBe(0);
    expect(
      (await server.post("/ng-rollout/a.b-1/verify", { ...row, response: said(long) })).body.reward,
    ).toBe(0);
  });

  it("typed: the row's data come with the session, which is idempotent until it is closed", async () => {
    const seed = {
      resources_session_id: "s-1",
      episode_id: { rollout_id: "a", attempt: 0 },
      task_id: { taskset: "t", task_id: "1" },
      task_data: { touchstone_task: "gate" },
    };
    const { body, headers } = await server.post("/seed_session", seed);
    expect(body).toEqual({ resources_session_id: "s-1", resources_tools: null, sandbox_access: null });
    expect((await server.post("/seed_session", seed)).status).toBe(200);
    const cookie = headers.get("set-cookie")!.split(";")[0]!;
    const { episode_id, task_id } = seed;
    const request = { responses_create_params: row.responses_create_params, response: said(long) };
    const verified = await verify({ episode_id, task_id, verification_input: request }, { cookie });
    expect(verified.body).toMatchObject({ ...request, reward: 0, mask_sample: false });
    const closing = { resources_session_id: "s-1", episode_id };
    expect((await server.post("/close_session", closing, { cookie })).body).toEqual({
      resources_session_id: "s-1",
    });
    expect((await server.post("/close_session", closing, { cookie })).status).toBe(200);
    expect((await server.post("/seed_session", seed)).status).toBe(409);
    expect((await server.post("/close_session", {})).status).toBe(200);
  });

  it("a failed judge masks the row; 503 only where the recipe wants it and the dialect repeats the episode", async () => {
    const request = { ...row, touchstone_task: "flaky", response: said("blue") };
    const { status, body } = await verify(request);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      reward: 0,
      mask_sample: true,
      failure_kind: "judge_failed",
      _ng_failure_class: "judge_failed",
      failure_reason: expect.stringMatching(/no answer/),
    });
    await withPolicy("unavailable", async ({ post }) => {
      expect((await post("/verify", request)).body.mask_sample).toBe(true);
      const { responses_create_params, response } = request;
      const typed = {
        episode_id: { rollout_id: "a", attempt: 0 },
        task_id: { taskset: "t", task_id: "1" },
        verification_input: { responses_create_params, response },
      };
      expect((await post("/task/flaky/verify", typed)).status).toBe(503);
    });
  });

  it("aggregates without masked rows, and says what it is", async () => {
    const rows = [
      { _ng_task_index: 0, reward: 1 },
      { _ng_task_index: 0, reward: 0 },
      { _ng_task_index: 1, reward: 0, mask_sample: true },
    ];
    const { body } = await server.post("/aggregate_metrics", { verify_responses: rows });
    expect(body).toEqual({
      group_level_metrics: [{ _ng_task_index: 0, "mean/reward": 0.5 }],
      agent_metrics: { "mean/reward": 0.5, masked: 1 },
      key_metrics: { "mean/reward": 0.5 },
    });
    expect((await server.get("/reverify_mode")).body).toBe("stateless");
    expect((await server.get("/")).body).toEqual({ status: "ok" });
    expect((await server.post("/sandbox_access", {})).status).toBe(404);
  });

  it("refuses what is no row", async () => {
    for (const body of [{}, { ...row }, { ...row, response: { output: "a" } }])
      expect((await verify(body)).body.detail).toMatch(/must have responses_create_params/);
    expect((await server.post("/seed_session", { resources_session_id: 3 })).status).toBe(400);
    expect((await server.post("/aggregate_metrics", { verify_responses: 3 })).status).toBe(400);
  });
});

describe("OpenEnv", () => {
  it("over HTTP every call stands alone", async () => {
    const first = await server.post("/task/gate/reset", { seed: 3 });
    expect(first.body).toMatchObject({ reward: null, done: false, observation: { task: "gate" } });
    expect((await server.post("/task/gate/reset", { seed: 3 })).body).toEqual(first.body);
    const { prompt_id } = first.body.observation;
    const step = await server.post("/step", { action: { response: "blue", task: "gate", prompt_id } });
    expect(step.body).toMatchObject({
      done: true,
      observation: { outcome: "satisfied" },
    });
    expect(step.body.reward).toBeGreaterThan(0);
    const failed = await server.post("/step", { action: { response: "blue", task: "flaky", prompt_id } });
    expect(failed.body).toMatchObject({ reward: null, done: true });
    expect((await server.get("/schema")).body.action.required).toEqual(["response"]);
    expect((await server.get("/state")).body).toEqual({ episode_id: null, step_count: 0 });
    expect((await server.get("/metadata")).body.name).toBe("touchstone");
  });

  it.each([
    ["no response", { action: {} }, /response/],
    ["an unknown field", { action: { response: "a", reward: 1 } }, /reward/],
    ["no prompt", { action: { response: "a" } }, /must name its prompt/],
    ["an unknown prompt", { action: { response: "a", prompt_id: "nope" } }, /no prompt "nope"/],
  ])("refuses a step with %s", async (_, body, message) => {
    const reply = await server.post("/step", body);
    expect(reply).toMatchObject({ status: 422, body: { detail: expect.stringMatching(message) } });
  });

  it("over a WebSocket there is a session", async () => {
    const socket = new WebSocket(`${server.url.replace("http", "ws")}/task/gate/ws`);
    await new Promise((resolve) => socket.once("open", resolve));
    const ask = (message: unknown) =>
      new Promise<{ type: string; data: Record<string, never> & { code?: string } }>((resolve) => {
        socket.once("message", (data) => resolve(JSON.parse(String(data))));
        socket.send(typeof message === "string" ? message : JSON.stringify(message));
      });
    const reset = await ask({ type: "reset", data: { seed: 3, episode_id: "e" } });
    expect(reset).toMatchObject({ type: "observation", data: { reward: null, done: false } });
    const step = await ask({ type: "step", data: { response: long } });
    expect(step).toMatchObject({ type: "observation", data: { reward: 0, done: true } });
    expect(await ask({ type: "state" })).toMatchObject({
      type: "state",
      data: { episode_id: "e", step_count: 1 },
    });
    const codes = [];
    for (const bad of [
      "{",
      { type: "jump" },
      { type: "step", data: { answer: "a" } },
      { type: "reset", data: { task: "nope" } },
    ])
      codes.push((await ask(bad)).data.code);
    expect(codes).toEqual(["INVALID_JSON", "UNKNOWN_TYPE", "VALIDATION_ERROR", "EXECUTION_ERROR"]);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.send(JSON.stringify({ type: "close" }));
    await closed;
    const elsewhere = new WebSocket(`${server.url.replace("http", "ws")}/nothing`);
    const error = await new Promise<Error>((resolve) => elsewhere.once("error", resolve));
    expect(error.message).toMatch(/404/);
  });
});

describe("ORS", () => {
  const sid = { "x-session-id": "session-1" };

  it("an episode of one tool call", async () => {
    expect((await server.get("/list_environments")).body).toEqual(["gate", "raw", "flaky"]);
    expect((await server.get("/gate/splits")).body).toEqual([{ name: "train", type: "train" }]);
    const { body: count } = await server.post("/gate/num_tasks", { split: "train" });
    expect((await server.post("/gate/tasks", { split: "train" })).body.tasks).toHaveLength(count.num_tasks);
    expect(
      (await server.post("/gate/task_range", { split: "train", start: 1, stop: 3 })).body.tasks,
    ).toHaveLength(2);
    const { task } = (await server.post("/gate/task", { split: "train", index: 0 })).body;
    expect((await server.post("/create_session", {})).body).toMatch(
      /^event: task_id\ndata: [\w-]+\n\nevent: end\n/,
    );
    expect((await server.post("/create", { env_name: "gate", task_spec: task }, sid)).body).toEqual({
      sid: "session-1",
    });
    expect((await server.post("/create", { env_name: "gate", task_spec: task }, sid)).status).toBe(400);
    expect((await server.get("/gate/prompt", sid)).body[0].text).toBe(task.prompt);
    expect((await server.get("/gate/task_tools", sid)).body.tools[0].name).toBe("submit");
    const call = (input: object, more: object = {}, name = "submit") =>
      server.post("/gate/call", { name, input, ...more }, sid);
    const answered = outputOf(await call({ answer: "blue" }, { task_id: "call-1" }));
    expect(answered).toMatchObject({ ok: true, output: { finished: true } });
    expect(answered.output.reward).toBeGreaterThan(0);
    expect(outputOf(await call({ answer: long }, { task_id: "call-1" }))).toEqual(answered);
    expect(outputOf(await call({ answer: "word ".repeat(3000) }))).toMatchObject({ ok: true });
    expect(outputOf(await call({}))).toMatchObject({ ok: false, error: expect.stringMatching(/answer/) });
    expect(outputOf(await call({}, {}, "run"))).toMatchObject({
      ok: false,
      error: expect.stringMatching(/no tool/),
    });
    expect((await server.post("/ping", {}, sid)).status).toBe(200);
    expect((await server.post("/delete", {}, sid)).status).toBe(200);
    expect((await server.post("/ping", {}, sid)).status).toBe(410);
  });

  /** The JSON that the events of a call carry. */
  function outputOf({ body }: Reply) {
    const data = [...String(body).matchAll(/event: (?:chunk|end)\ndata: (.*)\n/g)].map(([, piece]) => piece);
    return JSON.parse(data.join(""));
  }

  it("a reward that could not be had is null", async () => {
    const headers = { "x-session-id": "session-2" };
    await server.post("/create", { env_name: "flaky", split: "train", index: 0 }, headers);
    const reply = await server.post("/flaky/call", { name: "submit", input: { answer: "a" } }, headers);
    expect(outputOf(reply).output).toMatchObject({ reward: null, finished: true });
  });

  it("refuses bad input", async () => {
    expect((await server.post("/ping", {})).body.detail).toMatch(/X-Session-ID/);
    expect((await server.post("/ping", {}, { "x-session-id": "nobody" })).status).toBe(404);
    expect((await server.post("/nope/tasks", { split: "train" })).status).toBe(404);
    expect((await server.post("/gate/tasks", { split: "test" })).status).toBe(400);
    expect((await server.post("/gate/task", { split: "train", index: 999 })).status).toBe(400);
    expect((await server.post("/create", { env_name: "gate" }, { "x-session-id": "s" })).status).toBe(400);
  });
});

describe("the policy", () => {
  const text = "Write about the sea.";

  it("echo and logprobs: what the engine says of every token, with the most likely one", async () => {
    const { policy, codec } = await openPolicy(shop.policy, { engine, frozen: true });
    const prompt = codec.prompt(text);
    const { body } = await server.post("/v1/completions", {
      prompt: [prompt, prompt.slice(0, 4)],
      max_tokens: 1,
      temperature: 0,
      echo: true,
      logprobs: 1,
    });
    const [first, second] = body.choices;
    expect(second.logprobs.tokens).toHaveLength(5);
    expect(first.logprobs.token_logprobs[0]).toBeNull();
    const [wanted] = await policy.logprobs([{ tokens: prompt, promptLength: 1 }]);
    const given = first.logprobs.token_logprobs.slice(1, -1);
    for (const [i, logprob] of [...wanted!].entries()) expect(given[i]).toBeCloseTo(logprob, 5);
    // The generated token was chosen greedily, so it is the most likely one, to the last bit.
    expect(Math.max(...(Object.values(first.logprobs.top_logprobs.at(-1)) as number[]))).toBe(
      first.logprobs.token_logprobs.at(-1),
    );
    for (const [i, top] of first.logprobs.top_logprobs.slice(1).entries())
      expect(Math.max(...(Object.values(top) as number[]))).toBeGreaterThanOrEqual(
        first.logprobs.token_logprobs[i + 1],
      );
    policy.dispose();
  });

  it("chat streams what it would have said at once, and stops at strings", async () => {
    const ask = { messages: [{ role: "user", content: text }], max_tokens: 12, temperature: 0.9, seed: 5 };
    const whole = await server.post("/v1/chat/completions", ask);
    const { content } = whole.body.choices[0].message;
    expect(whole.body.usage.completion_tokens).toBeGreaterThan(0);
    const streamed = await server.post("/v1/chat/completions", { ...ask, stream: true });
    const events = String(streamed.body).trim().split("\n\n");
    expect(events.at(-1)).toBe("data: [DONE]");
    const pieces = events.slice(0, -1).map((event) => JSON.parse(event.slice(6)).choices[0]);
    expect(pieces.map(({ delta }) => delta.content ?? "").join("")).toBe(content);
    expect(pieces.at(-1).finish_reason).toBe(whole.body.choices[0].finish_reason);
    const stop = content.slice(Math.floor(content.length / 2)).slice(0, 2);
    const cut = await server.post("/v1/chat/completions", { ...ask, stop });
    expect(cut.body.choices[0].message.content).toBe(content.slice(0, content.indexOf(stop)));
    const cutStream = await server.post("/v1/chat/completions", { ...ask, stop, stream: true });
    const shown = String(cutStream.body)
      .trim()
      .split("\n\n")
      .slice(0, -1)
      .map((event) => JSON.parse(event.slice(6)).choices[0].delta.content ?? "");
    expect(shown.join("")).toBe(cut.body.choices[0].message.content);
  });

  it("several answers differ, and a seed repeats them", async () => {
    const ask = { prompt: [text, text], n: 2, max_tokens: 6, temperature: 1, seed: 3 };
    const [one, two] = [await server.post("/v1/completions", ask), await server.post("/v1/completions", ask)];
    const texts = one.body.choices.map((choice: { text: string }) => choice.text);
    expect(texts).toEqual(two.body.choices.map((choice: { text: string }) => choice.text));
    expect(one.body.choices.map(({ index }: { index: number }) => index)).toEqual([0, 1, 2, 3]);
    expect(new Set(texts).size).toBeGreaterThan(1);
  });

  it("models", async () => {
    const { body } = await server.get("/v1/models");
    expect(body.data.map(({ id }: { id: string }) => id)).toEqual(["policy", "gate", "raw", "flaky"]);
  });

  it.each([
    ["no messages", "/v1/chat/completions", { messages: [] }, /must not be empty/],
    ["a number as prompt", "/v1/completions", { prompt: 3 }, /must be a text/],
    ["a token of nobody's", "/v1/completions", { prompt: [999999] }, /not in the vocabulary/],
    ["a prompt beyond the window", "/v1/completions", { prompt: "word ".repeat(400) }, /window is 256/],
    ["a temperature below 0", "/v1/completions", { prompt: "a", temperature: -1 }, /temperature/],
    ["five log-probabilities", "/v1/completions", { prompt: "a", logprobs: 5 }, /logprobs is 0 or 1/],
    ["a stream of two", "/v1/completions", { prompt: ["a", "b"], stream: true }, /one prompt/],
  ])("refuses %s", async (_, path, body, message) => {
    const reply = await server.post(path, body);
    expect(reply).toMatchObject({
      status: 400,
      body: { error: { message: expect.stringMatching(message) } },
    });
  });
});

it("every dialect refuses a body of 100 MB, a wrong token and no JSON in its own words", async () => {
  const closed = await serveRecipe(recipeOf("own", "third"), shop.path("recipe.yaml"), {
    token: "secret-token",
    maxBodyBytes: 1000,
  });
  try {
    const bearer = { authorization: "Bearer secret-token" };
    const sentence: Record<string, (body: Reply["body"]) => unknown> = {
      "/v1/reward": ({ error }) => error.message,
      "/get_reward": ({ error }) => error,
      "/rm": ({ error }) => error,
      "/llama_factory": ({ detail }) => detail,
      "/verify": ({ detail }) => detail,
      "/step": ({ detail }) => detail,
      "/gate/tasks": ({ detail }) => detail,
      "/classify": ({ error }) => error.message,
      "/predict": ({ error }) => error,
      "/v1/completions": ({ error }) => error.message,
    };
    for (const [path, say] of Object.entries(sentence)) {
      const large = await closed.post(path, `"${"x".repeat(2000)}"`, bearer);
      expect([path, large.status, say(large.body)]).toEqual([
        path,
        413,
        expect.stringMatching(/larger than/),
      ]);
      const stranger = await closed.post(path, {}, { authorization: "Bearer wrong-token" });
      expect([path, stranger.status, say(stranger.body)]).toEqual([
        path,
        401,
        expect.stringMatching(/token/),
      ]);
      const broken = await closed.post(path, "{", bearer);
      expect([path, say(broken.body)]).toEqual([path, expect.stringMatching(/not JSON/)]);
      expect(broken.status === 400 || broken.status === 422).toBe(true);
    }
    expect((await closed.post("/get_reward/secret-token", { query: [], prompts: [] })).status).toBe(200);
    expect((await closed.get("/list_environments", { "x-api-key": "secret-token" })).status).toBe(200);
  } finally {
    await closed.close();
  }
});
