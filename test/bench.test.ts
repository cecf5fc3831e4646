// The engine benchmark runs without Python and writes what issue readers and scripts rely on.

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { lossOf, type MonitoredRun, signalRecords } from "../bench/monitor.js";
import { widen } from "../bench/widen.js";
import { baseModelDir } from "../src/lab/quickstart.js";
import { MONITOR_SIGNALS } from "../src/recipe/align.js";
import { openPolicy } from "../src/train/models.js";

const root = join(import.meta.dirname, "..");
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "touchstone-bench-test-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const bench = (...args: string[]) =>
  promisify(execFile)(
    process.execPath,
    ["--import", import.meta.resolve("tsx"), join(root, "bench/main.ts"), ...args],
    { cwd: root },
  );

it("measures our side of one cell and writes its figures", async () => {
  const json = join(dir, "engine.json");
  const cell = ["--shapes", "nano", "--work", "generate", "--batches", "2"];
  const short = ["--no-peer", "--threads", "1", "--seconds", "0", "--repeat", "1"];
  const { stdout } = await bench("engine", ...cell, ...short, "--json", json, "--checkpoints", dir);
  const { benchmark, machine, settings, peer, results } = JSON.parse(await readFile(json, "utf8"));
  expect({ benchmark, settings, peer }).toEqual({
    benchmark: "engine",
    settings: { threads: 1, seconds: 0, repeat: 1, dtype: "float32", peer_attention: "sdpa" },
    peer: null,
  });
  expect(machine.cores).toBeGreaterThan(0);
  expect(results).toEqual([
    {
      shape: "nano",
      work: "generate",
      batch: 2,
      prompt_tokens: 32,
      new_tokens: 128,
      ours: expect.any(Number),
      peer: null,
      ratio: null,
      ratio_min: null,
      ratio_max: null,
      repetitions: 1,
      ours_peak_mb: expect.any(Number),
      peer_peak_mb: null,
      difference: null,
      agree: null,
      waiting_cpu: null,
    },
  ]);
  expect(results[0].ours).toBeGreaterThan(0);
  expect(stdout).toContain("nano");
});

it("names the shapes when asked for one that is not there", async () => {
  await expect(bench("engine", "--shapes", "nanno")).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--shapes has no "nanno"'),
  });
});

it("widens a model without changing what it says", async () => {
  const wide = join(dir, "wide");
  const config = await widen(baseModelDir, wide, 4);
  expect(config).toMatchObject({
    hiddenSize: 512,
    heads: 16,
    kvHeads: 16,
    headDim: 32,
    intermediateSize: 1376,
  });
  const engine = { kind: "local", device: "cpu", maxBatchTokens: 4096, threads: 1 } as const;
  const { policy: narrow, codec } = await openPolicy(baseModelDir, { engine, frozen: true });
  const { policy: widened } = await openPolicy(wide, { engine, frozen: true });
  const prompt = codec.prompt([{ role: "user", content: "what is 12 + 30?" }]);
  const options = { maxNewTokens: 24, seeds: [1, 2, 3, 4], n: 4 };
  const [said, wideSaid] = [await narrow.sample([prompt], options), await widened.sample([prompt], options)];
  expect(wideSaid.map(({ tokens }) => tokens)).toEqual(said.map(({ tokens }) => tokens));
  const differences = said.flatMap(({ logprobs }, i) =>
    Array.from(logprobs, (value, t) => Math.abs(value - wideSaid[i]!.logprobs[t]!)),
  );
  expect(Math.max(...differences)).toBeLessThan(1e-4);
});

it("tells where a run lost its true reward, and which alarms came before", () => {
  const rows = (values: readonly number[]) =>
    values.map((value, i) => ({ step: 10 * (i + 1), "lab/true_reward": value }));
  const gold = "lab/true_reward";
  expect(lossOf(rows([1, 2, 3, 4, 4, 4]), gold)).toEqual({ best: 4 });
  // Means of three: 2, 3, 3.67, 3.83, 3.5, so that the last is below 95 % of the best.
  expect(lossOf(rows([1, 2, 3, 4, 4, 3.5, 3]), gold)).toEqual({ best: 11.5 / 3, lost: 70 });
  expect(lossOf(rows([1, 2]), gold)).toBeUndefined();
  const none = Object.fromEntries(
    MONITOR_SIGNALS.map((name) => [name, [] as number[]]),
  ) as MonitoredRun["alarms"];
  const run = (changes: Partial<MonitoredRun>): MonitoredRun => ({
    run: "r",
    steps: 100,
    best: 1,
    alarms: none,
    ...changes,
  });
  const runs = [
    run({ lost: 70, alarms: { ...none, length: [40, 60] } }),
    run({ lost: 50, alarms: { ...none, length: [40] } }),
    run({ lost: 30, alarms: { ...none, length: [40] } }),
    run({ alarms: { ...none, length: [20, 30, 40] } }),
    run({}),
  ];
  const length = signalRecords(runs).find(({ signal }) => signal === "length")!;
  expect(length).toMatchObject({ hacked: 3, early: 2, lead: { estimate: 20 }, falsePerThousand: 15 });
});
