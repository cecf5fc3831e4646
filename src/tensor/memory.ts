// Where tensors live. The CPU's memory is JavaScript's own; a device's is reached through programs that do nothing
// but copy, because ONNX Runtime offers no other way in or out of it.

import { compile } from "./compile.js";
import { input } from "./graph.js";
import { type Device, type Program, Tensor } from "./runtime.js";

export interface Memory {
  /** A tensor with these values; on the CPU it wraps them. */
  upload(values: Float32Array, dims: readonly number[]): Tensor;
  /** The values of a tensor; on the CPU its own memory. */
  download(tensor: Tensor): Float32Array;
  /** A second tensor with the same values. */
  copy(tensor: Tensor): Tensor;
  /** The tensor that replaces `tensor`, with these values; on the CPU the same one. */
  write(tensor: Tensor, values: ArrayLike<number>): Tensor;
}

const cpu: Memory = {
  upload: (values, dims) => Tensor.float32(values, dims),
  download: (tensor) => tensor.floats,
  copy: (tensor) => Tensor.float32(tensor.floats.slice(), tensor.dims),
  write(tensor, values) {
    tensor.floats.set(values);
    return tensor;
  },
};

function deviceMemory(device: Device): Memory {
  /** One program for each rank. Every program ends in Identity nodes, so that an input as output is a copy. */
  const programs = new Map<number, Program>();
  const copyProgram = (rank: number): Program => {
    let program = programs.get(rank);
    if (!program) {
      const dims = Array.from({ length: rank }, (_, axis) => `d${axis}`);
      programs.set(rank, (program = compile({ copy: input("tensor", "float32", dims) }, { device })));
    }
    return program;
  };
  const copy = (tensor: Tensor): Tensor => {
    const binding = copyProgram(tensor.dims.length).bind();
    let made: Tensor | undefined;
    binding
      .input("tensor", tensor)
      .update("copy", undefined, tensor.dims, (result) => {
        made = result;
      })
      .runSync();
    binding.dispose();
    return made!;
  };
  const upload = (values: Float32Array, dims: readonly number[]): Tensor =>
    copy(Tensor.float32(values, dims));
  return {
    upload,
    copy,
    download(tensor) {
      const result = Tensor.zeros("float32", tensor.dims);
      const binding = copyProgram(tensor.dims.length).bind();
      binding.input("tensor", tensor).output("copy", result).runSync();
      binding.dispose();
      return result.floats;
    },
    write(tensor, values) {
      tensor.dispose();
      return upload(Float32Array.from(values), tensor.dims);
    },
  };
}

export const memories: Readonly<Record<Device, Memory>> = { cpu, webgpu: deviceMemory("webgpu") };
