// Reads TensorBoard's event files, apart from what writes them.

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { bytesOf, crc32cBitwise, inside, masked, readMessage, textOf, wholeOf } from "./protobuf-reader.js";

export interface EventFile {
  version: string;
  /** Steps at which a session starts. */
  starts: number[];
  /** By tag: step and value, in the file's order. */
  scalars: Record<string, [step: number, value: number][]>;
  texts: Record<string, [step: number, text: string][]>;
}

function* records(content: Buffer): Generator<Buffer> {
  for (let at = 0; at < content.length; ) {
    const head = content.subarray(at, at + 8);
    const length = Number(head.readBigUInt64LE());
    if (content.readUInt32LE(at + 8) !== masked(crc32cBitwise(head))) throw new Error("length: checksum");
    const message = content.subarray(at + 12, at + 12 + length);
    if (content.readUInt32LE(at + 12 + length) !== masked(crc32cBitwise(message)))
      throw new Error("message: checksum");
    yield message;
    at += 16 + length;
  }
}

/** The one event file of a directory, and at the most one that was emptied before it. */
export function readEventFile(dir: string): EventFile {
  const all = readdirSync(dir).sort();
  const names = all.filter((name) => statSync(join(dir, name)).size > 0);
  if (all.length > 2 || names[0] !== all.at(-1)) throw new Error(`${dir} has ${all.join(", ")}`);
  if (names.length !== 1) throw new Error(`${dir} has ${names.join(", ")}`);
  const found: EventFile = { version: "", starts: [], scalars: {}, texts: {} };
  for (const record of records(readFileSync(join(dir, names[0]!)))) {
    const event = readMessage(record);
    const step = wholeOf(event, 2);
    if (event.has(3)) found.version = textOf(event, 3);
    if (event.has(7)) found.starts.push(step);
    if (!event.has(5)) continue;
    for (const bytes of inside(event, 5).get(1) ?? []) {
      const value = readMessage(bytes as Buffer);
      const tag = textOf(value, 1);
      if (value.has(2)) (found.scalars[tag] ??= []).push([step, bytesOf(value, 2).readFloatLE()]);
      else (found.texts[tag] ??= []).push([step, textOf(inside(value, 8), 8)]);
    }
  }
  return found;
}
