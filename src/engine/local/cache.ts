// The key-value cache of rows that decode together: for every layer, keys and values [rows, kvHeads, capacity,
// headDim]. Decoding updates it in place on every device; what differs is how rows are filled and moved.

import type { DecoderConfig } from "../../model/config.js";
import { cacheKey, cacheValue } from "../../model/decoder.js";
import { compile } from "../../tensor/compile.js";
import { input, type Value } from "../../tensor/graph.js";
import { broadcastWith, concat, gather, reduceSum } from "../../tensor/ops.js";
import { type Binding, type Device, type Program, Tensor } from "../../tensor/runtime.js";

export interface CacheSize {
  rows: number;
  /** Positions of every row. */
  capacity: number;
}

/** A batch of prompts that has run through the prefill program. */
export interface Prefilled {
  /** Length of every prompt. */
  lengths: readonly number[];
  /** How many rows start from each prompt. */
  copies: readonly number[];
  /** Padded length. */
  width: number;
}

export interface KeyValueCache {
  /** Binds the keys and values that the prefill program writes. */
  bindPrefill(binding: Binding, prompts: number, width: number): void;
  /** After that run: appends rows that start from its prompts, in order. */
  append(prefilled: Prefilled): void;
  /** Binds the first `rows` rows as input and output of the decode program. */
  bindStep(binding: Binding, rows: number): void;
  /** Row b becomes what row slots[b] was, of which the first lengths[b] positions count; slots[b] >= b. */
  keep(slots: readonly number[], lengths: Int32Array): void;
  dispose(): void;
}

export function makeCache(device: Device, config: DecoderConfig, size: CacheSize): KeyValueCache {
  return device === "cpu" ? new HostCache(config, size) : new DeviceCache(config, size, device);
}

interface Names {
  /** Input of the decode program; its output is `next_${name}`. */
  name: string;
  /** Output of the prefill program. */
  prompt: string;
}

function cacheNames({ layers }: DecoderConfig): Names[] {
  return Array.from({ length: layers }, (_, i) => [
    { name: cacheKey(i), prompt: `prompt_key_${i}` },
    { name: cacheValue(i), prompt: `prompt_value_${i}` },
  ]).flat();
}

/** One allocation for all rows, moved within. */
class HostCache implements KeyValueCache {
  private readonly entries: (Names & { data: Float32Array })[];
  private prompted: Tensor[] = [];
  private rows = 0;

  constructor(
    private readonly config: DecoderConfig,
    private readonly size: CacheSize,
  ) {
    const elements = size.rows * config.kvHeads * size.capacity * config.headDim;
    this.entries = cacheNames(config).map((names) => ({ ...names, data: new Float32Array(elements) }));
  }

  bindPrefill(binding: Binding, prompts: number, width: number): void {
    const { kvHeads, headDim } = this.config;
    this.prompted = this.entries.map(({ prompt }) => {
      const tensor = Tensor.zeros("float32", [prompts, kvHeads, width, headDim]);
      binding.output(prompt, tensor);
      return tensor;
    });
  }

  append({ lengths, copies, width }: Prefilled): void {
    const { kvHeads, headDim } = this.config;
    lengths.forEach((length, p) => {
      for (let k = 0; k < copies[p]!; k++, this.rows++)
        this.entries.forEach(({ data }, e) => {
          for (let h = 0; h < kvHeads; h++) {
            const from = (p * kvHeads + h) * width * headDim;
            data.set(
              this.prompted[e]!.floats.subarray(from, from + length * headDim),
              (this.rows * kvHeads + h) * this.size.capacity * headDim,
            );
          }
        });
    });
  }

  bindStep(binding: Binding, rows: number): void {
    const { kvHeads, headDim } = this.config;
    for (const { name, data } of this.entries) {
      const tensor = Tensor.float32(data, [rows, kvHeads, this.size.capacity, headDim]);
      binding.input(name, tensor).output(`next_${name}`, tensor);
    }
  }

