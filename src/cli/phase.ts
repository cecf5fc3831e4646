// A phase of a run as progress describes it: how far, how fast, how long still.

import { headline } from "../run/headline.js";
import type { Metrics } from "../run/metrics.js";

/** Steps over which the rate is measured. */
const WINDOW = 20;

/** 75 s as "1m 15s". */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds);
  if (seconds < 10) return `${seconds.toFixed(1)}s`;
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${whole % 60}s`;
  return `${Math.floor(whole / 3600)}h ${Math.floor((whole % 3600) / 60)}m`;
}

const formatRate = (secondsPerStep: number) =>
  secondsPerStep >= 1 ? `${secondsPerStep.toFixed(1)} s each` : `${(1 / secondsPerStep).toFixed(1)}/s`;

/** Keeps the time of the latest steps of a phase. */
export class Phase {
  private readonly times: { done: number; at: number }[];
  readonly startedAt: number;
  metrics: Metrics = {};

  constructor(
    readonly label: string,
    readonly total: number,
    readonly startedWith: number,
    now: number,
  ) {
    this.startedAt = now;
    this.times = [{ done: startedWith, at: now }];
  }

  get done(): number {
    return this.times.at(-1)!.done;
  }

  advance(done: number, at: number, metrics: Metrics | undefined): void {
    this.times.push({ done, at });
    if (this.times.length > WINDOW + 1) this.times.shift();
    if (metrics) this.metrics = metrics;
  }

  /** Seconds a step, over the latest steps; undefined before the first. */
  get secondsPerStep(): number | undefined {
    const first = this.times[0]!;
    const last = this.times.at(-1)!;
    return last.done > first.done ? (last.at - first.at) / 1000 / (last.done - first.done) : undefined;
  }

  /** "42/200", "3.1 s each", "8m 12s left" */
  course(): string[] {
    const rate = this.secondsPerStep;
    const parts = [`${this.done}/${this.total}`];
    if (rate !== undefined) {
      parts.push(formatRate(rate));
      if (this.done < this.total) parts.push(`${formatDuration(rate * (this.total - this.done))} left`);
    }
    return parts;
  }

  /** Its course, and the metrics that matter most. */
  parts(metricCount: number): string[] {
    return [...this.course(), ...headline(this.metrics, metricCount)];
  }

  /** "━━━━────" */
  bar(width: number): string {
    const filled = Math.round((width * Math.min(this.done, this.total)) / Math.max(1, this.total));
    return "━".repeat(filled) + "─".repeat(width - filled);
  }

  summary(now: number): string {
    return `${this.label}: ${this.parts(4).join(" · ")} · took ${formatDuration((now - this.startedAt) / 1000)}`;
  }
}
