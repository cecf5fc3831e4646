// A run as an offline run of Weights & Biases, which `wandb sync` uploads: the file that wandb itself writes without a network.
// It is a log of LevelDB's format (blocks of 32 KiB; a record is whole, or in parts) behind a header of its own and with the
// common CRC-32, each record a message Record of wandb/proto/wandb_internal.proto. Written are header, run, history, summary
// and exit.

import { randomInt } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { writeFileAtomic } from "../base/atomic.js";
import { makeDirectory } from "../base/files.js";
import { bytes, whole } from "../base/protobuf.js";
import { VERSION } from "../base/version.js";
import { recipeOf, runNameOf } from "./identity.js";
import type { ShownSample, TrackedStep, Tracker } from "./steps.js";

export interface WandbSettings {
  /** Absent: WANDB_PROJECT, else "touchstone". */
  project?: string | undefined;
  /** Absent: WANDB_ENTITY, else whoever uploads it. */
  entity?: string | undefined;
  /** Absent: the name of the run's directory. */
  runName?: string | undefined;
}

const BLOCK = 32_768;
/** Checksum, length and kind of a part. */
const PART_HEAD = 7;

/** The bytes of a file, in order: where a record is cut depends on what was written before it. */
export class WandbLog {
  private position = 0;
  private records = 0;

  /** ":W&B", a number to know it by, and the version of the format. */
  head(): Buffer {
    const head = Buffer.from([...Buffer.from(":W&B"), 0xe1, 0xbe, 0]);
    this.position += head.length;
    return head;
  }

  /** A Record: `num` 1, then the field that says of what kind it is. */
  record(kind: Buffer): Buffer {
    const message = Buffer.concat([whole(1, ++this.records), kind]);
    const pieces: Buffer[] = [];
    let taken = 0;
    for (let isFirst = true; isFirst || taken < message.length; isFirst = false) {
      const left = BLOCK - (this.position % BLOCK);
      // What is too short for the head of a part stays empty.
      const padding = left < PART_HEAD ? left : 0;
      const room = (padding > 0 ? BLOCK : left) - PART_HEAD;
      const content = message.subarray(taken, taken + room);
      taken += content.length;
      const part = framed(content, { isFirst, isLast: taken === message.length });
      pieces.push(Buffer.alloc(padding), part);
      this.position += padding + part.length;
    }
    return Buffer.concat(pieces);
  }
}

/** A record that is whole is of kind 1, the first, middle and last part of one of kinds 2, 3 and 4. */
function framed(content: Buffer, { isFirst, isLast }: { isFirst: boolean; isLast: boolean }): Buffer {
  const kind = isFirst ? (isLast ? 1 : 2) : isLast ? 4 : 3;
  const head = Buffer.alloc(PART_HEAD);
  head.writeUInt16LE(content.length, 4);
  head[6] = kind;
  head.writeUInt32LE(crc32(content, crc32(head.subarray(6))));
  return Buffer.concat([head, content]);
}

/** google.protobuf.Timestamp: `seconds` 1, `nanos` 2. */
const timestamp = (field: number, seconds: number) =>
  bytes(field, whole(1, Math.floor(seconds)), whole(2, Math.floor((seconds % 1) * 1e9)));

/** HeaderRecord (21): `version_info` 1 of `producer` 1 and `min_consumer` 2. */
const header = () => bytes(21, bytes(1, bytes(1, `touchstone ${VERSION}`), bytes(2, "0.70.0")));

interface RunRecord {
  id: string;
  project: string;
  entity: string | undefined;
  name: string;
  group: string | undefined;
  config: readonly [key: string, value: unknown][];
  /** Since 1970. */
  started: number;
}

/** RunRecord (17): config 4 is a list of `update` 1, each a `key` 1 with a `value_json` 16. */
const run = ({ id, project, entity, name, group, config, started }: RunRecord) =>
  bytes(
    17,
    bytes(1, id),
    ...(entity ? [bytes(2, entity)] : []),
    bytes(3, project),
    bytes(4, ...config.map(([key, value]) => bytes(1, bytes(1, key), bytes(16, JSON.stringify(value))))),
    ...(group ? [bytes(6, group)] : []),
    bytes(8, name),
    timestamp(17, started),
  );

