// What a graph becomes on WebGPU, where ONNX Runtime lacks some operators (and would quietly run them on the CPU,
// with copies both ways) and one does not keep its word.

import {
  type Emission,
  integers,
  makeNode,
  type Node,
  scalar,
  topologicalOrder,
  type Value,
} from "./graph.js";
import type { OnnxAttribute } from "./onnx.js";
import {
  add,
  concat,
  div,
  emit,
  flatten,
  type MatmulOptions,
  matmul,
  mul,
  reduceSum,
  scale,
  sqrt,
  transpose,
} from "./ops.js";

/** The outputs of a node, given its inputs after rewriting. */
type Rule = (node: Node, inputs: readonly Value[]) => readonly Value[];

const same: Rule = ({ op, attributes, outputs }, inputs) => makeNode(op, inputs, attributes, outputs).outputs;

const rules: Readonly<Record<string, Rule>> = {
  // The second output of SimplifiedLayerNormalization should be 1 / rms; ONNX Runtime 1.30 writes zeros.
  rmsNorm: (node, [x, weight]) => {
    const [y] = same(node, [x!, weight!]);
    const axis = x!.dims.length - 1;
    const meanSquare = scale(reduceSum(mul(x!, x!), [axis], true), 1 / (x!.dims[axis] as number));
    return [y!, div(scalar(1), sqrt(add(meanSquare, scalar(node.attributes.epsilon as number))))];
  },
  // There is no FusedMatMul. Matrices go to Gemm, a batch times one matrix as well; batches are transposed first.
  matmul: (node, [a, b]) => {
    const { transA, transB, alpha } = node.attributes as unknown as Required<MatmulOptions>;
    if (!transA && !transB && alpha === 1) return same(node, [a!, b!]);
    if (b!.dims.length === 2 && (a!.dims.length === 2 || !transA))
      return [gemm(node.outputs[0]!, a!, b!, node.attributes)];
    const product = matmul(transA ? swapped(a!) : a!, transB ? swapped(b!) : b!);
    return [alpha === 1 ? product : scale(product, alpha)];
  },
};

function swapped(a: Value): Value {
  const axes = [...a.dims.keys()];
  return transpose(a, [...axes.slice(0, -2), axes.length - 1, axes.length - 2]);
}

/** alpha * A B of matrices, or of all rows of a batch A; `product` says which shape comes out. */
function gemm(product: Value, a: Value, b: Value, attributes: Node["attributes"]): Value {
  const dims = a.dims.length === 2 ? product.dims : ["rows", product.dims.at(-1)!];
  const matrix = makeNode("gemm", [flatten(a), b], attributes, [{ dtype: "float32", dims }]).outputs[0]!;
  if (a.dims.length === 2) return matrix;
  const rank = product.dims.length;
  const leading = makeNode("leadingShape", [a], {}, [{ dtype: "int64", dims: [rank - 1] }]).outputs[0]!;
  const shape = concat([leading, integers(product.dims.at(-1) as number)], 0, rank);
  return makeNode("reshape", [matrix, shape], {}, [product]).outputs[0]!;
}

/** Operators that only this file makes. */
const emissions: Readonly<Record<string, (node: Node) => Emission>> = {
  gemm: ({ attributes }) => ({
    op: "Gemm",
    attributes: {
      transA: { int: Number(attributes.transA) },
      transB: { int: Number(attributes.transB) },
      alpha: { float: attributes.alpha as number },
    } satisfies Record<string, OnnxAttribute>,
  }),
  leadingShape: () => ({ op: "Shape", attributes: { end: { int: -1 } } }),
};

export const emitForWebGpu = (node: Node): Emission | undefined => (emissions[node.op] ?? emit)(node);

/** The same outputs by the rules above. */
export function lowerForWebGpu(outputs: Readonly<Record<string, Value>>): Record<string, Value> {
  const lowered = new Map<Value, Value>();
  for (const node of topologicalOrder(Object.values(outputs))) {
    const rule = rules[node.op];
    const inputs = node.inputs.map((value) => lowered.get(value)!);
    // A node that nothing touched stays itself.
    const untouched = !rule && inputs.every((value, i) => value === node.inputs[i]);
    const results = untouched ? node.outputs : (rule ?? same)(node, inputs);
    node.outputs.forEach((value, i) => {
      lowered.set(value, results[i]!);
    });
  }
  return Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, lowered.get(value)!]));
}
