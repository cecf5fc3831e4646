// The panel of --watch: progress, a small curve of each main figure, the last alarm and a sample, redrawn in place at the end of
// the screen. What is said once stays above it, as without a panel.

import type { Reporter } from "../run/context.js";
import { mainFigures } from "../run/headline.js";
import type { Metrics, Rollout } from "../run/metrics.js";
import { Phase } from "./phase.js";
import type { Terminal } from "./progress.js";
import { cutTo, fitParts, harmless, inOneLine, widthOf, wrap } from "./terminal-text.js";

/** Milliseconds between two pictures. */
const REFRESH = 150;
/** Figures at the most, steps of a curve, and lines of a response. */
const FIGURES = 10;
const STEPS = 2000;
const RESPONSE_LINES = 3;
/** Lines that are no figures: progress, alarm, the sample's head and prompt, and one that stays free. */
const OTHER_LINES = 5 + RESPONSE_LINES;

const LEVELS = "▁▂▃▄▅▆▇█";

/** The values, oldest first, as a curve of at most `width` columns; each is the mean of the steps that fall on it. */
export function sparkline(values: readonly number[], width: number): string {
  const columns = Math.min(width, values.length);
  const means = Array.from({ length: columns }, (_, i) => {
    const part = values.slice(
      Math.floor((i * values.length) / columns),
      Math.floor(((i + 1) * values.length) / columns),
    );
    return part.reduce((sum, value) => sum + value / part.length, 0);
  });
  const [low, high] = [Math.min(...means), Math.max(...means)];
  const levelOf = (value: number) =>
    high > low ? Math.min(LEVELS.length - 1, Math.floor(((value - low) / (high - low)) * LEVELS.length)) : 3;
  return means.map((value) => LEVELS[levelOf(value)]).join("");
}

const brief = (value: number) => value.toPrecision(3);

type Style = "dim" | "alarm" | "strong";
const CODES: Record<Style, string> = { dim: "2", alarm: "33", strong: "1" };

interface Line {
  text: string;
  style?: Style;
}

export class PanelReporter implements Reporter {
  private phase: Phase | undefined;
  private readonly curves = new Map<string, number[]>();
  private alarm: string | undefined;
  /** The sample of each task that its reward liked best, of the newest step. */
  private samples = new Map<string, Rollout>();
  private lastDraw = Number.NEGATIVE_INFINITY;
  /** The lines that stand on the screen. */
  private shown: string[] = [];

  constructor(
    private readonly terminal: Terminal,
    private readonly now: () => number,
    private readonly options: { hasColor: boolean },
  ) {}

  note(line: string): void {
    if (line.startsWith("alarm at step")) this.alarm = line;
    this.erase();
    this.terminal.write(`${harmless(line)}\n`);
    this.draw();
  }

  begin(label: string, total: number, done = 0): void {
    this.erase();
    this.phase = new Phase(label, total, done, this.now());
    this.curves.clear();
    this.samples.clear();
    this.alarm = undefined;
    hideCursor(this.terminal);
    this.draw();
  }

  samplesTaken(rows: readonly Rollout[]): void {
    for (const row of rows) {
      const best = this.samples.get(row.task);
      if (
        !best ||
        best.step < row.step ||
        (row.reward ?? Number.NEGATIVE_INFINITY) > (best.reward ?? Number.NEGATIVE_INFINITY)
      )
        this.samples.set(row.task, row);
    }
  }

  step(done: number, metrics?: Metrics): void {
    const now = this.now();
    this.phase?.advance(done, now, metrics);
    for (const { name, value } of metrics ? mainFigures(metrics) : []) {
      const curve = this.curves.get(name) ?? [];
      curve.push(value);
      if (curve.length > STEPS) curve.shift();
      this.curves.set(name, curve);
    }
    if (now - this.lastDraw >= REFRESH) this.draw();
  }

  end(): void {
    const { phase } = this;
    this.phase = undefined;
    this.erase();
    if (!phase) return;
    showCursor(this.terminal);
    this.terminal.write(`${harmless(phase.summary(this.now()))}\n`);
  }

