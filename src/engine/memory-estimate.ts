// What the models of a run need of memory, from their configurations and how they are used, before anything is loaded.
// Weights, gradients and moments are counted; what a pass makes in between is found by running its graph in a simulated
// arena (tensor/footprint.ts). docs/models.md says how far off it was from what was measured.

import type { LoraConfig } from "../model/adapter.js";
import { type DecoderConfig, parameterSpecs } from "../model/config.js";
import { weightShapes } from "../model/decoder.js";
import { type Storage, storageOf, storedParts } from "../model/stored.js";
import { type Extents, elementBytes, SimulatedArena } from "../tensor/footprint.js";
import { logitChunks, tokenBudgetFor } from "./local/batches.js";
import { cacheBytesPerToken, defaultLimits } from "./local/generate.js";
import { Graphs, type Outputs } from "./local/graphs.js";
import { loraShape, sizeOf, trainableNames } from "./local/parameters.js";

/** Sequences of one pass. */
export interface Passes {
  rows: number;
  /** Tokens of the longest. */
  tokens: number;
}

/** One model of a run and what is done with it. */
export interface ModelUse {
  /** For a person: "policy". */
  name: string;
  config: DecoderConfig;
  lora?: LoraConfig | undefined;
  /** How the weights that do not train are kept. Default: float32. */
  quantise?: Storage | undefined;
  /** It does not train. */
  frozen?: boolean;
  /** Its frozen weights are those of an earlier model of the list. */
  sharesFrozen?: boolean;
  /** `engine.max_batch_tokens`. Default 4096. */
  maxBatchTokens?: number;
  scores?: Passes;
  trains?: Passes & {
    /** With dropout on its residual branches. */
    dropout?: boolean;
  };
  samples?: Passes & { newTokens: number };
}

export interface MemoryPart {
  what: string;
  bytes: number;
}

export interface MemoryEstimate {
  parts: readonly MemoryPart[];
  /** All parts together. */
  bytes: number;
}

/** Node with the engine's library and compiled programs, as measured. */
const processBytes = 200 * 2 ** 20;
/** ONNX Runtime's arena holds more than the simulated one, for it does not run nodes in the very same order. */
const arenaMargin = 1.15;
/** Causal masks of different widths that are kept. */
const masksKept = 3;

/** What a process with these models needs at its peak. */
export function estimateMemory(models: readonly ModelUse[]): MemoryEstimate {
  const arena = new SimulatedArena();
  const parts: MemoryPart[] = [];
  const run = new Set<string>();
  let host = 0;
  for (const model of models) {
    parts.push(...weightParts(model));
    host = Math.max(host, samplingBytes(model));
    for (const { key, outputs, extents } of passesOf(model)) {
      const { family, hiddenSize, layers } = model.config;
      const name = JSON.stringify([key, family, hiddenSize, layers, model.lora?.r, model.quantise, extents]);
      if (run.has(name)) continue;
      run.add(name);
      arena.run(outputs(), extents);
    }
  }
  parts.push({ what: "activations", bytes: arena.bytes * arenaMargin + maskBytes(models) });
  parts.push({ what: "key-value cache and logits of sampling", bytes: host });
  parts.push({ what: "program", bytes: processBytes });
  const present = parts
    .filter(({ bytes }) => bytes > 0)
    .map(({ what, bytes }) => ({ what, bytes: Math.round(bytes) }));
  return { parts: present, bytes: present.reduce((sum, { bytes }) => sum + bytes, 0) };
}

const shapeOf = ({ config, lora }: ModelUse) => lora && loraShape(config, lora);

/** Weights; gradients and moments of those that train. */
function weightParts(model: ModelUse): MemoryPart[] {
  const { name, config, sharesFrozen = false } = model;
  const lora = shapeOf(model);
  // What a frozen copy shares is what does not train in the model that it copies.
  const trains = new Set(trainableNames(config, { lora }));
  const base = new Map(parameterSpecs(config).map((spec) => [spec.name, spec]));
  let [kept, trained] = [0, 0];
  for (const { name: weight, shape } of weightShapes(config, lora)) {
    const spec = base.get(weight);
    const storage = spec && storageOf(spec, model.quantise);
    if (!sharesFrozen || trains.has(weight))
      kept += storage ? storedBytes(storage, shape) : 4 * sizeOf(shape);
    if (!model.frozen && trains.has(weight)) trained += sizeOf(shape);
  }
  return [
    { what: `weights of the ${name}`, bytes: kept },
    { what: `gradients and moments of the ${name}`, bytes: 4 * 3 * trained },
  ];
}

