// The safetensors format: an 8-byte header length, a JSON header, then the tensors' bytes, little-endian.
// The reader parses the header only and reads one tensor at a time; the writer streams tensors one at a time.
// Nothing in a file is ever executed.
import { type FileHandle, open, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { explainDiskError } from "../base/atomic.js";
import { UserError } from "../base/errors.js";
import { checkFile, makeDirectory } from "../base/files.js";
import type { FloatType } from "./config.js";
import { bytesOf, float32ToBfloat16, float32ToFloat16, widen } from "./floats.js";
import { formatJson, isMissing, isObject, type Json, readJsonIfPresent } from "./json.js";

/** Bytes of one element of every type the format names in whole bytes. */
const itemBytes: Record<string, number> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
};

/** Types that `readFloat32` converts. */
const floatTypes = ["F64", "F32", "F16", "BF16"] as const;

/** Elements read or written and converted at a time: 16 MiB of half-precision numbers, so that few calls wait for the disk. */
const chunkElements = 1 << 23;
/** Bytes moved by one system call; a single call cannot move 2 GiB. */
const ioBytes = 1 << 26;
/** The limit of the reference implementation. */
const maxHeaderBytes = 100_000_000;

export interface TensorInfo {
  name: string;
  dtype: string;
  shape: readonly number[];
  elements: number;
  /** The file that holds it. */
  file: string;
  /** Where its bytes start in the file, and how many there are. */
  start: number;
  bytes: number;
}

export function isFloat(info: TensorInfo): info is TensorInfo & { dtype: (typeof floatTypes)[number] } {
  return (floatTypes as readonly string[]).includes(info.dtype);
}

export const formatShape = (shape: readonly number[]): string => `[${shape.join(", ")}]`;

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

// ---------------------------------------------------------------------------------------------------------- reading

export interface ReadOptions {
  /** Filled and returned instead of a fresh array; its length must be the tensor's. */
  into?: Float32Array;
  /** Refuses a tensor of another shape. */
  shape?: readonly number[];
}

/** Tensors of one file, or of all the shards of an index, by name. */
export class SafetensorsReader {
  private scratch: Uint8Array | undefined;

  private constructor(
    /** The file, index or directory that was opened. */
    readonly path: string,
    readonly tensors: ReadonlyMap<string, TensorInfo>,
    /** The `__metadata__` of the file (of the first shard). */
    readonly metadata: Readonly<Record<string, string>>,
    private readonly handles: ReadonlyMap<string, FileHandle>,
  ) {}

  /** Opens a `.safetensors` file, a `.safetensors.index.json`, or the directory that holds `model` under either. */
  static async open(path: string): Promise<SafetensorsReader> {
    const source = await locate(path);
    const handles = new Map<string, FileHandle>();
    try {
      if (!source.endsWith(".json")) {
        const { tensors, metadata } = await openFile(source, handles);
        return new SafetensorsReader(path, tensors, metadata, handles);
      }
      const shards = new Map<string, Map<string, TensorInfo>>();
      let metadata: Record<string, string> | undefined;
      const tensors = new Map<string, TensorInfo>();
      for (const [name, shard] of Object.entries(await readWeightMap(source))) {
        const file = join(dirname(source), shard);
        if (!shards.has(file)) {
          const opened = await openFile(file, handles, `, which ${source} names`);
          shards.set(file, opened.tensors);
          metadata ??= opened.metadata;
        }
        const info = shards.get(file)!.get(name);
        if (info === undefined) {
          throw new UserError(`${file} lacks the tensor "${name}" that ${source} places there`);
        }
        tensors.set(name, info);
      }
      return new SafetensorsReader(path, tensors, metadata ?? {}, handles);
    } catch (error) {
      await closeAll(handles);
      throw error;
    }
  }

  info(name: string): TensorInfo {
    const info = this.tensors.get(name);
    if (info === undefined) throw new UserError(`${this.path} has no tensor "${name}"`);
    return info;
  }

  /** The tensor as float32, converted exactly from F16 and BF16, rounded from F64. */
  async readFloat32(name: string, { into, shape }: ReadOptions = {}): Promise<Float32Array> {
    const info = this.info(name);
    if (shape !== undefined && formatShape(shape) !== formatShape(info.shape)) {
      throw new UserError(
        `${info.file}: tensor "${name}" has shape ${formatShape(info.shape)}, expected ${formatShape(shape)}`,
      );
    }
    const out = into ?? new Float32Array(info.elements);
    if (out.length !== info.elements) {
      throw new RangeError(`a buffer of ${out.length} floats cannot hold "${name}" of ${info.elements}`);
    }
    await this.readFloat32Slice(info, 0, out);
    return out;
  }

