import { describe, expect, it } from "vitest";
import { chartFile, lineChart } from "./charts.js";
import { frontierCharts, metricCharts, type RunCurves, SETTINGS } from "./metric-charts.js";
import type { Point } from "./sections.js";

const run = (name: string, values: Record<string, readonly number[]>): RunCurves => ({
  name,
  keys: Object.keys(values),
  points: (key) => (values[key] ?? []).map((y, i): Point => ({ x: i + 1, y })),
});

const one = (values: Record<string, readonly number[]>) => metricCharts([[run("r", values)]], SETTINGS);

describe("charts of metrics", () => {
  it("have no mean of rewards that are in units of their own, and say so", () => {
    const { headline } = one({ reward: [3, 4], "tasks/a/reward": [1, 2], "tasks/b/reward": [5, 6] });
    expect(headline.map(({ title }) => title)).toEqual(["Proxy reward"]);
    expect(headline[0]!.series.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(headline[0]!.caption).toContain("Each task in the units of its own reward.");
  });

  it("keep the mean of shares, and leave it out where there is one task", () => {
    const rate = "constraints/satisfied_rate";
    const two = one({ [rate]: [0.5], [`tasks/a/${rate}`]: [0.4], [`tasks/b/${rate}`]: [0.6] });
    expect(two.headline[0]!.series.map(({ name }) => name)).toEqual(["all tasks", "a", "b"]);
    const alone = one({ [rate]: [0.5], [`tasks/a/${rate}`]: [0.5] });
    expect(alone.headline[0]!.series.map(({ name }) => name)).toEqual(["a"]);
  });

  it("give tasks panels of their own where one scale would flatten a curve", () => {
    const { headline } = one({ "tasks/a/reward": [0, 1], "tasks/b/reward": [0, 100] });
    expect(headline.map(({ title }) => title)).toEqual(["Proxy reward: a", "Proxy reward: b"]);
    expect(headline[0]!.y.holds).toEqual([0, 1]);
    expect(headline[1]!.y.holds).toEqual([0, 100]);
  });

  it("have names for people, and the files' names behind them", () => {
    const { headline, others } = one({
      "tasks/a/constraints/math/violation_rate": [0.5],
      "tasks/a/kl_factor_zero_rate": [0.1],
      "tasks/a/my_own/thing_rate": [0.1],
    });
    expect([headline[0]!.title, headline[0]!.rawName]).toEqual([
      "Violations: math",
      "constraints/math/violation_rate",
    ]);
    expect(others.map(({ title, y }) => [title, y.format])).toEqual([
      ["Responses at or beyond kl_max, whose reward is 0", "percent"],
      ["My own: thing rate", "percent"],
    ]);
  });

  it("join repetitions with Student's interval, cut to what a share can be", () => {
    const rate = "constraints/satisfied_rate";
    const groups = [[run("a", { [rate]: [0.9, 0.5] }), run("b", { [rate]: [0.7, 0.5] })]];
    const [chart] = metricCharts(groups, SETTINGS).headline;
    // t(0.975, 1) = 12.7062; the mean of 0.9 and 0.7 has the standard error 0.1.
    expect(chart!.series[0]!.points).toEqual([
      { x: 1, y: expect.closeTo(0.8), low: 0, high: 1 },
      { x: 2, y: 0.5, low: 0.5, high: 0.5 },
    ]);
    expect(chart!.series[0]!.name).toBe("a and 1 more seeds");
  });

  it("smooth long noisy curves and no counted ones", () => {
    const noisy = Array.from({ length: 80 }, (_, i) => (i % 2) + 0.5);
    const counted = Array.from({ length: 80 }, (_, i) => i % 2);
    const { others } = one({ loss: noisy, samples: counted });
    const of = (title: string) => others.find((chart) => chart.title === title)!.series[0]!;
    expect(of("Loss").raw).toHaveLength(80);
    // The mean over five: three of one kind, two of the other.
    expect(of("Loss").points[40]!.y).toBeCloseTo((3 * 0.5 + 2 * 1.5) / 5);
    expect(of("Samples").raw).toBeUndefined();
  });
});

describe("reward against KL", () => {
  const noisy = Array.from({ length: 40 }, (_, i) => i / 40 + (i % 2) / 2);
  const [chart] = frontierCharts([run("r", { "tasks/a/kl": noisy, "tasks/a/reward": noisy })]);

  it("is a smoothed path in the direction of time before its points", () => {
    const { points, raw, directed } = chart!.series[0]!;
    expect([directed, raw!.length, points.length]).toEqual([true, 40, 40]);
    const way = (of: readonly Point[]) =>
      of.slice(1).reduce((sum, { x, y }, i) => sum + Math.hypot(x - of[i]!.x, y - of[i]!.y), 0);
    expect(way(points)).toBeLessThan(way(raw!) / 4);
    const svg = lineChart(chart!, "panel").toString();
    expect(svg.match(/class="dot c0"/g)).toHaveLength(40);
    expect(svg.match(/class="arrow"/g)).toHaveLength(4);
    expect(svg.match(/rotate\((-?\d+)\)/)![1]).toMatch(/^-/);
  });

  it("as a file of its own has a size, its title and the style it is given", () => {
    const svg = chartFile(chart!, 720, "svg>text{fill:red}")!;
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" width="720" height="340"/);
    expect(svg).toContain('<text class="title" x="12" y="20">Proxy reward against KL</text>');
    expect(svg).toContain("<style>svg&gt;text{fill:red}</style>");
    expect(svg).toMatch(/<svg x="\d+" y="32" width="\d+" height="300" overflow="visible">/);
  });
});
