// What serializeOnnx writes, decoded again field by field, and accepted by ONNX Runtime.

import { describe, expect, it } from "vitest";
import { evaluate } from "../../test/support/gradient-check.js";
import { constant, input, makeNode, toOnnx } from "./graph.js";
import { elementType, type OnnxGraph, serializeOnnx } from "./onnx.js";
import { add, emit, matmul, mul, reshape, scale, softmax } from "./ops.js";
import { Tensor } from "./runtime.js";

type Field = { field: number; value: bigint | number | Uint8Array };

/** The fields of a protobuf message in order: varints as bigint, fixed 32-bit as float, the rest as bytes. */
function decode(bytes: Uint8Array): Field[] {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
  };
  const fields: Field[] = [];
  while (at < bytes.length) {
    const key = Number(varint());
    const [field, wire] = [key >> 3, key & 7];
    if (wire === 0) fields.push({ field, value: varint() });
    else if (wire === 2) {
      const length = Number(varint());
      fields.push({ field, value: bytes.slice(at, at + length) });
      at += length;
    } else if (wire === 5) {
      fields.push({ field, value: new DataView(bytes.buffer, bytes.byteOffset + at).getFloat32(0, true) });
      at += 4;
    } else throw new Error(`wire type ${wire}`);
  }
  expect(at).toBe(bytes.length);
  return fields;
}

/** A message whose fields are asked for by number. */
class Message {
  private readonly fields: Field[];

  constructor(bytes: Uint8Array) {
    this.fields = decode(bytes);
  }

  all(field: number): Field["value"][] {
    return this.fields.filter((entry) => entry.field === field).map(({ value }) => value);
  }

  texts(field: number): string[] {
    return this.all(field).map((value) => new TextDecoder().decode(value as Uint8Array));
  }

  numbers(field: number): number[] {
    return this.all(field).map(Number);
  }

  children(field: number): Message[] {
    return this.all(field).map((value) => new Message(value as Uint8Array));
  }

  text = (field: number): string | undefined => this.texts(field)[0];
  number = (field: number): number | undefined => this.numbers(field)[0];
  child = (field: number): Message => this.children(field)[0]!;
}

/** AttributeProto: name, type and the value that the type points to. */
function attribute(message: Message): [string, unknown] {
  const name = message.text(1)!;
  const values: Record<number, () => unknown> = {
    1: () => message.number(2),
    2: () => message.number(3),
    3: () => message.text(4),
    4: () => tensor(message.child(5)),
    7: () => message.numbers(8),
  };
  return [name, values[message.number(20)!]!()];
}

const tensor = (message: Message) => ({
  name: message.text(8),
  dtype: message.number(2),
  dims: message.numbers(1),
  data: message.all(9)[0],
});

function valueInfo(message: Message) {
  const type = message.child(2).child(1);
  const dims = type
    .child(2)
    .children(1)
    .map((dim) => dim.text(2) ?? dim.number(1));
  return { name: message.text(1), dtype: type.number(1), dims };
}

const weights = Float32Array.of(1.5, -2, 3e-39, 4);

const everything: OnnxGraph = {
  nodes: [
    {
      op: "Everything",
      domain: "com.microsoft",
      inputs: ["x", "c"],
      outputs: ["y", "z"],
      attributes: {
        axis: { int: -1 },
        large: { int: 2 ** 40 },
        epsilon: { float: 1e-5 },
        permutation: { ints: [2, 0, -3, 1] },
        mode: { string: "größte" },
        inner: { tensor: { name: "t", dtype: "int64", dims: [0], data: new Uint8Array(0) } },
      },
    },
    { op: "Plain", inputs: ["y"], outputs: ["out"] },
  ],
  inputs: [{ name: "x", dtype: "int32", dims: ["batch", 300, 0] }],
  outputs: [{ name: "out", dtype: "bool", dims: [] }],
  initializers: [
    { name: "c", dtype: "float32", dims: [2, 2], data: new Uint8Array(weights.buffer) },
    { name: "none", dtype: "float32", dims: [], data: new Uint8Array(4) },
  ],
};

