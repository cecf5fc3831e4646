// The panel, as a terminal that understands its few escape sequences shows it.

import { describe, expect, it } from "vitest";
import type { Rollout } from "../run/metrics.js";
import { sparkline } from "./panel.js";
import { createReporter } from "./progress.js";
import { widthOf } from "./terminal-text.js";

/** A screen with scroll-back that knows line feeds, moves up, and what erases. */
class Screen {
  isTTY = true;
  columns = 80;
  rows = 24;
  cursor = true;
  readonly written: string[] = [];
  private lines: string[] = [""];
  private row = 0;

  write(given: string): void {
    const text = given.replaceAll("\x1b", "⎋");
    this.written.push(text);
    for (const [part] of text.matchAll(/⎋\[[?\d;]*[A-Za-z]|[\r\n]|[^⎋\r\n]+/g)) {
      if (part === "\n") {
        this.row++;
        this.lines[this.row] ??= "";
      } else if (part === "\r") continue;
      else if (part === "⎋[J") this.lines.splice(this.row, this.lines.length, "");
      else if (part === "⎋[K") this.lines[this.row] = "";
      else if (part === "⎋[?25l") this.cursor = false;
      else if (part === "⎋[?25h") this.cursor = true;
      else if (/^⎋\[\d+A$/.test(part)) this.row -= Number(part.slice(2, -1));
      else if (!part.startsWith("⎋")) this.lines[this.row] += part;
      if (this.row < 0) throw new Error("it went above the first line");
    }
  }

  get text(): string[] {
    return this.lines.slice(0, -1);
  }
}

const sample = (step: number, task: string, response: string, reward: number | null): Rollout => ({
  step,
  task,
  prompt: "What is it?\nSay it.",
  response,
  finish_reason: "stop",
  tokens: 3,
  reward,
  outcome: "violated",
  verdicts: {},
});

function setup(env: NodeJS.ProcessEnv = {}) {
  const screen = new Screen();
  const clock = { now: 0 };
  const reporter = createReporter({ watch: true, terminal: screen, now: () => clock.now, env });
  const step = (done: number, metrics: Record<string, number>) => {
    clock.now += 1000;
    reporter.step(done, metrics);
  };
  return { screen, reporter, step };
}

describe("the panel", () => {
  it("is drawn in place below what is said, with curves, the last alarm and the sample that was liked best", () => {
    const { screen, reporter, step } = setup({ NO_COLOR: "1" });
    reporter.note("data: 10 rows");
    reporter.begin("align", 4);
    expect(screen.cursor).toBe(false);
    for (let done = 1; done <= 3; done++) {
      reporter.samplesTaken!([
        sample(done, "chat", "meagre", 0.1),
        sample(done, "chat", `liked \x1b[2J${done}\nbest`, 0.9),
        sample(done, "chat", "none", null),
      ]);
      step(done, { reward: done / 10, kl: 1, "tasks/chat/reward": done / 10, grad_norm: 7 });
      if (done === 2) reporter.note("alarm at step 2: task chat: entropy fell");
    }
    expect(screen.text).toEqual([
      "data: 10 rows",
      "alarm at step 2: task chat: entropy fell",
      "align ━━━━━━━━━━━━━━━━━━━━━━━─────── 3/4 · 1.0 s each · 1.0s left",
      "reward          0.300  ▁▅█  0.100 to 0.300",
      "kl               1.00  ▄▄▄  1.00 to 1.00",
      "chat reward     0.300  ▁▅█  0.100 to 0.300",
      "alarm at step 2: task chat: entropy fell",
      "best of step 3, task chat · reward 0.900 · violated",
      "  What is it? ⏎ Say it.",
      "  liked ·[2J3 ⏎ best",
    ]);
    reporter.end();
    expect(screen.cursor).toBe(true);
    expect(screen.text).toEqual([
      "data: 10 rows",
      "alarm at step 2: task chat: entropy fell",
      "align: 3/4 · 1.0 s each · 1.0s left · reward 0.300 · kl 1.00 · took 3.0s",
    ]);
    expect(screen.written.join("")).not.toMatch(/⎋\[[\d;]*m/);
  });

  it("has colours where nobody objects, in its alarm for one", () => {
    const { screen, reporter } = setup();
    reporter.begin("align", 2);
    reporter.note("alarm at step 1: x");
    expect(screen.written.join("")).toContain("⎋[33malarm at step 1: x⎋[0m\n");
  });

  it.each([20, 40, 79, 200])("never wraps and never scrolls itself away, in %d columns", (columns) => {
    const { screen, reporter, step } = setup();
    Object.assign(screen, { columns, rows: 10 });
    reporter.begin("reward model 1 of 4", 3);
    const tasks = Array.from({ length: 12 }, (_, i) => `a task of a long name, 日本 ${i}`);
    for (let done = 1; done <= 3; done++) {
      for (const task of tasks) reporter.samplesTaken!([sample(done, task, "word ".repeat(200), 1)]);
      step(
        done,
        Object.fromEntries(
          tasks.flatMap((t, i) => [
            [`tasks/${t}/reward`, i],
            [`tasks/${t}/kl`, i],
          ]),
        ),
      );
    }
    for (const line of screen.text) expect(widthOf(line), line).toBeLessThan(columns);
    expect(screen.text.length).toBeLessThan(10);
    expect(screen.text.length).toBeGreaterThan(4);
  });

  it("takes the lines that a narrower terminal has wrapped away with it", () => {
    const { screen, reporter, step } = setup({ NO_COLOR: "1" });
    reporter.begin("align", 3);
    step(1, { reward: 1 });
    screen.columns = 30;
    const before = screen.written.length;
    // 67 columns of progress on three lines, 36 of a figure on two: how far it goes up is what a real terminal needs.
    expect(() => step(2, { reward: 2 })).toThrow("above the first line");
    expect(/⎋\[(\d+)A/.exec(screen.written.slice(before).join(""))![1]).toBe("5");
  });
});

it("a curve has the shape of its values, however many there are", () => {
  expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8)).toBe("▁▂▃▄▅▆▇█");
  expect(sparkline([5, 5], 8)).toBe("▄▄");
  expect(
    sparkline(
      Array.from({ length: 1000 }, (_, i) => i),
      4,
    ),
  ).toBe("▁▃▆█");
  expect(sparkline([], 4)).toBe("");
});

it("where there is no terminal that can be painted, --watch is said to be off, once, and lines come", () => {
  for (const [isTTY, env] of [
    [false, {}],
    [true, { TERM: "dumb" }],
  ] as const) {
    const written: string[] = [];
    let now = 0;
    const reporter = createReporter({
      watch: true,
      terminal: { isTTY, write: (text) => written.push(text) },
      now: () => now,
      env,
    });
    reporter.begin("sft", 2);
    now = 1000;
    reporter.step(1);
    reporter.end();
    expect(written).toEqual([
      "--watch wants a terminal; progress comes in lines\n",
      "sft: 0/2\n",
      "sft: 1/2 · 1.0 s each · 1.0s left · took 1.0s\n",
    ]);
  }
});

it("--quiet wins", () => {
  const reporter = createReporter({
    watch: true,
    quiet: true,
    terminal: { isTTY: true, write: () => expect.unreachable() },
  });
  reporter.begin("sft", 1);
  reporter.step(1);
  reporter.end();
});
