// Conversions between float32 and the 16-bit formats of checkpoints. All loops run over whole typed arrays and their
// bits: a call or a DataView per element would cost ten times as much. Hosts are little-endian, as the files are.

/** The memory of a typed array, not a copy. */
export function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

/** Converts the bytes of F16, BF16 or F64 numbers to float32. `bytes` must start at a multiple of the item size. */
export function widen(
  dtype: "F16" | "BF16" | "F64",
  { buffer, byteOffset }: Uint8Array,
  out: Float32Array,
): void {
  if (dtype === "F64") out.set(new Float64Array(buffer, byteOffset, out.length));
  else if (dtype === "BF16") bfloat16ToFloat32(new Uint16Array(buffer, byteOffset, out.length), out);
  else float16ToFloat32(new Uint16Array(buffer, byteOffset, out.length), out);
}

export function bfloat16ToFloat32(from: Uint16Array, to: Float32Array): void {
  const bits = bitsOf(to);
  for (let i = 0; i < from.length; i++) bits[i] = from[i]! << 16;
}

/** Every one of the 65,536 half-precision numbers as float32 bits. */
let halfTable: Uint32Array | undefined;

function buildHalfTable(): Uint32Array {
  const values = new Float32Array(65536);
  for (let h = 0; h < 65536; h++) {
    const sign = h & 0x8000 ? -1 : 1;
    const exponent = (h >> 10) & 31;
    const fraction = h & 1023;
    if (exponent === 31) values[h] = fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    else if (exponent === 0) values[h] = sign * fraction * 2 ** -24;
    else values[h] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return bitsOf(values);
}

export function float16ToFloat32(from: Uint16Array, to: Float32Array): void {
  const table = (halfTable ??= buildHalfTable());
  const bits = bitsOf(to);
  for (let i = 0; i < from.length; i++) bits[i] = table[from[i]!]!;
}

/** Rounds to nearest, ties to even. Returns whether a finite number became infinite. */
export function float32ToBfloat16(from: Float32Array, to: Uint16Array): boolean {
  const bits = bitsOf(from);
  let overflowed = false;
  for (let i = 0; i < from.length; i++) {
    const u = bits[i]!;
    const magnitude = u & 0x7fffffff;
    if (magnitude > 0x7f800000) {
      to[i] = (u >>> 16) | 0x40; // a NaN stays one, whichever of its bits are cut off
    } else {
      to[i] = (u + 0x7fff + ((u >>> 16) & 1)) >>> 16;
      if (magnitude > 0x7f7f7fff && magnitude < 0x7f800000) overflowed = true;
    }
  }
  return overflowed;
}

/** Rounds to nearest, ties to even. Returns whether a finite number became infinite. */
export function float32ToFloat16(from: Float32Array, to: Uint16Array): boolean {
  const bits = bitsOf(from);
  const sum = new Float32Array(1);
  const sumBits = bitsOf(sum);
  let overflowed = false;
  for (let i = 0; i < from.length; i++) {
    const u = bits[i]!;
    const magnitude = u & 0x7fffffff;
    let half: number;
    if (magnitude >= 0x477ff000) {
      // 65520, half-way between the largest half and the next power of two, rounds to infinity.
      half = magnitude > 0x7f800000 ? 0x7e00 : 0x7c00;
      if (magnitude < 0x7f800000) overflowed = true;
    } else if (magnitude < 0x38800000) {
      // Below 2^-14 halves are multiples of 2^-24, the last place of float32 numbers in [0.5, 1): adding 0.5 rounds.
      sum[0] = Math.abs(from[i]!) + 0.5;
      half = sumBits[0]! - 0x3f000000;
    } else {
      half = (magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13;
    }
    to[i] = half | ((u >>> 16) & 0x8000);
  }
  return overflowed;
}

/** Index of the first NaN or infinity; -1 when every number is finite. */
export function firstNonFinite(values: Float32Array): number {
  const bits = bitsOf(values);
  for (let i = 0; i < bits.length; i++) if ((bits[i]! & 0x7f800000) === 0x7f800000) return i;
  return -1;
}
