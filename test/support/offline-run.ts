// Reads offline runs of Weights & Biases, apart from what writes them.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { inside, type Message, readMessage, textOf, wholeOf } from "./protobuf-reader.js";

export interface OfflineRun {
  id: string;
  project: string;
  entity: string | undefined;
  name: string;
  group: string | undefined;
  config: Record<string, unknown>;
  /** By name: step and value, in the file's order, of what the run's own files have. */
  history: Record<string, [step: number, value: number][]>;
  texts: Record<string, [step: number, text: string][]>;
  /** Of the last step. */
  summary: Record<string, unknown>;
  /** Of a step: seconds since 1970, and since the beginning. */
  times: [timestamp: number, runtime: number][];
  exitCode: number | undefined;
}

/** CRC-32 (IEEE 802.3) bit by bit. */
function crc32(content: Uint8Array): number {
  let crc = ~0;
  for (const byte of content) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
}

/** The records of LevelDB's log format, block by block; what is behind a torn one is left out. */
export function* logRecords(file: Buffer, start = 7): Generator<Buffer> {
  let parts: Buffer[] = [];
  for (let at = start; at < file.length; ) {
    const left = 32768 - (at % 32768);
    if (left < 7) {
      if (file.subarray(at, at + left).some((byte) => byte !== 0))
        throw new Error("the end of a block is not empty");
      at += left;
      continue;
    }
    const length = file.readUInt16LE(at + 4);
    const kind = file[at + 6]!;
    if (length + 7 > left) throw new Error("a part leaves its block");
    if (file.readUInt32LE(at) !== crc32(file.subarray(at + 6, at + 7 + length))) throw new Error("checksum");
    if ((kind === 1 || kind === 2) !== (parts.length === 0)) throw new Error("a part is in the wrong place");
    parts.push(file.subarray(at + 7, at + 7 + length));
    at += 7 + length;
    if (kind === 1 || kind === 4) {
      yield Buffer.concat(parts);
      parts = [];
    }
  }
}

/** The file of the one offline run in `dir`. */
export function offlineFile(dir: string): string {
  const names = readdirSync(dir);
  const id = /^offline-run-\d{8}_\d{6}-([a-z0-9]{8})$/.exec(names.join())?.[1];
  if (id === undefined) throw new Error(`${dir} has ${names.join(", ")}`);
  return join(dir, names[0]!, `run-${id}.wandb`);
}

export function readOfflineRun(dir: string): OfflineRun {
  const file = readFileSync(offlineFile(dir));
  if (file.subarray(0, 7).toString("latin1") !== ":W&B\xe1\xbe\0") throw new Error("another header");
  const records = [...logRecords(file)].map(readMessage);
  records.forEach((record, i) => {
    if (wholeOf(record, 1) !== i + 1) throw new Error(`record ${i + 1} has another number`);
  });
  const [header, run, ...rest] = records as [Message, Message, ...Message[]];
  if (!header.has(21) || !run.has(17)) throw new Error("it does not begin with header and run");
  const about = inside(run, 17);
  const optional = (field: number) => (about.has(field) ? textOf(about, field) : undefined);
  const updates = (message: Message, key: number) =>
    Object.fromEntries(
      (message.get(1) ?? []).map((bytes) => {
        const item = readMessage(bytes as Buffer);
        return [textOf(item, key), JSON.parse(textOf(item, 16)) as unknown];
      }),
    );
  const found: OfflineRun = {
    id: textOf(about, 1),
    project: textOf(about, 3),
    entity: optional(2),
    name: textOf(about, 8),
    group: optional(6),
    config: updates(inside(about, 4), 1),
    history: {},
    texts: {},
    summary: {},
    times: [],
    exitCode: undefined,
  };
  for (const record of rest) {
    if (record.has(3)) Object.assign(found.summary, updates(inside(record, 3), 2));
    if (record.has(18)) found.exitCode = wholeOf(inside(record, 18), 1);
    if (!record.has(2)) continue;
    const history = inside(record, 2);
    const step = wholeOf(inside(history, 2), 1);
    const { _step, _timestamp, _runtime, ...values } = updates(history, 2);
    if (_step !== step) throw new Error(`step ${step} says that it is ${_step}`);
    found.times.push([_timestamp as number, _runtime as number]);
    for (const [name, value] of Object.entries(values))
      if (typeof value === "number") (found.history[name] ??= []).push([step, value]);
      else (found.texts[name] ??= []).push([step, value as string]);
  }
  return found;
}
