// Gradients of symbolic graphs against central finite differences, through compiled programs.

import { RandomStream } from "../../src/base/random.js";
import { compile } from "../../src/tensor/compile.js";
import { type Gradient, gradients } from "../../src/tensor/gradient.js";
import { input, type Value } from "../../src/tensor/graph.js";
import type { Dim, DType } from "../../src/tensor/onnx.js";
import { Tensor } from "../../src/tensor/runtime.js";

/** What stands behind each named extent. */
export type Extents = Readonly<Record<string, number>>;

const concrete = (dims: readonly Dim[], extents: Extents): number[] =>
  dims.map((d) => {
    const size = typeof d === "number" ? d : extents[d];
    if (size === undefined) throw new Error(`no extent for ${d}`);
    return size;
  });

const product = (dims: readonly number[]): number => dims.reduce((a, b) => a * b, 1);

/** A compiled program over memory that the caller may change between runs. */
export class Evaluation {
  private readonly binding;
  readonly outputs: Record<string, Float32Array> = {};

  constructor(
    outputs: Readonly<Record<string, Value>>,
    inputs: Readonly<Record<string, Tensor>>,
    extents: Extents = {},
  ) {
    const program = compile(outputs);
    this.binding = program.bind();
    for (const { name } of program.inputs) this.binding.input(name, inputs[name]!);
    for (const [name, { dims, dtype }] of Object.entries(outputs)) {
      const tensor = Tensor.zeros(dtype, concrete(dims, extents));
      this.binding.output(name, tensor);
      this.outputs[name] = tensor.data as Float32Array;
    }
  }

  run(): Record<string, Float32Array> {
    this.binding.runSync();
    return this.outputs;
  }
}

/** The outputs of one run. */
export function evaluate(
  outputs: Readonly<Record<string, Value>>,
  inputs: Readonly<Record<string, Tensor>> = {},
  extents: Extents = {},
): Record<string, Float32Array> {
  return new Evaluation(outputs, inputs, extents).run();
}

export interface GradientCase {
  /** Extents of every input, by name; the values are drawn from `range`, unless `integers` gives them. */
  inputs: Readonly<Record<string, readonly Dim[]>>;
  /** Inputs that hold indices and are not differentiated. */
  integers?: Readonly<Record<string, { dtype: DType; values: readonly number[] }>>;
  extents?: Extents;
  /** Inputs that count as constants, though they are float32. */
  constants?: readonly string[];
  build(values: Readonly<Record<string, Value>>): Value;
  /** Interval of the random values. Default [-1, 1]. */
  range?: readonly [number, number];
}

/** Half of the distance between the two points of a difference quotient. */
const step = 5e-3;

interface Prepared {
  values: Record<string, Value>;
  tensors: Record<string, Tensor>;
  differentiated: string[];
  y: Value;
  dy: Value;
}

function prepare({
  inputs,
  integers = {},
  extents = {},
  constants = [],
  build,
  range = [-1, 1],
}: GradientCase): Prepared {
  const random = new RandomStream(11, "gradient check");
  const values: Record<string, Value> = {};
  const tensors: Record<string, Tensor> = {};
  const draw = (size: number) =>
    Float32Array.from({ length: size }, () => range[0] + (range[1] - range[0]) * random.uniform());
  for (const [name, dims] of Object.entries(inputs)) {
    const sizes = concrete(dims, extents);
    const given = integers[name];
    values[name] = input(name, given?.dtype ?? "float32", dims);
    if (given?.dtype === "int64") tensors[name] = Tensor.int64(given.values, sizes);
    else if (given) tensors[name] = Tensor.int32(Int32Array.from(given.values), sizes);
    else tensors[name] = Tensor.float32(draw(product(sizes)), sizes);
  }
  const y = build(values);
  const dims = concrete(y.dims, extents);
  tensors.dy = Tensor.float32(
    Float32Array.from({ length: product(dims) }, () => 2 * random.uniform() - 1),
    dims,
  );
  const differentiated = Object.keys(inputs).filter((name) => !integers[name] && !constants.includes(name));
  return { values, tensors, differentiated, y, dy: input("dy", "float32", y.dims) };
}

/** Rows and dense part of a gradient as one table, summed here in float64. */
function runGradient(
  { dense, rows }: Gradient,
  size: number,
  tensors: Record<string, Tensor>,
  extents: Extents,
): Float64Array {
  const outputs: Record<string, Value> = {};
  if (dense) outputs.dense = dense;
  rows.forEach((row, i) => {
    outputs[`rows${i}`] = row.rows;
  });
  const results = evaluate(outputs, tensors, extents);
  const total = Float64Array.from(results.dense ?? new Float32Array(size));
  rows.forEach((row, i) => {
    const width = row.rows.dims.at(-1) as number;
    const indices = tensors[row.indices.node.attributes.name as string]!.ints;
    results[`rows${i}`]!.forEach((value, j) => {
      total[indices[Math.floor(j / width)]! * width + (j % width)]! += value;
    });
  });
  return total;
}

/**
 * The largest |analytic - numeric| / (1 + |numeric|) over the elements of every differentiated input, for a random
 * linear function of the result. Each gradient is also asked for alone, so that rules that skip what is not wanted are
 * exercised.
 */
export function gradientErrors(given: GradientCase): Record<string, number> {
  const { values, tensors, differentiated, y, dy } = prepare(given);
  const extents = given.extents ?? {};
  const forward = new Evaluation({ y }, tensors, extents);
  const objective = (): number => {
    const result = forward.run().y!;
    return result.reduce((sum, value, i) => sum + value * tensors.dy!.floats[i]!, 0);
  };
  const together = gradients(
    [{ value: y, dy }],
    differentiated.map((name) => values[name]!),
  );
  return Object.fromEntries(
    differentiated.map((name, k) => {
      const data = tensors[name]!.floats;
      const [alone] = gradients([{ value: y, dy }], [values[name]!]);
      const analytic = [together[k]!, alone!].map((gradient) =>
        runGradient(gradient, data.length, tensors, extents),
      );
      let worst = 0;
      for (let i = 0; i < data.length; i++) {
        const before = data[i]!;
        data[i] = before + step;
        const above = objective();
        const high = data[i]!;
        data[i] = before - step;
        const numeric = (above - objective()) / (high - data[i]!);
        data[i] = before;
        for (const gradient of analytic)
          worst = Math.max(worst, Math.abs(gradient[i]! - numeric) / (1 + Math.abs(numeric)));
      }
      return [name, worst];
    }),
  );
}
