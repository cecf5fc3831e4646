// What a local language model and a local scalar model share: weights, programs, batched forward and backward passes,
// the optimizer step, saving.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../../base/errors.js";
import { makeDirectory } from "../../base/files.js";
import { maskName } from "../../model/attention.js";
import type { DecoderConfig } from "../../model/config.js";
import { dropoutInput, dropoutSites, rotaryInputs } from "../../model/decoder.js";
import { readJson } from "../../model/json.js";
import { rotaryTables, shortSequence } from "../../model/rope.js";
import { SafetensorsReader, writeSafetensors } from "../../model/safetensors.js";
import { parameterOf, restore, type StoredData } from "../../model/stored.js";
import { type Memory, memories } from "../../tensor/memory.js";
import { type Binding, type Program, Tensor } from "../../tensor/runtime.js";
import type { AdamOptions, Dropout, StepResult, Stoppable, TokenIds } from "../contract.js";
import { noGradient } from "../no-gradient.js";
import { bucketByLength, logitChunks, padTokens, type TokenBudget, tokenBudgetFor } from "./batches.js";
import { dropoutMask, type MaskShape } from "./dropout.js";
import { gradientInput, gradientOutput, type RowOutput } from "./graphs.js";
import { cutGroups, type Group, groupByBeginning, layOut } from "./groups.js";
import { type Optimizer, optimizers } from "./optimizer.js";
import { besideWeight, type Parameter, type Parameters, sizeOf } from "./parameters.js";
import type { Programs } from "./programs.js";
import { bindLayout } from "./shared.js";
import { bindTableRows } from "./table-gradient.js";

/** One sequence and the positions whose result is wanted: the hidden state at `rows[i]` predicts `targets[i]`. */
interface Job {
  tokens: TokenIds;
  rows: readonly number[];
  targets?: readonly number[];
}

interface ForwardOptions extends Stoppable {
  dropout?: Dropout;
}

/** Jobs of one pass, by their places among all. */
interface Batch {
  indices: readonly number[];
  /** The same with the beginnings that they share. Absent: they stand one below the other, padded. */
  groups?: readonly Group[];
}

export class LocalModel {
  tokenBudget: TokenBudget;
  /** AdamW steps taken. */
  private steps = 0;
  private accumulated = false;
  /** Where the parameters live. */
  readonly memory: Memory;
  private readonly optimizer: Optimizer;
  /** By rotary embedding, and whether for long sequences. */
  private readonly rotary = new Map<string, { positions: number; cos: Tensor; sin: Tensor }>();
  private readonly masks = new Map<string, Tensor>();

  constructor(
    readonly config: DecoderConfig,
    readonly parameters: Parameters,
    readonly programs: Programs,
    /** Tells whether a completion's text contains one of the strings. */
    readonly stopTest: (strings: readonly string[]) => (tokens: readonly number[]) => boolean,
  ) {
    this.tokenBudget = tokenBudgetFor(config);
    this.memory = memories[programs.device];
    this.optimizer = optimizers[programs.device];
  }

  get trainable(): Parameter[] {
    return [...this.parameters.values()].filter((parameter) => parameter.trainable);
  }

  /** A binding of `program` with the weights, to be disposed by the caller. */
  bind(program: Program): Binding {
    const binding = program.bind();
    for (const { name } of program.inputs) {
      const parameter = this.parameters.get(parameterOf(name));
      if (parameter) binding.input(name, parameter.stored?.inputs.get(name) ?? parameter.tensor);
    }
    return binding;
  }

  /** Binds the rotary tables of sequences of up to `positions` tokens; ONNX Runtime wants as many rows as a row has tokens. */
  bindRotary(binding: Binding, positions: number, tokens = positions): void {
    const long = positions > shortSequence(this.config.ropes);
    const { memory } = this;
    this.config.ropes.forEach((rope, i) => {
      const names = rotaryInputs(i);
      if (!binding.takes(names.cos)) return;
      const key = `${i} ${long}`;
      let tables = this.rotary.get(key);
      if (!tables || tables.positions < Math.max(positions, tokens)) {
        const size = 2 ** Math.ceil(Math.log2(Math.max(positions, tokens, 64)));
        const { cos, sin } = rotaryTables(rope, size, long);
        const dims = [size, rope.dims / 2];
        tables?.cos.dispose();
        tables?.sin.dispose();
        tables = { positions: size, cos: memory.upload(cos, dims), sin: memory.upload(sin, dims) };
        this.rotary.set(key, tables);
      }
      binding.input(names.cos, tables.cos).input(names.sin, tables.sin);
    });
  }

