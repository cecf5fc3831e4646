// The weights of one model in memory, with the gradients and AdamW moments of those that train.

import type { DecoderConfig } from "../../model/config.js";
import { parameterSpecs } from "../../model/config.js";
import { type LoraShape, weightShapes } from "../../model/decoder.js";
import { groupOf } from "../../tensor/arena.js";
import { Tensor } from "../../tensor/runtime.js";

export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly trainable: boolean;
  /** Decoupled weight decay applies to matrices, not to norms and biases. */
  readonly decays: boolean;
  tensor: Tensor;
  /** Accumulated gradient; made by the first backward pass. */
  gradient?: Tensor;
  /** First and second moments; made by the first step. */
  moments?: { first: Tensor; second: Tensor };
}

export type Parameters = ReadonlyMap<string, Parameter>;

/** The parameters of a model. With adapters only the adapters (and a scalar head) train. */
export function makeParameters(
  config: DecoderConfig,
  tensorOf: (name: string, shape: readonly number[]) => Tensor,
  { lora, frozen = false }: { lora?: LoraShape; frozen?: boolean },
): Parameters {
  const base = new Set(parameterSpecs(config).map(({ name }) => name));
  return new Map(
    weightShapes(config, lora).map(({ name, shape }) => {
      const trainable = !frozen && (!lora || !base.has(name) || name === "score.weight");
      return [name, { name, shape, trainable, decays: shape.length > 1, tensor: tensorOf(name, shape) }];
    }),
  );
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** A zero tensor of the parameter's shape: array `index` of the weight's arena group, where it has one. */
export function besideWeight({ tensor, shape }: Parameter, index: 1 | 2 | 3): Tensor {
  const group = groupOf(tensor.floats);
  return group ? Tensor.float32(group[index]!, shape) : Tensor.zeros("float32", shape);
}
