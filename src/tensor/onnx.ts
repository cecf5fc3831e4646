// ONNX serialisation: the few protobuf messages that a model needs, written by hand so that nothing but bytes
// leaves this file. Field numbers are those of onnx.proto (ONNX IR version 10).

export type DType = "float32" | "int64" | "int32" | "bool" | "float16" | "bfloat16" | "uint8" | "int8";

/** A known extent, or the name of one that the caller fixes at run time. */
export type Dim = number | string;

export interface OnnxTensor {
  name: string;
  dtype: DType;
  dims: readonly number[];
  data: Uint8Array;
}

/** A tensor whose bytes lie elsewhere: right behind its description, or in a file beside the model. */
export interface OnnxWeight {
  name: string;
  dtype: DType;
  dims: readonly number[];
  bytes: number;
  /** The file beside the model and where in it. Absent: the bytes follow in the model's own file. */
  external?: { file: string; offset: number };
}

export type OnnxAttribute =
  | { int: number }
  | { float: number }
  | { ints: readonly number[] }
  | { string: string }
  | { tensor: OnnxTensor };

export interface OnnxNode {
  op: string;
  domain?: string;
  inputs: readonly string[];
  outputs: readonly string[];
  attributes?: Record<string, OnnxAttribute>;
}

export interface OnnxValue {
  name: string;
  dtype: DType;
  dims: readonly Dim[];
}

export interface OnnxGraph {
  nodes: readonly OnnxNode[];
  inputs: readonly OnnxValue[];
  outputs: readonly OnnxValue[];
  initializers: readonly OnnxTensor[];
}

/** TensorProto.DataType and ONNXTensorElementDataType (the same numbers). */
export const elementType: Record<DType, number> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  bfloat16: 16,
};

const text = new TextEncoder();

/** A protobuf message under construction. Lengths are not known in advance, so children are built first. */
class Message {
  private readonly chunks: Uint8Array[] = [];
  private length = 0;

  private push(bytes: Uint8Array): this {
    this.chunks.push(bytes);
    this.length += bytes.length;
    return this;
  }

  private varint(value: bigint): this {
    const bytes: number[] = [];
    let rest = BigInt.asUintN(64, value);
    while (rest > 0x7fn) {
      bytes.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    bytes.push(Number(rest));
    return this.push(Uint8Array.from(bytes));
  }

  int(field: number, value: number): this {
    return this.varint(BigInt(field << 3)).varint(BigInt(value));
  }

  float(field: number, value: number): this {
    return this.varint(BigInt((field << 3) | 5)).push(new Uint8Array(Float32Array.of(value).buffer));
  }

  bytes(field: number, value: Uint8Array): this {
    return this.opening(field, value.length).push(value);
  }

  /** Field number and length of bytes that follow outside this message. */
  opening(field: number, length: number): this {
    return this.varint(BigInt((field << 3) | 2)).varint(BigInt(length));
  }

  string(field: number, value: string): this {
    return this.bytes(field, text.encode(value));
  }

  child(field: number, value: Message): this {
    return this.bytes(field, value.finish());
  }

  finish(): Uint8Array {
    const out = new Uint8Array(this.length);
    let at = 0;
    for (const chunk of this.chunks) {
      out.set(chunk, at);
      at += chunk.length;
    }
    return out;
  }
}

function tensorProto(tensor: OnnxTensor): Message {
  const message = new Message();
  for (const d of tensor.dims) message.int(1, d);
  return message.int(2, elementType[tensor.dtype]).string(8, tensor.name).bytes(9, tensor.data);
}

function attributeProto(name: string, value: OnnxAttribute): Message {
  const message = new Message().string(1, name);
  if ("int" in value) return message.int(3, value.int).int(20, 2);
  if ("float" in value) return message.float(2, value.float).int(20, 1);
  if ("string" in value) return message.string(4, value.string).int(20, 3);
  if ("tensor" in value) return message.child(5, tensorProto(value.tensor)).int(20, 4);
  for (const i of value.ints) message.int(8, i);
  return message.int(20, 7);
}

function nodeProto(node: OnnxNode, index: number): Message {
  const message = new Message();
  for (const input of node.inputs) message.string(1, input);
  for (const output of node.outputs) message.string(2, output);
  message.string(3, `${node.op}_${index}`).string(4, node.op);
  for (const [name, value] of Object.entries(node.attributes ?? {}))
    message.child(5, attributeProto(name, value));
  if (node.domain) message.string(7, node.domain);
  return message;
}

function valueInfoProto(value: OnnxValue): Message {
  const shape = new Message();
  for (const d of value.dims)
    shape.child(1, typeof d === "number" ? new Message().int(1, d) : new Message().string(2, d));
  const tensorType = new Message().int(1, elementType[value.dtype]).child(2, shape);
  return new Message().string(1, value.name).child(2, new Message().child(1, tensorType));
}

function graphProto(graph: OnnxGraph): Message {
  const body = new Message();
  graph.nodes.forEach((node, i) => {
    body.child(1, nodeProto(node, i));
  });
  body.string(2, "touchstone");
  for (const tensor of graph.initializers) body.child(5, tensorProto(tensor));
  for (const input of graph.inputs) body.child(11, valueInfoProto(input));
  for (const output of graph.outputs) body.child(12, valueInfoProto(output));
  return body;
}

/** What stands around a graph: IR version 10, opset 21 and, where wanted, the `com.microsoft` contrib operators. */
function modelProto(contrib: boolean): Message {
  const model = new Message()
    .int(1, 10)
    .string(2, "touchstone")
    .child(8, new Message().string(1, "").int(2, 21));
  return contrib ? model.child(8, new Message().string(1, "com.microsoft").int(2, 1)) : model;
}

/** Serialises a graph as an ONNX ModelProto. */
export function serializeOnnx(graph: OnnxGraph): Uint8Array {
  return modelProto(true).child(7, graphProto(graph)).finish();
}

/**
 * A model whose weights are written by the caller: the file is `head`, then for every weight in order its `before` and,
 * unless it is external, its bytes.
 */
export function serializeAround(
  graph: OnnxGraph,
  weights: readonly OnnxWeight[],
): { head: Uint8Array; before: readonly Uint8Array[] } {
  const before = weights.map((weight) => weightPrefix(weight));
  const fixed = graphProto(graph).finish();
  const inline = weights.reduce((sum, { bytes, external }) => sum + (external ? 0 : bytes), 0);
  const size = before.reduce((sum, prefix) => sum + prefix.length, fixed.length + inline);
  const model = modelProto(false).opening(7, size).finish();
  const head = new Uint8Array(model.length + fixed.length);
  head.set(model);
  head.set(fixed, model.length);
  return { head, before };
}

/** An initializer of the graph up to its bytes. */
function weightPrefix({ name, dtype, dims, bytes, external }: OnnxWeight): Uint8Array {
  const tensor = new Message();
  for (const d of dims) tensor.int(1, d);
  tensor.int(2, elementType[dtype]).string(8, name);
  if (external) {
    const entry = (key: string, value: string | number) =>
      tensor.child(13, new Message().string(1, key).string(2, String(value)));
    entry("location", external.file);
    entry("offset", external.offset);
    entry("length", bytes);
    return new Message().child(5, tensor.int(14, 1)).finish();
  }
  const inner = tensor.opening(9, bytes).finish();
  const outer = new Message().opening(5, inner.length + bytes).finish();
  return Buffer.concat([outer, inner]);
}
