// From graded rows to figures with intervals.

import type { Interval } from "../base/statistics.js";
import type { Text } from "../data/rows.js";
import type { Benchmark, Scores } from "./benchmark.js";
import { averagedMean, type Clusters, passAtK, passKs, pooledMean } from "./estimate.js";
import type { EvalTask } from "./task.js";

/** One line of rows.jsonl. */
export interface EvalRow {
  key: string;
  task: string;
  /** Which row of the task's data. */
  id: string;
  sample: number;
  prompt: Text;
  completion?: string;
  truncated?: boolean;
  /** log pi(choice), for benchmarks that give choices. */
  logprobs?: readonly number[];
  /** Null: it could not be judged, and `failed` says why. */
  scores: Scores | null;
  failed?: string;
}

export interface Metric extends Interval {
  /** Absent: more is better. */
  better?: "lower";
}

export type Metrics = Record<string, Metric>;

/** How the questions were asked. */
export interface AskedAs {
  /** Answers to every item. */
  samples: number;
  /** Worked examples before each question. */
  shots: number;
  chat: boolean;
}

export interface TaskResult extends AskedAs {
  benchmark: string;
  source: string;
  items: number;
  /** Answers that could not be judged; no metric counts them. */
  failed: number;
  /** One of their reasons. */
  failure?: string;
  /** Answers that were cut at the token limit. */
  truncated: number;
  headline: string;
  metrics: Metrics;
  /** By group and value: `{ level: { "Level 5": { accuracy: ... } } }`. */
  groups: Record<string, Record<string, Metrics>>;
}

/** `rows`: `samples` for each item, in the order of the items. */
export function summarise(
  { source, benchmark, items }: EvalTask,
  rows: readonly EvalRow[],
  asked: AskedAs,
): TaskResult {
  const ofItem = items.map((_, i) => rows.slice(i * asked.samples, (i + 1) * asked.samples));
  const failures = rows.filter(({ scores }) => scores === null);
  return {
    benchmark: benchmark.name,
    source,
    ...asked,
    items: items.length,
    failed: failures.length,
    ...(failures[0]?.failed !== undefined && { failure: failures[0].failed }),
    truncated: rows.filter(({ truncated }) => truncated).length,
    headline: benchmark.headline,
    metrics: metricsOf(benchmark, ofItem),
    groups: groupsOf(
      benchmark,
      items.map(({ row }) => benchmark.groups?.(row) ?? {}),
      ofItem,
    ),
  };
}

type RowsOfItems = readonly (readonly EvalRow[])[];

function groupsOf(
  benchmark: Benchmark,
  groups: readonly Readonly<Record<string, string>>[],
  ofItem: RowsOfItems,
): TaskResult["groups"] {
  const names = [...new Set(groups.flatMap((item) => Object.keys(item)))];
  const metricsWhere = (name: string, value: string) =>
    metricsOf(
      benchmark,
      ofItem.filter((_, i) => groups[i]![name] === value),
    );
  return Object.fromEntries(
    names.map((name) => {
      const values = [...new Set(groups.flatMap((item) => item[name] ?? []))].sort();
      return [name, Object.fromEntries(values.map((value) => [value, metricsWhere(name, value)]))];
    }),
  );
}

function metricsOf(benchmark: Benchmark, ofItem: RowsOfItems): Metrics {
  const { averages = {}, lowerIsBetter = [] } = benchmark;
  const clusters = clustersOf(ofItem);
  const metrics: Metrics = {};
  for (const [name, parts] of Object.entries(averages))
    if (parts.every((part) => clusters.has(part)))
      metrics[name] = averagedMean(parts.map((part) => clusters.get(part)!));
  for (const [name, values] of clusters) {
    const lower = lowerIsBetter.includes(name) && { better: "lower" as const };
    metrics[name] = { ...pooledMean(values), ...lower };
  }
  const passMetric = benchmark.kind === "generate" ? benchmark.passMetric : undefined;
  return { ...metrics, ...passMetrics(passMetric === undefined ? [] : (clusters.get(passMetric) ?? [])) };
}

/** pass@k for every k above 1 that the samples allow, over the items that have as many judged samples. */
function passMetrics(passes: Clusters): Metrics {
  const most = Math.max(0, ...passes.map(({ length }) => length));
  const ks = passKs(most).filter((k) => k > 1);
  return Object.fromEntries(
    ks.map((k) => {
      const enough = passes.filter(({ length }) => length >= k);
      const estimates = enough.map((values) => [
        passAtK(values.length, values.filter((value) => value === 1).length, k),
      ]);
      return [`pass@${k}`, pooledMean(estimates)];
    }),
  );
}

/** The values of every metric, item by item. */
function clustersOf(ofItem: RowsOfItems): Map<string, Clusters> {
  const names = new Set(ofItem.flat().flatMap(({ scores }) => Object.keys(scores ?? {})));
  return new Map(
    [...names].map((name) => [
      name,
      ofItem.map((rows) => rows.flatMap(({ scores }) => scores?.[name] ?? [])),
    ]),
  );
}
