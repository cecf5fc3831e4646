// The number types of GGUF tensors: how many elements and bytes a block has, and how it becomes float32. Formats are
// those of ggml (ggml-quants.c); the results equal the `gguf` package's bit for bit, because every product is exact in
// float64 and rounded once.

import { bytesOf, float16ToFloat32, widen } from "./floats.js";

export interface BlockType {
  name: string;
  /** Elements of a block. */
  elements: number;
  /** Bytes of a block. */
  bytes: number;
  /** Decodes whole blocks, which start at an even address. Absent for types that are known by name only. */
  decode?: (bytes: Uint8Array, out: Float32Array) => void;
}

/** Writes the block at `bytes[at]` to `out[to]` and on. */
type DecodeOne = (bytes: Uint8Array, at: number, out: Float32Array, to: number) => void;

const half = new Uint16Array(1);
const single = new Float32Array(1);

/** The half-precision number at `bytes[at]`. */
function f16(bytes: Uint8Array, at: number): number {
  half[0] = bytes[at]! | (bytes[at + 1]! << 8);
  float16ToFloat32(half, single);
  return single[0]!;
}

const signed = (byte: number): number => (byte << 24) >> 24;

/** Blocks of 32 with one scale, an offset (or numbers around `centre`) and, where `high` is given, a fifth bit. */
function legacy({
  offset,
  high,
  centre = 0,
}: {
  offset: boolean;
  high: boolean;
  centre?: number;
}): DecodeOne {
  const head = offset ? 4 : 2;
  const quants = head + (high ? 4 : 0);
  return (bytes, at, out, to) => {
    const d = f16(bytes, at);
    const m = offset ? f16(bytes, at + 2) : 0;
    for (let i = 0; i < 16; i++) {
      const byte = bytes[at + quants + i]!;
      let low = byte & 15;
      let up = byte >> 4;
      if (high) {
        low |= ((bytes[at + head + (i >> 3)]! >> (i & 7)) & 1) << 4;
        up |= ((bytes[at + head + 2 + (i >> 3)]! >> (i & 7)) & 1) << 4;
      }
      out[to + i] = offset ? d * low + m : d * (low - centre);
      out[to + 16 + i] = offset ? d * up + m : d * (up - centre);
    }
  };
}

/** Scale and minimum j of 8, six bits each, of the 12 bytes at `at` (Q4_K, Q5_K). */
function scaleAndMinimum(bytes: Uint8Array, at: number, j: number): [scale: number, minimum: number] {
  if (j < 4) return [bytes[at + j]! & 63, bytes[at + 4 + j]! & 63];
  const low = bytes[at + 4 + j]!;
  return [(low & 15) | ((bytes[at + j - 4]! >> 2) & 48), (low >> 4) | ((bytes[at + j]! >> 2) & 48)];
}

const q2K: DecodeOne = (bytes, at, out, to) => {
  const d = f16(bytes, at + 80);
  const dMin = f16(bytes, at + 82);
  for (let i = 0; i < 256; i++) {
    const scale = bytes[at + (i >> 4)]!;
    const [part, within] = [i >> 7, i & 127];
    const q = (bytes[at + 16 + 32 * part + (within & 31)]! >> (2 * (within >> 5))) & 3;
    out[to + i] = d * (scale & 15) * q - dMin * (scale >> 4);
  }
};

const q3K: DecodeOne = (bytes, at, out, to) => {
  const d = f16(bytes, at + 108);
  for (let i = 0; i < 256; i++) {
    const group = i >> 4;
    const low = (bytes[at + 96 + (group & 7)]! >> (4 * (group >> 3))) & 15;
    const top = (bytes[at + 104 + (group & 3)]! >> (2 * (group >> 2))) & 3;
    const [part, within] = [i >> 7, i & 127];
    const q = (bytes[at + 32 + 32 * part + (within & 31)]! >> (2 * (within >> 5))) & 3;
    const isHigh = (bytes[at + (i & 31)]! >> (i >> 5)) & 1;
    out[to + i] = d * ((low | (top << 4)) - 32) * (q - (isHigh ? 0 : 4));
  }
};

