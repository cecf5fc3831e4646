// The engine on a service: against a small service of the same protocol over the local engine, so that both must agree.

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { LanguageModel } from "../src/engine/contract.js";
import { readAdapterArchive } from "../src/engine/tinker/archive.js";
import { openTinker, type TinkerModel, type TinkerOptions } from "../src/engine/tinker/index.js";
import { ProtoWriter, readProto } from "../src/engine/tinker/protobuf.js";
import { reductions } from "../src/engine/tinker/reduction.js";
import { readPass, readSample } from "../src/engine/tinker/wire.js";
import { distance, type Tensors, tensorsOf, trainedHere } from "./support/adapters.js";
import { objectiveNamed, samples, updates } from "./support/tinker-parity.js";
import { type ServiceOptions, TinkerService, tarOf } from "./support/tinker-service.js";

const base = "test/fixtures/engine/llama-tied";
const vocabSize = 96;

let folder: string;
const opened: { stop(): Promise<void> }[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tinker-"));
});
afterEach(async () => {
  for (const one of opened.splice(0)) await one.stop();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function start(options: Partial<ServiceOptions> = {}): Promise<TinkerService> {
  const service = await TinkerService.start({ base, recognisesRepeats: true, clips: true, ...options });
  opened.push(service);
  return service;
}

async function open(service: TinkerService, options: Partial<TinkerOptions> = {}): Promise<TinkerModel> {
  const model = await openTinker({
    baseUrl: service.url,
    baseModel: base,
    rank: 4,
    seed: 7,
    limits: { vocabSize, maxTokens: 64 },
    endIds: [3],
    savedBase: base,
    tokenizerDir: base,
    retrySeconds: 0.01,
    ...options,
  });
  opened.push({ stop: async () => model.dispose() });
  return model;
}

/** The model that the service holds, here: its adapter as it was saved. */
async function here(model: TinkerModel, name: string): Promise<LanguageModel> {
  const dir = join(folder, name);
  await model.save(dir);
  return trainedHere(base, dir);
}

async function adapterOf(model: LanguageModel, name: string): Promise<Tensors> {
  await model.save(join(folder, name));
  return tensorsOf(join(folder, name));
}

describe("a policy on a service", () => {
  it.each(reductions)(
    "takes the same five updates as here, where the service reduces by %s",
    async (reduction) => {
      const service = await start({ reduction, ...(reduction === "mean" && { dialect: "protobuf" }) });
      const notes: string[] = [];
      for (const name of reduction === "sum" ? ["crpg", "crraft", "codpo", "grpo", "ppo"] : ["crpg"]) {
        const model = await open(service, { note: (sentence) => notes.push(sentence) });
        const local = await here(model, `start-${name}`);
        const objective = objectiveNamed(name);
        const sequences = samples(vocabSize);
        const there = await updates(model, await model.snapshot(), objective, sequences);
        const own = await updates(local, await local.snapshot(), objective, sequences);
        there.forEach((norm, i) => void expect(norm / own[i]!).toBeCloseTo(1, 4));
        const { worst } = distance(
          await adapterOf(model, `there-${name}`),
          await adapterOf(local, `here-${name}`),
        );
        expect(worst).toBeLessThan(1e-4);
      }
      expect(notes[0]).toContain(`gradients are reduced by ${reduction}`);
    },
  );

  it("samples, scores and continues as it says", async () => {
    const service = await start({ reduction: "mean" });
    const model = await open(service);
    const prompts = [
      [5, 6, 7],
      [9, 10],
    ];
    const options = { n: 2, maxNewTokens: 6, seeds: [1, 2, 3, 4] };
    const completions = await model.sample(prompts, options);
    expect(completions.map(({ promptIndex }) => promptIndex)).toEqual([0, 0, 1, 1]);
    const sequences = completions.map(({ promptIndex, tokens }) => ({
      tokens: [...prompts[promptIndex]!, ...tokens],
      promptLength: prompts[promptIndex]!.length,
    }));
    const before = await model.logprobs(sequences);
    close(before, (i, t) => completions[i]!.logprobs[t]!, 4);
    const reference = await model.snapshot();
    const g = before.map((row) => row.map(() => -0.1));
    await model.backward(sequences, g);
    await model.step({ learningRate: 0.01 });
    const after = await model.logprobs(sequences);
    expect(sum(after)).toBeGreaterThan(sum(before));
    // The reference has stayed where the policy was.
    expect(sum(await reference.logprobs(sequences))).toBeCloseTo(sum(before), 3);

    const dir = join(folder, "state");
    await model.saveState(dir);
    expect(JSON.parse(await readFile(join(dir, "tinker.json"), "utf8"))).toMatchObject({
      service: service.url,
      session: "session_1",
      model: model.id,
      base_model: base,
    });
    // What is sent after the state was saved does not count for whoever goes on from it.
    await model.backward(sequences, g);
    await model.step({ learningRate: 0.01 });
    const counted = service.counted;
    await model.loadState(dir);
    expect(await model.logprobs(sequences)).toEqual(after);
    expect(service.counted).toBe(counted);
  });

  it("asks for all requests of a sampling session together where the service offers it", async () => {
    const prompts = [[5, 9], [7], [11, 12, 13], [20]];
    const options = { n: 2, maxNewTokens: 6, seeds: prompts.flatMap((_, i) => [i, i + 100]) };
    const drawn = [];
    const asked: Record<string, number>[] = [];
    for (const pollsTogether of [undefined, true, "gone"] as const) {
      const service = await start({ pollsTogether });
      const model = await open(service, { reduction: "sum" });
      const before = service.requests.length;
      drawn.push(await model.sample(prompts, options));
      const own = service.requests.slice(before);
      asked.push(
        Object.fromEntries(
          ["retrieve_futures", "retrieve_future"].map((path) => [
            path,
            own.filter((one) => one === path).length,
          ]),
        ),
      );
    }
    expect(drawn[1]).toEqual(drawn[0]);
    expect(drawn[2]).toEqual(drawn[0]);
    expect(asked[0]!.retrieve_futures).toBe(0);
    expect(asked[1]!.retrieve_futures).toBeGreaterThan(0);
    // Once for each result, and never before it is there.
    expect(asked[1]!.retrieve_future).toBe(prompts.length);
    expect(asked[2]).toMatchObject({ retrieve_futures: 1, retrieve_future: asked[0]!.retrieve_future });
  });

  it("a sampling request that failed says why when requests are asked for together", async () => {
    const service = await start({ pollsTogether: true });
    const limits = { vocabSize, maxTokens: 64 };
    const model = await open(service, { reduction: "sum", limits });
    // What the service refuses, and this side would have.
    limits.vocabSize = 5000;
    await expect(model.sample([[5], [4000]], { maxNewTokens: 4, seeds: [1, 2] })).rejects.toThrow(
      /token 4000 is not in a vocabulary of 96/,
    );
    expect(service.requests).toContain("retrieve_futures");
  });

  it("scores the reference with a model of its own where sampling scores no prompts", async () => {
    const service = await start({ scoresPrompts: false });
    const notes: string[] = [];
    const model = await open(service, { note: (sentence) => notes.push(sentence) });
    expect(notes[0]).toContain("log pi_ref comes from a second model");
    const sequences = samples(vocabSize);
    const [first, reference] = [await model.logprobs(sequences), await model.snapshot()];
    expect(await reference.logprobs(sequences)).toEqual(first);
    await model.backward(
      sequences,
      first.map((row) => row.map(() => -1)),
    );
    await model.step({ learningRate: 0.01 });
    const moved = await model.snapshot();
    const now = await model.logprobs(sequences);
    expect(sum(now)).not.toBeCloseTo(sum(first), 2);
    expect(await reference.logprobs(sequences)).toEqual(first);
    close(await moved.logprobs(sequences), (i, t) => now[i]![t]!, 5);
  });
});

const sum = (rows: readonly Float32Array[]) => rows.flatMap((row) => [...row]).reduce((a, b) => a + b, 0);

describe("a service that misbehaves", () => {
  const step = async (model: TinkerModel) => {
    const sequences = samples(vocabSize);
    const logprobs = await model.logprobs(sequences);
    await model.backward(
      sequences,
      logprobs.map((row) => row.map(() => -0.1)),
    );
    return model.step({ learningRate: 0.01 });
  };

  it("a lost reply is asked for again where the service knows the request, and counts once", async () => {
    let armed = false;
    const lost: string[] = [];
    const service = await start({
      loses: (path) => {
        const loses = armed && !lost.includes(path) && path !== "unload_model";
        if (loses) lost.push(path);
        return loses;
      },
    });
    const model = await open(service);
    const before = service.counted;
    armed = true;
    const { gradNorm } = await step(model);
    expect(gradNorm).toBeGreaterThan(0);
    expect(lost).toEqual(
      expect.arrayContaining(["forward", "forward_backward", "optim_step", "retrieve_future"]),
    );
    expect(service.counted - before).toBe(1);
  });

  it("a lost reply ends the run where it does not, and says how to go on", async () => {
    let armed = false;
    const service = await start({
      recognisesRepeats: false,
      loses: (path) => armed && path === "forward_backward",
    });
    const model = await open(service);
    armed = true;
    await expect(step(model)).rejects.toThrow(
      /forward_backward: .*whether the service has counted the request is not known.*continue from the last checkpoint with --resume/,
    );
  });

  it("a request that was refused is sent again after the pause that the service asks for", async () => {
    let refusals = 0;
    const pauses: number[] = [];
    const service = await start({
      recognisesRepeats: false,
      intercept: (path, _, response) => {
        if (path !== "optim_step" || refusals++ > 1) return false;
        response.writeHead(429, { "retry-after": "2" }).end("{}");
        return true;
      },
    });
    const model = await open(service, { pause: async (seconds) => void pauses.push(seconds) });
    await step(model);
    expect(pauses.slice(-2)).toEqual([2, 2]);
  });

  it("long polls that have nothing yet are made again", async () => {
    let polls = 0;
    const service = await start({
      intercept: (path, _, response) => {
        if (path !== "retrieve_future" || polls++ % 2 === 0) return false;
        response.writeHead(408).end('{"detail":"Timeout waiting for result"}');
        return true;
      },
    });
    await step(await open(service));
    expect(polls).toBeGreaterThan(10);
  });

  it.each([
    [
      "another model",
      {},
      { baseModel: "someone/else" },
      /has no model someone\/else, but test\/fixtures\/engine\/llama-tied/,
    ],
    ["no key", { apiKey: "secret-key" }, {}, /create_session: 401 Missing API key/],
    ["no free place", { slots: 0 }, {}, /create_model: 400 Maximum number of LoRA adapters reached/],
    [
      "no norm of the gradient",
      { reportsNorm: false },
      {},
      /could not be found out \(it reports no norm of the gradient\); say it as engine.loss_reduction: sum, mean, call_mean/,
    ],
  ] as const)("%s is one sentence", async (_, service, options, sentence) => {
    await expect(open(await start(service), options)).rejects.toThrow(sentence);
  });

  it("a reduction that is said is not measured", async () => {
    const service = await start({ reportsNorm: false });
    expect(await step(await open(service, { reduction: "sum" }))).toEqual({ gradNorm: undefined });
  });

  it("what services take without a word is refused here", async () => {
    const model = await open(await start());
    await expect(model.logprobs([{ tokens: [1, 96], promptLength: 1 }])).rejects.toThrow(
      "token 96 is not in the vocabulary of 96 tokens",
    );
    await expect(model.logprobs([{ tokens: Array(65).fill(1), promptLength: 1 }])).rejects.toThrow(
      "65 tokens, more than the model's 64",
    );
    await expect(model.sample([[]], { maxNewTokens: 1, seeds: [1] })).rejects.toThrow("no tokens");
    await expect(model.step({ learningRate: 1 })).rejects.toThrow(
      /there is no gradient to apply, for nothing went/,
    );
    expect(await model.logprobs([])).toEqual([]);
    await expect(
      model.backward([{ tokens: [1, 2], promptLength: 1 }], [Float32Array.of(Number.NaN)]),
    ).rejects.toThrow("the gradient on log-probabilities: number 0 of sequence 0 is NaN");
  });
});

describe("messages", () => {
  it("numbers, texts and messages of protobuf survive", () => {
    const bytes = new ProtoWriter()
      .integer(1, 300)
      .double(2, -0.5)
      .text(15, "é")
      .integer(200, 2 ** 40)
      .finish();
    expect(
      Array.from(readProto(bytes), ({ field, value }) => [
        field,
        typeof value === "number" ? value : Buffer.from(value).toString(),
      ]),
    ).toEqual([
      [1, 300],
      [2, -0.5],
      [15, "é"],
      [200, 2 ** 40],
    ]);
    // The documentation's own example: field 1, 150.
    expect([...new ProtoWriter().integer(1, 150).finish()]).toEqual([0x08, 0x96, 0x01]);
    for (const cut of [1, 2, 8])
      expect(() => [...readProto(bytes.subarray(0, cut))]).toThrow(/protobuf message ends/);
  });

  const json = (value: unknown) => ({ bytes: Buffer.from(JSON.stringify(value)), type: "application/json" });

  it.each([
    [{}, /no loss_fn_outputs/],
    [{ loss_fn_outputs: [] }, /of 0 sequences came back for 1/],
    [{ loss_fn_outputs: [{ logprobs: { data: [0, 0] } }] }, /2 log-probabilities came back for 3 tokens/],
    [{ loss_fn_outputs: [{ logprobs: { data: [0, "x", 0] } }] }, /has "x" among its logprobs/],
    [{ loss_fn_outputs: [{}] }, /no logprobs/],
  ])("a pass that came back as %j is refused", (value, sentence) => {
    expect(() => readPass(json(value), [3])).toThrow(sentence);
  });

  it("prompt log-probabilities come with and without an entry for the first token", () => {
    const sequences = [{ stop_reason: "stop", tokens: [3], logprobs: [-1] }];
    for (const scores of [
      [null, -1, -2],
      [-1, -2],
    ])
      expect(readSample(json({ sequences, prompt_logprobs: scores }), 3).promptLogprobs).toEqual(
        Float32Array.of(-1, -2),
      );
    expect(() => readSample(json({ sequences, prompt_logprobs: [-1] }), 3)).toThrow(
      "1 prompt log-probabilities came back for 3 tokens",
    );
  });

  it("an archive gives its two files, whatever else is in it and wherever it would write", () => {
    const config = Buffer.from("{}");
    const weights = Buffer.from("weights");
    const files = [
      ["../../etc/passwd", Buffer.from("x")],
      ["a/adapter_config.json", config],
      ["adapter_model.safetensors", weights],
    ] as const;
    expect(readAdapterArchive(tarOf(files))).toEqual({
      "adapter_config.json": config,
      "adapter_model.safetensors": weights,
    });
    expect(() => readAdapterArchive(tarOf(files.slice(0, 2)))).toThrow(
      "the archive has no adapter_model.safetensors",
    );
    expect(() => readAdapterArchive(tarOf(files).subarray(0, 1400))).toThrow(/damaged|has no/);
    expect(() => readAdapterArchive(Buffer.from([0x1f, 0x8b, 0, 0]))).toThrow();
  });
});

/** Each number is as near to its twin as `digits` decimal places. */
function close(rows: readonly Float32Array[], twin: (i: number, t: number) => number, digits: number): void {
  for (const [i, row] of rows.entries())
    for (const [t, x] of row.entries()) expect(x).toBeCloseTo(twin(i, t), digits);
}