describe("serializeOnnx", () => {
  const model = new Message(serializeOnnx(everything));
  const graph = model.child(7);

  it("names the version, the producer and the operator sets", () => {
    expect(model.number(1)).toBe(10);
    expect(model.text(2)).toBe("touchstone");
    expect(model.children(8).map((set) => [set.text(1), set.number(2)])).toEqual([
      ["", 21],
      ["com.microsoft", 1],
    ]);
  });

  it("keeps nodes in order, with every kind of attribute", () => {
    const [first, second] = graph.children(1);
    expect(first!.texts(1)).toEqual(["x", "c"]);
    expect(first!.texts(2)).toEqual(["y", "z"]);
    expect([first!.text(4), first!.text(7)]).toEqual(["Everything", "com.microsoft"]);
    expect(Object.fromEntries(first!.children(5).map(attribute))).toEqual({
      axis: -1,
      large: 2 ** 40,
      epsilon: Math.fround(1e-5),
      permutation: [2, 0, -3, 1],
      mode: "größte",
      inner: { name: "t", dtype: elementType.int64, dims: [0], data: new Uint8Array(0) },
    });
    expect([second!.text(4), second!.text(7)]).toEqual(["Plain", undefined]);
    expect(first!.text(3)).not.toBe(second!.text(3));
  });

  it("keeps initializers byte for byte", () => {
    expect(graph.children(5).map(tensor)).toEqual([
      { name: "c", dtype: 1, dims: [2, 2], data: new Uint8Array(weights.buffer) },
      { name: "none", dtype: 1, dims: [], data: new Uint8Array(4) },
    ]);
  });

  it("keeps the types of inputs and outputs, named extents by name", () => {
    expect(graph.children(11).map(valueInfo)).toEqual([
      { name: "x", dtype: elementType.int32, dims: ["batch", 300, 0] },
    ]);
    expect(graph.children(12).map(valueInfo)).toEqual([{ name: "out", dtype: elementType.bool, dims: [] }]);
  });
});

describe("toOnnx", () => {
  it("emits every node after its inputs, shares what is used twice, and names outputs", () => {
    const x = input("x", "float32", ["B", 2]);
    const shared = softmax(x);
    const graph = toOnnx({ first: add(shared, shared), second: shared, third: x }, emit);
    expect(graph.nodes.map(({ op }) => op)).toEqual(["Softmax", "Add", "Identity", "Identity", "Identity"]);
    const known = new Set([...graph.inputs, ...graph.initializers].map(({ name }) => name));
    for (const node of graph.nodes) {
      for (const name of node.inputs) expect(known.has(name), name).toBe(true);
      for (const name of node.outputs) known.add(name);
    }
    const tensors = { x: Tensor.float32(Float32Array.of(1, 1, 0, Math.log(3)), [2, 2]) };
    const results = evaluate({ first: add(shared, shared), second: shared, third: x }, tensors, { B: 2 });
    for (const [i, p] of [0.5, 0.5, 0.25, 0.75].entries()) {
      expect(results.second![i]).toBeCloseTo(p, 6);
      expect(results.first![i]).toBeCloseTo(2 * p, 6);
    }
    expect(results.third).toEqual(tensors.x.floats);
  });

  it("refuses two inputs of one name, and an op that is not in the table", () => {
    const [x, again] = [input("x", "float32", [1]), input("x", "float32", [1])];
    expect(() => toOnnx({ y: add(x, again) }, emit)).toThrow("two inputs are named x");
    const strange = makeNode("fourier", [x], {}, [{ dtype: "float32", dims: [1] }]).outputs[0]!;
    expect(() => toOnnx({ y: strange }, emit)).toThrow("no ONNX emission for op fourier");
  });

  it("is accepted by ONNX Runtime with constants, named extents and contrib operators", () => {
    const x = input("x", "float32", ["B", 2]);
    const w = constant("float32", Float32Array.of(1, 2, 3, 4), [2, 2]);
    const y = reshape(scale(mul(matmul(x, w, { transB: true, alpha: 2 }), x), -1), [2, "B"]);
    const results = evaluate({ y }, { x: Tensor.float32(Float32Array.of(1, 1, 2, 0), [2, 2]) }, { B: 2 });
    expect(Array.from(results.y!)).toEqual([-6, -14, -8, -0]);
  });
});
