// Frozen weights that are kept small: as 16-bit floats, or in blocks of 32 with one scale, as GGUF's Q8_0 and Q4_0 have them.
// A graph reads them through `fetch`, which makes float32 of one weight at the moment when it is needed; so one weight at a
// time is whole, and forward and backward passes see the very same numbers.

import { UserError } from "../base/errors.js";
import { constant, input, type Value } from "../tensor/graph.js";
import type { Dim, DType } from "../tensor/onnx.js";
import {
  bitAnd,
  cast,
  concat,
  gather,
  linear,
  matmul,
  mul,
  reshape,
  reshapeAfter,
  shiftLeft,
  withGradient,
} from "../tensor/ops.js";
import type { ParameterSpec } from "./config.js";
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "./floats.js";

/** How frozen weights can be kept. */
export const storages = ["float16", "bfloat16", "8bit", "4bit"] as const;
export type Storage = (typeof storages)[number];

/** Elements that share a scale. */
const block = 32;

/**
 * How one parameter is kept in a model whose frozen weights are kept as `storage`; undefined is float32. Norms, biases and the
 * score are never small. Embedding and head have 8 bits where matrices have 4: they cost quality most and memory least.
 */
export function storageOf(
  { name, shape, kind }: ParameterSpec,
  storage: Storage | undefined,
): Storage | undefined {
  if (storage === undefined || kind === "norm" || kind === "bias" || name === "score.weight")
    return undefined;
  if (storage === "float16" || storage === "bfloat16") return storage;
  if (shape[1]! % block !== 0) return undefined;
  return storage === "4bit" && kind !== "matrix" ? "8bit" : storage;
}

// ---------------------------------------------------------------------------------------------------------- numbers

/** One array of what a weight is kept as: an input of graphs. */
export interface StoredPart {
  /** Added to the weight's name. */
  suffix: string;
  dtype: DType;
  dims: number[];
}

/** The arrays of a weight [out, in]. */
export function storedParts(storage: Storage, [out, width]: readonly number[]): StoredPart[] {
  if (storage === "float16" || storage === "bfloat16")
    return [{ suffix: "", dtype: storage, dims: [out!, width!] }];
  const blocks = width! / block;
  const bytes = storage === "8bit" ? block : block / 2;
  return [
    { suffix: "", dtype: storage === "8bit" ? "int8" : "uint8", dims: [out!, blocks, bytes] },
    { suffix: ":scale", dtype: "float16", dims: [out!, blocks, 1] },
  ];
}

/** The parameter that a graph input is an array of. */
export const parameterOf = (input: string): string => input.replace(/:scale$/, "");

export type StoredData = Uint16Array | Int8Array | Uint8Array;

/** The arrays of `storedParts` for these numbers. A number too large for float16 is an error that names the weight. */
export function store(storage: Storage, values: Float32Array, name: string): StoredData[] {
  if (storage === "float16" || storage === "bfloat16") {
    const out = new Uint16Array(values.length);
    const overflowed = (storage === "float16" ? float32ToFloat16 : float32ToBfloat16)(values, out);
    if (overflowed)
      throw new UserError(`${name} holds a number that ${storage} does not; quantise to bfloat16 or 8bit`);
    return [out];
  }
  const blocks = values.length / block;
  const scales = new Float32Array(blocks);
  const eight = storage === "8bit";
  const out = eight ? new Int8Array(values.length) : new Uint8Array(values.length / 2);
  const half = new Uint16Array(1);
  const scale = new Float32Array(1);
  const stored = new Uint16Array(blocks);
  for (let b = 0; b < blocks; b++) {
    let most = 0;
    for (let i = 0; i < block; i++) {
      const x = values[b * block + i]!;
      if (Math.abs(x) > Math.abs(most)) most = x;
    }
    // Of 8 bits -127 .. 127 with a positive scale; of 4 bits -8 .. 7, and the largest is -8 exactly.
    scale[0] = eight ? Math.abs(most) / 127 : most / -8;
    float32ToFloat16(scale, half);
    stored[b] = half[0]!;
    scales[b] = scale[0]!;
    const inverse = scale[0] === 0 ? 0 : 1 / scale[0]!;
    if (eight)
      for (let i = 0; i < block; i++) {
        const x = values[b * block + i]! * inverse;
        out[b * block + i] = Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
      }
    else
      for (let i = 0; i < block / 2; i++) {
        const nibble = (x: number): number => Math.max(0, Math.min(15, Math.floor(x * inverse + 8.5)));
        const low = nibble(values[b * block + i]!);
        const high = nibble(values[b * block + block / 2 + i]!);
        // In two's complement (8 less), so that shifted to the top of a byte it is 16 times its number.
        out[(b * block) / 2 + i] = (low ^ 8) | ((high ^ 8) << 4);
      }
  }
  return [out, stored];
}

