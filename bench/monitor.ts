// How early the monitor's signals come, and how often in vain, on runs whose true reward is known (`lab/true_reward` in their
// metrics, which no training saw): for each signal the steps from its first alarm to the loss of 5 % of the true reward.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Interval, tInterval } from "../src/base/statistics.js";
import { Watch, type WatchOptions } from "../src/monitor/watch.js";
import { MONITOR_SIGNALS, type MonitorSignal } from "../src/recipe/align.js";
import { type MetricsRow, readMetrics } from "../src/run/metrics.js";

export interface MonitoredRun {
  run: string;
  steps: number;
  /** The best smoothed true reward, and the first step at which 5 % of what was gained until then is lost; absent: never. */
  best: number;
  lost?: number;
  /** Steps of the alarms of each signal. */
  alarms: Record<MonitorSignal, number[]>;
}

/** Values of the true reward that are averaged, so that the noise of one evaluation is no loss. */
const smoothing = 3;
const lossShare = 0.05;

/** Where a run lost the share of its true reward: of the level that it reached, above 0. */
export function lossOf(
  rows: readonly MetricsRow[],
  metric: string,
): { best: number; lost?: number } | undefined {
  const points = rows.flatMap((row) =>
    typeof row[metric] === "number" ? [{ step: row.step, value: row[metric] }] : [],
  );
  if (points.length < smoothing) return undefined;
  let best = Number.NEGATIVE_INFINITY;
  for (let i = smoothing - 1; i < points.length; i++) {
    const recent = points.slice(i - smoothing + 1, i + 1);
    const value = recent.reduce((sum, point) => sum + point.value, 0) / smoothing;
    if (value > best) best = value;
    // A loss counts from its last evaluation: what follows it is known no earlier.
    else if (best - value > lossShare * Math.abs(best)) return { best, lost: points[i]!.step };
  }
  return { best };
}

/** What ./measures.ts has added to a run. */
async function measuredOf(run: string): Promise<MetricsRow[]> {
  const file = join(run, "measured.jsonl");
  return existsSync(file) ? readMetrics(file) : [];
}

function withMeasures(rows: readonly MetricsRow[], measured: readonly MetricsRow[]): MetricsRow[] {
  const byStep = new Map(measured.map((row) => [row.step, row]));
  return rows.map((row) => ({ ...row, ...byStep.get(row.step) }));
}

/** What became of a run; with a `*` for the task in the metric's name, of each task of the run that has one. */
export async function monitoredRuns(
  run: string,
  metric: string,
  options: WatchOptions,
): Promise<MonitoredRun[]> {
  const rows = withMeasures(await readMetrics(join(run, "metrics.jsonl")), await measuredOf(run));
  const watch = new Watch(options);
  const alarms = rows.flatMap(({ step, ...metrics }) => watch.observe(step, metrics));
  const [before, after] = metric.split("*");
  const names = new Set(rows.flatMap((row) => Object.keys(row)));
  const found = [...names].filter((name) =>
    after === undefined ? name === metric : name.startsWith(before!) && name.endsWith(after),
  );
  return found.flatMap((name) => {
    const task = after === undefined ? undefined : name.slice(before!.length, name.length - after.length);
    const loss = lossOf(rows, name);
    if (!loss) return [];
    const of = alarms.filter((alarm) => task === undefined || alarm.task === task);
    const steps = MONITOR_SIGNALS.map((signal) => [
      signal,
      of.filter((alarm) => alarm.signal === signal).map(({ step }) => step),
    ]);
    return [
      {
        run: task === undefined ? run : `${run} ${task}`,
        steps: rows.at(-1)!.step,
        ...loss,
        alarms: Object.fromEntries(steps) as MonitoredRun["alarms"],
      },
    ];
  });
}

export interface SignalRecord {
  signal: MonitorSignal;
  /** Of the runs that lost true reward, those whose first alarm came before it, and how many steps before. */
  hacked: number;
  early: number;
  lead?: Interval;
  /** Alarms in runs that lost nothing, for 1,000 of their steps. */
  falsePerThousand: number;
}

export function signalRecords(runs: readonly MonitoredRun[]): SignalRecord[] {
  const hacked = runs.filter(({ lost }) => lost !== undefined);
  const healthy = runs.filter(({ lost }) => lost === undefined);
  const healthySteps = healthy.reduce((sum, { steps }) => sum + steps, 0);
  return MONITOR_SIGNALS.map((signal) => {
    const leads = hacked.flatMap(({ alarms, lost }) => {
      const first = alarms[signal][0];
      return first !== undefined && first <= lost! ? [lost! - first] : [];
    });
    const vain = healthy.reduce((sum, { alarms }) => sum + alarms[signal].length, 0);
    return {
      signal,
      hacked: hacked.length,
      early: leads.length,
      ...(leads.length > 0 && { lead: tInterval(leads) }),
      falsePerThousand: healthySteps === 0 ? Number.NaN : (1000 * vain) / healthySteps,
    };
  });
}
