// sum_i w_i x_i over chunks of tensors, in WebAssembly (weighted-sum.wat). The members' bytes are read straight into the
// kernels' memory, where there are two sets of buffers: while one is summed the other is being filled.

import type { FloatType } from "../model/config.js";
import { kernelsBase64 } from "./weighted-sum-binary.js";

interface Kernels {
  sumF32(terms: number, termsEnd: number, to: number, groups: number): number;
  sumBF16(terms: number, termsEnd: number, to: number, groups: number): number;
  sumEqualBF16(terms: number, termsEnd: number, to: number, groups: number): number;
  widenF16(from: number, to: number, groups: number): void;
  widenBF16(from: number, to: number, groups: number): void;
  narrowBF16(from: number, to: number, groups: number): number;
}

const module = new WebAssembly.Module(Buffer.from(kernelsBase64, "base64"));

export const itemBytes: Readonly<Record<FloatType, number>> = { F32: 4, F16: 2, BF16: 2 };

/** Elements of one round of the kernels. */
const groupElements = 16;
/** Elements of each term that are widened at a time: few enough to stay in the cache until they are summed. */
const tileElements = 2048;
const pageBytes = 65536;
const cacheLine = 64;

export interface SumTerm {
  type: FloatType;
  weight: number;
}

export class WeightedSum {
  private readonly kernels: Kernels;
  private readonly buffer: ArrayBuffer;
  private used = 0;
  /** The kernels' table of terms. */
  private readonly table: DataView;
  /** float32 copies of a tile of every term. */
  private readonly widened: readonly number[];
  private readonly inputs: readonly (readonly number[])[];
  private readonly result: number;

  /** Room for `terms` members and chunks of up to `elements`. */
  constructor(terms: number, elements: number) {
    const input = 4 * groupElements * Math.ceil(elements / groupElements);
    const bytes = aligned(16 * terms) + terms * 4 * tileElements + (2 * terms + 1) * aligned(input);
    const pages = Math.ceil(bytes / pageBytes);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const instance = new WebAssembly.Instance(module, { env: { memory } });
    this.kernels = instance.exports as unknown as Kernels;
    this.buffer = memory.buffer;
    this.table = new DataView(this.buffer, this.take(16 * terms), 16 * terms);
    const perTerm = (size: number) => Array.from({ length: terms }, () => this.take(size));
    this.widened = perTerm(4 * tileElements);
    this.result = this.take(input);
    this.inputs = [perTerm(input), perTerm(input)];
  }

  private take(bytes: number): number {
    const at = this.used;
    this.used += aligned(bytes);
    return at;
  }

  /** Where the bytes of a term's chunk of `elements` go. What pads them to a whole group counts as zeros. */
  input(set: number, term: number, type: FloatType, elements: number): Uint8Array {
    const at = this.inputs[set]![term]!;
    const bytes = itemBytes[type] * elements;
    new Uint8Array(this.buffer, at + bytes, itemBytes[type] * (-elements & (groupElements - 1))).fill(0);
    return new Uint8Array(this.buffer, at, bytes);
  }

  /**
   * The weighted sum of a set of chunks, accumulated in float64 (bfloat16 of equal weights: in float32, which their
   * short numbers hardly ever fill) and rounded to float32, or undefined where one of its numbers is not finite, which
   * any NaN or infinity among the terms makes it. Valid until the next call.
   */
  of(set: number, terms: readonly SumTerm[], elements: number): Float32Array | undefined {
    const types = new Set(terms.map(({ type }) => type));
    const [only] = types;
    const { sumF32, sumBF16, sumEqualBF16 } = this.kernels;
    const allOf = (type: FloatType) => types.size === 1 && only === type;
    if (!allOf("BF16")) return this.sum(sumF32, set, terms, elements, allOf("F32"));
    const isEqual = terms.every(({ weight }) => weight === terms[0]!.weight);
    // What overflows in float32 may be within it after weighting.
    return (
      (isEqual ? this.sum(sumEqualBF16, set, terms, elements) : undefined) ??
      this.sum(sumBF16, set, terms, elements)
    );
  }

  /** `isNative`: the kernel reads the terms as they are; else it reads float32 copies. */
  private sum(
    kernel: Kernels["sumF32"],
    set: number,
    terms: readonly SumTerm[],
    elements: number,
    isNative = true,
  ): Float32Array | undefined {
    const step = isNative ? elements : tileElements;
    let check = 0;
    for (let first = 0; first < elements; first += step) {
      const groups = Math.ceil(Math.min(step, elements - first) / groupElements);
      for (const [i, { type, weight }] of terms.entries()) {
        const at = this.inputs[set]![i]! + itemBytes[type] * first;
        this.table.setUint32(16 * i, isNative ? at : this.asFloat32(i, type, at, groups), true);
        this.table.setFloat64(16 * i + 8, weight, true);
      }
      const { byteOffset, byteLength } = this.table;
      check += kernel(byteOffset, byteOffset + byteLength, this.result + 4 * first, groups);
    }
    return check === 0 ? new Float32Array(this.buffer, this.result, elements) : undefined;
  }

  /** The sum that `of` returned last as bfloat16, in its place; undefined where a number is too large for it. */
  narrowed(elements: number): Uint8Array | undefined {
    const { result } = this;
    const overflowed = this.kernels.narrowBF16(result, result, Math.ceil(elements / groupElements));
    return overflowed ? undefined : new Uint8Array(this.buffer, result, itemBytes.BF16 * elements);
  }

  /** Where a tile of term `i` stands as float32. */
  private asFloat32(i: number, type: FloatType, at: number, groups: number): number {
    if (type === "F32") return at;
    this.kernels[type === "F16" ? "widenF16" : "widenBF16"](at, this.widened[i]!, groups);
    return this.widened[i]!;
  }
}

const aligned = (bytes: number): number => Math.ceil(bytes / cacheLine) * cacheLine;
