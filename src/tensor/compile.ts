// From a symbolic graph to a compiled program.

import type { Value } from "./graph.js";
import { toOnnx } from "./graph.js";
import { serializeOnnx } from "./onnx.js";
import { emit } from "./ops.js";
import { type Device, Program } from "./runtime.js";
import { emitForWebGpu, lowerForWebGpu } from "./webgpu.js";

/** Compiles a program with the given named outputs; its inputs are the graph inputs that they depend on. */
export function compile(
  outputs: Readonly<Record<string, Value>>,
  options: { device?: Device; profile?: string } = {},
): Program {
  const graph =
    options.device === "webgpu" ? toOnnx(lowerForWebGpu(outputs), emitForWebGpu) : toOnnx(outputs, emit);
  return Program.compile(serializeOnnx(graph), graph.inputs, graph.outputs, options);
}