  /** Fills `out` with the elements from `first` on, in row-major order. */
  async readFloat32Slice(info: TensorInfo, first: number, out: Float32Array): Promise<void> {
    if (!isFloat(info)) {
      throw new UserError(
        `${info.file}: tensor "${info.name}" has type ${info.dtype}, which is not a float type`,
      );
    }
    const size = itemBytes[info.dtype]!;
    const at = info.start + first * size;
    if (info.dtype === "F32") {
      await this.readBytes(info, at, bytesOf(out));
      return;
    }
    const scratch = this.takeScratch(Math.min(out.length, chunkElements) * size);
    for (let done = 0; done < out.length; done += chunkElements) {
      const part = out.subarray(done, Math.min(done + chunkElements, out.length));
      const bytes = scratch.subarray(0, part.length * size);
      await this.readBytes(info, at + done * size, bytes);
      widen(info.dtype, bytes, part);
    }
    this.scratch = scratch;
  }

  /** A buffer that no other read is using: the one left by the last read where it is large enough. */
  private takeScratch(bytes: number): Uint8Array {
    const spare = this.scratch;
    this.scratch = undefined;
    return spare !== undefined && spare.length >= bytes ? spare : new Uint8Array(bytes);
  }

  /** The tensor's bytes as they are in the file. */
  async readRaw(name: string): Promise<Uint8Array> {
    const info = this.info(name);
    const bytes = new Uint8Array(info.bytes);
    await this.readBytes(info, info.start, bytes);
    return bytes;
  }

  async close(): Promise<void> {
    await closeAll(this.handles);
  }

  /** Fills `into` with the bytes of the tensor's file from `position` on. */
  async readBytes(info: TensorInfo, position: number, into: Uint8Array): Promise<void> {
    const handle = this.handles.get(info.file)!;
    for (let done = 0; done < into.length; ) {
      const length = Math.min(ioBytes, into.length - done);
      const { bytesRead } = await handle.read(into, done, length, position + done);
      if (bytesRead === 0)
        throw new UserError(`${info.file} ended inside tensor "${info.name}": it was cut short`);
      done += bytesRead;
    }
  }
}

async function closeAll(handles: ReadonlyMap<string, FileHandle>): Promise<void> {
  await Promise.all([...handles.values()].map((handle) => handle.close()));
}

/** The weight file behind `path`: for a directory `model.safetensors`, else its index of shards. */
async function locate(path: string): Promise<string> {
  const isThere = (file: string) => stat(file).catch(() => undefined);
  const found = await isThere(path);
  if (found === undefined) throw new UserError(`${path} does not exist`);
  if (!found.isDirectory()) return path;
  for (const name of ["model.safetensors", "model.safetensors.index.json"]) {
    if (await isThere(join(path, name))) return join(path, name);
  }
  for (const name of ["pytorch_model.bin", "pytorch_model.bin.index.json"]) {
    if (await isThere(join(path, name))) {
      throw new UserError(
        `${path} holds pickled weights (${name}), which are never loaded because they can run code; convert them to safetensors`,
      );
    }
  }
  throw new UserError(`${path} holds neither model.safetensors nor model.safetensors.index.json`);
}

async function readWeightMap(file: string): Promise<Record<string, string>> {
  const map = (await readJsonIfPresent(file))?.weight_map;
  if (!isObject(map) || Object.keys(map).length === 0) {
    throw new UserError(`${file} must have a "weight_map" from tensor names to shard files`);
  }
  for (const [name, shard] of Object.entries(map)) {
    if (typeof shard !== "string" || shard !== basename(shard)) {
      throw new UserError(`${file}: the shard of "${name}" must be the name of a file in the same directory`);
    }
  }
  return map as Record<string, string>;
}

export interface Header {
  tensors: Map<string, TensorInfo>;
  metadata: Record<string, string>;
}

async function openFile(file: string, handles: Map<string, FileHandle>, because = ""): Promise<Header> {
  const missing = (error: unknown): never => {
    throw isMissing(error) ? new UserError(`${file}${because}, does not exist`) : error;
  };
  await checkFile(file).catch(missing);
  const handle = await open(file, "r").catch(missing);
  handles.set(file, handle);
  const { size } = await handle.stat();
  if (size < 8) throw new UserError(`${file} is truncated: ${size} bytes cannot hold a safetensors header`);
  const prefix = new BigUint64Array(1);
  await handle.read(bytesOf(prefix), 0, 8, 0);
  const headerBytes = Number(prefix[0]);
  if (headerBytes > maxHeaderBytes)
    throw new UserError(
      Buffer.from(bytesOf(prefix)).toString() === "version "
        ? `${file} is a pointer of Git LFS, not the weights; fetch them: git lfs pull`
        : `${file} is not a safetensors file: its header is absurdly long`,
    );
  if (8 + headerBytes > size) {
    throw new UserError(
      `${file} is truncated: its header needs ${8 + headerBytes} bytes, the file has ${size}`,
    );
  }
  const text = Buffer.alloc(headerBytes);
  await handle.read(text, 0, headerBytes, 8);
  return parseHeader(text.toString("utf8"), file, 8 + headerBytes, size);
}

