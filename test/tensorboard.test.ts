// TensorBoard event files: the bytes that TensorBoard's own reader was given (test/oracle/tensorboard_read.py), and what it found.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { crc32c } from "../src/base/crc32c.js";
import { eventsFromRuns } from "../src/trackers/from-runs.js";
import { readEventFile } from "./support/event-file.js";
import { writeFakeRun } from "./support/fake-runs.js";
import { events, steps } from "./support/tensorboard-run.js";

const expected = JSON.parse(
  readFileSync(join(import.meta.dirname, "fixtures/tensorboard/expected.json"), "utf8"),
) as {
  file: string;
  scalars: Record<string, [number, number, number][]>;
  texts: Record<string, [number, string][]>;
  plugins: Record<string, string>;
};

it("the checksum has the value of RFC 3720's example", () => {
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
});

it("the bytes are those that TensorBoard read", () => {
  expect(events().toString("base64")).toBe(expected.file);
});

it("it found every figure at its step and time, and the texts as they are", () => {
  expect(Object.keys(expected.scalars)).toEqual(["loss", "tasks/chat/reward"]);
  expect(expected.scalars.loss!.map(([, step, value]) => [step, value])).toEqual(
    steps.map(({ step, figures }) => [step, Math.fround(figures.loss)]),
  );
  expect(expected.scalars["tasks/chat/reward"]!.map(([, step]) => step)).toEqual([1, 300]);
  expect(expected.scalars.loss!.map(([time]) => time)).toEqual([1_700_000_000, 1_700_000_004, 1_700_000_010]);
  expect(expected.plugins).toEqual({ "samples/chat/1": "text", "samples/chat/2": "text" });
  expect(expected.texts["samples/chat/2"]).toEqual([
    [2, "reward 0.5, satisfied\n\n    Grüße?\n    second line\n\n    <b>second</b>\n    # no heading\n"],
  ]);
});

it("a run has one event file, however often it is written", async () => {
  const root = mkdtempSync(join(tmpdir(), "touchstone-tensorboard-"));
  const run = writeFakeRun(root, "run", { steps: 3 });
  const [file] = await eventsFromRuns([run]);
  // Files of one second and of several times: the newest is the last in order, and one before it is left, empty.
  await eventsFromRuns([run]);
  const [last] = await eventsFromRuns([run]);
  const names = readdirSync(join(run, "tensorboard")).sort();
  expect(names).toHaveLength(2);
  expect(join(run, "tensorboard", names[1]!)).toBe(last);
  expect(file).toContain("events.out.tfevents.");
  const { version, starts, scalars, texts } = readEventFile(join(run, "tensorboard"));
  expect([version, starts]).toEqual(["brain.Event:2", [0]]);
  const rows = readFileSync(join(run, "metrics.jsonl"), "utf8").trimEnd().split("\n");
  const rewards = rows.map((row) => JSON.parse(row)["tasks/chat/reward"]);
  expect(scalars["tasks/chat/reward"]).toEqual(rewards.map((value, i) => [i + 1, Math.fround(value)]));
  expect(scalars.step_time).toEqual([1, 2, 3].map((step) => [step, 2]));
  expect(Object.keys(texts).sort()).toEqual(
    ["chat", "math"].flatMap((t) => [1, 2].map((k) => `samples/${t}/${k}`)),
  );
  expect(texts["samples/math/2"]!.map(([step]) => step)).toEqual([1, 2, 3]);
  expect(texts["samples/math/2"]![0]![1]).toContain("Answer 3 of step 1 <img src=x");
  const elsewhere = await eventsFromRuns([run], join(root, "logs"));
  expect(elsewhere[0]).toContain(join(root, "logs", "run"));
  await expect(eventsFromRuns([root])).rejects.toThrow("is not a run directory");
  rmSync(root, { recursive: true });
});