  keep(slots: readonly number[], lengths: Int32Array): void {
    const { kvHeads, headDim } = this.config;
    const stride = this.size.capacity * headDim;
    slots.forEach((from, to) => {
      if (from === to) return;
      const used = lengths[to]! * headDim;
      for (const { data } of this.entries)
        for (let h = 0; h < kvHeads; h++) {
          const start = (from * kvHeads + h) * stride;
          data.copyWithin((to * kvHeads + h) * stride, start, start + used);
        }
    });
  }

  dispose(): void {}
}

/** One tensor for each key and value, on the device; rows move by programs that gather them into a new one. */
class DeviceCache implements KeyValueCache {
  private readonly entries: (Names & { prompted?: Tensor; rows?: Tensor })[];

  constructor(
    config: DecoderConfig,
    private readonly size: CacheSize,
    private readonly device: Device,
  ) {
    this.entries = cacheNames(config).map((names) => ({ ...names }));
  }

  bindPrefill(binding: Binding): void {
    for (const entry of this.entries)
      binding.update(entry.prompt, undefined, [], (tensor) => {
        entry.prompted = tensor;
      });
  }

  append({ copies, width }: Prefilled): void {
    const origin = Int32Array.from(copies.flatMap((count, p) => new Array<number>(count).fill(p)));
    const tail = this.size.capacity - width;
    for (const entry of this.entries) {
      const seated = this.move("seat", undefined, {
        rows: entry.prompted!,
        slots: Tensor.int32(origin, [origin.length]),
        tail: Tensor.zeros("float32", [1, 1, tail, 1]),
      });
      entry.prompted!.dispose();
      entry.prompted = undefined;
      const before = entry.rows;
      entry.rows = before ? this.move("join", before, { rows: before, more: seated }) : seated;
      if (before) seated.dispose();
    }
  }

  bindStep(binding: Binding): void {
    // Grouped-query attention is the one operator that may write into its input: it only adds the new position.
    for (const { name, rows } of this.entries) binding.input(name, rows!).output(`next_${name}`, rows!);
  }

  keep(slots: readonly number[]): void {
    const chosen = Tensor.int32(Int32Array.from(slots), [slots.length]);
    for (const entry of this.entries)
      entry.rows = this.move("keep", entry.rows, { rows: entry.rows!, slots: chosen });
  }

  /** Runs a program of `moves` and releases `replaced`. */
  private move(
    name: keyof typeof moves,
    replaced: Tensor | undefined,
    inputs: Readonly<Record<string, Tensor>>,
  ): Tensor {
    let moved: Tensor | undefined;
    const binding = moveProgram(name, this.device).bind();
    for (const [key, tensor] of Object.entries(inputs)) binding.input(key, tensor);
    binding
      .update("moved", replaced, [], (tensor) => {
        moved = tensor;
      })
      .runSync();
    binding.dispose();
    return moved!;
  }

  dispose(): void {
    for (const { rows, prompted } of this.entries) {
      rows?.dispose();
      prompted?.dispose();
    }
  }
}

const cached = (name: string, rows: string, length: string): Value =>
  input(name, "float32", [rows, "heads", length, "width"]);
const slots = (): Value => input("slots", "int32", ["chosen"]);

const moves = {
  /** Rows of a prefill, each as often as it is wanted, with `tail` zeros behind. */
  seat: () => {
    const seated = gather(cached("rows", "rows", "length"), slots());
    const nothing = broadcastWith(input("tail", "float32", [1, 1, "tail", 1]), reduceSum(seated, [2], true));
    return concat([seated, nothing], 2, "capacity");
  },
  join: () => concat([cached("rows", "rows", "capacity"), cached("more", "more", "capacity")], 0, "all"),
  keep: () => gather(cached("rows", "rows", "capacity"), slots()),
} as const;

const programs = new Map<string, Program>();

function moveProgram(name: keyof typeof moves, device: Device): Program {
  const key = `${name} ${device}`;
  let program = programs.get(key);
  if (!program) programs.set(key, (program = compile({ moved: moves[name]() }, { device })));
  return program;
}
