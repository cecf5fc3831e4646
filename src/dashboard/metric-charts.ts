// Curves of training runs, for reports and for the live page: which metrics belong together, what they are called, in which
// order, how they are smoothed, and where intervals come from.

import { tInterval } from "../base/statistics.js";
import { isHeadline, lookOf, type MetricName, parseMetric, rank, worthShowing } from "./metric-names.js";
import { MAX_TASKS, mean, smoothed, thinned } from "./points.js";
import { extentOf, ofShare, onSharedScales } from "./rules.js";
import type { LineChartSection, Point, Series } from "./sections.js";

/** A run as charts see it. */
export interface RunCurves {
  name: string;
  keys: readonly string[];
  /** Over steps. */
  points(key: string): readonly Point[];
}

export interface ChartSettings {
  /** Half the width of the moving average, as a share of a curve of so many points; 0: none. */
  smoothing(points: number): number;
  logarithmic?: boolean;
}

/** Where nobody asks for more or less: long curves are smoothed over a fortieth of the run to either side. */
export const SETTINGS: ChartSettings = { smoothing: (points) => (points < 60 ? 0 : 1 / 40) };

/** Curves shorter than this are seen as they are. */
const SMOOTHED = 8;

/** Mean over runs at the steps that all have, with Student's 95 % interval; the run itself where it is alone. */
export function meanOf(curves: readonly (readonly Point[])[]): readonly Point[] {
  if (curves.length < 2) return curves[0] ?? [];
  const maps = curves.map((points) => new Map(points.map(({ x, y }) => [x, y])));
  return curves[0]!.flatMap(({ x }) => {
    const values = maps.flatMap((map) => map.get(x) ?? []);
    if (values.length < maps.length) return [];
    const { low, high } = tInterval(values);
    return [{ x, y: mean(values), low, high }];
  });
}

/** Noisy points become a smooth curve before a faint one; what is counted, and a schedule, stays as it is. */
function curve(
  metric: string,
  name: string,
  all: readonly Point[],
  color: number,
  { smoothing, logarithmic }: ChartSettings,
): Series {
  const points = thinned(logarithmic ? all.filter(({ y }) => y > 0) : all);
  const isExact = metric === "learning_rate" || points.every(({ y }) => Number.isInteger(y));
  const share = isExact || points.length < SMOOTHED ? 0 : smoothing(points.length);
  if (Math.floor(points.length * share) === 0) return { name, points, color };
  return { name, points: smoothed(points, share), raw: points, color };
}

/** A share whose interval stays between 0 and 100 %. */
function asShare(point: Point): Point {
  const { y, low = y, high = y } = point;
  if (point.low === undefined || y < 0 || y > 1) return point;
  const [from, to] = ofShare([low, high]);
  return { ...point, low: from, high: to };
}

const hasBand = ({ points }: Series) => points.filter(({ low }) => low !== undefined).length > 1;

interface Named extends MetricName {
  key: string;
}

interface ChartOf {
  metric: string;
  title: string;
  /** What else its scale belongs to. */
  task?: string;
  series: readonly Series[];
  logarithmic: boolean | undefined;
  isOfSeeds: boolean;
}

function chartOf({ metric, title, task, series, logarithmic, isOfSeeds }: ChartOf): LineChartSection[] {
  const { title: label, caption, format, quantity = label, isOfItsTask } = lookOf(metric);
  const drawn = series
    .filter(({ points }) => points.length > 0)
    .map((one) => (format === "percent" ? { ...one, points: one.points.map(asShare) } : one));
  if (drawn.length === 0) return [];
  const band = isOfSeeds
    ? "Band: 95 % interval over seeds."
    : "Band: standard error over the step's prompts.";
  const captions = [
    caption,
    isOfItsTask && !task && series.length > 1 && !isOfSeeds
      ? "Each task in the units of its own reward."
      : undefined,
    drawn.some(hasBand) ? band : undefined,
  ];
  return [
    {
      kind: "lineChart",
      title,
      caption: captions.filter(Boolean).join(" ") || undefined,
      rawName: task ? `tasks/${task}/${metric}` : metric,
      x: { label: "step", whole: true },
      y: {
        label,
        format,
        quantity: isOfItsTask && task ? `${quantity} of ${task}` : quantity,
        ...(logarithmic && { scale: "log" as const }),
      },
      series: drawn,
    },
  ];
}

/** Tasks that have panels of their own where one scale does not fit them. */
const MAX_APART = 12;
/** One scale fits curves whose largest values differ by less than this factor. */
const APART = 10;

/** Whether on one scale some curve would be a flat line at 0. */
function isApart(curves: readonly Series[]): boolean {
  const sizes = curves.flatMap(({ points }) => {
    const extent = extentOf(points.map(({ y }) => Math.abs(y)));
    return extent ? [extent[1]] : [];
  });
  return curves.length <= MAX_APART && Math.max(...sizes) > APART * Math.min(...sizes);
}

/**
 * A chart for each metric: of one run with a curve for each task, of several with a chart for each task and a curve for each
 * group of runs. Runs of a group are repetitions: one curve with an interval.
 */