  private erase(): void {
    const { terminal, shown } = this;
    if (shown.length === 0) return;
    // A terminal that has become narrower has wrapped them.
    const columns = terminal.columns || 80;
    const rows = shown.reduce((sum, line) => sum + Math.max(1, Math.ceil(widthOf(line) / columns)), 0);
    terminal.write(`\r\x1b[${rows}A\x1b[J`);
    this.shown = [];
  }

  private draw(): void {
    if (!this.phase) return;
    this.lastDraw = this.now();
    // A terminal that does not know its size says 0.
    const [columns, rows] = [this.terminal.columns || 80, this.terminal.rows || 24];
    const lines = this.picture(this.phase, columns - 1, rows).slice(0, Math.max(1, rows - 1));
    this.erase();
    this.terminal.write(lines.map((line) => `${this.styled(line)}\n`).join(""));
    this.shown = lines.map(({ text }) => text);
  }

  private styled({ text, style }: Line): string {
    return style && this.options.hasColor ? `\x1b[${CODES[style]}m${text}\x1b[0m` : text;
  }

  /** Lines of at most `width` columns. */
  private picture(phase: Phase, width: number, rows: number): Line[] {
    const course = phase.course();
    const bar = Math.max(8, Math.min(30, width - widthOf([phase.label, ...course].join(" · ")) - 2));
    const lines: Line[] = [
      {
        text: fitParts(
          [`${inOneLine(phase.label)} ${phase.bar(bar)} ${course[0]}`, ...course.slice(1)],
          width,
        ),
        style: "strong",
      },
    ];
    const figures = [...this.curves].slice(0, Math.max(1, Math.min(FIGURES, rows - OTHER_LINES)));
    const names = Math.min(28, Math.max(0, ...figures.map(([name]) => widthOf(inOneLine(name)))));
    for (const [name, curve] of figures)
      lines.push({ text: figureLine(inOneLine(name), curve, { names, width }) });
    if (this.alarm !== undefined) lines.push({ text: cutTo(inOneLine(this.alarm), width), style: "alarm" });
    return [...lines, ...this.sampleLines(phase.done, width)];
  }

  /** One task after the other has its turn. */
  private sampleLines(step: number, width: number): Line[] {
    const samples = [...this.samples.values()];
    const sample = samples[step % Math.max(1, samples.length)];
    if (!sample) return [];
    const reward = sample.reward === null ? "no reward" : `reward ${brief(sample.reward)}`;
    const head = [
      `best of step ${sample.step}, task ${inOneLine(sample.task)}`,
      reward,
      sample.outcome ?? "not judged",
    ];
    return [
      { text: fitParts(head, width), style: "dim" },
      { text: cutTo(`  ${inOneLine(sample.prompt)}`, width), style: "dim" },
      ...wrap(inOneLine(sample.response), width - 2, RESPONSE_LINES).map((line) => ({ text: `  ${line}` })),
    ];
  }
}

/** "reward      0.512  ▁▂▃▅▆▇█  -0.100 to 0.600" */
function figureLine(
  name: string,
  curve: readonly number[],
  { names, width }: { names: number; width: number },
): string {
  const cut = cutTo(name, names);
  const label = cut + " ".repeat(names - widthOf(cut));
  const range = `${brief(Math.min(...curve))} to ${brief(Math.max(...curve))}`;
  const value = brief(curve.at(-1)!).padStart(9);
  const room = width - names - value.length - range.length - 4;
  const line =
    room < 8 ? `${label} ${value}` : `${label} ${value}  ${sparkline(curve, Math.min(60, room))}  ${range}`;
  return cutTo(line, width);
}

let hidden: Terminal | undefined;

/** Whatever ends the process, the terminal has its cursor again. */
function hideCursor(terminal: Terminal): void {
  if (hidden === undefined) process.once("exit", restore);
  hidden = terminal;
  terminal.write("\x1b[?25l");
}

function showCursor(terminal: Terminal): void {
  terminal.write("\x1b[?25h");
  hidden = undefined;
  process.off("exit", restore);
}

const restore = (): void => void hidden?.write("\x1b[?25h");