/** The float32 numbers that `fetch` makes of stored arrays. */
export function restore(storage: Storage, [data, scales]: readonly StoredData[]): Float32Array {
  if (storage === "float16" || storage === "bfloat16") {
    const out = new Float32Array(data!.length);
    (storage === "float16" ? float16ToFloat32 : bfloat16ToFloat32)(data as Uint16Array, out);
    return out;
  }
  const scale = new Float32Array(scales!.length);
  float16ToFloat32(scales as Uint16Array, scale);
  const out = new Float32Array(scale.length * block);
  for (let b = 0; b < scale.length; b++)
    for (let i = 0; i < block; i++)
      out[b * block + i] = Math.fround(numberAt(storage, data!, b, i) * scale[b]!);
  return out;
}

function numberAt(storage: "8bit" | "4bit", data: StoredData, b: number, i: number): number {
  if (storage === "8bit") return data[b * block + i]!;
  const byte = data[(b * block) / 2 + (i % (block / 2))]!;
  return ((((i < block / 2 ? byte : byte >> 4) & 15) ^ 8) - 8) | 0;
}

// ----------------------------------------------------------------------------------------------------------- graphs

/** A weight in a graph that is kept small. */
export interface StoredWeight {
  storage: Storage;
  /** [out, in] */
  dims: readonly number[];
  parts: readonly Value[];
}

/** A weight in a graph: float32 as it lies, or kept small. */
export type Weight = Value | StoredWeight;

const isStored = (weight: Weight): weight is StoredWeight => "storage" in weight;

/** The graph inputs of a weight. */
export function weightInput(name: string, shape: readonly number[], storage: Storage | undefined): Weight {
  if (storage === undefined) return input(name, "float32", shape);
  const parts = storedParts(storage, shape).map(({ suffix, dtype, dims }) =>
    input(`${name}${suffix}`, dtype, dims),
  );
  return { storage, dims: shape, parts };
}

/** The weight in float32, made when `after` is there: what is made of inputs alone ONNX Runtime would make first of all. */
export function fetch(weight: Weight, after: Value): Value {
  if (!isStored(weight)) return weight;
  const [data, ...rest] = weight.parts;
  return widened(weight.storage, [reshapeAfter(data!, after), ...rest], weight.dims);
}

/** x W^T, whose gradient fetches W again. */
export function product(
  x: Value,
  weight: Weight,
  multiply: (x: Value, weight: Value) => Value = linear,
): Value {
  if (!isStored(weight)) return multiply(x, weight);
  return withGradient(multiply(x, fetch(weight, x)), [x], (dy) => [matmul(dy, fetch(weight, dy))]);
}

/** Rows of a table: [rows, n] at `indices` [...] -> [..., n]. */
export function tableRows(weight: Weight, indices: Value): Value {
  if (!isStored(weight)) return gather(weight, indices);
  const rows = weight.parts.map((part) => gather(part, indices));
  return widened(weight.storage, rows, [...indices.dims, weight.dims[1]!]);
}

/** Float32 of stored parts whose leading axes are those of `dims`. */
function widened(storage: Storage, [data, scale]: readonly Value[], dims: readonly Dim[]): Value {
  if (storage === "float16" || storage === "bfloat16") return cast(data!, "float32");
  const numbers = cast(storage === "8bit" ? data! : nibbles(data!), "float32");
  const unit = cast(scale!, "float32");
  // A nibble lies in the upper half of its byte: 16 times its number, and a sixteenth of the scale is as exact.
  const factor = storage === "8bit" ? unit : mul(unit, constant("float32", Float32Array.of(1 / 16), []));
  const blocks = mul(numbers, factor);
  return reshape(blocks, dims);
}

/** [.., 16] bytes -> [.., 32] signed bytes, each 16 times a number of 4 bits. */
function nibbles(bytes: Value): Value {
  const byte = (value: number) => constant("uint8", Uint8Array.of(value), []);
  const last = bytes.dims.length - 1;
  const both = concat([shiftLeft(bytes, byte(4)), bitAnd(bytes, byte(0xf0))], last, block);
  return cast(both, "int8");
}