const storedBytes = (storage: Storage, shape: readonly number[]): number =>
  storedParts(storage, shape).reduce((sum, { dtype, dims }) => sum + elementBytes[dtype] * sizeOf(dims), 0);

interface Pass {
  key: string;
  outputs: () => Outputs;
  extents: Extents;
}

/** The passes of a model, in the order in which a step makes them, each with the largest batch that it may have. */
function passesOf(model: ModelUse): Pass[] {
  const { config, samples, scores, trains, maxBatchTokens = 4096 } = model;
  const lora = shapeOf(model);
  const trainable = trainableNames(config, { lora, frozen: model.frozen });
  const graphs = new Graphs(config, lora, "cpu", trainable, model.quantise);
  const budget = tokenBudgetFor(config);
  const rowsOf = (passes: Passes, limit: number): number =>
    rowsWithin(passes, Math.min(limit, maxBatchTokens));
  const passes: Pass[] = [];
  if (samples) {
    const { rows, tokens, newTokens } = samples;
    const prompts = rowsOf(samples, budget.forward);
    const together = rowsTogether(model);
    passes.push(
      {
        key: "prefill",
        outputs: () => graphs.prefill(false),
        extents: extentsOf(config, prompts, tokens, prompts),
      },
      {
        key: "decode",
        outputs: () => graphs.decode(false, graphs.decodesByColumns(Math.min(rows, together))),
        extents: { ...extentsOf(config, together, 1, together), L: tokens + newTokens },
      },
    );
  }
  const scalar = config.head === "scalar";
  const scored = (rows: number, tokens: number): number => (scalar ? rows : rows * (tokens - 1));
  if (scores) {
    const rows = rowsOf(scores, budget.forward);
    const n = scored(rows, scores.tokens);
    passes.push({
      key: "forward",
      outputs: () => graphs.forward(logitChunks(config, n)),
      extents: extentsOf(config, rows, scores.tokens, n),
    });
  }
  if (trains) {
    const rows = rowsOf(trains, budget.backward);
    const n = scored(rows, trains.tokens);
    passes.push({
      key: "backward",
      outputs: () =>
        graphs.backward(logitChunks(config, n), true, { dropout: trains.dropout ?? false }).outputs,
      extents: extentsOf(config, rows, trains.tokens, n),
    });
  }
  return passes;
}

/** Rows of one batch of at most `budget` padded tokens. */
const rowsWithin = ({ rows, tokens }: Passes, budget: number): number =>
  Math.max(1, Math.min(rows, Math.floor(budget / tokens)));

function extentsOf(config: DecoderConfig, rows: number, tokens: number, n: number): Extents {
  const groups = config.heads / config.kvHeads;
  return {
    B: rows,
    T: tokens,
    N: n,
    "B*T": rows * tokens,
    "groups*T": groups * tokens,
    ...Object.fromEntries(config.ropes.map((_, i) => [`P${i}`, tokens])),
  };
}

function maskBytes(models: readonly ModelUse[]): number {
  const of = ({ config, scores, trains, samples }: ModelUse): number => {
    const width = Math.max(scores?.tokens ?? 0, trains?.tokens ?? 0, samples?.tokens ?? 0);
    return (
      masksKept * (config.heads / config.kvHeads) * width * width * 4 * new Set(config.slidingWindow).size
    );
  };
  return models.reduce((sum, model) => sum + of(model), 0);
}

/** Rows that decode together. */
function rowsTogether({ config, samples }: ModelUse): number {
  if (!samples) return 0;
  const { rows, tokens, newTokens } = samples;
  const { cacheBytes, maxRows } = defaultLimits;
  const fit = Math.floor(cacheBytes / (cacheBytesPerToken(config) * (tokens + newTokens)));
  return Math.max(1, Math.min(rows, maxRows, fit));
}

/** Cache of the rows that decode together, the keys and values of the prompts that it starts from, and logits. */
function samplingBytes(model: ModelUse): number {
  const { config, samples } = model;
  if (!samples) return 0;
  const rows = rowsTogether(model);
  const { forward } = tokenBudgetFor(config);
  // Those of a batch that is no longer needed wait for the garbage collector.
  const prompts = 2 * rowsWithin(samples, Math.min(forward, model.maxBatchTokens ?? forward));
  const cached = rows * (samples.tokens + samples.newTokens) + prompts * samples.tokens;
  return cached * cacheBytesPerToken(config) + 4 * rows * config.vocabSize * 4;
}