/** What the header of a file of `size` bytes says, whose tensors begin at `dataStart`. Throws a UserError that names the file. */
export function parseHeader(text: string, file: string, dataStart: number, size: number): Header {
  const bad = (what: string) => new UserError(`${file} has a bad safetensors header: ${what}`);
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch {
    throw bad("it is not JSON");
  }
  if (!isObject(header)) throw bad("it is not a JSON object");
  const { __metadata__: metadata = {}, ...entries } = header;
  const tensors = Object.entries(entries).map(([name, entry]) =>
    tensorInfo(name, entry, file, dataStart, bad),
  );

  // The format allows neither overlaps nor holes nor spare bytes, so the sorted tensors must tile the file.
  let end = dataStart;
  for (const info of tensors.toSorted((a, b) => a.start - b.start || a.bytes - b.bytes)) {
    if (info.start < end) throw bad(`tensor "${info.name}" overlaps another`);
    if (info.start > end) throw bad(`there is a hole before tensor "${info.name}"`);
    end += info.bytes;
  }
  if (end > size) throw new UserError(`${file} is truncated: expected ${end} bytes, the file has ${size}`);
  if (end < size) throw bad(`it describes ${end} bytes, the file has ${size}`);
  return {
    tensors: new Map(tensors.map((info) => [info.name, info])),
    metadata: isObject(metadata) ? (metadata as Record<string, string>) : {},
  };
}

