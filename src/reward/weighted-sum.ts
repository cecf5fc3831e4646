// sum_i w_i x_i over chunks of tensors, in WebAssembly (weighted-sum.wat). The members' bytes are read straight into the
// kernels' memory, where there are two sets of buffers: while one is summed the other is being filled.

import type { FloatType } from "../model/config.js";
import { kernelsBase64 } from "./weighted-sum-binary.js";

interface Kernels {
  clear(sum: number, groups: number): void;
  widenF16(from: number, to: number, groups: number): void;
  widenBF16(from: number, to: number, groups: number): void;
  add(sum: number, values: number, groups: number, weight: number): void;
  round(sum: number, to: number, groups: number): number;
}

const module = new WebAssembly.Module(Buffer.from(kernelsBase64, "base64"));

export const itemBytes: Readonly<Record<FloatType, number>> = { F32: 4, F16: 2, BF16: 2 };

/** Elements summed at a time: their float64 sums stay in the first-level cache while the members pass by. */
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
  private readonly sum: number;
  private readonly widened: number;
  private readonly inputs: readonly (readonly number[])[];
  private readonly result: number;

  /** Room for `terms` members and chunks of up to `elements`. */
  constructor(terms: number, elements: number) {
    const input = aligned(4 * elements);
    const bytes = aligned(8 * tileElements) + aligned(4 * tileElements) + (2 * terms + 1) * input;
    const pages = Math.ceil(bytes / pageBytes);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const instance = new WebAssembly.Instance(module, { env: { memory } });
    this.kernels = instance.exports as unknown as Kernels;
    this.buffer = memory.buffer;
    this.sum = this.take(8 * tileElements);
    this.widened = this.take(4 * tileElements);
    this.result = this.take(input);
    this.inputs = [0, 1].map(() => Array.from({ length: terms }, () => this.take(input)));
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
    new Uint8Array(this.buffer, at + bytes, itemBytes[type] * (-elements & 3)).fill(0);
    return new Uint8Array(this.buffer, at, bytes);
  }

  /**
   * The weighted sum of a set of chunks, accumulated in float64 and rounded to float32 once, or undefined where one of
   * its numbers is not finite, which any NaN or infinity among the terms makes it. Valid until the next call.
   */
  of(set: number, terms: readonly SumTerm[], elements: number): Float32Array | undefined {
    const { kernels, sum, widened } = this;
    let check = 0;
    for (let first = 0; first < elements; first += tileElements) {
      const groups = Math.ceil(Math.min(tileElements, elements - first) / 4);
      kernels.clear(sum, groups);
      for (let i = 0; i < terms.length; i++) {
        const { type, weight } = terms[i]!;
        const at = this.inputs[set]![i]! + itemBytes[type] * first;
        if (type === "F32") kernels.add(sum, at, groups, weight);
        else {
          kernels[type === "F16" ? "widenF16" : "widenBF16"](at, widened, groups);
          kernels.add(sum, widened, groups, weight);
        }
      }
      check += kernels.round(sum, this.result + 4 * first, groups);
    }
    return check === 0 ? new Float32Array(this.buffer, this.result, elements) : undefined;
  }
}

const aligned = (bytes: number): number => Math.ceil(bytes / cacheLine) * cacheLine;
