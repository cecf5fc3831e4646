// AdamW and gradient clipping against the formulas in float64, and what feeds them: batches and masks.

import { describe, expect, it } from "vitest";
import { NonFiniteError } from "../src/base/errors.js";
import { RandomStream } from "../src/base/random.js";
import { adamW, gradientNorm } from "../src/engine/local/adam.js";
import { bucketByLength, padTokens } from "../src/engine/local/batches.js";
import { causalMask } from "../src/engine/local/model.js";
import type { Parameter } from "../src/engine/local/parameters.js";
import { Arena, kernelsFor } from "../src/tensor/arena.js";
import { Tensor } from "../src/tensor/runtime.js";

const random = new RandomStream(8, "optimizer test");

/** A parameter in ordinary memory, or in an arena, where SIMD kernels do the work. */
function parameter(name: string, shape: readonly number[], arena?: Arena): Parameter {
  const size = shape.reduce((a, b) => a * b, 1);
  const [weight, gradient] = arena?.group(4, size) ?? [new Float32Array(size), new Float32Array(size)];
  weight!.forEach((_, i) => {
    weight![i] = random.normal();
  });
  return {
    name,
    shape,
    trainable: true,
    decays: shape.length > 1,
    tensor: Tensor.float32(weight!, shape),
    gradient: Tensor.float32(gradient!, shape),
  };
}

describe.each(["plain memory", "an arena"])("adamW in %s", (where) => {
  /** Parameters whose lengths are no multiples of a SIMD register's. */
  const parametersOf = (shapes: Record<string, number[]>): Parameter[] => {
    const arena = where === "an arena" ? new Arena(1 << 16) : undefined;
    return Object.entries(shapes).map(([name, shape]) => parameter(name, shape, arena));
  };

  const settings = {
    learningRate: 0.01,
    beta1: 0.8,
    beta2: 0.95,
    epsilon: 1e-6,
    weightDecay: 0.1,
  };

  it("is decoupled AdamW: decay on matrices only, moments corrected for their start, the gradient scaled", () => {
    const parameters = parametersOf({ matrix: [3, 5], norm: [7] });
    expect(kernelsFor(parameters[0]!.tensor.floats) !== undefined).toBe(where === "an arena");
    const reference = parameters.map(({ tensor, decays }) => ({
      w: Float64Array.from(tensor.floats),
      m: new Float64Array(tensor.floats.length),
      v: new Float64Array(tensor.floats.length),
      decays,
    }));
    const { learningRate, beta1, beta2, epsilon, weightDecay } = settings;
    const clip = 0.3;
    for (let t = 1; t <= 6; t++) {
      for (const { gradient } of parameters)
        gradient!.floats.forEach((_, i) => {
          gradient!.floats[i] = 3 * random.normal();
        });
      reference.forEach(({ w, m, v, decays }, k) => {
        for (let i = 0; i < w.length; i++) {
          const g = clip * parameters[k]!.gradient!.floats[i]!;
          m[i] = beta1 * m[i]! + (1 - beta1) * g;
          v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
          const first = m[i]! / (1 - beta1 ** t);
          const second = v[i]! / (1 - beta2 ** t);
          w[i]! -=
            learningRate * (first / (Math.sqrt(second) + epsilon) + (decays ? weightDecay * w[i]! : 0));
        }
      });
      adamW(parameters, t, clip, settings);
    }
    reference.forEach(({ w }, k) => {
      for (let i = 0; i < w.length; i++)
        expect(Math.abs(parameters[k]!.tensor.floats[i]! - w[i]!)).toBeLessThan(2e-6);
    });
  });

  it("moves every weight by the learning rate at its first step, and by nothing without a gradient", () => {
    const [moved, still] = parametersOf({ moved: [4], still: [4] }) as [Parameter, Parameter];
    delete still.gradient;
    const before = [moved, still].map(({ tensor }) => tensor.floats.slice());
    moved.gradient!.floats.set([1, -2, 1e-3, -50]);
    adamW([moved, still], 1, 1, { learningRate: 0.25 });
    moved.tensor.floats.forEach((w, i) => {
      expect(before[0]![i]! - w).toBeCloseTo(0.25 * Math.sign([1, -2, 1, -1][i]!), 4);
    });
    expect(still.tensor.floats).toEqual(before[1]);
    expect(still.moments).toBeUndefined();
  });

  it("takes the global norm over all parameters, and names the one that is not finite", () => {
    const [a, b] = parametersOf({ a: [3], b: [2, 3] }) as [Parameter, Parameter];
    a.gradient!.floats.set([3, 0, 0]);
    b.gradient!.floats.set([0, 0, 4, 0, 0, 12]);
    expect(gradientNorm([a, b])).toBe(13);
    // The sum of squares is kept in float64: it does not overflow where float32 would.
    a.gradient!.floats.fill(1e25);
    expect(gradientNorm([a])).toBeCloseTo(Math.sqrt(3) * 1e25, -20);
    b.gradient!.floats[4] = Number.NaN;
    expect(() => gradientNorm([a, b])).toThrow(new NonFiniteError("the gradient of b is not finite"));
  });
});

describe("bucketByLength", () => {
  const lengths = Array.from({ length: 300 }, () => 1 + random.integer(90));

  it("puts every row into one batch, within the budget and the row limit", () => {
    for (const [budget, maxRows] of [
      [256, Infinity],
      [1000, 4],
      [1, Infinity],
      [1e9, Infinity],
    ] as const) {
      const batches = bucketByLength(lengths, budget, { maxRows });
      expect(batches.flat().sort((a, b) => a - b)).toEqual(lengths.map((_, i) => i));
      for (const batch of batches) {
        const longest = Math.max(...batch.map((i) => lengths[i]!));
        if (batch.length > 1) expect(batch.length * longest).toBeLessThanOrEqual(budget);
        expect(batch.length).toBeLessThanOrEqual(maxRows);
      }
    }
    expect(bucketByLength(lengths, 1e9)).toHaveLength(1);
    expect(bucketByLength([], 10)).toEqual([]);
  });

  it("puts the longest first, so that lengths within a batch are neighbours", () => {
    const ordered = bucketByLength(lengths, 400)
      .flat()
      .map((i) => lengths[i]!);
    expect(ordered).toEqual([...ordered].sort((a, b) => b - a));
    expect(bucketByLength([5, 9, 5, 9], 1e9)).toEqual([[1, 3, 0, 2]]);
  });
});

describe("padding and masks", () => {
  it("padTokens fills the right with token 0", () => {
    expect(Array.from(padTokens([[1, 2, 3], Int32Array.of(4)], 4))).toEqual([1, 2, 3, 0, 4, 0, 0, 0]);
  });

  it.each([null, 1, 3, 50])("a row sees itself and what is before it, within a window of %s", (window) => {
    const [width, groups] = [6, 2];
    const mask = causalMask(width, groups, window);
    expect(mask.dims).toEqual([groups * width, width]);
    for (let row = 0; row < groups * width; row++)
      for (let column = 0; column < width; column++) {
        const t = row % width;
        const visible = column <= t && (window === null || column > t - window);
        expect(mask.floats[row * width + column], `row ${row}, column ${column}`).toBe(visible ? 0 : -1e9);
      }
  });
});
