// Arrays that the WebAssembly kernels can reach. An arena is one WebAssembly memory; arrays are carved from its start
// to its end and live as long as anything refers to them. ONNX Runtime reads and writes the same memory.

import { kernelsBase64 } from "./kernels-binary.js";

interface Kernels {
  sumOfSquares(at: number, groups: number): number;
  adamW(
    w: number,
    gradient: number,
    m: number,
    v: number,
    groups: number,
    beta1: number,
    rest1: number,
    beta2: number,
    rest2: number,
    epsilon: number,
    keep: number,
    stepSize: number,
    secondScale: number,
    gradientScale: number,
  ): void;
}

const pageBytes = 65536;
/** The most that 32-bit addresses reach, less one page. */
const largestArena = 2 ** 32 - pageBytes;
/** A cache line: neither kernels nor ONNX Runtime ever split one between two arrays. */
const alignment = 64;

const module = new WebAssembly.Module(Buffer.from(kernelsBase64, "base64"));
const kernelsOf = new WeakMap<ArrayBufferLike, Kernels>();

/** Every group by its memory and by where its first array begins. */
const groupsOf = new WeakMap<ArrayBufferLike, Map<number, Float32Array[]>>();

/** Groups of equally long arrays that are used together: a weight, its gradient and its two moments. */
export class Arena {
  private buffer: ArrayBuffer | undefined;
  private used = 0;

  /** `bytes` is what all groups together will need, `groupBytes` each; memory that is never touched costs nothing. */
  constructor(private bytes: number) {}

  static groupBytes(count: number, floats: number): number {
    return count * Math.ceil((floats * 4) / alignment) * alignment;
  }

  /** `count` zero-filled arrays of `floats` numbers in one memory; ordinary arrays where they are too large for one. */
  group(count: number, floats: number): Float32Array[] {
    const bytes = Arena.groupBytes(count, floats);
    if (bytes > largestArena) return Array.from({ length: count }, () => new Float32Array(floats));
    if (!this.buffer || this.used + bytes > this.buffer.byteLength) this.open(Math.max(bytes, this.bytes));
    const start = this.used;
    const buffer = this.buffer!;
    const arrays = Array.from(
      { length: count },
      (_, i) => new Float32Array(buffer, start + (i * bytes) / count, floats),
    );
    this.used += bytes;
    this.bytes -= bytes;
    groupsOf.get(buffer)!.set(start, arrays);
    return arrays;
  }

  private open(bytes: number): void {
    const pages = Math.ceil(Math.min(bytes, largestArena) / pageBytes);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const instance = new WebAssembly.Instance(module, { env: { memory } });
    kernelsOf.set(memory.buffer, instance.exports as unknown as Kernels);
    groupsOf.set(memory.buffer, new Map());
    this.buffer = memory.buffer;
    this.used = 0;
  }
}

/** The group whose first array is at the place of `array`, or undefined where there is none. */
export function groupOf(array: Float32Array): Float32Array[] | undefined {
  return groupsOf.get(array.buffer)?.get(array.byteOffset);
}

/** The kernels that reach all of `arrays`, or undefined where they do not lie in one arena. */
export function kernelsFor(...arrays: readonly Float32Array[]): Kernels | undefined {
  const { buffer } = arrays[0]!;
  return arrays.every((array) => array.buffer === buffer) ? kernelsOf.get(buffer) : undefined;
}

/** Length of an array in the kernels' groups of four floats, its padding included. */
export const quadsOf = (array: Float32Array): number => Math.ceil(array.length / 4);
