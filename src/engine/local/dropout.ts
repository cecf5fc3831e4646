// Dropout masks: a pure function of (seed, sequence, site, position, unit), so that the forward and the backward pass,
// any cut into micro-batches and a resumed run all see the same one. They are fed to the graph: ONNX Runtime's own
// Dropout keeps its random state to itself, and a hash of integer operators in the graph costs as much (3 ns a unit) and
// does not run on WebGPU.

import { mix32 } from "../../base/random.js";
import type { Dropout } from "../contract.js";

export interface MaskShape {
  /** Length of every sequence of the batch. */
  lengths: readonly number[];
  /** Which sequence of the whole call each one is. */
  indices: readonly number[];
  /** Padded length. */
  width: number;
  hidden: number;
}

/**
 * The mask of one site, [batch, width, hidden]: 0 with probability `rate`, else 1 / (1 - rate), so that what it
 * multiplies keeps its expectation. 0 at padding, which nothing reads.
 */
export function dropoutMask(
  { lengths, indices, width, hidden }: MaskShape,
  site: number,
  { rate, seed }: Dropout,
): Float32Array {
  const mask = new Float32Array(lengths.length * width * hidden);
  // Written as bits, without a branch: a branch that is taken at random costs more than the hash.
  const bits = new Int32Array(mask.buffer);
  const [kept] = new Int32Array(Float32Array.of(1 / (1 - rate)).buffer) as unknown as [number];
  const last = Math.round(rate * 2 ** 31) - 1;
  lengths.forEach((length, b) => {
    const [key, otherKey] = [mix32(seed, indices[b]!, 2 * site), mix32(seed, indices[b]!, 2 * site + 1)];
    const start = b * width * hidden;
    for (let unit = 0; unit < length * hidden; unit++)
      bits[start + unit] = ((last - hash31(unit, key, otherKey)) >> 31) & kept;
  });
  return mask;
}

/** 31 well-mixed bits for every unit: the finaliser of murmur3, with a second key half-way. */
function hash31(unit: number, key: number, otherKey: number): number {
  let h = (unit + key) | 0;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b) ^ otherKey;
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 1;
}
