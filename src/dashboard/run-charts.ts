// Curves of training runs: which metrics belong together, what they are called, and in which order.

import type { MetricsRow } from "../run/metrics.js";
import { isHeadline, lookOf, type MetricName, parseMetric, rank } from "./metric-names.js";
import { format } from "./numbers.js";
import { MAX_POINTS, MAX_TASKS, mean, smoothed, thinned } from "./points.js";
import type { Highlight, LineChartSection, Point, Series } from "./sections.js";

export interface RunMetrics {
  name: string;
  rows: readonly MetricsRow[];
}

/** Of each run, found once: a long one has millions. */
const known = new WeakMap<readonly MetricsRow[], string[]>();

function keysOf(rows: readonly MetricsRow[]): string[] {
  let keys = known.get(rows);
  if (!keys) known.set(rows, (keys = readKeys(rows)));
  return keys;
}

/** The metrics of a run; with a single task, its mean over the tasks would only repeat it. */
function readKeys(rows: readonly MetricsRow[]): string[] {
  const found = new Set<string>();
  for (const row of rows) for (const key in row) found.add(key);
  found.delete("step");
  const keys = [...found];
  const tasks = new Set(keys.flatMap((key) => parseMetric(key).task ?? []));
  if (tasks.size !== 1) return keys;
  const [task] = tasks;
  return keys.filter((key) => !keys.includes(`tasks/${task}/${key}`));
}

function pointsOf(rows: readonly MetricsRow[], key: string): Point[] {
  const points: Point[] = [];
  for (const row of rows) {
    const y = row[key];
    if (typeof y === "number") points.push({ x: row.step, y });
  }
  return points;
}

/** Half the width of the moving average, as a share of the run. */
const SMOOTHING = 1 / 40;

/** Many noisy points become a smooth curve before a faint one. */
function series(name: string, all: readonly Point[], isNoisy: boolean): Series {
  const points = thinned(all);
  if (points.length < 60 || !isNoisy) return { name, points };
  return { name, points: smoothed(points, SMOOTHING), raw: points };
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
    const all = named.get(metric)!;
    const of = all.slice(0, MAX_TASKS);
    const left = all.length - of.length;
    const title = `${lookOf(metric).title}${left > 0 ? ` (${of.length} of ${all.length} tasks)` : ""}`;
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
      return [...tasks].slice(0, MAX_TASKS).flatMap((task, place): Series[] => {
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
        const rewards = smoothed(points, SMOOTHING);
        const kls = smoothed(
          points.map(({ x }) => ({ x, y: x })),
          SMOOTHING,
        );
        const path = rewards.map(({ y }, i) => ({ x: kls[i]!.y, y }));
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

const meanOf = (points: readonly Point[]): number => mean(points.map(({ y }) => y));

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
        value: format(meanOf(points.slice(-part)), look.format),
        detail: `from ${format(meanOf(points.slice(0, part)), look.format)} at the start`,
      });
    }
  }
  return found;
}
