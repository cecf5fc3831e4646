// AdamW with decoupled weight decay (Loshchilov & Hutter 2019), in place over the parameters' own memory.

import { NonFiniteError } from "../../base/errors.js";
import { kernelsFor, quadsOf } from "../../tensor/arena.js";
import type { AdamOptions } from "../contract.js";
import type { Optimizer } from "./optimizer.js";
import { besideWeight, type Parameter } from "./parameters.js";

/** Global L2 norm of the accumulated gradients, in float64. A gradient that is not finite is an error naming it. */
export function gradientNorm(parameters: readonly Parameter[]): number {
  let total = 0;
  for (const { name, gradient } of parameters) {
    if (!gradient) continue;
    const sum = sumOfSquares(gradient.floats);
    if (!Number.isFinite(sum)) throw new NonFiniteError(`the gradient of ${name} is not finite`);
    total += sum;
  }
  return Math.sqrt(total);
}

function sumOfSquares(values: Float32Array): number {
  const kernels = kernelsFor(values);
  if (kernels) return kernels.sumOfSquares(values.byteOffset, quadsOf(values));
  // Four sums keep the floating-point unit busy: one alone waits for its own addition.
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  const whole = values.length - (values.length % 4);
  for (let i = 0; i < whole; i += 4) {
    a += values[i]! * values[i]!;
    b += values[i + 1]! * values[i + 1]!;
    c += values[i + 2]! * values[i + 2]!;
    d += values[i + 3]! * values[i + 3]!;
  }
  for (let i = whole; i < values.length; i++) a += values[i]! * values[i]!;
  return a + b + c + d;
}

export function adamW(
  parameters: readonly Parameter[],
  t: number,
  gradientScale: number,
  options: AdamOptions,
): void {
  for (const parameter of parameters) {
    if (!parameter.gradient) continue;
    parameter.moments ??= { first: besideWeight(parameter, 2), second: besideWeight(parameter, 3) };
    const { first, second } = parameter.moments;
    const coefficients = coefficientsOf(t, gradientScale, parameter.decays, options);
    update(parameter.tensor.floats, parameter.gradient.floats, first.floats, second.floats, coefficients);
  }
}

export const cpuAdam: Optimizer = { gradientNorm, update: adamW };

/** The numbers that one update needs of step `t` and its options. */
export interface Coefficients {
  beta1: number;
  beta2: number;
  epsilon: number;
  /** 1 - learning rate * weight decay. */
  keep: number;
  /** learning rate / (1 - beta1^t). */
  stepSize: number;
  /** 1 / sqrt(1 - beta2^t). */
  secondScale: number;
  gradientScale: number;
}

export function coefficientsOf(
  t: number,
  gradientScale: number,
  decays: boolean,
  { learningRate, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 }: AdamOptions,
): Coefficients {
  return {
    beta1,
    beta2,
    epsilon,
    keep: 1 - (decays ? learningRate * weightDecay : 0),
    stepSize: learningRate / (1 - beta1 ** t),
    secondScale: 1 / Math.sqrt(1 - beta2 ** t),
    gradientScale,
  };
}

function update(
  w: Float32Array,
  gradient: Float32Array,
  m: Float32Array,
  v: Float32Array,
  { beta1, beta2, epsilon, keep, stepSize, secondScale, gradientScale }: Coefficients,
): void {
  const kernels = kernelsFor(w, gradient, m, v);
  if (kernels) {
    const [wAt, gradientAt, mAt, vAt] = [w, gradient, m, v].map((array) => array.byteOffset) as [
      number,
      number,
      number,
      number,
    ];
    kernels.adamW(
      wAt,
      gradientAt,
      mAt,
      vAt,
      quadsOf(w),
      beta1,
      1 - beta1,
      beta2,
      1 - beta2,
      epsilon,
      keep,
      stepSize,
      secondScale,
      gradientScale,
    );
    return;
  }
  for (let i = 0; i < w.length; i++) {
    const g = gradient[i]! * gradientScale;
    const first = beta1 * m[i]! + (1 - beta1) * g;
    const second = beta2 * v[i]! + (1 - beta2) * g * g;
    m[i] = first;
    v[i] = second;
    w[i] = w[i]! * keep - (stepSize * first) / (Math.sqrt(second) * secondScale + epsilon);
  }
}