  private bindMasks(binding: Binding, width: number): void {
    for (const window of new Set(this.config.slidingWindow)) {
      const key = `${maskName(window)} ${width}`;
      let mask = this.masks.get(key);
      if (!mask) {
        if (this.masks.size >= 16) this.clearMasks();
        const groups = this.config.heads / this.config.kvHeads;
        const { floats, dims } = causalMask(width, groups, window);
        mask = this.memory.upload(floats, dims);
        this.masks.set(key, mask);
      }
      binding.input(maskName(window), mask);
    }
  }

  private clearMasks(): void {
    for (const mask of this.masks.values()) mask.dispose();
    this.masks.clear();
  }

  /**
   * Binds right-padded sequences and the positions wanted of each. Returns the padded tokens and the number N of
   * positions, in the order of the sequences.
   */
  bindSequences(
    binding: Binding,
    sequences: readonly TokenIds[],
    wanted: readonly (readonly number[])[],
  ): { tokens: Int32Array; width: number; n: number } {
    const width = Math.max(...sequences.map((tokens) => tokens.length));
    const tokens = padTokens(sequences, width);
    const n = wanted.reduce((sum, positions) => sum + positions.length, 0);
    const rows = new Int32Array(n);
    const inverse = new Int32Array(tokens.length).fill(n);
    let at = 0;
    wanted.forEach((positions, b) => {
      for (const position of positions) {
        rows[at] = b * width + position;
        inverse[rows[at]!] = at;
        at++;
      }
    });
    binding
      .input("tokens", Tensor.int32(tokens, [sequences.length, width]))
      .input("rows", Tensor.int32(rows, [n]));
    // A model without rotary embeddings has no use for positions.
    if (binding.takes("positions")) binding.input("positions", Tensor.int64([0]));
    if (binding.takes("inverse")) binding.input("inverse", Tensor.int32(inverse, [inverse.length]));
    this.bindRotary(binding, width);
    this.bindMasks(binding, width);
    return { tokens, width, n };
  }

  /** Binds sequences of groups with what they share once. Returns their tokens in one row. */
  private bindGroups(binding: Binding, jobs: readonly Job[], groups: readonly Group[]): Int32Array {
    const layout = layOut(groups, jobs);
    bindLayout(binding, layout, jobs, this.config);
    this.bindRotary(binding, Math.max(...layout.positions) + 1, layout.tokens.length);
    this.bindMasks(binding, layout.extents.P);
    return layout.tokens;
  }

  private chunks(n: number): number {
    return logitChunks(this.config, n);
  }

  /** Results of every job, in order: one number per position. With `dropout`, those of `backward`. */
  forward(jobs: readonly Job[], options: ForwardOptions = {}): Promise<Float32Array[]> {
    const masked = isOn(options.dropout);
    return this.evaluate(
      jobs,
      1,
      (n, shared) => this.programs.forward(this.chunks(n), { dropout: masked, shared }),
      options,
    );
  }

  /** Of every position of every job: log pi of its target, of the most likely token, and the entropy; [positions, 3] row-major. */
  statistics(jobs: readonly Job[], options: ForwardOptions = {}): Promise<Float32Array[]> {
    return this.evaluate(
      jobs,
      3,
      (n, shared) => this.programs.forward(this.chunks(n), { statistics: true, shared }),
      options,
    );
  }

  /** Of every position of every job: log pi of its target, of the most likely token, and that token; [positions, 3] row-major. */
  mostLikely(jobs: readonly Job[], options: ForwardOptions = {}): Promise<Float32Array[]> {
    return this.evaluate(
      jobs,
      3,
      (n, shared) => this.programs.mostLikely(this.chunks(n), { shared }),
      options,
    );
  }

  /** Hidden states after the last norm at every position of every job: [positions, hidden] row-major. */
  features(jobs: readonly Job[]): Promise<Float32Array[]> {
    return this.evaluate(jobs, this.config.hiddenSize, (_, shared) => this.programs.features({ shared }));
  }

