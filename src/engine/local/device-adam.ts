// AdamW as programs on a device: parameters, moments and gradients stay there, and only the gradient's norm comes
// back. One small program for each rank, so that one parameter at a time exists twice.

import { NonFiniteError } from "../../base/errors.js";
import { compile } from "../../tensor/compile.js";
import { input, scalar, type Value } from "../../tensor/graph.js";
import { memories } from "../../tensor/memory.js";
import { add, div, mul, reduceSum, reshape, sqrt, sub } from "../../tensor/ops.js";
import type { Device, Program, Tensor } from "../../tensor/runtime.js";
import type { AdamOptions } from "../contract.js";
import { type Coefficients, coefficientsOf } from "./adam.js";
import type { Optimizer } from "./optimizer.js";
import type { Parameter } from "./parameters.js";

/** What the programs read: `coefficientsOf`, and 1 - beta, which float32 cannot form from beta without loss. */
type Inputs = Coefficients & { complement1: number; complement2: number };

const coefficientNames = [
  "beta1",
  "beta2",
  "epsilon",
  "keep",
  "stepSize",
  "secondScale",
  "gradientScale",
  "complement1",
  "complement2",
] as const satisfies readonly (keyof Inputs)[];

export class DeviceAdam implements Optimizer {
  private readonly compiled = new Map<string, Program>();

  constructor(private readonly device: Device) {}

  private once(key: string, outputs: () => Record<string, Value>): Program {
    let program = this.compiled.get(key);
    if (!program) this.compiled.set(key, (program = compile(outputs(), { device: this.device })));
    return program;
  }

  /** In float32: rows are summed first, so that no sum is much longer than the root of the number of elements. */
  gradientNorm(parameters: readonly Parameter[]): number {
    const memory = memories[this.device];
    let total = memory.upload(Float32Array.of(0), [1]);
    for (const { gradient } of parameters) if (gradient) total = this.addSquares(total, gradient);
    const [sum] = memory.download(total);
    total.dispose();
    if (Number.isFinite(sum)) return Math.sqrt(sum!);
    throw new NonFiniteError(`the gradient of ${this.firstNotFinite(parameters)} is not finite`);
  }

  private firstNotFinite(parameters: readonly Parameter[]): string {
    const memory = memories[this.device];
    const found = parameters.find(({ gradient }) => {
      if (!gradient) return false;
      const squares = this.addSquares(memory.upload(Float32Array.of(0), [1]), gradient);
      const [sum] = memory.download(squares);
      squares.dispose();
      return !Number.isFinite(sum);
    });
    return found?.name ?? "all parameters together";
  }

  /** `before` plus the sum of the squares of `values`; releases `before`. */
  private addSquares(before: Tensor, values: Tensor): Tensor {
    const rank = values.dims.length;
    const program = this.once(`squares ${rank}`, () => {
      const v = input("values", "float32", extents(rank));
      let sum = reduceSum(mul(v, v), [rank - 1], true);
      if (rank > 1) sum = reduceSum(sum, [...extents(rank - 1).keys()], true);
      return { total: add(input("before", "float32", [1]), reshape(sum, [1])) };
    });
    let total: Tensor | undefined;
    const binding = program.bind();
    binding
      .input("values", values)
      .input("before", before)
      .update("total", before, [1], (tensor) => {
        total = tensor;
      })
      .runSync();
    binding.dispose();
    return total!;
  }

  update(parameters: readonly Parameter[], t: number, gradientScale: number, options: AdamOptions): void {
    const coefficients = [false, true].map((decays) =>
      this.upload(coefficientsOf(t, gradientScale, decays, options)),
    );
    for (const parameter of parameters)
      if (parameter.gradient) this.updateOne(parameter, coefficients[Number(parameter.decays)]!);
    for (const tensors of coefficients) for (const tensor of tensors.values()) tensor.dispose();
  }

  private upload(step: Coefficients): Map<string, Tensor> {
    const values: Inputs = { ...step, complement1: 1 - step.beta1, complement2: 1 - step.beta2 };
    return new Map(
      coefficientNames.map((name) => [
        name,
        memories[this.device].upload(Float32Array.of(values[name]), [1]),
      ]),
    );
  }

  /** Replaces a parameter and its moments and releases its gradient. */
  private updateOne(parameter: Parameter, coefficients: ReadonlyMap<string, Tensor>): void {
    const { shape, tensor, gradient, moments } = parameter;
    const rank = shape.length;
    const program = this.once(`update ${rank} ${moments !== undefined}`, () => adamGraph(rank, !moments));
    const binding = program.bind();
    const next: Partial<NonNullable<Parameter["moments"]>> = {};
    binding.input("w", tensor).input("gradient", gradient!);
    for (const [name, coefficient] of coefficients) if (binding.takes(name)) binding.input(name, coefficient);
    if (moments) binding.input("m", moments.first).input("v", moments.second);
    binding
      .update("next_w", tensor, shape, (result) => {
        parameter.tensor = result;
      })
      .update("next_m", moments?.first, shape, (result) => {
        next.first = result;
      })
      .update("next_v", moments?.second, shape, (result) => {
        next.second = result;
      })
      .runSync();
    binding.dispose();
    parameter.moments = { first: next.first!, second: next.second! };
    gradient!.dispose();
    parameter.gradient = undefined;
  }
}

const extents = (rank: number): string[] => Array.from({ length: rank }, (_, axis) => `d${axis}`);

/** The update of adam.ts over tensors of `rank` axes. Before the first step the moments are zero and no inputs. */
function adamGraph(rank: number, first: boolean): Record<string, Value> {
  const dims = extents(rank);
  const c = Object.fromEntries(coefficientNames.map((name) => [name, input(name, "float32", [1])])) as Record<
    keyof Inputs,
    Value
  >;
  const g = mul(input("gradient", "float32", dims), c.gradientScale);
  const decayed = (name: string, rate: Value): Value =>
    first ? scalar(0) : mul(input(name, "float32", dims), rate);
  const m = add(mul(g, c.complement1), decayed("m", c.beta1));
  const v = add(mul(mul(g, g), c.complement2), decayed("v", c.beta2));
  const step = div(mul(m, c.stepSize), add(mul(sqrt(v), c.secondScale), c.epsilon));
  return { next_w: sub(mul(input("w", "float32", dims), c.keep), step), next_m: m, next_v: v };
}