const q4K: DecodeOne = (bytes, at, out, to) => {
  const d = f16(bytes, at);
  const dMin = f16(bytes, at + 2);
  for (let j = 0; j < 8; j++) {
    const [scale, minimum] = scaleAndMinimum(bytes, at + 4, j);
    const quants = at + 16 + 32 * (j >> 1);
    for (let i = 0; i < 32; i++) {
      const q = (bytes[quants + i]! >> (4 * (j & 1))) & 15;
      out[to + 32 * j + i] = d * scale * q - dMin * minimum;
    }
  }
};

const q5K: DecodeOne = (bytes, at, out, to) => {
  const d = f16(bytes, at);
  const dMin = f16(bytes, at + 2);
  for (let j = 0; j < 8; j++) {
    const [scale, minimum] = scaleAndMinimum(bytes, at + 4, j);
    const quants = at + 48 + 32 * (j >> 1);
    for (let i = 0; i < 32; i++) {
      const high = (bytes[at + 16 + i]! >> j) & 1;
      const q = ((bytes[quants + i]! >> (4 * (j & 1))) & 15) | (high << 4);
      out[to + 32 * j + i] = d * scale * q - dMin * minimum;
    }
  }
};

const q6K: DecodeOne = (bytes, at, out, to) => {
  const d = f16(bytes, at + 208);
  for (let i = 0; i < 256; i++) {
    const [part, within] = [i >> 7, i & 127];
    const low = (bytes[at + 64 * part + (within & 63)]! >> (4 * (within >> 6))) & 15;
    const high = (bytes[at + 128 + 32 * part + (within & 31)]! >> (2 * (within >> 5))) & 3;
    out[to + i] = d * signed(bytes[at + 192 + (i >> 4)]!) * ((low | (high << 4)) - 32);
  }
};

/** A type without blocks. */
const plain = (name: string, bytes: number, decode?: BlockType["decode"]): BlockType => ({
  name,
  elements: 1,
  bytes,
  decode,
});

/** A type whose blocks are decoded one by one. */
function block(name: string, elements: number, bytes: number, decodeOne?: DecodeOne): BlockType {
  if (!decodeOne) return { name, elements, bytes };
  const decode = (from: Uint8Array, out: Float32Array) => {
    for (let at = 0, to = 0; to < out.length; at += bytes, to += elements) decodeOne(from, at, out, to);
  };
  return { name, elements, bytes, decode };
}

/** By ggml's number. */
export const blockTypes: Readonly<Record<number, BlockType>> = {
  0: plain("F32", 4, (bytes, out) => bytesOf(out).set(bytes)),
  1: plain("F16", 2, (bytes, out) => widen("F16", bytes, out)),
  2: block("Q4_0", 32, 18, legacy({ offset: false, high: false, centre: 8 })),
  3: block("Q4_1", 32, 20, legacy({ offset: true, high: false })),
  6: block("Q5_0", 32, 22, legacy({ offset: false, high: true, centre: 16 })),
  7: block("Q5_1", 32, 24, legacy({ offset: true, high: true })),
  8: block("Q8_0", 32, 34, (bytes, at, out, to) => {
    const d = f16(bytes, at);
    for (let i = 0; i < 32; i++) out[to + i] = d * signed(bytes[at + 2 + i]!);
  }),
  9: block("Q8_1", 32, 36),
  10: block("Q2_K", 256, 84, q2K),
  11: block("Q3_K", 256, 110, q3K),
  12: block("Q4_K", 256, 144, q4K),
  13: block("Q5_K", 256, 176, q5K),
  14: block("Q6_K", 256, 210, q6K),
  15: block("Q8_K", 256, 292),
  16: block("IQ2_XXS", 256, 66),
  17: block("IQ2_XS", 256, 74),
  18: block("IQ3_XXS", 256, 98),
  19: block("IQ1_S", 256, 50),
  20: block("IQ4_NL", 32, 18),
  21: block("IQ3_S", 256, 110),
  22: block("IQ2_S", 256, 82),
  23: block("IQ4_XS", 256, 136),
  24: plain("I8", 1),
  25: plain("I16", 2),
  26: plain("I32", 4),
  27: plain("I64", 8),
  28: plain("F64", 8),
  29: block("IQ1_M", 256, 56),
  30: plain("BF16", 2, (bytes, out) => widen("BF16", bytes, out)),
  34: block("TQ1_0", 256, 54),
  35: block("TQ2_0", 256, 66),
  39: block("MXFP4", 32, 17),
};

/** The names of the types that can be read. */
export const readableTypes = Object.values(blockTypes)
  .filter(({ decode }) => decode)
  .map(({ name }) => name);
