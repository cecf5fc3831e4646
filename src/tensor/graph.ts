// The symbolic graph: values with known rank, dtype and (partly symbolic) shape, made by the builders in ops.ts and
// turned into ONNX by `toOnnx`. Building is pure: a node never changes after it is made.

import type { Dim, DType, OnnxAttribute, OnnxGraph, OnnxNode, OnnxTensor, OnnxValue } from "./onnx.js";

export interface Type {
  dtype: DType;
  dims: readonly Dim[];
}

/** One output of a node. */
export interface Value extends Type {
  readonly node: Node;
  readonly index: number;
}

export interface Node {
  readonly op: string;
  readonly inputs: readonly Value[];
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly outputs: readonly Value[];
}

/** Makes a node and its output values. Builders check shapes before they call this. */
export function makeNode(
  op: string,
  inputs: readonly Value[],
  attributes: Readonly<Record<string, unknown>>,
  types: readonly Type[],
): Node {
  const node: { -readonly [K in keyof Node]: Node[K] } = { op, inputs, attributes, outputs: [] };
  node.outputs = types.map((type, index) => ({ ...type, node, index }));
  return node;
}

/** A graph input. A parameter of a model is an input like any other. */
export function input(name: string, dtype: DType, dims: readonly Dim[]): Value {
  return makeNode("input", [], { name }, [{ dtype, dims }]).outputs[0]!;
}

/** A constant baked into the program: keep it small. */
export function constant(
  dtype: DType,
  data: Float32Array | BigInt64Array | Int32Array | Uint8Array,
  dims: readonly number[],
) {
  return makeNode("constant", [], { data }, [{ dtype, dims }]).outputs[0]!;
}

/** A float32 constant of rank 0. */
export function scalar(value: number): Value {
  return constant("float32", Float32Array.of(value), []);
}

/** One row of zeros. */
export const zeroRow = (width: number): Value => constant("float32", new Float32Array(width), [1, width]);

export function integers(...values: number[]): Value {
  return constant("int64", BigInt64Array.from(values, BigInt), [values.length]);
}

export function describe(value: Value): string {
  return `${value.node.op}[${value.dims.join(", ")}]`;
}

/** Nodes that `outputs` depend on, every node after its inputs, in the order in which the outputs name them. */
export function topologicalOrder(outputs: readonly Value[]): Node[] {
  const order: Node[] = [];
  const done = new Set<Node>();
  const stack: { node: Node; next: number }[] = [];
  for (const output of outputs) {
    if (!done.has(output.node)) stack.push({ node: output.node, next: 0 });
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!;
      if (done.has(top.node)) {
        stack.pop();
      } else if (top.next < top.node.inputs.length) {
        const child = top.node.inputs[top.next++]!.node;
        if (!done.has(child)) stack.push({ node: child, next: 0 });
      } else {
        done.add(top.node);
        order.push(top.node);
        stack.pop();
      }
    }
  }
  return order;
}

/** How a node becomes ONNX: the operator's name and domain and its attributes. */
export interface Emission {
  op: string;
  domain?: string;
  attributes?: Record<string, OnnxAttribute>;
  /** How many of the node's inputs the operator takes; the rest serve differentiation only. Default: all. */
  arity?: number;
}

/** Emits a graph. `emit` says what each node becomes; `undefined` means an alias of its first input. */
export function toOnnx(
  outputs: Readonly<Record<string, Value>>,
  emit: (node: Node) => Emission | undefined,
): OnnxGraph {
  const names = new Map<Value, string>();
  const nodes: OnnxNode[] = [];
  const inputs: OnnxValue[] = [];
  const initializers: OnnxTensor[] = [];
  const wanted = Object.entries(outputs);
  const order = topologicalOrder(wanted.map(([, value]) => value));
  let count = 0;
  for (const node of order) {
    const [first] = node.outputs;
    if (node.op === "input") {
      const name = node.attributes.name as string;
      if (inputs.some((other) => other.name === name)) throw new Error(`two inputs are named ${name}`);
      names.set(first!, name);
      inputs.push({ name, dtype: first!.dtype, dims: first!.dims });
      continue;
    }
    if (node.op === "constant") {
      const data = node.attributes.data as Float32Array;
      const name = `c${count++}`;
      names.set(first!, name);
      initializers.push({
        name,
        dtype: first!.dtype,
        dims: first!.dims as number[],
        data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
      });
      continue;
    }
    const emission = emit(node);
    if (!emission) {
      names.set(first!, names.get(node.inputs[0]!)!);
      continue;
    }
    for (const output of node.outputs) names.set(output, `v${count++}`);
    nodes.push({
      op: emission.op,
      domain: emission.domain,
      attributes: emission.attributes,
      inputs: node.inputs.slice(0, emission.arity).map((value) => names.get(value)!),
      outputs: node.outputs.map((value) => names.get(value)!),
    });
  }
  // A graph output needs a name of its own, whatever the value is called inside.
  for (const [name, value] of wanted)
    nodes.push({ op: "Identity", inputs: [names.get(value)!], outputs: [name] });
  return {
    nodes,
    inputs,
    initializers,
    outputs: wanted.map(([name, value]) => ({ name, dtype: value.dtype, dims: value.dims })),
  };
}
