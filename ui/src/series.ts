// What the page knows of runs, as charts take it.

import type { RunCurves } from "../../src/dashboard/metric-charts.js";
import type { Point } from "../../src/dashboard/sections.js";
import type { StandardErrors } from "../../src/run/spread.js";
import type { MetricsTable, RunSummary } from "./api.js";

export interface NamedTable {
  run: RunSummary;
  table: MetricsTable;
  /** Of the means over samples. */
  errors?: StandardErrors;
}

/** A range of steps, shared by all charts. */
export type Range = readonly [low: number, high: number] | undefined;

/** A run's curves within a range of steps. */
export function curvesOf(
  { run, table: { steps, values }, errors = {} }: NamedTable,
  range: Range,
): RunCurves {
  const isShown = (x: number) => !range || (x >= range[0] && x <= range[1]);
  return {
    name: run.name,
    keys: Object.keys(values),
    points: (key) => {
      const of = errors[key];
      return steps.flatMap((x, i): Point[] => {
        const y = values[key]?.[i];
        if (typeof y !== "number" || !isShown(x)) return [];
        const error = of?.[x];
        return [error === undefined ? { x, y } : { x, y, low: y - error, high: y + error }];
      });
    },
  };
}

/** Recipe keys that a repetition may differ in. */
const OF_A_REPETITION = /^(seed|output_dir|data_seed)$|\.(seed|output_dir)$/;

const kindOf = ({ recipe }: RunSummary) =>
  JSON.stringify(Object.entries(recipe).filter(([key]) => !OF_A_REPETITION.test(key)));

/** Runs that differ in their seed alone, together. */
export function repetitions(tables: readonly NamedTable[]): NamedTable[][] {
  const groups = new Map<string, NamedTable[]>();
  for (const one of tables) groups.set(kindOf(one.run), [...(groups.get(kindOf(one.run)) ?? []), one]);
  return [...groups.values()];
}

/** Recipe keys in which runs differ, with each run's value. */
export function recipeDifferences(
  runs: readonly RunSummary[],
): { key: string; values: (string | undefined)[] }[] {
  const keys = [...new Set(runs.flatMap(({ recipe }) => Object.keys(recipe)))].sort();
  return keys
    .map((key) => ({ key, values: runs.map(({ recipe }) => recipe[key]) }))
    .filter(({ key, values }) => key !== "output_dir" && new Set(values).size > 1);
}