function tensorInfo(
  name: string,
  entry: unknown,
  file: string,
  dataStart: number,
  bad: (what: string) => UserError,
): TensorInfo {
  const { dtype, shape, data_offsets: offsets } = isObject(entry) ? entry : ({} as Json);
  const size = typeof dtype === "string" && Object.hasOwn(itemBytes, dtype) ? itemBytes[dtype]! : undefined;
  if (size === undefined) throw bad(`tensor "${name}" has the unknown type "${dtype}"`);
  if (!isCounts(shape)) throw bad(`tensor "${name}" has no valid shape`);
  if (!isCounts(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!) {
    throw bad(`tensor "${name}" has no valid data_offsets`);
  }
  const [from, to] = offsets as [number, number];
  const elements = product(shape);
  if (to - from !== elements * size) {
    throw bad(
      `tensor "${name}" of shape ${formatShape(shape)} and type ${dtype} needs ${elements * size} bytes, its data_offsets give ${to - from}`,
    );
  }
  return { name, dtype: dtype as string, shape, elements, file, start: dataStart + from, bytes: to - from };
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

// ---------------------------------------------------------------------------------------------------------- writing

interface TensorHead {
  name: string;
  shape: readonly number[];
}

/** A tensor to be written in a float type: all its values at once, or in chunks of row-major order. */
export interface FloatTensor extends TensorHead {
  /** The type in the file. */
  dtype: FloatType;
  values: () => Float32Array | Promise<Float32Array> | AsyncIterable<Float32Array>;
}

/** A tensor whose bytes are written as they are: all at once, or in chunks. */
export interface RawTensor extends TensorHead {
  dtype: string;
  bytes: () => Uint8Array | Promise<Uint8Array> | AsyncIterable<Uint8Array>;
}

export type TensorSource = FloatTensor | RawTensor;

export interface WriteOptions {
  /** The string map in the header. Default `{ format: "pt" }`, which `transformers` asks for. */
  metadata?: Readonly<Record<string, string>>;
}

const tensorBytes = ({ dtype, shape }: TensorSource): number => product(shape) * itemBytes[dtype]!;

/**
 * Writes one file, a tensor at a time, aside and renamed when it is whole: a failure leaves what was there before.
 * Rounds to nearest, ties to even.
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorSource[],
  options: WriteOptions = {},
): Promise<void> {
  const target = resolve(path);
  const aside = join(dirname(target), `.${basename(target)}.${process.pid}.tmp`);
  try {
    await makeDirectory(dirname(target));
    await streamSafetensors(aside, tensors, options);
    await rename(aside, target);
  } catch (error) {
    await rm(aside, { force: true });
    throw explainDiskError(error, path);
  }
}

/** The same straight into a fresh directory, for use inside `writeDirectoryAtomic`, which explains a full disk. */
export async function streamSafetensors(
  path: string,
  tensors: readonly TensorSource[],
  { metadata = { format: "pt" } }: WriteOptions = {},
): Promise<void> {
  // Wider types first, as the reference implementation does: every tensor then starts at a multiple of its item size.
  const ordered = tensors.toSorted((a, b) => itemBytes[b.dtype]! - itemBytes[a.dtype]!);
  const handle = await open(path, "w");
  try {
    await writeAll(handle, encodeHeader(ordered, metadata));
    for (const tensor of ordered) await writeTensor(handle, tensor);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export interface WriteShardedOptions extends WriteOptions {
  /** A shard holds at most this many bytes, unless a single tensor is larger. Default 5 GB. */
  maxShardBytes?: number;
}

/**
 * Writes `model.safetensors`, or shards and their index when one file would be too large, into a fresh directory: for
 * use inside `writeDirectoryAtomic`.
 */
export async function writeWeights(
  dir: string,
  tensors: readonly TensorSource[],
  { maxShardBytes = 5e9, ...options }: WriteShardedOptions = {},
): Promise<void> {
  const shards = splitIntoShards(tensors, maxShardBytes);
  if (shards.length === 1) {
    await streamSafetensors(join(dir, "model.safetensors"), shards[0]!, options);
    return;
  }
  const pad = (n: number) => String(n).padStart(5, "0");
  const weightMap: Record<string, string> = {};
  for (const [i, shard] of shards.entries()) {
    const file = `model-${pad(i + 1)}-of-${pad(shards.length)}.safetensors`;
    await streamSafetensors(join(dir, file), shard, options);
    for (const { name } of shard) weightMap[name] = file;
  }
  const totalSize = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
  const index = { metadata: { total_size: totalSize }, weight_map: weightMap };
  await writeFile(join(dir, "model.safetensors.index.json"), formatJson(index));
}

function splitIntoShards(tensors: readonly TensorSource[], maxBytes: number): TensorSource[][] {
  const shards: TensorSource[][] = [[]];
  let filled = 0;
  for (const tensor of tensors) {
    const bytes = tensorBytes(tensor);
    if (filled > 0 && filled + bytes > maxBytes) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)!.push(tensor);
    filled += bytes;
  }
  return shards;
}

/** Header length and header, padded with spaces so that the data start at a multiple of 8. */
function encodeHeader(
  tensors: readonly TensorSource[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const header: Json = { __metadata__: metadata };
  let end = 0;
  for (const tensor of tensors) {
    if (tensor.name in header) throw new RangeError(`tensor "${tensor.name}" is given twice`);
    const start = end;
    end += tensorBytes(tensor);
    header[tensor.name] = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [start, end] };
  }
  const json = Buffer.from(JSON.stringify(header), "utf8");
  const length = Math.ceil(json.length / 8) * 8;
  const out = Buffer.alloc(8 + length, " ");
  out.writeBigUInt64LE(BigInt(length), 0);
  json.copy(out, 8);
  return out;
}

async function writeTensor(handle: FileHandle, tensor: TensorSource): Promise<void> {
  let written = 0;
  if ("bytes" in tensor) {
    const bytes = await tensor.bytes();
    for await (const chunk of bytes instanceof Uint8Array ? [bytes] : bytes) {
      await writeAll(handle, chunk);
      written += chunk.length;
    }
  } else {
    const values = await tensor.values();
    for await (const chunk of values instanceof Float32Array ? [values] : values) {
      await writeFloats(handle, tensor, chunk);
      written += chunk.length * itemBytes[tensor.dtype]!;
    }
  }
  if (written !== tensorBytes(tensor)) {
    throw new RangeError(
      `tensor "${tensor.name}" of shape ${formatShape(tensor.shape)} needs ${tensorBytes(tensor)} bytes, got ${written}`,
    );
  }
}

async function writeFloats(
  handle: FileHandle,
  { name, dtype }: FloatTensor,
  values: Float32Array,
): Promise<void> {
  if (dtype === "F32") {
    await writeAll(handle, bytesOf(values));
    return;
  }
  const narrow = new Uint16Array(Math.min(values.length, chunkElements));
  for (let done = 0; done < values.length; done += chunkElements) {
    const part = values.subarray(done, Math.min(done + chunkElements, values.length));
    const out = narrow.subarray(0, part.length);
    const overflowed = dtype === "BF16" ? float32ToBfloat16(part, out) : float32ToFloat16(part, out);
    if (overflowed) throw new UserError(`tensor "${name}" has values too large for ${dtype}; save it as F32`);
    await writeAll(handle, bytesOf(out));
  }
}

/** Writes all of `bytes`, in calls that move no more than the system allows. */
export async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, Math.min(ioBytes, bytes.length - done));
    done += bytesWritten;
  }
}