export function metricCharts(
  groups: readonly (readonly RunCurves[])[],
  settings: ChartSettings,
): Record<"headline" | "others", LineChartSection[]> {
  const runs = groups.flat();
  const named = new Map<string, Named[]>();
  for (const key of worthShowing([...new Set(runs.flatMap(({ keys }) => keys))])) {
    const name = { key, ...parseMetric(key) };
    named.set(name.metric, [...(named.get(name.metric) ?? []), name]);
  }
  const metrics = [...named.keys()].sort(
    (a, b) => (isHeadline(a) || isHeadline(b) ? rank(a) - rank(b) : 0) || a.localeCompare(b),
  );
  const { logarithmic } = settings;
  const ofOneRun = (metric: string, run: RunCurves, of: readonly Named[], title: string) => {
    const curves = of.map(({ key, task }, color) =>
      curve(metric, task ?? (of.length > 1 ? "all tasks" : run.name), run.points(key), color, settings),
    );
    const common = { metric, logarithmic, isOfSeeds: false };
    if (lookOf(metric).isOfItsTask && isApart(curves))
      return of.flatMap(({ task }, i) =>
        chartOf({ ...common, title: `${title}: ${task}`, task, series: [curves[i]!] }),
      );
    return chartOf({ ...common, title, series: curves });
  };
  const ofSeveral = (metric: string, of: readonly Named[], title: string) =>
    of.flatMap(({ key, task }) =>
      chartOf({
        metric,
        title: task && of.length > 1 ? `${title}: ${task}` : title,
        task,
        logarithmic,
        isOfSeeds: groups.some((group) => group.length > 1),
        series: groups.map((group, color) =>
          curve(metric, nameOf(group), meanOf(group.map((run) => run.points(key))), color, settings),
        ),
      }),
    );
  const chartsOf = (metric: string): LineChartSection[] => {
    const all = named.get(metric)!;
    const of = all.slice(0, MAX_TASKS);
    const called = lookOf(metric).title;
    const title = of.length < all.length ? `${called} (${of.length} of ${all.length} tasks)` : called;
    return runs.length === 1 ? ofOneRun(metric, runs[0]!, of, title) : ofSeveral(metric, of, title);
  };
  return {
    headline: onSharedScales(metrics.filter(isHeadline).flatMap(chartsOf)),
    others: onSharedScales(metrics.filter((metric) => !isHeadline(metric)).flatMap(chartsOf)),
  };
}

const nameOf = (group: readonly RunCurves[]): string =>
  group.length === 1 ? group[0]!.name : `${group[0]!.name} and ${group.length - 1} more seeds`;

/** With several runs, the colour is the run and the style is the task. */
const STYLES = ["solid", "dashed", "dotted"] as const;

/** Half the width of the average that makes a path of noisy points, as a share of them. */
const PATH = 1 / 10;

/** y against x at the steps that have both, as a path in time before its points. */
function pathOf(name: string, xs: readonly Point[], ys: readonly Point[]): Series | undefined {
  const at = new Map(xs.map(({ x, y }) => [x, y]));
  const raw = thinned(ys).flatMap(({ x, y }) => {
    const kl = at.get(x);
    return kl === undefined ? [] : [{ x: Math.max(0, kl), y }];
  });
  if (raw.length < 2) return undefined;
  const along = smoothed(
    raw.map(({ x }) => ({ x, y: x })),
    PATH,
  );
  const points = smoothed(raw, PATH).map(({ y }, i) => ({ x: along[i]!.y, y }));
  return { name, points, raw, directed: true };
}

/** Reward against KL: the frontier on which runs of different speed can be compared. */
export function frontierCharts(runs: readonly RunCurves[]): LineChartSection[] {
  const charts = ["true_reward", "reward"].flatMap((metric) => {
    const { title, isOfItsTask } = lookOf(metric);
    const curves = runs.flatMap((run, color) => {
      const of = worthShowing(run.keys).filter((key) => parseMetric(key).metric === metric);
      return of.slice(0, MAX_TASKS).flatMap((key, place): (Series & { task?: string })[] => {
        const { task } = parseMetric(key);
        const prefix = task === undefined ? "" : `tasks/${task}/`;
        const kl = [`${prefix}kl`, `${prefix}log_ratio`].find((name) => run.keys.includes(name));
        const label = [runs.length > 1 && run.name, of.length > 1 && task].filter(Boolean).join(", ");
        const path = kl && pathOf(label || run.name, run.points(kl), run.points(key));
        if (!path) return [];
        return [{ ...path, task, ...(runs.length > 1 && { color, style: STYLES[place % 3] }) }];
      });
    });
    const chart = (title: string, series: readonly Series[]): LineChartSection => ({
      kind: "lineChart",
      title,
      caption: "Points: steps. Line: their moving average, in the direction of the training.",
      x: { label: "KL to the reference, nats (root scale)", scale: "sqrt" },
      y: { label: lookOf(metric).title, quantity: `${title} against KL` },
      series,
    });
    const tasks = [...new Set(curves.map(({ task }) => task))];
    if (isOfItsTask && tasks.length > 1 && isApart(curves))
      return tasks.map((task) =>
        chart(
          `${title} against KL: ${task}`,
          curves.filter((one) => one.task === task),
        ),
      );
    return curves.length > 0 ? [chart(`${title} against KL`, curves)] : [];
  });
  return charts;
}
