// Progress at the terminal: one line that refreshes where there is a terminal (with --watch a panel, panel.ts), a line every
// few seconds where there is none. All go to stderr, so that stdout is the result's.

import { type Reporter, silent } from "../run/context.js";
import type { Metrics } from "../run/metrics.js";
import { PanelReporter } from "./panel.js";
import { Phase } from "./phase.js";
import { fitParts, harmless, inOneLine } from "./terminal-text.js";

/** The part of a stream that is needed; `process.stderr` is one. */
export interface Terminal {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
  rows?: number;
}

export interface ReporterOptions {
  /** Say nothing but warnings: what a run does otherwise than somebody may think is no progress. */
  quiet?: boolean;
  /** A panel with curves, where there is a terminal. */
  watch?: boolean;
  terminal?: Terminal;
  /** Milliseconds, for tests. */
  now?: () => number;
  env?: NodeJS.ProcessEnv;
}

/** Milliseconds between two refreshes of a terminal's line, and between two lines elsewhere. */
const REFRESH = 80;
const LINE = 5000;
const BAR = 24;
/** Columns of a terminal below which there is no bar. */
const NARROW = 64;

export function createReporter({
  quiet = false,
  watch = false,
  terminal = process.stderr,
  now = () => performance.now(),
  env = process.env,
}: ReporterOptions = {}): Reporter {
  if (quiet)
    return {
      ...silent,
      note: (line) => void (isWarning(line) && terminal.write(`${harmless(line)}\n`)),
    };
  const canPaint = terminal.isTTY === true && env.TERM !== "dumb";
  if (watch && canPaint) return new PanelReporter(terminal, now, { hasColor: !env.NO_COLOR });
  if (watch) terminal.write("--watch wants a terminal; progress comes in lines\n");
  return canPaint ? new TerminalReporter(terminal, now) : new LineReporter(terminal, now);
}

/** Said whether or not progress is wanted. */
export const isWarning = (line: string): boolean => line.startsWith("warning: ");

class LineReporter implements Reporter {
  private phase: Phase | undefined;
  private lastLine = 0;

  constructor(
    private readonly terminal: Terminal,
    private readonly now: () => number,
  ) {}

  note(line: string): void {
    this.terminal.write(`${harmless(line)}\n`);
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
    this.note(`${this.phase.label}: ${this.phase.parts(4).map(inOneLine).join(" · ")}`);
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
    this.terminal.write(`\r\x1b[K${harmless(line)}\n`);
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
    const { phase } = this;
    if (!phase) return;
    this.lastDraw = this.now();
    const columns = this.terminal.columns || 80;
    const [course, ...parts] = phase.parts(4).map(inOneLine);
    const head = columns < NARROW ? phase.label : `${phase.label} ${phase.bar(BAR)}`;
    // A line that wraps cannot be refreshed: what does not fit is left out.
    this.terminal.write(`\r\x1b[K${fitParts([`${head} ${course}`, ...parts], columns - 1)}`);
  }
}
