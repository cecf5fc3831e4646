// Curves of training runs: which metrics belong together, what they are called, and in which order.

import type { MetricsRow } from "../run/metrics.js";
import { isHeadline, lookOf, type MetricName, parseMetric, rank } from "./metric-names.js";
import { format } from "./numbers.js";
import type { Highlight, LineChartSection, Point, Series } from "./sections.js";

export interface RunMetrics {
  name: string;
  rows: readonly MetricsRow[];
}

/** The metrics of a run; with a single task, its mean over the tasks would only repeat it. */
function keysOf(rows: readonly MetricsRow[]): string[] {
  const keys = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((key) => key !== "step");
  const tasks = new Set(keys.flatMap((key) => parseMetric(key).task ?? []));
  if (tasks.size !== 1) return keys;
  const [task] = tasks;
  return keys.filter((key) => !keys.includes(`tasks/${task}/${key}`));
}

const pointsOf = (rows: readonly MetricsRow[], key: string): Point[] =>
  rows.flatMap((row) => (typeof row[key] === "number" ? [{ x: row.step, y: row[key] }] : []));

/** Of the values; divided first, because a sum of large ones is not finite. */
const mean = (points: readonly Point[]): number => points.reduce((sum, { y }) => sum + y / points.length, 0);

/** The points' centred moving average, as wide as 5 % of the run. */
export function smooth(points: readonly Point[]): Point[] {
  const half = Math.floor(points.length / 40);
  return points.map(({ x }, i) => {
    const window = points.slice(Math.max(0, i - half), i + half + 1);
    return { x, y: mean(window) };
  });
}

/** Points of a curve: no screen shows more, and no reader of a page waits for more. */
const MAX_POINTS = 2000;

/** At most `MAX_POINTS` points, each the mean of as many neighbours. */
function thinned(points: readonly Point[]): readonly Point[] {
  const every = Math.ceil(points.length / MAX_POINTS);
  if (every <= 1) return points;
  return Array.from({ length: Math.ceil(points.length / every) }, (_, i) => {
    const part = points.slice(i * every, (i + 1) * every);
    return { x: part.at(-1)!.x, y: mean(part) };
  });
}

/** Many noisy points become a smooth curve before a faint one. */
function series(name: string, all: readonly Point[], isNoisy: boolean): Series {
  const points = thinned(all);
  return points.length < 60 || !isNoisy ? { name, points } : { name, points: smooth(points), raw: points };
}

function chart(metric: string, title: string, curves: readonly Series[]): LineChartSection {
  const look = lookOf(metric);
  return {
    kind: "lineChart",
    title,
    caption: look.caption,
    x: { label: "step", whole: true },
    y: { label: look.title, format: look.format },
    series: curves,
  };
}

/**
 * One chart for each metric: with one run its curves are the tasks, with several runs each task has a chart of its own
 * whose curves are the runs.
 */
export function metricCharts(runs: readonly RunMetrics[]): Record<"headline" | "others", LineChartSection[]> {
  const keys = [...new Set(runs.flatMap(({ rows }) => keysOf(rows)))];
  const named = new Map<string, (MetricName & { key: string })[]>();
  for (const key of keys) {
    const name = { key, ...parseMetric(key) };
    const group = named.get(name.metric);
    if (group) group.push(name);
    else named.set(name.metric, [name]);
  }
  const metrics = [...named.keys()].sort((a, b) => rank(a) - rank(b));
  const chartsOf = (metric: string): LineChartSection[] => {
    const of = named.get(metric)!;
    const { title } = lookOf(metric);
    if (runs.length === 1) {
      const curves = of.map(({ key, task }) =>
        series(task ?? runs[0]!.name, pointsOf(runs[0]!.rows, key), metric !== "learning_rate"),
      );
      const drawn = curves.filter(({ points }) => points.length > 0);
      return drawn.length > 0 ? [chart(metric, title, drawn)] : [];
    }
    return of.flatMap(({ key, task }) => {
      const curves = runs.map(({ name, rows }, color) => ({
        ...series(name, pointsOf(rows, key), metric !== "learning_rate"),
        color,
      }));
      const drawn = curves.filter(({ points }) => points.length > 0);
      return drawn.length > 0 ? [chart(metric, task ? `${title}: ${task}` : title, drawn)] : [];
    });
  };
  return {
    headline: metrics.filter(isHeadline).flatMap(chartsOf),
    others: metrics.filter((metric) => !isHeadline(metric)).flatMap(chartsOf),
  };
}

/** With several runs, the colour is the run and the style is the task. */
const STYLES = ["solid", "dashed", "dotted"] as const;

/** Reward against KL: the frontier on which runs of different speed can be compared. */
export function frontierCharts(runs: readonly RunMetrics[]): LineChartSection[] {
  return ["true_reward", "reward"].flatMap((metric) => {
    const curves = runs.flatMap(({ name, rows }, run) => {
      const tasks = new Set(
        keysOf(rows)
          .map(parseMetric)
          .flatMap((parsed) => (parsed.metric === metric ? [parsed.task ?? ""] : [])),
      );
      return [...tasks].flatMap((task, place): Series[] => {
        const prefix = task === "" ? "" : `tasks/${task}/`;
        const all = rows.flatMap((row): Point[] => {
          const x = row[`${prefix}kl`] ?? row[`${prefix}log_ratio`];
          const y = row[`${prefix}${metric}`];
          return typeof x === "number" && typeof y === "number" ? [{ x: Math.max(0, x), y }] : [];
        });
        if (all.length < 2) return [];
        const every = Math.ceil(all.length / MAX_POINTS);
        const points = all.filter((_, i) => i % every === 0);
        const label = [runs.length > 1 && name, task].filter(Boolean).join(", ") || name;
        const smoothed = smooth(points.map((point, i) => ({ x: i, y: point.y })));
        const kls = smooth(points.map((point, i) => ({ x: i, y: point.x })));
        const path = smoothed.map(({ y }, i) => ({ x: kls[i]!.y, y }));
        return [
          { name: label, points: path, ...(runs.length > 1 && { color: run, style: STYLES[place % 3] }) },
        ];
      });
    });
    const { title } = lookOf(metric);
    if (curves.length === 0) return [];
    return [
      {
        kind: "lineChart" as const,
        title: `${title} against KL`,
        x: { label: "KL to the reference (nats, root scale)", scale: "sqrt" as const },
        y: { label: title },
        series: curves,
      },
    ];
  });
}

/** From the first tenth of a run to its last: where each headline metric went. */
export function highlights(runs: readonly RunMetrics[]): Highlight[] {
  const found: Highlight[] = [];
  for (const { name, rows } of runs) {
    const headline = keysOf(rows)
      .filter((key) => isHeadline(parseMetric(key).metric))
      .sort((a, b) => rank(parseMetric(a).metric) - rank(parseMetric(b).metric));
    for (const key of headline.slice(0, Math.max(1, Math.floor(4 / runs.length)))) {
      const points = pointsOf(rows, key);
      if (points.length === 0) continue;
      const part = Math.max(1, Math.floor(points.length / 10));
      const { task, metric } = parseMetric(key);
      const look = lookOf(metric);
      found.push({
        label: [runs.length > 1 && name, task, look.title].filter(Boolean).join(" · "),
        value: format(mean(points.slice(-part)), look.format),
        detail: `from ${format(mean(points.slice(0, part)), look.format)} at the start`,
      });
    }
  }
  return found;
}