  private async evaluate(
    jobs: readonly Job[],
    columns: number,
    programFor: (n: number, shared: boolean) => Program,
    { dropout, signal }: ForwardOptions = {},
  ): Promise<Float32Array[]> {
    const results: Float32Array[] = new Array(jobs.length);
    // Masks are alive for all layers at once, as activations are in a backward pass.
    const budget = isOn(dropout) ? this.tokenBudget.backward : this.tokenBudget.forward;
    for (const batch of this.batches(jobs, budget, dropout)) {
      signal?.throwIfAborted();
      const chosen = batch.indices.map((i) => jobs[i]!);
      const n = chosen.reduce((sum, job) => sum + job.rows.length, 0);
      const binding = this.bind(programFor(n, batch.groups !== undefined));
      const { result, dims } = this.bindJobs(binding, jobs, batch, columns);
      const masks = this.bindDropout(binding, batch.indices, chosen, dims[1], dropout);
      await binding.run();
      binding.dispose();
      for (const mask of masks) mask.dispose();
      scatterResults(result.floats, columns, batch.indices, chosen, results);
    }
    fillEmpty(results, jobs);
    return results;
  }

  /** Accumulates the gradient of sum g * result and returns the results, with statistics [positions, 3] row-major. */
  async backward(
    jobs: readonly Job[],
    g: readonly Float32Array[],
    { dropout, statistics = false }: { dropout?: Dropout | undefined; statistics?: boolean } = {},
  ): Promise<Float32Array[]> {
    const columns = statistics ? 3 : 1;
    const results: Float32Array[] = new Array(jobs.length);
    for (const batch of this.batches(jobs, this.tokenBudget.backward, dropout)) {
      const chosen = batch.indices.map((i) => jobs[i]!);
      const n = chosen.reduce((sum, job) => sum + job.rows.length, 0);
      const { program, dense, rows } = this.programs.backward(this.chunks(n), this.accumulated, {
        dropout: isOn(dropout),
        statistics,
        shared: batch.groups !== undefined,
      });
      const binding = this.bind(program);
      const bound = this.bindJobs(binding, jobs, batch, columns);
      const masks = this.bindDropout(binding, batch.indices, chosen, bound.dims[1], dropout);
      const weights = new Float32Array(n);
      let at = 0;
      for (const i of batch.indices) {
        weights.set(g[i]!, at);
        at += g[i]!.length;
      }
      if (at !== n) throw new Error(`backward: ${at} weights for ${n} positions`);
      binding.input("g", Tensor.float32(weights, [n, 1]));
      for (const name of dense) {
        const parameter = this.parameters.get(name)!;
        // On the CPU the gradient lies beside its weight, for the optimizer's kernels; a device makes its own.
        if (this.programs.device === "cpu") this.gradientOf(name);
        if (this.accumulated) binding.input(gradientInput(name), parameter.gradient!);
        binding.update(gradientOutput(name), parameter.gradient, parameter.shape, (gradient) => {
          parameter.gradient = gradient;
        });
      }
      bindTableRows(binding, "tokens", bound.tokens, this.config.vocabSize);
      bindTableRows(binding, "targets", bound.targets, this.config.vocabSize);
      const scratch = rows.map((row) => {
        const indices = row.indices === "tokens" ? bound.tokens : bound.targets;
        const dims = row.indices === "tokens" ? bound.dims : [n];
        const tensor = Tensor.zeros("float32", [...dims, this.config.hiddenSize]);
        binding.output(row.output, tensor);
        return { row, indices, values: tensor.floats };
      });
      await binding.run();
      binding.dispose();
      for (const mask of masks) mask.dispose();
      for (const { row, indices, values } of scratch) this.addRows(row, indices, values, dense);
      scatterResults(bound.result.floats, columns, batch.indices, chosen, results);
      this.accumulated = true;
    }
    fillEmpty(results, jobs);
    return results;
  }

  /** Binds the masks of the jobs whose places among all jobs are `indices`; the caller disposes of them. */
  private bindDropout(
    binding: Binding,
    indices: readonly number[],
    jobs: readonly Job[],
    width: number,
    dropout: Dropout | undefined,
  ): Tensor[] {
    if (!isOn(dropout)) return [];
    const { hiddenSize: hidden } = this.config;
    const shape: MaskShape = { lengths: jobs.map(({ tokens }) => tokens.length), indices, width, hidden };
    return Array.from({ length: dropoutSites(this.config) }, (_, site) => {
      const mask = this.memory.upload(dropoutMask(shape, site, dropout), [jobs.length, width, hidden]);
      binding.input(dropoutInput(site), mask);
      return mask;
    });
  }

