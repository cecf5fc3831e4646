import { describe, expect, it } from "vitest";
import { partition } from "./partition.js";

const rows = Array.from({ length: 100 }, (_, i) => i);

describe("partition", () => {
  it("holds out the share by seed alone, each part in the order of the data", () => {
    const { train, validation } = partition(rows, { fraction: 0.2, seed: 1 });
    expect([train.length, validation.length]).toEqual([80, 20]);
    expect([...train, ...validation].toSorted((a, b) => a - b)).toEqual(rows);
    expect(validation).toEqual(validation.toSorted((a, b) => a - b));
    expect(validation).not.toEqual(rows.slice(0, 20));
    expect(partition(rows, { fraction: 0.2, seed: 1 })).toEqual({ train, validation });
    expect(partition(rows, { fraction: 0.2, seed: 2 }).validation).not.toEqual(validation);
  });

  it("holds out at least one row and leaves at least one", () => {
    expect(partition([1, 2], { fraction: 0.01, seed: 1 }).validation).toHaveLength(1);
    expect(() => partition([1], { fraction: 0.5, seed: 1 })).toThrow(/leaves none to train on/);
    expect(() => partition(rows, { fraction: 1, seed: 1 })).toThrow(/between 0 and 1, not 1/);
    expect(() => partition(rows, { fraction: Number.NaN, seed: 1 })).toThrow(/not NaN/);
  });
});
