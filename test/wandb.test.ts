// Offline runs of Weights & Biases, read by a reader of our own; test/clients/trackers.ts has wandb itself read them.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { bytes } from "../src/base/protobuf.js";
import type { TrackedStep } from "../src/trackers/steps.js";
import { trackWandb, WandbLog } from "../src/trackers/wandb.js";
import { writeFakeRun } from "./support/fake-runs.js";
import { run } from "./support/in-process.js";
import { logRecords, offlineFile, readOfflineRun } from "./support/offline-run.js";
import { bytesOf, readMessage, wholeOf } from "./support/protobuf-reader.js";

const root = mkdtempSync(join(tmpdir(), "touchstone-wandb-"));
afterAll(() => rmSync(root, { recursive: true }));

it("cuts records where LevelDB's log has them cut, whatever their length", () => {
  const log = new WandbLog();
  const near = [0, 1, 6, 7, 8, 20].flatMap((n) => [32768 - n, 65536 - n]);
  // Every length at which the place that is left in a block may be none, too little for a head, or a head alone.
  const lengths = [0, 1, 100, ...near, 200_000, ...Array.from({ length: 60 }, (_, i) => 32700 + i), 5];
  const contents = lengths.map((length, i) => Buffer.alloc(length, i + 1));
  const file = Buffer.concat([log.head(), ...contents.map((content) => log.record(bytes(5, content)))]);
  const found = [...logRecords(file)].map(readMessage);
  expect(found.map((record) => wholeOf(record, 1))).toEqual(lengths.map((_, i) => i + 1));
  found.forEach((record, i) => {
    expect(bytesOf(record, 5).equals(contents[i]!), `${lengths[i]} bytes`).toBe(true);
  });
});

it("a run is an offline run with its recipe, figures, samples and summary", async () => {
  const dir = writeFakeRun(root, "bot", { steps: 3 });
  const { code, out } = await run("report", dir, "--to", "wandb");
  const file = offlineFile(join(dir, "wandb"));
  expect([code, out]).toEqual([0, `upload it: wandb sync ${dirname(file)}\n`]);
  const found = readOfflineRun(join(dir, "wandb"));
  expect(file).toContain(`run-${found.id}.wandb`);
  expect(found).toMatchObject({
    project: "touchstone",
    name: "bot",
    entity: undefined,
    group: undefined,
    exitCode: undefined,
  });
  expect(found.config).toEqual({ steps: 3, seed: 1, tasks: { chat: { kl_max: 5 }, math: { kl_max: 20 } } });
  const rows = readFileSync(join(dir, "metrics.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((row) => JSON.parse(row));
  for (const name of ["loss", "tasks/chat/reward", "tasks/chat/kl"]) {
    expect(found.history[name]).toEqual(rows.map((row) => [row.step, row[name]]));
    expect(found.summary[name]).toBe(rows[2][name]);
  }
  expect(found.history.step_time).toEqual([1, 2, 3].map((step) => [step, 2]));
  expect(found.times.map(([, runtime]) => runtime)).toEqual([0, 2, 4]);
  expect(found.texts["samples/math/2"]![1]).toEqual([
    2,
    expect.stringMatching(
      /^reward .*, violated\n\nQuestion 3: what is it\?\n\nAnswer 3 of step 2 <img src=x/,
    ),
  ]);
});

it("is the same run when it is written again, and is to be uploaded again", async () => {
  const dir = writeFakeRun(root, "again", { steps: 2 });
  await run("report", dir, "--to", "wandb");
  const file = offlineFile(join(dir, "wandb"));
  const { id } = readOfflineRun(join(dir, "wandb"));
  writeFileSync(`${file}.synced`, "");
  // As a killed process leaves it.
  writeFileSync(file, readFileSync(file).subarray(0, -9));
  await run("report", dir, "--to", "wandb");
  expect(offlineFile(join(dir, "wandb"))).toBe(file);
  expect(readOfflineRun(join(dir, "wandb")).id).toBe(id);
  expect(readdirSync(dirname(file)).sort()).toEqual(["files", `run-${id}.wandb`]);
  const { out } = await run("report", dir, "--to", "wandb", "-o", join(root, "elsewhere"), "--json");
  const other = readOfflineRun(join(root, "elsewhere", "again"));
  expect(JSON.parse(out)).toEqual({ wandb: [offlineFile(join(root, "elsewhere", "again"))] });
  expect(other.history).toEqual(readOfflineRun(join(dir, "wandb")).history);
});

it("says how a run ended, and whose part it is", async () => {
  const whole = writeFakeRun(root, "whole", { steps: 1 });
  const dir = writeFakeRun(whole, "second", { steps: 1 });
  const step: TrackedStep = { step: 7, seconds: 1_700_000_010.5, figures: [["loss", 0.25]], samples: [] };
  const none = async function* (): AsyncGenerator<TrackedStep> {};
  for (const [how, code] of [
    ["finished", 0],
    ["failed", 1],
    ["interrupted", 255],
    ["running", undefined],
  ] as const) {
    const tracker = await trackWandb({ project: "p", entity: "e", runName: "mine" }, { dir, steps: none() });
    tracker.step(step);
    await tracker.end(how);
    const found = readOfflineRun(join(dir, "wandb"));
    expect(found).toMatchObject({
      project: "p",
      entity: "e",
      name: "mine/second",
      group: "mine",
      exitCode: code,
    });
    expect(found.history).toEqual({ loss: [[7, 0.25]] });
  }
});