  /** Jobs that share a beginning go together, where every one of them sees the same there. */
  private batches(jobs: readonly Job[], budget: number, dropout: Dropout | undefined): Batch[] {
    const present = jobs.flatMap((job, i) => (job.rows.length > 0 ? [i] : []));
    const border = shortSequence(this.config.ropes);
    const canShare =
      this.programs.device === "cpu" &&
      !isOn(dropout) &&
      present.every((i) => jobs[i]!.tokens.length <= border);
    const wanted = present.map((i) => jobs[i]!);
    const all = wanted.map((_, k) => k);
    const { groups, alone } = canShare ? groupByBeginning(wanted) : { groups: [], alone: all };
    const cut = cutGroups(groups, wanted, budget);
    const rest = [...alone, ...cut.alone].sort((a, b) => a - b);
    const padded = bucketByLength(
      rest.map((k) => wanted[k]!.tokens.length),
      budget,
      { border },
    ).map((batch) => ({ indices: batch.map((k) => present[rest[k]!]!) }));
    const shared = cut.batches.map((batch) => {
      const own = batch.map(({ shared, members }) => ({ shared, members: members.map((k) => present[k]!) }));
      return { indices: own.flatMap(({ members }) => members), groups: own };
    });
    return [...shared, ...padded];
  }

  private bindJobs(binding: Binding, jobs: readonly Job[], { indices, groups }: Batch, columns = 1) {
    const chosen = indices.map((i) => jobs[i]!);
    const n = chosen.reduce((sum, job) => sum + job.rows.length, 0);
    const tokens = groups
      ? this.bindGroups(binding, jobs, groups)
      : this.bindSequences(
          binding,
          chosen.map((job) => job.tokens),
          chosen.map((job) => job.rows),
        ).tokens;
    const rows = groups ? 1 : chosen.length;
    const dims: [number, number] = [rows, tokens.length / rows];
    const targets = new Int32Array(n);
    if (binding.takes("targets")) {
      let at = 0;
      for (const job of chosen) {
        targets.set(job.targets!, at);
        at += job.rows.length;
      }
      binding.input("targets", Tensor.int32(targets, [n, 1]));
    }
    const result = Tensor.zeros("float32", [n, columns]);
    binding.output("result", result);
    return { tokens, targets, dims, result };
  }

  private gradientOf(name: string): Tensor {
    const parameter = this.parameters.get(name)!;
    parameter.gradient ??= besideWeight(parameter, 1);
    return parameter.gradient;
  }

  /**
   * Adds rows to a table's gradient, here and not in the graph: ONNX Runtime's scatter with addition is wrong for
   * repeated indices on several threads.
   */
  private addRows(row: RowOutput, indices: Int32Array, values: Float32Array, dense: readonly string[]): void {
    const gradient = this.gradientOf(row.parameter).floats;
    if (!this.accumulated && !dense.includes(row.parameter)) gradient.fill(0);
    const width = this.config.hiddenSize;
    for (let i = 0; i < indices.length; i++) {
      const to = indices[i]! * width;
      const from = i * width;
      for (let d = 0; d < width; d++) gradient[to + d]! += values[from + d]!;
    }
  }

  /**
   * Runs `work` and measures what it adds to the accumulated gradient: its global L2 norm. Costs a copy of the gradient
   * that is there before.
   */
  async measureAdded<T>(work: () => Promise<T>): Promise<{ result: T; gradNorm: number }> {
    const gradients = () =>
      this.accumulated
        ? this.trainable.flatMap(({ name, gradient }) =>
            gradient ? [[name, this.memory.download(gradient)] as const] : [],
          )
        : [];
    const before = new Map(gradients().map(([name, values]) => [name, values.slice()]));
    const result = await work();
    let squares = 0;
    for (const [name, values] of gradients()) {
      const old = before.get(name) ?? new Float32Array(values.length);
      for (let i = 0; i < values.length; i++) squares += (values[i]! - old[i]!) ** 2;
    }
    return { result, gradNorm: Math.sqrt(squares) };
  }

  async step(options: AdamOptions): Promise<StepResult> {
    const parameters = this.trainable;
    if (!this.accumulated) throw noGradient();
    const gradNorm = this.optimizer.gradientNorm(parameters);
    const limit = options.maxGradNorm ?? 0;
    // The same guard against division by zero as torch's clip_grad_norm_.
    const gradientScale = limit > 0 ? Math.min(1, limit / (gradNorm + 1e-6)) : 1;
    this.steps++;
    this.optimizer.update(parameters, this.steps, gradientScale, options);
    this.accumulated = false;
    return { gradNorm };
  }

  zeroGrad(): void {
    this.accumulated = false;
  }

