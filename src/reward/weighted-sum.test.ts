import { describe, expect, it } from "vitest";
import { RandomStream } from "../base/random.js";
import type { FloatType } from "../model/config.js";
import { bytesOf, float16ToFloat32, float32ToBfloat16 } from "../model/floats.js";
import { ensembleMean } from "./ensemble.js";
import { WeightedSum } from "./weighted-sum.js";

const stream = new RandomStream(5, "weighted sum");
const normals = (size: number) => Float32Array.from({ length: size }, () => stream.normal());

function sumOf(parts: readonly { type: FloatType; weight: number; bits: ArrayBufferView; size: number }[]) {
  const { size } = parts[0]!;
  const sum = new WeightedSum(parts.length, size);
  for (const [i, { type, bits }] of parts.entries()) {
    // What another chunk left behind must not leak into the padding.
    sum.input(1, i, "F32", size).fill(0xff);
    sum.input(1, i, type, size).set(bytesOf(bits));
  }
  return sum.of(1, parts, size)?.slice();
}

const f32 = (values: Float32Array, weight = 1) => ({
  type: "F32" as const,
  weight,
  bits: values,
  size: values.length,
});
const half = (type: "F16" | "BF16", bits: Uint16Array, weight = 1) => ({
  type,
  weight,
  bits,
  size: bits.length,
});

describe("a weighted sum", () => {
  it.each([1, 3, 4, 2047, 2048, 2051, 9001])("of %i elements is float64's, rounded once", (size) => {
    const [a, b] = [normals(size), normals(size)];
    const narrow = new Uint16Array(size);
    float32ToBfloat16(b, narrow);
    const wide = Float32Array.from(narrow, (bits) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!);
    const got = sumOf([f32(a, 0.3), half("BF16", narrow, 0.6), f32(b, 0.1)])!;
    expect(got).toEqual(a.map((x, i) => 0.3 * x + 0.6 * wide[i]! + 0.1 * b[i]!));
  });

  it("reads every finite float16 exactly", () => {
    const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits).filter(
      (bits) => (bits & 0x7c00) !== 0x7c00,
    );
    const expected = new Float32Array(all.length);
    float16ToFloat32(all, expected);
    const got = sumOf([half("F16", all)])!;
    expect(Buffer.compare(bytesOf(got), bytesOf(expected))).toBe(0);
  });

  it("of equal members is that member, zeros' signs and the smallest numbers included", () => {
    const member = Float32Array.of(-0, 0, 1e-45, -3.4e38, 0.1, 1 / 3, 7);
    const got = sumOf(Array.from({ length: 7 }, () => f32(member, 1 / 7)))!;
    expect(Array.from(got, (x, i) => Object.is(x, member[i]))).not.toContain(false);
  });

  it.each([
    ["F32", Number.NaN],
    ["F32", Number.POSITIVE_INFINITY],
    ["F16", 0x7c00],
    ["F16", 0xfe00],
    ["BF16", 0xff80],
    ["BF16", 0x7fc1],
  ] as const)("tells when a %s is not finite: %d", (type, value) => {
    const values = type === "F32" ? new Float32Array(2050) : new Uint16Array(2050);
    const part = { type, weight: 1, bits: values, size: values.length };
    expect(sumOf([part])).toHaveLength(2050);
    for (const at of [0, 2049]) {
      values.fill(0)[at] = value;
      expect(sumOf([part])).toBeUndefined();
    }
  });

  it("tells when the sum is too large for float32", () => {
    expect(sumOf([f32(Float32Array.of(3e38)), f32(Float32Array.of(1e38))])).toBeUndefined();
  });
});

