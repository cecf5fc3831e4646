import { describe, expect, it } from "vitest";
import { RandomStream } from "../base/random.js";
import { MONITOR_SIGNALS } from "../recipe/align.js";
import type { Metrics, Rollout } from "../run/metrics.js";
import { Drift, Smoothed } from "./drift.js";
import { tellingSamples } from "./signals.js";
import { type Alarm, Watch, type WatchOptions } from "./watch.js";

/** Normal numbers of a seed. */
function normals(seed: number): () => number {
  const random = new RandomStream(seed, "noise");
  return () => random.normal();
}

describe("a smoothed series", () => {
  it("has the standard error of its value", () => {
    // Of 2,000 series of normal noise, the standard deviation of the smoothed value at step 200.
    const ends: number[] = [];
    const errors: number[] = [];
    for (let seed = 0; seed < 500; seed++) {
      const noise = normals(seed);
      const smoothed = new Smoothed(10);
      for (let t = 0; t < 200; t++) smoothed.push(3 + 0.5 * noise());
      ends.push(smoothed.value);
      errors.push(smoothed.standardError);
    }
    const mean = ends.reduce((a, b) => a + b) / ends.length;
    const deviation = Math.sqrt(ends.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (ends.length - 1));
    const said = errors.reduce((a, b) => a + b) / errors.length;
    // alpha = 2 / 11: sqrt(alpha / (2 - alpha)) x 0.5 = 0.158.
    expect(deviation).toBeGreaterThan(0.14);
    expect(deviation).toBeLessThan(0.18);
    expect(said / (0.5 * Math.sqrt(2 / 11 / (2 - 2 / 11)))).toBeCloseTo(1, 1);
  });

  it("begins as the plain mean", () => {
    const smoothed = new Smoothed(10);
    for (const x of [1, 2, 6]) smoothed.push(x);
    expect(smoothed.value).toBeCloseTo(3, 12);
  });
});

describe("a change", () => {
  const rule = { direction: "falls" as const, least: 0.05 };
  const options = { window: 10, threshold: 4 };

  it("is seen soon after a fall, since when, and once", () => {
    const noise = normals(7);
    const drift = new Drift(rule, options);
    const seen = [];
    for (let step = 1; step <= 200; step++) {
      const change = drift.push(step, (step <= 100 ? 0.9 : 0.6) + 0.02 * noise());
      if (change) seen.push({ step, ...change });
    }
    expect(seen[0]!.step).toBeGreaterThan(100);
    expect(seen[0]!.step).toBeLessThan(106);
    expect(seen[0]!.since).toBeLessThanOrEqual(100);
    expect(seen[0]!.from).toBeCloseTo(0.9, 1);
    // What is left of the fall a window later may be said once more.
    expect(seen.length).toBeLessThanOrEqual(2);
    expect(seen.at(-1)!.step).toBeLessThan(130);
  });

  it("is none in noise, nor in a rise, nor below the least that matters", () => {
    const noise = normals(3);
    const watched = [
      { x: () => 0.02 * noise(), rule },
      { x: (t: number) => t + noise(), rule },
      { x: (t: number) => (t > 100 ? 0.97 : 1), rule },
    ];
    for (const { x, rule: own } of watched) {
      const drift = new Drift(own, options);
      for (let t = 0; t < 300; t++) expect(drift.push(t, x(t))).toBeUndefined();
    }
  });
});

const key = (metric: string) => `tasks/chat/${metric}`;

function alarmsOf(metrics: (t: number) => Metrics, steps: number, options?: WatchOptions): Alarm[] {
  const watch = new Watch(options);
  return Array.from({ length: steps }, (_, t) => watch.observe(t + 1, metrics(t + 1))).flat();
}

