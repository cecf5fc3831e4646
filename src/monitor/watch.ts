// The alarm for reward hacking: reads the metrics of an alignment step by step, as they are written or as metrics.jsonl has
// them, and says what moved, since when and by how much. Nothing but those numbers enters, so that a finished run raises
// the alarms that it raised while it ran.

import { DEFAULT_SIGNALS, type MonitorSignal } from "../recipe/align.js";
import type { Metrics } from "../run/metrics.js";
import { type Change, Drift, type DriftOptions, Smoothed } from "./drift.js";
import { SIGNALS } from "./signals.js";

export interface Alarm extends Change {
  /** The step at which it was raised. */
  step: number;
  task: string;
  signal: MonitorSignal;
  /** Of the task, as in metrics.jsonl without tasks/NAME/. */
  metric: string;
  /** One sentence for a person. */
  sentence: string;
}

export interface WatchOptions extends Partial<DriftOptions> {
  signals?: readonly MonitorSignal[];
}

/** Smoothed rewards of a task, one for each step that had one. */
class RewardPath {
  private readonly smoothed: Smoothed;
  private readonly steps: number[] = [];
  private readonly values: number[] = [];

  constructor(window: number) {
    this.smoothed = new Smoothed(window);
  }

  push(step: number, reward: number): void {
    this.smoothed.push(reward);
    this.steps.push(step);
    this.values.push(this.smoothed.value);
  }

  /** The newest value at or before `step`. */
  at(step: number): number | undefined {
    let [low, high] = [0, this.steps.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.steps[middle]! <= step) low = middle + 1;
      else high = middle;
    }
    return this.values[low - 1];
  }

  get now(): number | undefined {
    return this.values.at(-1);
  }
}

/** Growth over the last `window` values. */
class Speed {
  private readonly recent: number[] = [];

  constructor(private readonly window: number) {}

  push(x: number): number | undefined {
    this.recent.push(x);
    if (this.recent.length <= this.window) return undefined;
    return x - this.recent.shift()!;
  }
}

export class Watch {
  private readonly options: DriftOptions;
  private readonly signals: readonly MonitorSignal[];
  private readonly drifts = new Map<string, Drift>();
  private readonly speeds = new Map<string, Speed>();
  private readonly rewards = new Map<string, RewardPath>();

  constructor({ window = 10, threshold = 4, signals = DEFAULT_SIGNALS }: WatchOptions = {}) {
    this.options = { window, threshold };
    this.signals = signals;
  }

  /** Takes the metrics of a step, whose keys are tasks/NAME/METRIC; returns the alarms that they raise. */
  observe(step: number, metrics: Metrics | Readonly<Record<string, number | string | null>>): Alarm[] {
    const found = Object.entries(metrics).flatMap(([key, value]) => {
      const [, task, metric] = /^tasks\/([^/]+)\/(.+)$/.exec(key) ?? [];
      return task !== undefined && typeof value === "number" ? [{ task, metric: metric!, value }] : [];
    });
    for (const { task, metric, value } of found)
      if (metric === "rewards/mean")
        kept(this.rewards, task, () => new RewardPath(this.options.window)).push(step, value);
    return found.flatMap((entry) => this.signals.flatMap((name) => this.alarm(step, name, entry) ?? []));
  }

  private alarm(
    step: number,
    name: MonitorSignal,
    { task, metric, value }: { task: string; metric: string; value: number },
  ): Alarm | undefined {
    const signal = SIGNALS[name];
    const named = signal.metric.exec(metric);
    if (!named) return undefined;
    const key = JSON.stringify([task, name, metric]);
    const x = signal.isSpeed
      ? kept(this.speeds, key, () => new Speed(this.options.window)).push(value)
      : value;
    if (x === undefined) return undefined;
    const reward = this.rewards.get(task);
    const rises = (since: number) => {
      const [before, now] = [reward?.at(since), reward?.now];
      return before !== undefined && now !== undefined && now >= before;
    };
    const drift = kept(this.drifts, key, () => new Drift(signal, this.options));
    const change = drift.push(step, x, signal.besideReward ? rises : undefined);
    if (!change) return undefined;
    const moved = `${signal.what.replace("*", named[1] ?? "")} ${change.to < change.from ? "fell" : "rose"} from ${brief(change.from)} (step ${change.since}) to ${brief(change.to)}`;
    const beside = signal.besideReward
      ? ` while the reward went from ${brief(reward!.at(change.since)!)} to ${brief(reward!.now!)}`
      : "";
    return { step, task, signal: name, metric, ...change, sentence: `task ${task}: ${moved}${beside}` };
  }
}

function kept<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}

const brief = (x: number) => String(Number(x.toPrecision(3)));
