// The weights of one model in memory, with the gradients and AdamW moments of those that train.

import { type LoraConfig, loraScale, loraTargets } from "../../model/adapter.js";
import type { DecoderConfig } from "../../model/config.js";
import { parameterSpecs } from "../../model/config.js";
import { type LoraShape, weightShapes } from "../../model/decoder.js";
import type { Storage } from "../../model/stored.js";
import { groupOf } from "../../tensor/arena.js";
import { Tensor } from "../../tensor/runtime.js";

export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly trainable: boolean;
  /** Decoupled weight decay applies to matrices, not to norms and biases. */
  readonly decays: boolean;
  /** Its numbers; of a weight that is kept small the first of its arrays. */
  tensor: Tensor;
  /** How a frozen weight is kept small, with all its arrays by the names of their graph inputs. */
  stored?: StoredTensors;
  /** Accumulated gradient; made by the first backward pass. */
  gradient?: Tensor;
  /** First and second moments; made by the first step. */
  moments?: { first: Tensor; second: Tensor };
}

export interface StoredTensors {
  storage: Storage;
  inputs: ReadonlyMap<string, Tensor>;
}

export type Parameters = ReadonlyMap<string, Parameter>;

/** The parameters of a model. With adapters only the adapters (and a scalar head) train. */
export function makeParameters(
  config: DecoderConfig,
  tensorOf: (name: string, shape: readonly number[]) => Tensor | StoredTensors,
  { lora, frozen = false }: { lora?: LoraShape; frozen?: boolean },
): Parameters {
  const trains = new Set(trainableNames(config, { lora, frozen }));
  return new Map(
    weightShapes(config, lora).map(({ name, shape }) => {
      const own = { name, shape, trainable: trains.has(name), decays: shape.length > 1 };
      const kept = tensorOf(name, shape);
      if (!("storage" in kept)) return [name, { ...own, tensor: kept }];
      return [name, { ...own, tensor: kept.inputs.get(name)!, stored: kept }];
    }),
  );
}

/** Names of the parameters that train. */
export function trainableNames(
  config: DecoderConfig,
  { lora, frozen = false }: { lora?: LoraShape | undefined; frozen?: boolean },
): string[] {
  const base = new Set(lora ? parameterSpecs(config).map(({ name }) => name) : []);
  const names = frozen ? [] : weightShapes(config, lora).map(({ name }) => name);
  return names.filter((name) => !base.has(name) || name === "score.weight");
}

/** The module of a weight. */
export const moduleName = (weight: string): string => weight.replace(/\.weight$/, "");

/** Rank, scale and modules of an adapter on a model. */
export function loraShape(config: DecoderConfig, lora: LoraConfig): LoraShape {
  const modules = loraTargets(config, lora).map(({ name }) => moduleName(name));
  return { r: lora.r, scale: loraScale(lora), modules: new Set(modules) };
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** A zero tensor of the parameter's shape: array `index` of the weight's arena group, where it has one. */
export function besideWeight({ tensor, shape }: Parameter, index: 1 | 2 | 3): Tensor {
  const group = groupOf(tensor.floats);
  return group ? Tensor.float32(group[index]!, shape) : Tensor.zeros("float32", shape);
}