describe("the watch", () => {
  const hacked = (noise: () => number) => (t: number) => ({
    [key("rewards/mean")]: 0.01 * t + 0.02 * noise(),
    [key("measures/gold")]: (t < 60 ? 0.01 * t : 0.6 - 0.02 * (t - 60)) + 0.02 * noise(),
    [key("kl")]: 0.05 * t,
    [key("completions/mean_length")]: 40 + noise(),
  });

  it("sees a held-out measure fall while the reward rises, and nothing else in that run", () => {
    const alarms = alarmsOf(hacked(normals(1)), 100);
    expect(new Set(alarms.map(({ signal }) => signal))).toEqual(new Set(["held_out"]));
    expect(alarms[0]!.step).toBeLessThan(75);
    expect(alarms[0]!.since).toBeGreaterThan(50);
    expect(alarms[0]!.sentence).toMatch(
      /^task chat: the held-out measure gold fell from 0\.\d+ \(step \d+\) to 0\.\d+ while the reward went from 0\.\d+ to 0\.\d+$/,
    );
  });

  it("raises nothing while everything rises together, or falls together", () => {
    const noise = normals(2);
    const together = (slope: number) => (t: number) => ({
      [key("rewards/mean")]: slope * t + 0.02 * noise(),
      [key("measures/gold")]: slope * t + 0.02 * noise(),
      [key("constraints/satisfied_rate")]: 0.9 + 0.02 * noise(),
    });
    expect(alarmsOf(together(0.01), 200)).toEqual([]);
    expect(alarmsOf(together(-0.01), 200)).toEqual([]);
  });

  it.each([
    ["feasible", "constraints/satisfied_rate", (t: number) => 0.95 - 0.005 * t],
    ["members", "rewards/spread", (t: number) => 0.2 + 0.005 * t],
    ["judges", "judges/disagreement", (t: number) => 0.05 + 0.004 * t],
    ["kl_speed", "kl", (t: number) => 0.002 * t * t],
    ["length", "completions/mean_length", (t: number) => 50 + t],
    ["length", "completions/mean_length", (t: number) => 150 - t],
    ["repetition", "completions/repetition", (t: number) => 0.01 + 0.002 * t],
    ["entropy", "completions/entropy", (t: number) => 2 - 0.015 * t],
    ["failures", "dropped_rate", (t: number) => 0.002 * t],
  ] as const)("%s watches %s", (signal, metric, value) => {
    const metrics = (t: number) => ({ [key("rewards/mean")]: 0.01 * t, [key(metric)]: value(t) });
    const [first] = alarmsOf(metrics, 100, { signals: MONITOR_SIGNALS });
    expect(first).toMatchObject({ task: "chat", signal, metric });
    // Those of which nothing came in the lab are watched where they are named.
    const isDefault = !["members", "judges"].includes(signal);
    expect(alarmsOf(metrics, 100).length > 0).toBe(isDefault);
    expect(alarmsOf(metrics, 100, { signals: MONITOR_SIGNALS.filter((name) => name !== signal) })).toEqual(
      [],
    );
  });

  it("says the same of a run that is read back, in pieces, with values that are missing", () => {
    const run = hacked(normals(5));
    const rows = Array.from({ length: 100 }, (_, t) => ({
      ...run(t + 1),
      ...(t % 7 === 0 && { [key("measures/gold")]: undefined }),
    }));
    const whole = new Watch();
    const live = rows.flatMap((row, t) => whole.observe(t + 1, row));
    const back = new Watch();
    const read = rows.map((row) => JSON.parse(JSON.stringify(row, (_, value) => value ?? null)));
    expect(read.flatMap((row, t) => back.observe(t + 1, row))).toEqual(live);
    expect(live.length).toBeGreaterThan(0);
  });
});

it("shows the samples that tell most of an alarm, of its task alone", () => {
  const sample = (id: string, changes: Partial<Rollout>): Rollout => ({
    step: 1,
    task: "chat",
    prompt_id: id,
    prompt: "p",
    response: id,
    finish_reason: "stop",
    tokens: 1,
    reward: 0,
    verdicts: {},
    ...changes,
  });
  const rollouts = [
    sample("fine", { reward: 9, outcome: "satisfied" }),
    sample("bad", { reward: 1, outcome: "violated" }),
    sample("worse", { reward: 3, outcome: "violated" }),
    sample("elsewhere", { reward: 8, outcome: "violated", task: "other" }),
  ];
  const ids = (alarm: Parameters<typeof tellingSamples>[0], count?: number) =>
    tellingSamples(alarm, rollouts, count).map(({ prompt_id }) => prompt_id);
  const feasible = { signal: "feasible", metric: "constraints/satisfied_rate", task: "chat" } as const;
  expect(ids(feasible)).toEqual(["worse", "bad"]);
  expect(ids(feasible, 1)).toEqual(["worse"]);
  const measured = [
    sample("low", { measures: { gold: -1 } }),
    sample("none", {}),
    sample("high", { measures: { gold: 1 } }),
  ];
  expect(
    tellingSamples({ signal: "held_out", metric: "measures/gold", task: "chat" }, measured).map(
      ({ prompt_id }) => prompt_id,
    ),
  ).toEqual(["low", "high"]);
});
