// What repetitions of a benchmark are summed up by.

import { sortedQuantile } from "../src/base/statistics.js";

/** The middle of at least one value. */
export const median = (values: readonly number[]): number =>
  sortedQuantile(
    values.toSorted((a, b) => a - b),
    0.5,
  );
