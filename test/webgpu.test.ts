// The engine on WebGPU against the engine on the CPU, and what stays on the device. Runs on the machine's adapter, or
// else on SwiftShader (a Vulkan device in software, part of Debian's `chromium`); without either it is skipped.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import koffi from "koffi";
import { afterAll, describe, expect, it, vi } from "vitest";
import { RandomStream } from "../src/base/random.js";
import type { Completion, Sequence } from "../src/engine/contract.js";
import { type LoadOptions, LocalLanguageModel, LocalScalarModel } from "../src/engine/local/index.js";
import type { LocalModel } from "../src/engine/local/model.js";
import { saveCheckpoint } from "../src/model/checkpoint.js";
import { parameterSpecs, parseDecoderConfig } from "../src/model/config.js";
import { Binding, Program, type Tensor } from "../src/tensor/runtime.js";
import { tinyLora } from "./support/tiny-llama.js";

const chromium = "/usr/lib/chromium";
const swiftShader = { VK_ICD_FILENAMES: join(chromium, "vk_swiftshader_icd.json") };
const loader = join(chromium, "libvulkan.so.1");

/** koffi unloads a library that is garbage collected. */
const held: unknown[] = [];

/** Opens WebGPU in a child process, which a driver may take down. The error's sentence, or nothing if it works. */
function refusal(variables: Record<string, string>): string | undefined {
  const program = `
    import { memories } from ${JSON.stringify(join(import.meta.dirname, "../src/tensor/memory.ts"))};
    const memory = memories.webgpu;
    try {
      if (memory.download(memory.upload(Float32Array.of(7), [1]))[0] === 7) process.stdout.write("works");
    } catch (error) {
      process.stdout.write(error.name + ": " + error.message);
    }`;
  const child = spawnSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
    env: { ...process.env, ...variables },
    cwd: join(import.meta.dirname, ".."),
    encoding: "utf8",
  });
  return child.stdout === "works" ? undefined : child.stdout || "the process ended without a word";
}

function findAdapter(): string | undefined {
  if (!refusal({})) return "the machine's own";
  if (!existsSync(swiftShader.VK_ICD_FILENAMES)) return undefined;
  if (refusal({ ...swiftShader, LD_LIBRARY_PATH: chromium })) return undefined;
  Object.assign(process.env, swiftShader);
  // Already loaded, it is what a later search for libvulkan.so.1 finds.
  if (existsSync(loader)) held.push(koffi.load(loader, { global: true }));
  return "SwiftShader";
}

const adapter = findAdapter();

const shape = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 512,
  hidden_size: 128,
  intermediate_size: 352,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  max_position_embeddings: 512,
  tie_word_embeddings: true,
  eos_token_id: 2,
  bos_token_id: 1,
  hidden_act: "silu",
};
const small = { ...shape, vocab_size: 64, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2 };

const folder = await mkdtemp(join(tmpdir(), "touchstone-webgpu-"));
afterAll(() => rm(folder, { recursive: true }));

async function writeModel(name: string, config: Record<string, unknown>): Promise<string> {
  const parsed = parseDecoderConfig(config);
  const random = new RandomStream(1, "weights");
  const values = new Map(
    parameterSpecs(parsed).map(({ name, shape, kind }) => {
      const size = shape.reduce((a, b) => a * b, 1);
      return [
        name,
        Float32Array.from({ length: size }, () => (kind === "norm" ? 1 : 0.05 * random.normal())),
      ];
    }),
  );
  const dir = join(folder, name);
  await saveCheckpoint(dir, { config: parsed, read: ({ name }) => values.get(name)! });
  return dir;
}

const inner = (model: unknown): LocalModel => (model as { model: LocalModel }).model;
const gradientOf = (model: unknown, name: string): Float32Array =>
  inner(model).memory.download(inner(model).parameters.get(name)!.gradient!);

