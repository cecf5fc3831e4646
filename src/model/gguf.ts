// The GGUF container: a header of metadata and tensor descriptions, then the tensors' blocks, little-endian. Only the
// header is read at once. Nothing in a file is trusted: every count and length is held against the size of the file
// before anything is made of it.

import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { UserError } from "../base/errors.js";
import { type BlockType, blockTypes, readableTypes } from "./gguf-blocks.js";

export type GgufValue = number | bigint | boolean | string | GgufValue[];

export interface GgufTensor {
  name: string;
  /** Rows first, as in `torch` (the file lists the fastest extent first). */
  shape: readonly number[];
  elements: number;
  type: BlockType;
  /** Where its bytes start in the file, and how many there are. */
  start: number;
  bytes: number;
}

const magic = "GGUF";
const maxDimensions = 4;
/** Bytes of a metadata value of every type that has a fixed size. */
const sizes: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};
const stringType = 8;
const arrayType = 9;
const windowBytes = 1 << 20;

/** Reads numbers and strings one after the other through a window on the file. */
class Cursor {
  private window = Buffer.alloc(0);
  private windowAt = 0;
  at = 0;

  constructor(
    private readonly handle: number,
    private readonly file: string,
    readonly size: number,
  ) {}

  /** The next `bytes` bytes. */
  take(bytes: number): Buffer {
    if (this.at + bytes > this.size)
      throw new UserError(
        `${this.file} is truncated: its header goes on beyond the ${this.size} bytes of the file`,
      );
    const from = this.at - this.windowAt;
    if (from < 0 || from + bytes > this.window.length) {
      this.window = Buffer.alloc(Math.min(Math.max(windowBytes, bytes), this.size - this.at));
      this.windowAt = this.at;
      readSync(this.handle, this.window, 0, this.window.length, this.at);
    }
    const start = this.at - this.windowAt;
    this.at += bytes;
    return this.window.subarray(start, start + bytes);
  }

  u32(): number {
    return this.take(4).readUInt32LE();
  }

  /** A count of things that take at least `each` bytes. */
  count(what: string, each: number): number {
    const value = this.take(8).readBigUInt64LE();
    if (value * BigInt(each) > BigInt(this.size - this.at))
      throw new UserError(
        `${this.file} is broken or truncated: it announces ${value} ${what}, more than its ${this.size} bytes can hold`,
      );
    return Number(value);
  }

  string(): string {
    return this.take(this.count("bytes of text", 1)).toString("utf8");
  }

  value(type: number): GgufValue {
    if (type === stringType) return this.string();
    if (type === arrayType) {
      const of = this.u32();
      const length = this.count("values", sizes[of] ?? 8);
      if (of === arrayType)
        throw new UserError(`${this.file}: nested arrays in the metadata are not supported`);
      return Array.from({ length }, () => this.value(of));
    }
    const size = sizes[type];
    if (size === undefined)
      throw new UserError(`${this.file} is broken: metadata of the unknown type ${type}`);
    const bytes = this.take(size);
    switch (type) {
      case 0:
        return bytes.readUInt8();
      case 1:
        return bytes.readInt8();
      case 2:
        return bytes.readUInt16LE();
      case 3:
        return bytes.readInt16LE();
      case 4:
        return bytes.readUInt32LE();
      case 5:
        return bytes.readInt32LE();
      case 6:
        return bytes.readFloatLE();
      case 7:
        return bytes.readUInt8() !== 0;
      case 10:
        return bytes.readBigUInt64LE();
      case 11:
        return bytes.readBigInt64LE();
      default:
        return bytes.readDoubleLE();
    }
  }
}

/** The header of a GGUF file. */
export class GgufHeader {
  private constructor(
    readonly file: string,
    readonly metadata: ReadonlyMap<string, GgufValue>,
    readonly tensors: ReadonlyMap<string, GgufTensor>,
  ) {}

  static read(file: string): GgufHeader {
    const handle = openSync(file, "r");
    try {
      const cursor = new Cursor(handle, file, fstatSync(handle).size);
      if (cursor.size < 24 || cursor.take(4).toString("latin1") !== magic)
        throw new UserError(`${file} is not a GGUF file: it does not begin with "${magic}"`);
      const version = cursor.u32();
      if (version !== 2 && version !== 3) {
        const kind = version > 0xffff ? "big-endian files are" : `version ${version} is`;
        throw new UserError(`${file}: ${kind} not supported (GGUF 2 and 3, little-endian)`);
      }
      // A description takes its name's length, the number of extents, one extent, type and offset; an entry of the
      // metadata its key's length, type and one byte.
      const tensorCount = cursor.count("tensors", 32);
      const entryCount = cursor.count("metadata entries", 13);
      const metadata = new Map<string, GgufValue>();
      for (let i = 0; i < entryCount; i++) {
        const key = cursor.string();
        metadata.set(key, cursor.value(cursor.u32()));
      }
      return new GgufHeader(file, metadata, readTensors(cursor, file, tensorCount, metadata));
    } finally {
      closeSync(handle);
    }
  }

