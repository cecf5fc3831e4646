import { describe, expect, it } from "vitest";
import { headline } from "../run/headline.js";
import { formatDuration } from "./phase.js";
import { createReporter } from "./progress.js";

/** A terminal that remembers, and a clock that is turned by hand. */
function setup(isTTY: boolean, columns = 100) {
  const written: string[] = [];
  const clock = { now: 0 };
  const terminal = { isTTY, columns, write: (text: string) => written.push(text) };
  return { written, clock, reporter: createReporter({ terminal, now: () => clock.now }) };
}

describe("where there is no terminal", () => {
  it("writes a line every few seconds, and one at the end", () => {
    const { written, clock, reporter } = setup(false);
    reporter.note("data: 10 rows");
    reporter.begin("align", 100);
    for (let done = 1; done <= 12; done++) {
      clock.now += 1000;
      reporter.step(done, { "tasks/chat/reward": 0.5, grad_norm: 3 });
    }
    reporter.end();
    expect(written).toEqual([
      "data: 10 rows\n",
      "align: 0/100\n",
      "align: 5/100 · 1.0 s each · 1m 35s left · chat reward 0.500\n",
      "align: 10/100 · 1.0 s each · 1m 30s left · chat reward 0.500\n",
      "align: 12/100 · 1.0 s each · 1m 28s left · chat reward 0.500 · took 12s\n",
    ]);
  });

  it("measures the rate of a resumed run from where it resumed", () => {
    const { written, clock, reporter } = setup(false);
    reporter.begin("sft", 100, 90);
    clock.now = 6000;
    reporter.step(96);
    expect(written).toEqual(["sft: 90/100\n", "sft: 96/100 · 1.0 s each · 4.0s left\n"]);
  });
});

describe("at a terminal", () => {
  it("refreshes one line that never wraps, and keeps notes above it", () => {
    const { written, clock, reporter } = setup(true, 40);
    reporter.begin("reward model 1 of 4", 10);
    clock.now = 500;
    reporter.step(5, { loss: 0.25 });
    reporter.note("saved");
    reporter.end();
    for (const text of written) {
      expect(text.startsWith("\r\x1b[K")).toBe(true);
      if (!text.endsWith("\n")) expect(text.replace("\r\x1b[K", "").length).toBeLessThan(40);
    }
    expect(written[1]).toBe("\r\x1b[Kreward model 1 of 4 5/10 · 10.0/s");
    expect(written).toContain("\r\x1b[Ksaved\n");
    expect(written.at(-1)).toContain("5/10 · 10.0/s · 0.5s left · loss 0.250 · took 0.5s\n");
  });

  it("leaves out whole figures where many tasks have long names, and steers nothing", () => {
    const { written, clock, reporter } = setup(true, 90);
    reporter.begin("align", 10);
    clock.now = 500;
    const tasks = ["a task of quite a long name", "short", "x\x1b[2Jy"];
    reporter.step(5, Object.fromEntries(tasks.map((task, i) => [`tasks/${task}/reward`, i / 4])));
    expect(written.at(-1)).toBe(
      `\r\x1b[Kalign ${"━".repeat(12)}${"─".repeat(12)} 5/10 · 10.0/s · 0.5s left · short reward 0.250`,
    );
    reporter.note("x\x1b[2Jy");
    expect(written).toContain("\r\x1b[Kx·[2Jy\n");
  });

  it("draws no more often than eyes can follow", () => {
    const { written, clock, reporter } = setup(true);
    reporter.begin("sft", 1000);
    for (let done = 1; done <= 1000; done++) {
      clock.now += 1;
      reporter.step(done);
    }
    expect(written.length).toBeLessThan(20);
  });
});

describe("progress", () => {
  it("says nothing when quiet", () => {
    const reporter = createReporter({ quiet: true, terminal: { write: () => expect.unreachable() } });
    reporter.begin("sft", 2);
    reporter.note("x");
    reporter.step(1);
    reporter.end();
  });

  it("shows what matters first, and times as people say them", () => {
    const metrics = {
      loss: 1,
      "tasks/math/kl": 2,
      "constraints/satisfied_rate": 0.5,
      "tasks/math/reward": 3,
      lr: 9,
    };
    expect(headline(metrics, 3)).toEqual(["math reward 3.00", "math kl 2.00", "satisfied 0.500"]);
    expect(headline({ kl: 1, "tasks/a/kl": 2 }, 3)).toEqual(["kl 1.00"]);
    expect([0.52, 59, 75, 3725].map(formatDuration)).toEqual(["0.5s", "59s", "1m 15s", "1h 2m"]);
  });
});