  /** Writes trainable weights, moments and the step count; `loadState` continues bit-identically. */
  async saveState(dir: string): Promise<void> {
    await makeDirectory(dir);
    const parts = this.trainable.flatMap(({ name, shape, tensor, moments }) => [
      { name, shape, tensor },
      ...(moments
        ? [
            { name: `first_moment:${name}`, shape, tensor: moments.first },
            { name: `second_moment:${name}`, shape, tensor: moments.second },
          ]
        : []),
    ]);
    await writeSafetensors(
      join(dir, "training_state.safetensors"),
      parts.map(({ name, shape, tensor }) => ({
        name,
        shape,
        dtype: "F32" as const,
        values: async () => this.memory.download(tensor),
      })),
    );
    await writeFile(join(dir, "training_state.json"), `${JSON.stringify({ steps: this.steps })}\n`);
  }

  async loadState(dir: string): Promise<void> {
    const file = join(dir, "training_state.safetensors");
    const reader = await SafetensorsReader.open(file);
    try {
      for (const parameter of this.trainable) {
        const { name, shape, moments } = parameter;
        const read = async (key: string, current?: Tensor): Promise<Tensor> => {
          const values = await reader.readFloat32(key, { shape });
          return current ? this.memory.write(current, values) : this.memory.upload(values, shape);
        };
        parameter.tensor = await read(name, parameter.tensor);
        if (!reader.tensors.has(`first_moment:${name}`)) continue;
        // On the CPU moments lie beside their weight, for the optimizer's kernels; a device makes its own.
        const place: Partial<NonNullable<typeof moments>> =
          moments ??
          (this.programs.device === "cpu"
            ? { first: besideWeight(parameter, 2), second: besideWeight(parameter, 3) }
            : {});
        parameter.moments = {
          first: await read(`first_moment:${name}`, place.first),
          second: await read(`second_moment:${name}`, place.second),
        };
      }
    } finally {
      await reader.close();
    }
    const counter = join(dir, "training_state.json");
    const { steps } = await readJson(counter, "the checkpoint is not whole");
    if (!Number.isSafeInteger(steps)) throw new UserError(`${counter} has no step count`);
    this.steps = steps as number;
    this.zeroGrad();
  }

  /** Bytes held by weights, gradients and moments. */
  memoryBytes(): number {
    let bytes = 0;
    for (const { shape, stored, gradient, moments } of this.parameters.values()) {
      const arrays = stored ? [...stored.inputs.values()] : [];
      bytes += stored
        ? arrays.reduce((sum, { data }) => sum + data!.byteLength, 0)
        : 4 * sizeOf(shape) * (1 + (gradient ? 1 : 0) + (moments ? 2 : 0));
    }
    return bytes;
  }

  /** Values of a parameter; on a device, and of a weight that is kept small, a copy. */
  values(name: string): Float32Array {
    const { tensor, stored } = this.parameters.get(name)!;
    if (!stored) return this.memory.download(tensor);
    return restore(
      stored.storage,
      [...stored.inputs.values()].map(({ data }) => data as StoredData),
    );
  }

  /** Releases what only this model uses; frozen weights may be shared and wait for the garbage collector. */
  dispose(): void {
    for (const parameter of this.trainable) {
      parameter.tensor.dispose();
      parameter.gradient?.dispose();
      parameter.moments?.first.dispose();
      parameter.moments?.second.dispose();
    }
    this.clearMasks();
    for (const { cos, sin } of this.rotary.values()) {
      cos.dispose();
      sin.dispose();
    }
    this.rotary.clear();
  }
}

const isOn = (dropout: Dropout | undefined): dropout is Dropout => dropout !== undefined && dropout.rate > 0;

/** Additive mask [groups * width, width]: 0 where row t sees column s (s <= t, and within the window), else -1e9. */
export function causalMask(width: number, groups: number, window: number | null): Tensor {
  const data = new Float32Array(groups * width * width);
  for (let r = 0; r < groups * width; r++) {
    const t = r % width;
    data.fill(-1e9, r * width + t + 1, (r + 1) * width);
    if (window !== null && t - window >= 0) data.fill(-1e9, r * width, r * width + t - window + 1);
  }
  return Tensor.float32(data, [groups * width, width]);
}

function scatterResults(
  values: Float32Array,
  columns: number,
  batch: readonly number[],
  jobs: readonly Job[],
  results: Float32Array[],
): void {
  let at = 0;
  batch.forEach((i, k) => {
    const count = jobs[k]!.rows.length * columns;
    results[i] = values.slice(at, at + count);
    at += count;
  });
}

function fillEmpty(results: Float32Array[], jobs: readonly Job[]): void {
  jobs.forEach((job, i) => {
    if (job.rows.length === 0) results[i] = new Float32Array(0);
  });
}
