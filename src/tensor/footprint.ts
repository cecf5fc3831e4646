// What graphs need of memory while they run, without running them: every value gets its extents in numbers, and lies in a
// simulated arena from the node that makes it to the last that reads it. Graph inputs and outputs are the caller's memory.

import type { Node, Value } from "./graph.js";
import { topologicalOrder } from "./graph.js";
import type { Dim, DType } from "./onnx.js";

/** Extents of the graph's inputs by name: `{ B: 4, T: 128 }`. */
export type Extents = Readonly<Record<string, number>>;

export const elementBytes: Readonly<Record<DType, number>> = {
  float32: 4,
  int32: 4,
  int64: 8,
  bool: 1,
  float16: 2,
  bfloat16: 2,
  uint8: 1,
  int8: 1,
};

const product = (dims: readonly number[]): number => dims.reduce((a, b) => a * b, 1);

/** Operators whose output is their first input's memory. */
const aliases = new Set(["reshape", "withGradient"]);
/** Operators whose output has no known shape where their input has none. */
const spreads = new Set(["cast", "mul", "concat", "bitAnd", "shiftLeft"]);
/** Operators that may write over an input of the same size that nothing reads any more. */
const inPlace = new Set(["add", "sub", "mul", "div", "negate", "exp", "log", "sqrt", "tanh", "sigmoid"]);

interface Chunk {
  bytes: number;
  isFree: boolean;
}

/**
 * ONNX Runtime's arena, which grows by what is asked for and gives nothing back: a request takes the smallest free chunk
 * that holds it, cut to size where less than half would be used. Neighbours merge within a region, never across.
 */
export class SimulatedArena {
  private readonly regions: Chunk[][] = [];
  private readonly held = new Map<Value, { region: Chunk[]; chunk: Chunk }>();
  /** All regions together. */
  bytes = 0;

  /**
   * Runs a graph with these extents of its inputs, in the order in which it was built, which is nearly the order of ONNX
   * Runtime.
   */
  run(outputs: Readonly<Record<string, Value>>, extents: Extents): void {
    const order = topologicalOrder(Object.values(outputs));
    const sizes = new Map<Value, readonly number[]>();
    const root = (value: Value): Value => (aliases.has(value.node.op) ? root(value.node.inputs[0]!) : value);
    const readsOf = (node: Node): Set<Value> => new Set(aliases.has(node.op) ? [] : node.inputs.map(root));
    const reads = new Map<Value, number>();
    for (const node of order)
      for (const value of readsOf(node)) reads.set(value, (reads.get(value) ?? 0) + 1);
    // Outputs are written into the caller's memory at once.
    const given = new Set(Object.values(outputs).map(root));
    // Where a shape is computed, ONNX Runtime writes nothing in place that follows.
    const shapeless = new Set<Value>();
    const bytes = (value: Value): number => elementBytes[value.dtype] * product(sizes.get(value)!);
    for (const node of order) {
      for (const [i, dims] of numericDims(node, sizes, extents).entries()) sizes.set(node.outputs[i]!, dims);
      const isComputed = node.op === "reshape" && node.inputs[1]!.node.op === "where";
      if (isComputed || (spreads.has(node.op) && node.inputs.some((value) => shapeless.has(value))))
        for (const value of node.outputs) shapeless.add(value);
      if (aliases.has(node.op) || node.op === "input" || node.op === "constant") continue;
      const read = [...readsOf(node)];
      for (const value of read) reads.set(value, reads.get(value)! - 1);
      const dying = read.filter((value) => this.held.has(value) && reads.get(value) === 0);
      const made = node.outputs.filter((value) => !given.has(value));
      const reused =
        inPlace.has(node.op) &&
        !node.outputs.some((value) => shapeless.has(value)) &&
        made.length === 1 &&
        dying.find((value) => bytes(value) === bytes(made[0]!));
      if (reused) {
        this.held.set(made[0]!, this.held.get(reused)!);
        this.held.delete(reused);
      } else for (const value of made) this.held.set(value, this.allocate(bytes(value)));
      for (const value of [...dying, ...made.filter((value) => !reads.has(value))]) this.release(value);
    }
    for (const value of [...this.held.keys()]) this.release(value);
  }

