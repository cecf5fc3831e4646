// Our side of the benchmarks: a long-lived process that answers JSON lines. `load`, `train`, `train_lora`, `logprobs`,
// `generate`, `score` and `memory` are those of peer.py, with the same fields and answers; `average` and `copy` are the
// two sides of the averaging benchmark.

import { writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { Completion } from "../src/engine/contract.js";
import { LocalLanguageModel, LocalScalarModel } from "../src/engine/local/index.js";
import { readDecoderConfig } from "../src/model/config.js";
import { averageCheckpoints } from "../src/reward/average.js";
import { setThreads } from "../src/tensor/runtime.js";
import { memoryFigures } from "./memory.js";

/** What PyTorch's side uses, too. */
const weightDecay = 0.01;
const loraTargets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

interface SequencesRequest {
  sequences: number[][];
  promptLengths: number[];
}

interface TrainRequest extends SequencesRequest {
  g?: number[][];
  steps?: number;
  learningRate?: number;
  maxGradNorm?: number;
}

let model: LocalLanguageModel | LocalScalarModel | undefined;

function languageModel(): LocalLanguageModel {
  if (model instanceof LocalLanguageModel) return model;
  throw new Error("this verb needs a causal model");
}

function scalarModel(): LocalScalarModel {
  if (model instanceof LocalScalarModel) return model;
  throw new Error("this verb needs a classifier");
}

const seconds = (start: number): number => (performance.now() - start) / 1000;
const sum = (values: Iterable<number>): number => [...values].reduce((a, b) => a + b, 0);
const countTokens = (rows: readonly ArrayLike<number>[]): number => sum(rows.map((row) => row.length));
const toIds = (rows: readonly number[][]): Int32Array[] => rows.map((row) => Int32Array.from(row));
const toLists = (rows: readonly ArrayLike<number>[]): number[][] => rows.map((row) => Array.from(row));

async function load(request: { dir: string; threads: number; lora?: { r: number; alpha: number } }) {
  const { dir, threads, lora } = request;
  model?.dispose();
  setThreads(threads);
  const start = performance.now();
  const { head } = await readDecoderConfig(dir);
  const kind = head === "scalar" ? LocalScalarModel : LocalLanguageModel;
  const taskType = head === "scalar" ? "SEQ_CLS" : "CAUSAL_LM";
  model = await kind.load(
    dir,
    lora ? { lora: { ...lora, targetModules: loraTargets, taskType, baseModel: dir } } : {},
  );
  return { seconds: seconds(start), tokens: 0 };
}

const sequencesOf = ({ sequences, promptLengths }: SequencesRequest) =>
  toIds(sequences).map((tokens, i) => ({ tokens, promptLength: promptLengths[i]! }));

async function train({ g, steps = 1, learningRate = 1e-5, maxGradNorm = 0, ...rest }: TrainRequest) {
  const policy = languageModel();
  const sequences = sequencesOf(rest);
  const completionTokens = sum(sequences.map(({ tokens, promptLength }) => tokens.length - promptLength));
  const weights = sequences.map(({ tokens, promptLength }, i) =>
    g ? Float32Array.from(g[i]!) : new Float32Array(tokens.length - promptLength).fill(-1 / completionTokens),
  );
  const losses: number[] = [];
  const start = performance.now();
  for (let step = 0; step < steps; step++) {
    const logprobs = await policy.backward(sequences, weights);
    await policy.step({ learningRate, weightDecay, maxGradNorm });
    losses.push(
      sum(logprobs.map((row, i) => row.reduce((total, value, t) => total + weights[i]![t]! * value, 0))),
    );
  }
  return { seconds: seconds(start), tokens: steps * countTokens(rest.sequences), losses };
}

async function logprobs(request: SequencesRequest) {
  const sequences = sequencesOf(request);
  const start = performance.now();
  const found = await languageModel().logprobs(sequences);
  return { seconds: seconds(start), tokens: countTokens(request.sequences), logprobs: toLists(found) };
}

async function generate(request: {
  prompts: number[][];
  maxNewTokens: number;
  temperature?: number;
  returnTokens?: boolean;
}) {
  const { maxNewTokens, temperature = 1, returnTokens = false } = request;
  const prompts = toIds(request.prompts);
  const seeds = prompts.map((_, i) => i + 1);
  const start = performance.now();
  const found = await languageModel().sample(prompts, { maxNewTokens, temperature, seeds, stopIds: [] });
  const took = seconds(start);
  const tokens = countTokens(found.map((completion: Completion) => completion.tokens));
  if (!returnTokens) return { seconds: took, tokens };
  return {
    seconds: took,
    tokens,
    completions: toLists(found.map((completion) => completion.tokens)),
    logprobs: toLists(found.map((completion) => completion.logprobs)),
  };
}

async function score({ sequences }: { sequences: number[][] }) {
  const rows = toIds(sequences);
  const start = performance.now();
  const values = await scalarModel().values(rows, "last");
  return { seconds: seconds(start), tokens: countTokens(rows), scores: values.map((value) => value[0]!) };
}

async function memory({ reset = false }: { reset?: boolean }) {
  if (reset && process.platform === "linux") writeFileSync("/proc/self/clear_refs", "5");
  return {};
}

async function average({ members, out }: { members: string[]; out: string }) {
  const start = performance.now();
  await averageCheckpoints({ members: members.map((dir) => ({ dir })), out });
  return { seconds: seconds(start) };
}

/** Reads `files` one after another in blocks, as dd does, writes the blocks of the last to `out` and flushes it. */
async function copy({ files, out }: { files: string[]; out: string }) {
  const block = Buffer.allocUnsafe(8 << 20);
  const start = performance.now();
  const to = await open(out, "w");
  for (const [i, file] of files.entries()) {
    const from = await open(file);
    for (;;) {
      const { bytesRead } = await from.read(block, 0, block.length, null);
      if (bytesRead === 0) break;
      if (i === files.length - 1) await to.write(block, 0, bytesRead);
    }
    await from.close();
  }
  await to.sync();
  await to.close();
  return { seconds: seconds(start) };
}

const verbs = { load, train, train_lora: train, logprobs, generate, score, memory, average, copy };

async function answer(line: string): Promise<object> {
  try {
    const { verb, ...fields } = JSON.parse(line) as { verb: keyof typeof verbs };
    if (!Object.hasOwn(verbs, verb)) throw new Error(`unknown verb "${verb}"`);
    const result = await verbs[verb](fields as never);
    return { ...result, ...memoryFigures() };
  } catch (error) {
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

for await (const line of createInterface({ input: process.stdin }))
  process.stdout.write(`${JSON.stringify(await answer(line))}\n`);
