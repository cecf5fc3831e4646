// From metrics to charts: which curves belong together, smoothed as asked, with intervals over seeds.

import { tInterval } from "../../src/base/statistics.js";
import { isHeadline, lookOf, parseMetric, rank } from "../../src/dashboard/metric-names.js";
import { MAX_TASKS, smoothed, thinned } from "../../src/dashboard/points.js";
import type { LineChartSection, Point, Series } from "../../src/dashboard/sections.js";
import type { MetricsTable, RunSummary } from "./api.js";

export interface ChartSettings {
  /** Half the width of the moving average, as a share of the run; 0: none. */
  smoothing: number;
  logarithmic: boolean;
  /** Runs that differ in their seed alone become one curve with an interval. */
  bySeed: boolean;
}

export interface NamedTable {
  run: RunSummary;
  table: MetricsTable;
}

const pointsOf = ({ steps, values }: MetricsTable, key: string): Point[] =>
  steps.flatMap((x, i) => {
    const y = values[key]?.[i];
    return typeof y === "number" ? [{ x, y }] : [];
  });

function curve(
  name: string,
  points: Point[],
  color: number,
  { smoothing, logarithmic }: ChartSettings,
): Series {
  const drawn = thinned(logarithmic ? points.filter(({ y }) => y > 0) : points);
  if (smoothing === 0 || drawn.length < 8) return { name, points: drawn, color };
  return { name, points: smoothed(drawn, smoothing), raw: drawn, color };
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

/** Mean over runs at the steps that all have, with Student's 95 % interval. */
export function meanOf(curves: readonly Point[][]): Point[] {
  const maps = curves.map((points) => new Map(points.map(({ x, y }) => [x, y])));
  return (curves[0] ?? []).flatMap(({ x }) => {
    const values = maps.flatMap((map) => map.get(x) ?? []);
    if (values.length < maps.length) return [];
    const y = values.reduce((sum, value) => sum + value, 0) / values.length;
    if (values.length < 2) return [{ x, y }];
    const { low, high } = tInterval(values);
    return [{ x, y, low, high }];
  });
}

function curvesOf(tables: readonly NamedTable[], key: string, settings: ChartSettings): Series[] {
  const groups = settings.bySeed ? repetitions(tables) : tables.map((one) => [one]);
  return groups.flatMap((group, color) => {
    const points = meanOf(group.map(({ table }) => pointsOf(table, key)));
    const name =
      group.length === 1 ? group[0]!.run.name : `${group[0]!.run.name} and ${group.length - 1} more seeds`;
    return points.length > 0 ? [curve(name, points, color, settings)] : [];
  });
}

/** Shares have one scale in every chart, so that 92 to 100 % does not look like 0 to 100 %. */
const bounds = (format: string | undefined) => (format === "percent" ? { min: 0, max: 1 } : {});

/**
 * A chart for each metric: of one run with a curve for each task, of several with a chart for each task and a curve for each
 * run. A task's metric is left out where the run has the one task alone.
 */
export function charts(
  tables: readonly NamedTable[],
  settings: ChartSettings,
): Record<"headline" | "others", LineChartSection[]> {
  const keys = [...new Set(tables.flatMap(({ table }) => Object.keys(table.values)))];
  const named = keys.map((key) => ({ key, ...parseMetric(key) }));
  const metrics = [...new Set(named.map(({ metric }) => metric))].sort(
    (a, b) => (isHeadline(a) || isHeadline(b) ? rank(a) - rank(b) : 0) || a.localeCompare(b),
  );
  const chartsOf = (metric: string): LineChartSection[] => {
    const found = named.filter((name) => name.metric === metric);
    const isOneTask = found.length > 1 && found.filter(({ task }) => task).length === 1;
    const all = isOneTask ? found.filter(({ task }) => !task) : found;
    const of = all.slice(0, MAX_TASKS);
    const { title: called, caption, format } = lookOf(metric);
    const title = of.length < all.length ? `${called} (${of.length} of ${all.length} tasks)` : called;
    const make = (name: string, series: Series[]): LineChartSection[] =>
      series.some(({ points }) => points.length > 0)
        ? [
            {
              kind: "lineChart",
              title: name,
              caption,
              x: { label: "step", whole: true },
              y: { label: title, format, ...(settings.logarithmic ? { scale: "log" } : bounds(format)) },
              series,
            },
          ]
        : [];
    if (tables.length === 1) {
      const [{ run, table }] = tables as [NamedTable];
      const curves = of.map(({ key, task }, color) =>
        curve(task ?? (of.length > 1 ? "all tasks" : run.name), pointsOf(table, key), color, settings),
      );
      return make(
        title,
        curves.filter(({ points }) => points.length > 0),
      );
    }
    return of.flatMap(({ key, task }) =>
      make(task ? `${title}: ${task}` : title, curvesOf(tables, key, settings)),
    );
  };
  return {
    headline: metrics.filter(isHeadline).flatMap(chartsOf),
    others: metrics.filter((metric) => !isHeadline(metric)).flatMap(chartsOf),
  };
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
