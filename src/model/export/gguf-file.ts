// Writes the GGUF container (version 3): typed metadata, tensor descriptions, then the tensors one at a time, each in
// the number type asked for. Layout and block formats are those of ggml; what is written equals the `gguf` package's
// bytes.

import { writeFileAtomic } from "../../base/atomic.js";
import { UserError } from "../../base/errors.js";
import { bytesOf, float32ToBfloat16, float32ToFloat16 } from "../floats.js";
import { blockTypes } from "../gguf-blocks.js";
import { writeAll } from "../safetensors.js";

/** A value of the metadata with its type in the file. */
export type GgufEntry =
  | { u32: number }
  | { f32: number }
  | { bool: boolean }
  | { string: string }
  | { strings: readonly string[] }
  | { f32s: readonly number[] }
  | { i32s: readonly number[] };

export type GgufMetadata = Readonly<Record<string, GgufEntry>>;

export type GgufFloatType = "F32" | "F16" | "BF16" | "Q8_0";

export interface GgufTensorSource {
  name: string;
  /** Rows first, as in `torch`. */
  shape: readonly number[];
  type: GgufFloatType;
  values: () => Float32Array | Promise<Float32Array>;
}

/** Narrows numbers to 16 bits; one that becomes infinite is the tensor's fault. */
const narrow =
  (into: (from: Float32Array, to: Uint16Array) => boolean) =>
  (values: Float32Array): Uint8Array | undefined => {
    const out = new Uint16Array(values.length);
    return into(values, out) ? undefined : bytesOf(out);
  };

/** Blocks of 32 bytes with one scale max|x| / 127 (half precision): q = round(x / scale), halves away from zero. */
function quantise8(values: Float32Array): Uint8Array | undefined {
  const blocks = values.length / 32;
  const scales = new Float32Array(blocks);
  const out = new Uint8Array(blocks * 34);
  for (let b = 0; b < blocks; b++) {
    let most = 0;
    for (let i = 0; i < 32; i++) most = Math.max(most, Math.abs(values[32 * b + i]!));
    scales[b] = most / 127;
    const inverse = scales[b] === 0 ? 0 : Math.fround(1 / scales[b]!);
    for (let i = 0; i < 32; i++) {
      const x = Math.fround(values[32 * b + i]! * inverse);
      out[34 * b + 2 + i] = Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
    }
  }
  const halves = new Uint16Array(blocks);
  if (float32ToFloat16(scales, halves)) return undefined;
  halves.forEach((half, b) => {
    out[34 * b] = half & 255;
    out[34 * b + 1] = half >> 8;
  });
  return out;
}

/** How numbers become the bytes of a type; undefined: one is too large for it. */
export const encoders: Readonly<Record<GgufFloatType, (values: Float32Array) => Uint8Array | undefined>> = {
  F32: bytesOf,
  F16: narrow(float32ToFloat16),
  BF16: narrow(float32ToBfloat16),
  Q8_0: quantise8,
};

const numberOf = (type: GgufFloatType): number =>
  Number(Object.keys(blockTypes).find((number) => blockTypes[Number(number)]!.name === type));

const alignment = 32;
const padding = (at: number): number => (alignment - (at % alignment)) % alignment;

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const text = (value: string): Buffer => {
  const bytes = Buffer.from(value, "utf8");
  return Buffer.concat([u64(bytes.length), bytes]);
};
const array = (type: number, count: number, items: Uint8Array): Buffer =>
  Buffer.concat([u32(9), u32(type), u64(count), items]);

/** The type of an entry and its value. */
function entryBytes(entry: GgufEntry): Buffer {
  if ("u32" in entry) return Buffer.concat([u32(4), u32(entry.u32)]);
  if ("f32" in entry) return Buffer.concat([u32(6), bytesOf(Float32Array.of(entry.f32))]);
  if ("bool" in entry) return Buffer.concat([u32(7), Buffer.of(Number(entry.bool))]);
  if ("string" in entry) return Buffer.concat([u32(8), text(entry.string)]);
  if ("strings" in entry) return array(8, entry.strings.length, Buffer.concat(entry.strings.map(text)));
  if ("f32s" in entry) return array(6, entry.f32s.length, bytesOf(Float32Array.from(entry.f32s)));
  return array(5, entry.i32s.length, bytesOf(Int32Array.from(entry.i32s)));
}

function tensorBytes({ shape, type }: GgufTensorSource): number {
  const { elements, bytes } = blockTypes[numberOf(type)]!;
  return (shape.reduce((a, b) => a * b, 1) / elements) * bytes;
}

function header(metadata: GgufMetadata, tensors: readonly GgufTensorSource[]): Buffer {
  const entries = Object.entries(metadata);
  let offset = 0;
  const descriptions = tensors.map((tensor) => {
    const start = offset;
    offset += tensorBytes(tensor);
    offset += padding(offset);
    const extents = tensor.shape.toReversed().map(u64);
    return Buffer.concat([
      text(tensor.name),
      u32(extents.length),
      ...extents,
      u32(numberOf(tensor.type)),
      u64(start),
    ]);
  });
  return Buffer.concat([
    Buffer.from("GGUF", "latin1"),
    u32(3),
    u64(tensors.length),
    u64(entries.length),
    ...entries.flatMap(([key, entry]) => [text(key), entryBytes(entry)]),
    ...descriptions,
  ]);
}

export interface WriteGgufOptions {
  /** Called after every tensor with the number of tensors written. */
  onTensor?: (done: number) => void;
}

/** Writes a GGUF file whole or not at all. */
export async function writeGguf(
  path: string,
  metadata: GgufMetadata,
  tensors: readonly GgufTensorSource[],
  { onTensor }: WriteGgufOptions = {},
): Promise<void> {
  await writeFileAtomic(path, async (handle) => {
    const head = header(metadata, tensors);
    await writeAll(handle, head);
    await writeAll(handle, Buffer.alloc(padding(head.length)));
    for (const [i, tensor] of tensors.entries()) {
      const bytes = encoders[tensor.type](await tensor.values());
      if (!bytes)
        throw new UserError(
          `tensor "${tensor.name}" has values too large for ${tensor.type}; use --dtype float32 or bfloat16`,
        );
      if (bytes.length !== tensorBytes(tensor))
        throw new RangeError(
          `tensor "${tensor.name}" needs ${tensorBytes(tensor)} bytes, not ${bytes.length}`,
        );
      await writeAll(handle, bytes);
      await writeAll(handle, Buffer.alloc(padding(bytes.length)));
      onTensor?.(i + 1);
    }
  });
}
