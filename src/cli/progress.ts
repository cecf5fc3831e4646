// Progress at the terminal: one line that refreshes where there is a terminal, a line every few seconds where there is
// none. Both go to stderr, so that stdout is the result's.

import { type Reporter, silent } from "../run/context.js";
import { headline } from "../run/headline.js";
import type { Metrics } from "../run/metrics.js";

/** The part of a stream that is needed; `process.stderr` is one. */
export interface Terminal {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

export interface ReporterOptions {
  /** Say nothing but warnings: what a run does otherwise than somebody may think is no progress. */
  quiet?: boolean;
  terminal?: Terminal;
  /** Milliseconds, for tests. */
  now?: () => number;
}

/** Milliseconds between two refreshes of a terminal's line, and between two lines elsewhere. */
const REFRESH = 80;
const LINE = 5000;
/** Steps over which the rate is measured. */
const WINDOW = 20;
const BAR = 24;

export function createReporter({
  quiet = false,
  terminal = process.stderr,
  now = () => performance.now(),
}: ReporterOptions = {}): Reporter {
  if (quiet)
    return {
      ...silent,
      note: (line) => void (isWarning(line) && terminal.write(`${line}\n`)),
    };
  return terminal.isTTY ? new TerminalReporter(terminal, now) : new LineReporter(terminal, now);
}

/** Said whether or not progress is wanted. */
export const isWarning = (line: string): boolean => line.startsWith("warning: ");

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
class Phase {
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

  /** "42/200 · 3.1 s each · 8m 12s left · reward 1.2" */
  describe(metricCount: number): string {
    const rate = this.secondsPerStep;
    const parts = [`${this.done}/${this.total}`];
    if (rate !== undefined) {
      parts.push(formatRate(rate));
      if (this.done < this.total) parts.push(`${formatDuration(rate * (this.total - this.done))} left`);
    }
    return [...parts, ...headline(this.metrics, metricCount)].join(" · ");
  }

  summary(now: number): string {
    return `${this.label}: ${this.describe(4)} · took ${formatDuration((now - this.startedAt) / 1000)}`;
  }
}

class LineReporter implements Reporter {
  private phase: Phase | undefined;
  private lastLine = 0;

  constructor(
    private readonly terminal: Terminal,
    private readonly now: () => number,
  ) {}

  note(line: string): void {
    this.terminal.write(`${line}\n`);
  }

  begin(label: string, total: number, done = 0): void {
    this.lastLine = this.now();
    this.phase = new Phase(label, total, done, this.lastLine);
    this.note(`${label}: ${done}/${total}`);
  }

  step(done: number, metrics?: Metrics): void {
    const now = this.now();
    this.phase?.advance(done, now, metrics);
    if (!this.phase || now - this.lastLine < LINE) return;
    this.lastLine = now;
    this.note(`${this.phase.label}: ${this.phase.describe(4)}`);
  }

  end(): void {
    if (this.phase) this.note(this.phase.summary(this.now()));
    this.phase = undefined;
  }
}

class TerminalReporter implements Reporter {
  private phase: Phase | undefined;
  private lastDraw = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly terminal: Terminal,
    private readonly now: () => number,
  ) {}

  note(line: string): void {
    this.terminal.write(`\r\x1b[K${line}\n`);
    this.draw();
  }

  begin(label: string, total: number, done = 0): void {
    this.phase = new Phase(label, total, done, this.now());
    this.draw();
  }

  step(done: number, metrics?: Metrics): void {
    const now = this.now();
    this.phase?.advance(done, now, metrics);
    if (now - this.lastDraw >= REFRESH) this.draw();
  }

  end(): void {
    const phase = this.phase;
    this.phase = undefined;
    if (phase) this.note(phase.summary(this.now()));
  }

  private draw(): void {
    if (!this.phase) return;
    this.lastDraw = this.now();
    const { label, done, total } = this.phase;
    const filled = Math.round((BAR * Math.min(done, total)) / Math.max(1, total));
    const line = `${label} ${"━".repeat(filled)}${"─".repeat(BAR - filled)} ${this.phase.describe(4)}`;
    // A line that wraps cannot be refreshed, so it is cut instead.
    this.terminal.write(`\r\x1b[K${[...line].slice(0, (this.terminal.columns ?? 80) - 1).join("")}`);
  }
}