function relativeError(actual: ArrayLike<number>, wanted: ArrayLike<number>): number {
  expect(actual.length).toBe(wanted.length);
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < wanted.length; i++) {
    difference += (actual[i]! - wanted[i]!) ** 2;
    norm += wanted[i]! ** 2;
  }
  return Math.sqrt(norm === 0 ? difference : difference / norm);
}

type Pair<M> = { cpu: M; gpu: M };

/** The largest relative error over the trainable parameters, with its name. */
function worst(pair: Pair<unknown>, read: (model: unknown, name: string) => Float32Array) {
  return inner(pair.cpu)
    .trainable.map(({ name }) => ({ name, error: relativeError(read(pair.gpu, name), read(pair.cpu, name)) }))
    .reduce((a, b) => (b.error > a.error || Number.isNaN(b.error) ? b : a));
}

const valuesOf = (model: unknown, name: string): Float32Array => inner(model).values(name);

const tolerance = 1e-3;
const within = ({ error }: { error: number }): boolean => error < tolerance;
const adam = { learningRate: 1e-3, weightDecay: 0.1, maxGradNorm: 1 };

const sequences: Sequence[] = [
  { tokens: [1, 5, 6, 7, 5, 5, 9, 60, 3], promptLength: 2 },
  { tokens: [4, 8, 8, 8, 17, 20], promptLength: 3 },
];

async function pairOf(dir: string, options: LoadOptions = {}): Promise<Pair<LocalLanguageModel>> {
  return {
    cpu: await LocalLanguageModel.load(dir, options),
    gpu: await LocalLanguageModel.load(dir, { ...options, device: "webgpu" }),
  };
}

/** Some coefficient for every log-probability. */
const weightsFor = (rows: readonly Float32Array[]) => rows.map((row) => row.map((_, t) => Math.sin(t + 1)));

/** Accumulates from two batches and steps, three times; gradients, norms and weights must agree. */
async function expectSameTraining<M extends LocalLanguageModel | LocalScalarModel>(
  { cpu, gpu }: Pair<M>,
  backward: (model: M) => Promise<unknown>,
): Promise<void> {
  for (let step = 0; step < 3; step++) {
    for (const model of [cpu, gpu]) {
      await backward(model);
      await backward(model);
    }
    expect(worst({ cpu, gpu }, gradientOf)).toSatisfy(within);
    const [wanted, actual] = [await cpu.step(adam), await gpu.step(adam)];
    expect(Math.abs(actual.gradNorm! / wanted.gradNorm! - 1)).toBeLessThan(tolerance);
    expect(worst({ cpu, gpu }, valuesOf)).toSatisfy(within);
  }
}

function expectSame(actual: readonly Float32Array[], wanted: readonly Float32Array[]): void {
  wanted.forEach((row, i) => {
    expect(relativeError(actual[i]!, row)).toBeLessThan(tolerance);
  });
}

/** Runs `work` and returns the bytes of CPU memory that it bound to programs, and the float operators on the CPU. */
async function watched(work: () => Promise<void>): Promise<{ bytes: number; onCpu: string[] }> {
  const { input, output } = Binding.prototype;
  let bytes = 0;
  const counting = (bind: typeof input) =>
    function (this: Binding, name: string, tensor: Tensor): Binding {
      bytes += tensor.data?.byteLength ?? 0;
      return bind.call(this, name, tensor);
    };
  const compiled: Program[] = [];
  const original = Program.compile.bind(Program);
  vi.spyOn(Binding.prototype, "input").mockImplementation(counting(input));
  vi.spyOn(Binding.prototype, "output").mockImplementation(counting(output));
  vi.spyOn(Program, "compile").mockImplementation((model, inputs, outputs, options) => {
    const program = original(model, inputs, outputs, { ...options, profile: join(folder, "profile") });
    compiled.push(program);
    return program;
  });
  try {
    await work();
  } finally {
    vi.restoreAllMocks();
  }
  for (const program of compiled) program.endProfile();
  const onCpu = new Set<string>();
  for (const file of (await readdir(folder)).filter((name) => name.startsWith("profile")))
    for (const { cat, args } of JSON.parse(await readFile(join(folder, file), "utf8")))
      if (cat === "Node" && args?.provider === "CPUExecutionProvider")
        if (args.output_type_shape.some((type: object) => "float" in type)) onCpu.add(args.op_name);
  return { bytes, onCpu: [...onCpu] };
}