/** An item of history and summary: `nested_key` 2, a path of one part, and `value_json` 16. */
const item = ([name, value]: readonly [string, number | string]) =>
  bytes(1, bytes(2, name), bytes(16, JSON.stringify(value)));

const sampleText = ({ result, prompt, response }: ShownSample) => `${result}\n\n${prompt}\n\n${response}`;

/** SummaryRecord (3): the newest of each; then HistoryRecord (2): a row, whose `step` 2 has a `num` 1. */
function row({ step, seconds, figures, samples }: TrackedStep, started: number): [Buffer, Buffer] {
  const items = [
    ["_step", step] as const,
    ["_timestamp", seconds] as const,
    ["_runtime", Math.max(0, seconds - started)] as const,
    ...figures,
    ...samples.map((sample) => [sample.name, sampleText(sample)] as const),
  ].map(item);
  return [bytes(3, ...items), bytes(2, ...items, bytes(2, whole(1, step)))];
}

/** RunExitRecord (18): `exit_code` 1, `runtime` 2 in seconds. */
const exit = (code: number, runtime: number) => bytes(18, whole(1, code), whole(2, Math.round(runtime)));

const EXIT = { finished: 0, failed: 1, interrupted: 255 };

/** `offline-run-20260131_235959-abcd1234` */
const NAME = /^offline-run-\d{8}_\d{6}-([a-z0-9]{8})$/;

/** The directory of the offline run in `dir`: the one that is there, so that it stays the same run, or a new one. */
async function placeOf(dir: string, started: number): Promise<{ file: string; id: string }> {
  const there = (await readdir(dir).catch((): string[] => [])).filter((name) => NAME.test(name)).sort();
  const name = there[0] ?? `offline-run-${dateOf(started)}-${newId()}`;
  const id = NAME.exec(name)![1]!;
  // wandb sync writes the summary into `files`.
  await makeDirectory(join(dir, name, "files"));
  return { file: join(dir, name, `run-${id}.wandb`), id };
}

const newId = () => Array.from({ length: 8 }, () => randomInt(36).toString(36)).join("");

const dateOf = (seconds: number) =>
  new Date(1000 * seconds)
    .toISOString()
    .replace(/[-:]|\..*/g, "")
    .replace("T", "_");

export interface WandbOptions {
  /** The run directory. */
  dir: string;
  /** Where the offline run goes. Default: `wandb/` of the run directory. */
  target?: string;
  steps: AsyncIterable<TrackedStep>;
}

/** Begins with the steps that are there, so that what a killed process wrote beyond them is gone. */
export async function trackWandb(
  settings: WandbSettings,
  { dir, target = join(dir, "wandb"), steps }: WandbOptions,
): Promise<Tracker & { file: string }> {
  const log = new WandbLog();
  const iterator = steps[Symbol.asyncIterator]();
  let next = await iterator.next();
  const started: number = next.done ? Date.now() / 1000 : next.value.seconds;
  let last = started;
  const recordsOf = (step: TrackedStep): Buffer => {
    last = step.seconds;
    return Buffer.concat(row(step, started).map((kind) => log.record(kind)));
  };
  const { file, id } = await placeOf(target, started);
  const { WANDB_PROJECT, WANDB_ENTITY } = process.env;
  const { name, group } = await runNameOf(dir, settings.runName);
  const about = {
    ...{ id, name, group, started },
    project: settings.project ?? (WANDB_PROJECT || "touchstone"),
    entity: settings.entity ?? WANDB_ENTITY,
    config: await recipeOf(dir),
  };
  await writeFileAtomic(file, async (handle) => {
    const begin = [log.head(), log.record(header()), log.record(run(about))];
    await handle.write(Buffer.concat(begin));
    for (; !next.done; next = await iterator.next()) await handle.write(recordsOf(next.value));
  });
  // They say what wandb sync has uploaded of the file that was here.
  for (const mark of ["synced", "syncstate"]) await rm(`${file}.${mark}`, { force: true });
  const fd = openSync(file, "a");
  return {
    file,
    step: (step) => void writeSync(fd, recordsOf(step)),
    end: async (how) => {
      if (how !== "running") writeSync(fd, log.record(exit(EXIT[how], last - started)));
      closeSync(fd);
    },
  };
}