  /** A number of the metadata, undefined where there is none. */
  number(key: string): number | undefined {
    const value = this.metadata.get(key);
    if (value === undefined) return undefined;
    if (typeof value !== "number" && typeof value !== "bigint")
      throw new UserError(`${this.file}: the metadata "${key}" must be a number`);
    return Number(value);
  }

  string(key: string): string | undefined {
    const value = this.metadata.get(key);
    if (value === undefined || typeof value === "string") return value;
    throw new UserError(`${this.file}: the metadata "${key}" must be text`);
  }

  boolean(key: string): boolean | undefined {
    const value = this.metadata.get(key);
    if (value === undefined || typeof value === "boolean") return value;
    throw new UserError(`${this.file}: the metadata "${key}" must be true or false`);
  }

  array<T extends "string" | "number">(
    key: string,
    of: T,
  ): (T extends "string" ? string : number)[] | undefined {
    const value = this.metadata.get(key);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((item) => typeof item === of))
      return value as (T extends "string" ? string : number)[];
    throw new UserError(`${this.file}: the metadata "${key}" must be a list of ${of}s`);
  }
}

function readTensors(
  cursor: Cursor,
  file: string,
  count: number,
  metadata: ReadonlyMap<string, GgufValue>,
): Map<string, GgufTensor> {
  const described = Array.from({ length: count }, () => {
    const name = cursor.string();
    const rank = cursor.u32();
    if (rank < 1 || rank > maxDimensions)
      throw new UserError(`${file} is broken: tensor "${name}" has ${rank} extents`);
    const extents = Array.from({ length: rank }, () => cursor.take(8).readBigUInt64LE());
    const type = cursor.u32();
    return { name, extents, type, offset: cursor.take(8).readBigUInt64LE() };
  });
  const alignment = BigInt(Number(metadata.get("general.alignment") ?? 32) || 32);
  const dataStart = ((BigInt(cursor.at) + alignment - 1n) / alignment) * alignment;
  const tensors = new Map<string, GgufTensor>();
  for (const { name, extents, type: number, offset } of described) {
    const type = blockTypes[number];
    if (!type) throw new UserError(`${file}: tensor "${name}" has the unknown type ${number}`);
    const elements = extents.reduce((a, b) => a * b, 1n);
    if (extents[0]! % BigInt(type.elements) !== 0n)
      throw new UserError(
        `${file} is broken: the rows of tensor "${name}" (${extents[0]}) are not whole blocks of ${type.name} (${type.elements})`,
      );
    const bytes = (elements / BigInt(type.elements)) * BigInt(type.bytes);
    const start = dataStart + offset;
    if (start + bytes > BigInt(cursor.size))
      throw new UserError(
        `${file} is truncated: tensor "${name}" ends at byte ${start + bytes}, the file has ${cursor.size}`,
      );
    if (tensors.has(name)) throw new UserError(`${file} is broken: two tensors are called "${name}"`);
    const shape = extents.map(Number).reverse();
    tensors.set(name, {
      name,
      shape,
      elements: Number(elements),
      type,
      start: Number(start),
      bytes: Number(bytes),
    });
  }
  return tensors;
}

/** Blocks decoded at a time. */
const chunkBytes = 1 << 24;

/** Reads a tensor as float32, into `into` where given. */
export function readGgufTensor(
  file: string,
  { name, type, elements, start, bytes }: GgufTensor,
  into: Float32Array = new Float32Array(elements),
): Float32Array {
  if (!type.decode)
    throw new UserError(
      `${file}: tensor "${name}" has type ${type.name}, which is not supported (${readableTypes.join(", ")})`,
    );
  const handle = openSync(file, "r");
  try {
    const blocks = Math.max(1, Math.floor(chunkBytes / type.bytes));
    const buffer = new Uint8Array(Math.min(bytes, blocks * type.bytes));
    for (let done = 0; done < bytes; ) {
      const part = buffer.subarray(0, Math.min(buffer.length, bytes - done));
      if (readSync(handle, part, 0, part.length, start + done) < part.length)
        throw new UserError(`${file} ended inside tensor "${name}": it was cut short`);
      const first = (done / type.bytes) * type.elements;
      type.decode(part, into.subarray(first, first + (part.length / type.bytes) * type.elements));
      done += part.length;
    }
  } finally {
    closeSync(handle);
  }
  return into;
}