it.runIf(adapter === "SwiftShader")("says what is missing where there is no adapter", () => {
  expect(refusal({ VK_ICD_FILENAMES: "/nowhere" })).toMatch(
    /^UserError: device webgpu cannot be used here \(.*\); it needs a graphics driver .* use device cpu$/,
  );
});

describe.skipIf(!adapter)(
  `WebGPU on ${adapter ?? "no adapter: install a driver, or Debian's chromium"}`,
  {
    timeout: 600_000,
  },
  () => {
    it("scores and trains as the CPU does", async () => {
      const pair = await pairOf(await writeModel("nano", shape));
      const wanted = await pair.cpu.logprobs(sequences);
      expectSame(await pair.gpu.logprobs(sequences), wanted);
      const g = weightsFor(wanted);
      await expectSameTraining(pair, (model) => model.backward(sequences, g));
    });

    it("samples as the CPU does, rows leaving the batch as they end", async () => {
      const pair = await pairOf(await writeModel("sampled", shape));
      // Several prefill batches, whose caches are joined.
      pair.gpu.tokenBudget.forward = 8;
      const prompts = [
        [1, 5, 6],
        [9, 9, 9, 9, 9, 9, 9],
        [3, 4],
        [100, 101, 102, 103],
      ];
      const stopIds = Array.from({ length: 43 }, (_, i) => 12 * i);
      for (const temperature of [0, 0.8]) {
        const options = { n: 2, maxNewTokens: 12, temperature, stopIds, seeds: [1, 2, 3, 4] };
        const wanted = await pair.cpu.sample(prompts, options);
        const actual = await pair.gpu.sample(prompts, options);
        const outline = ({ tokens, finishReason }: Completion) => [...tokens, finishReason];
        expect(actual.map(outline)).toEqual(wanted.map(outline));
        expectSame(
          actual.map((row) => row.logprobs),
          wanted.map((row) => row.logprobs),
        );
        if (temperature > 0) expect(new Set(wanted.map((row) => row.tokens.length)).size).toBeGreaterThan(2);
      }
    });

    it("attends within a window, with query and key norms, as the CPU does", async () => {
      const windowed = {
        ...small,
        architectures: ["MistralForCausalLM"],
        model_type: "mistral",
        sliding_window: 4,
      };
      const normed = { ...small, architectures: ["Qwen3ForCausalLM"], model_type: "qwen3", head_dim: 8 };
      for (const config of [windowed, normed]) {
        const pair = await pairOf(await writeModel(config.model_type, config));
        const wanted = await pair.cpu.logprobs(sequences);
        expectSame(await pair.gpu.logprobs(sequences), wanted);
        await expectSameTraining(pair, (model) => model.backward(sequences, weightsFor(wanted)));
        const options = { maxNewTokens: 8, temperature: 0, stopIds: [], seeds: [1, 2] };
        const prompts = [[1, 5, 6, 7, 8, 9], [3]];
        const tokens = async (model: LocalLanguageModel) =>
          (await model.sample(prompts, options)).map((row) => [...row.tokens]);
        expect(await tokens(pair.gpu)).toEqual(await tokens(pair.cpu));
      }
    });

    it("trains adapters alone, snapshots, saves and resumes", async () => {
      const pair = await pairOf(await writeModel("adapted", small), { lora: tinyLora });
      const wanted = await pair.cpu.logprobs(sequences);
      const g = weightsFor(wanted);
      await expectSameTraining(pair, (model) => model.backward(sequences, g));
      const before = await pair.gpu.logprobs(sequences);
      const reference = await pair.gpu.snapshot();
      await pair.gpu.saveState(join(folder, "state"));
      const train = async () => {
        await pair.gpu.backward(sequences, g);
        await pair.gpu.step(adam);
        return pair.gpu.logprobs(sequences);
      };
      const after = await train();
      expect(relativeError(after[0]!, before[0]!)).toBeGreaterThan(tolerance);
      expect(await reference.logprobs(sequences)).toEqual(before);
      await pair.gpu.loadState(join(folder, "state"));
      expect(await train()).toEqual(after);
      await pair.gpu.saveMerged(join(folder, "merged"));
      const merged = await LocalLanguageModel.load(join(folder, "merged"));
      expectSame(await merged.logprobs(sequences), after);
    });

    it("scores and trains scalar models as the CPU does", async () => {
      const config = {
        ...small,
        architectures: ["LlamaForSequenceClassification"],
        num_labels: 1,
        pad_token_id: 0,
      };
      const dir = await writeModel("scalar", config);
      const pair = {
        cpu: await LocalScalarModel.load(dir),
        gpu: await LocalScalarModel.load(dir, { device: "webgpu" }),
      };
      const tokens = sequences.map((sequence) => sequence.tokens);
      expectSame(await pair.gpu.values(tokens, "all"), await pair.cpu.values(tokens, "all"));
      expectSame(await pair.gpu.features(tokens), await pair.cpu.features(tokens));
      const g = [Float32Array.of(1), Float32Array.of(-0.5)];
      await expectSameTraining(pair, (model) => model.backward(tokens, g));
      const dropout = { rate: 0.2, seed: 4 };
      expectSame(
        await pair.gpu.values(tokens, "last", { dropout }),
        await pair.cpu.values(tokens, "last", { dropout }),
      );
      await expectSameTraining(pair, (model) => model.backward(tokens, g, { dropout }));
    });

    it("keeps weights, gradients, moments and caches on the device, and every float operator", async () => {
      const model = await LocalLanguageModel.load(await writeModel("watched", small), { device: "webgpu" });
      const { parameters } = inner(model);
      const resident = (...tensors: (Tensor | undefined)[]) =>
        tensors.every((tensor) => tensor && tensor.data === undefined);
      const weightBytes = inner(model).memoryBytes();
      const g = weightsFor(
        sequences.map(({ tokens, promptLength }) => new Float32Array(tokens.length - promptLength)),
      );
      const training = await watched(async () => {
        await model.backward(sequences, g);
        await model.backward(sequences, g);
        expect([...parameters.values()].every(({ tensor, gradient }) => resident(tensor, gradient))).toBe(
          true,
        );
        expect(inner(model).memoryBytes()).toBe(2 * weightBytes);
        await model.step(adam);
        expect(
          [...parameters.values()].every(({ moments }) => resident(moments!.first, moments!.second)),
        ).toBe(true);
        expect(inner(model).memoryBytes()).toBe(3 * weightBytes);
      });
      expect(training.onCpu).toEqual([]);
      expect(training.bytes).toBeLessThan(weightBytes / 4);
      const maxNewTokens = 500;
      const sampling = await watched(async () => {
        const stopIds = Array.from({ length: 8 }, (_, i) => 8 * i);
        await model.sample([[1, 2, 3], [4]], { n: 2, maxNewTokens, stopIds, seeds: [1, 2] });
      });
      const { layers, kvHeads, headDim } = model.config;
      const rowBytes = 4 * 2 * layers * kvHeads * headDim * maxNewTokens;
      expect(sampling.onCpu).toEqual([]);
      expect(sampling.bytes).toBeLessThan(rowBytes / 2);
    });
  },
);
