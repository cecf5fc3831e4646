// Small random batches and central differences for the tests of the objectives.

import { RandomStream } from "../../src/base/random.js";
import type { Logprobs, Outcome } from "../../src/objectives/index.js";

export interface TestBatch {
  logprobs: Float64Array[];
  referenceLogprobs: Float64Array[];
  oldLogprobs: Float64Array[];
  rewards: number[];
  baselineRewards: number[];
  promptIndex: number[];
  promptCount: number;
  verdicts: Outcome[];
}

/** `generations` samples of 1 to 6 tokens for each of `promptCount` prompts, in float64, verdicts mixed. */
export function randomBatch(seed: number, promptCount = 4, generations = 4): TestBatch {
  const stream = new RandomStream(seed, "batch");
  const n = promptCount * generations;
  const lengths = Array.from({ length: n }, () => 1 + stream.integer(6));
  const near = (rows: Float64Array[], spread: number) =>
    rows.map((row) => row.map((x) => x + spread * stream.normal()));
  const logprobs = lengths.map((length) => Float64Array.from({ length }, () => Math.log(stream.uniform())));
  return {
    logprobs,
    referenceLogprobs: near(logprobs, 0.4),
    oldLogprobs: near(logprobs, 0.2),
    rewards: Array.from({ length: n }, () => 2 * stream.normal()),
    baselineRewards: Array.from({ length: promptCount }, () => stream.normal()),
    promptIndex: Array.from({ length: n }, (_, i) => Math.floor(i / generations)),
    promptCount,
    verdicts: Array.from({ length: n }, () =>
      stream.choice(["satisfied", "satisfied", "violated", "failed"]),
    ),
  };
}

export function withRow(rows: Logprobs, i: number, t: number, x: number): Float64Array[] {
  return rows.map((row, k) => {
    const copy = Float64Array.from(row);
    if (k === i) copy[t] = x;
    return copy;
  });
}

/** d loss / d rows[i][t] by central differences. */
export function centralDifferences(
  loss: (rows: Float64Array[]) => number,
  rows: Logprobs,
  h = 1e-5,
): Float64Array[] {
  return rows.map((row, i) =>
    Float64Array.from({ length: row.length }, (_, t) => {
      const above = loss(withRow(rows, i, t, row[t]! + h));
      const below = loss(withRow(rows, i, t, row[t]! - h));
      return (above - below) / (2 * h);
    }),
  );
}

/** Largest difference between two sets of rows, relative to the largest number of the second. */
export function relativeDifference(actual: Logprobs, expected: Logprobs): number {
  let difference = 0;
  let largest = 0;
  expected.forEach((row, i) => {
    if (actual[i]?.length !== row.length)
      throw new Error(`Row ${i} has ${actual[i]?.length} items, not ${row.length}.`);
    for (let t = 0; t < row.length; t++) {
      difference = Math.max(difference, Math.abs(actual[i]![t]! - row[t]!));
      largest = Math.max(largest, Math.abs(row[t]!));
    }
  });
  return difference / Math.max(largest, 1e-12);
}