describe("a sum of bfloat16 with equal weights", () => {
  const narrow = (values: Float32Array) => {
    const bits = new Uint16Array(values.length);
    float32ToBfloat16(values, bits);
    return bits;
  };
  const widen = (bits: Uint16Array) => new Float32Array(Uint32Array.from(bits, (b) => b << 16).buffer);
  const meanOf = (members: readonly Uint16Array[]) =>
    sumOf(members.map((bits) => half("BF16", bits, 1 / members.length)));

  it.each([2, 3, 10, 33])("of %i members is float64's mean within 1e-7, and to the bit as bfloat16", (m) => {
    for (const size of [1, 5, 9001]) {
      const members = Array.from({ length: m }, () => narrow(normals(size)));
      const wide = members.map(widen);
      const got = meanOf(members)!;
      const exact = Float64Array.from(
        { length: size },
        (_, i) =>
          // Summed first, which float64 does exactly: members that cancel leave 0 and no noise.
          wide.reduce((sum, values) => sum + values[i]!, 0) / m,
      );
      const scale = exact.map((_, i) => wide.reduce((sum, values) => sum + Math.abs(values[i]!) / m, 0));
      expect(Math.max(...got.map((x, i) => Math.abs(x - exact[i]!) / scale[i]!))).toBeLessThan(1e-7);
      expect(narrow(got)).toEqual(narrow(Float32Array.from(exact)));
    }
  });

  it("of equal members is that member, zeros' signs, the smallest and the largest numbers included", () => {
    const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits).filter(
      (bits) => (bits & 0x7f80) !== 0x7f80,
    );
    for (const m of [1, 3, 10]) {
      const got = meanOf(new Array<Uint16Array>(m).fill(all))!;
      expect(Buffer.compare(bytesOf(got), bytesOf(widen(all)))).toBe(0);
    }
  });

  it.each([0x7f80, 0xff80, 0x7fc1])("tells when one of several is not finite: %d", (value) => {
    const members = Array.from({ length: 4 }, () => narrow(normals(2050)));
    expect(meanOf(members)).toHaveLength(2050);
    members[2]![2049] = value;
    expect(meanOf(members)).toBeUndefined();
  });
});

describe("the sum as bfloat16", () => {
  it("is that of float32ToBfloat16, half-way cases included", () => {
    const halfWay = Float32Array.from({ length: 64 }, (_, i) => 1 + (2 * i + 1) / 256);
    const values = Float32Array.of(...normals(3000), ...halfWay, -0, 1e-45, -3.3e38);
    const expected = new Uint16Array(values.length);
    float32ToBfloat16(values, expected);
    const sum = new WeightedSum(1, values.length);
    sum.input(0, 0, "F32", values.length).set(bytesOf(values));
    expect(sum.of(0, [f32(values)], values.length)).toEqual(values);
    expect(Buffer.compare(sum.narrowed(values.length)!, bytesOf(expected))).toBe(0);
  });

  it("tells when a number is too large", () => {
    for (const at of [0, 40]) {
      const values = new Float32Array(41);
      values[at] = -3.4e38;
      const sum = new WeightedSum(1, values.length);
      sum.input(0, 0, "F32", values.length).set(bytesOf(values));
      expect(sum.of(0, [f32(values)], values.length)).toEqual(values);
      expect(sum.narrowed(values.length)).toBeUndefined();
    }
  });
});

it("keeps features by how many runs found them, squared, where an ensemble keeps them once (WARM, 4.3)", () => {
  // Orthonormal features z_j; run i finds feature j (f_ij = 1) with probability p_j, and its optimal head is
  // omega_i = sum_j f_ij z_j. On the input z_j it predicts omega_ij f_ij.
  const p = [0.9, 0.5, 0.1];
  const runs = 2000;
  const random = new RandomStream(7, "toy theory");
  const found = Array.from({ length: runs }, () => p.map((chance) => +(random.uniform() < chance)));
  const ensemble = ensembleMean(found.map((f) => f.map((x) => x * x)));
  const weights = found.map((f) => f32(Float32Array.of(...f, ...f), 1 / runs));
  const [omega, f] = [0, 3].map((at) => sumOf(weights)!.subarray(at, at + 3));
  for (const [j, chance] of p.entries()) {
    const average = omega![j]! * f![j]!;
    expect(Math.abs(average / ensemble[j]! - chance)).toBeLessThan(0.02);
  }
});
