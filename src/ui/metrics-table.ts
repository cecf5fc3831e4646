// A run's metrics by columns, for the server and the page alike.

import type { MetricsRow } from "../run/metrics.js";

/** The steps, and each metric's values at them. */
export interface MetricsTable {
  steps: number[];
  values: Record<string, (number | string | null)[]>;
}

/** Rows by columns, the metrics in alphabetical order; null where a row has no value. */
export function metricsTable(rows: readonly MetricsRow[]): MetricsTable {
  const keys = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((key) => key !== "step").sort();
  return {
    steps: rows.map(({ step }) => step),
    values: Object.fromEntries(keys.map((key) => [key, rows.map((row) => row[key] ?? null)])),
  };
}
