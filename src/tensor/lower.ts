// Rewrites a graph for a device whose operators do not all keep their word.

import { makeNode, type Node, scalar, topologicalOrder, type Value } from "./graph.js";
import { add, div, mul, reduceSum, scale, sqrt } from "./ops.js";
import type { Device } from "./runtime.js";

/** The outputs of a node, given its inputs after rewriting. */
type Rule = (node: Node, inputs: readonly Value[]) => readonly Value[];

const same: Rule = ({ op, attributes, outputs }, inputs) => makeNode(op, inputs, attributes, outputs).outputs;

const rules: Readonly<Record<Device, Readonly<Record<string, Rule>>>> = {
  cpu: {},
  webgpu: {
    // ONNX Runtime 1.30 writes the mean where SimplifiedLayerNormalization's second output, 1 / rms, belongs.
    rmsNorm: (node, [x, weight]) => {
      const [y] = same(node, [x!, weight!]);
      const axis = x!.dims.length - 1;
      const meanSquare = scale(reduceSum(mul(x!, x!), [axis], true), 1 / (x!.dims[axis] as number));
      return [y!, div(scalar(1), sqrt(add(meanSquare, scalar(node.attributes.epsilon as number))))];
    },
  },
};

export function lower(outputs: Readonly<Record<string, Value>>, device: Device): Record<string, Value> {
  const lowered = new Map<Value, Value>();
  for (const node of topologicalOrder(Object.values(outputs))) {
    const rule = rules[device][node.op];
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