  private allocate(wanted: number): { region: Chunk[]; chunk: Chunk } {
    const bytes = Math.max(1, Math.ceil(wanted / arenaUnit)) * arenaUnit;
    let best: { region: Chunk[]; chunk: Chunk } | undefined;
    for (const region of this.regions)
      for (const chunk of region)
        if (chunk.isFree && chunk.bytes >= bytes && (!best || chunk.bytes < best.chunk.bytes))
          best = { region, chunk };
    if (!best) {
      const chunk = { bytes: Math.max(bytes, leastRegion), isFree: true };
      best = { region: [chunk], chunk };
      this.regions.push(best.region);
      this.bytes += chunk.bytes;
    }
    const { region, chunk } = best;
    if (chunk.bytes >= 2 * bytes) {
      region.splice(region.indexOf(chunk) + 1, 0, { bytes: chunk.bytes - bytes, isFree: true });
      chunk.bytes = bytes;
    }
    chunk.isFree = false;
    return best;
  }

  private release(value: Value): void {
    const { region, chunk } = this.held.get(value) ?? {};
    if (!region || !chunk) return;
    this.held.delete(value);
    chunk.isFree = true;
    const at = region.indexOf(chunk);
    const next = region[at + 1];
    if (next?.isFree) {
      chunk.bytes += next.bytes;
      region.splice(at + 1, 1);
    }
    const before = region[at - 1];
    if (before?.isFree) {
      before.bytes += chunk.bytes;
      region.splice(at, 1);
    }
  }
}

const arenaUnit = 256;
const leastRegion = 2 ** 20;

type Sizes = ReadonlyMap<Value, readonly number[]>;

/** Extents of the outputs of a node. */
function numericDims(node: Node, sizes: Sizes, extents: Extents): (readonly number[])[] {
  const rule = rules[node.op];
  const inputs = node.inputs.map((value) => sizes.get(value)!);
  if (rule) return rule(node, inputs, sizes);
  // A name means the same in inputs and outputs of one node; of the graph's inputs the caller says what it means.
  const names = new Map<Dim, number>();
  for (const value of node.inputs)
    value.dims.forEach((d, i) => {
      const size = sizes.get(value)![i]!;
      if (typeof d === "string") names.set(d, Math.max(size, names.get(d) ?? 1));
    });
  return node.outputs.map(({ dims }) =>
    dims.map((d) => {
      const size = typeof d === "number" ? d : (names.get(d) ?? extents[d]);
      if (size === undefined) throw new Error(`the footprint of ${node.op} needs the extent ${d}`);
      return size;
    }),
  );
}

type Rule = (node: Node, inputs: readonly (readonly number[])[], sizes: Sizes) => (readonly number[])[];

const rules: Readonly<Record<string, Rule>> = {
  reshape: ({ inputs, outputs: [out] }, [from], sizes) => {
    const shape = inputs[1]!.node;
    if (shape.op === "shape") return [sizes.get(shape.inputs[0]!)!];
    const dims = out!.dims.map((d, i) =>
      typeof d === "number" ? d : inputs[0]!.dims[i] === d ? from![i]! : -1,
    );
    const known = product(dims.filter((d) => d >= 0));
    return [dims.map((d) => (d >= 0 ? d : product(from!) / known))];
  },
  gather: (_, [table, indices]) => [[...indices!, ...table!.slice(1)]],
  selectRows: (_, [x, indices]) => [[indices![0]!, x![1]!]],
  concat: ({ attributes }, inputs) => {
    const axis = attributes.axis as number;
    return [inputs[0]!.map((d, i) => (i === axis ? inputs.reduce((sum, dims) => sum + dims[i]!, 0) : d))];
  },
  split: ({ attributes }, [a]) => {
    const parts = attributes.parts as number;
    return Array.from({ length: parts }, () => [Math.ceil(a![0]! / parts), ...a!.slice(1)]);
  },
};
