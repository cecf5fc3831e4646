// Runs as their metrics.jsonl and rollouts.jsonl have them, for reports.

import type { MetricsRow, Rollout } from "../run/metrics.js";
import { standardErrors } from "../run/spread.js";
import type { RunCurves } from "./metric-charts.js";
import { isHeadline, lookOf, parseMetric, rank, worthShowing } from "./metric-names.js";
import { format, formatColumn } from "./numbers.js";
import { mean } from "./points.js";
import type { Highlight, Point } from "./sections.js";

export interface RunMetrics {
  name: string;
  rows: readonly MetricsRow[];
  rollouts?: readonly Rollout[];
}

/** Of each run, found once: a long one has millions. */
const known = new WeakMap<readonly MetricsRow[], string[]>();

function keysOf(rows: readonly MetricsRow[]): string[] {
  let keys = known.get(rows);
  if (!keys) {
    const found = new Set<string>();
    for (const row of rows) for (const key in row) found.add(key);
    found.delete("step");
    known.set(rows, (keys = [...found]));
  }
  return keys;
}

function pointsOf(rows: readonly MetricsRow[], key: string): Point[] {
  const points: Point[] = [];
  for (const row of rows) {
    const y = row[key];
    if (typeof y === "number") points.push({ x: row.step, y });
  }
  return points;
}

/** The curves of a run, with the standard errors that its rollouts give. */
export function curvesOf({ name, rows, rollouts = [] }: RunMetrics): RunCurves {
  const errors = standardErrors(rollouts);
  return {
    name,
    keys: keysOf(rows),
    points: (key) => {
      const of = errors[key];
      const points = pointsOf(rows, key);
      if (!of) return points;
      return points.map((point) => {
        const error = of[point.x];
        return error === undefined ? point : { ...point, low: point.y - error, high: point.y + error };
      });
    },
  };
}

const meanOf = (points: readonly Point[]): number => mean(points.map(({ y }) => y));

/** From the first tenth of a run to its last: where each headline metric went. */
export function highlights(runs: readonly RunMetrics[]): Highlight[] {
  const found: Highlight[] = [];
  for (const { name, rows } of runs) {
    const headline = worthShowing(keysOf(rows))
      .filter((key) => isHeadline(parseMetric(key).metric))
      .sort((a, b) => rank(parseMetric(a).metric) - rank(parseMetric(b).metric));
    for (const key of headline.slice(0, Math.max(1, Math.floor(4 / runs.length)))) {
      const points = pointsOf(rows, key);
      if (points.length === 0) continue;
      const part = Math.max(1, Math.floor(points.length / 10));
      const { task, metric } = parseMetric(key);
      const look = lookOf(metric);
      const ends = [meanOf(points.slice(-part)), meanOf(points.slice(0, part))];
      const [last, first] =
        look.format === "percent" ? ends.map((end) => format(end, "percent")) : formatColumn(ends);
      const over = part === 1 ? "step" : `${part} steps`;
      found.push({
        label: [runs.length > 1 && name, task, look.title].filter(Boolean).join(" · "),
        value: last!,
        detail: `mean of the last ${over}; ${first} in the first`,
      });
    }
  }
  return found;
}
