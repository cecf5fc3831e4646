// TensorBoard event files: the figures of metrics.jsonl and samples of rollouts.jsonl where TensorBoard's users look. The
// format (TFRecord around tensorflow.Event messages) is that of tensorboard/compat/proto/event.proto and summary.proto;
// written are scalars (`simple_value`) and texts (a string tensor of the plugin "text"), nothing else.

import { closeSync, openSync, writeSync } from "node:fs";
import { readdir, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../base/atomic.js";
import { crc32c } from "../base/crc32c.js";
import { bytes, double, float, whole } from "../base/protobuf.js";
import type { ShownSample, TrackedStep, Tracker } from "./steps.js";

/** TFRecord: length, its checksum, the message, its checksum. */
function record(message: Buffer): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(message.length));
  return Buffer.concat([length, maskedChecksum(length), message, maskedChecksum(message)]);
}

function maskedChecksum(content: Buffer): Buffer {
  const crc = crc32c(content);
  const masked = Buffer.alloc(4);
  masked.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
  return masked;
}

/** tensorflow.Summary.Value of a scalar: `tag` 1, `simple_value` 2. */
const scalar = (name: string, value: number) => bytes(1, bytes(1, name), float(2, value));

/** DataType.DT_STRING. */
const STRING = 7;

/** A text: `tag` 1, `tensor` 8 (dtype 1, shape 2, string_val 8), `metadata` 9 (plugin_data 1: plugin_name 1). */
function text(name: string, content: string): Buffer {
  const tensor = bytes(8, whole(1, STRING), bytes(2, bytes(2, whole(1, 1))), bytes(8, content));
  return bytes(1, bytes(1, name), tensor, bytes(9, bytes(1, bytes(1, "text"))));
}

/** tensorflow.Event: `wall_time` 1, `step` 2, then one of `file_version` 3, `summary` 5 and `session_log` 7. */
const event = (seconds: number, step: number, content: Buffer) =>
  record(Buffer.concat([double(1, seconds), whole(2, step), content]));

const indented = (content: string) => content.replace(/^/gm, "    ");

/** TensorBoard renders texts as Markdown; an indented block shows them as they are. */
const sampleText = ({ result, prompt, response }: ShownSample): string =>
  `${result}\n\n${indented(prompt)}\n\n${indented(response)}\n`;

/** SessionLog.SessionStatus.START. */
const START = 1;

/**
 * How an event file begins: its version, and the word that a session starts at step 0, at which a TensorBoard that has read an
 * earlier file of the run forgets that file's events.
 */
export const eventsHead = (seconds: number): Buffer =>
  Buffer.concat([event(seconds, 0, bytes(3, "brain.Event:2")), event(seconds, 0, bytes(7, whole(1, START)))]);

export function stepEvent({ seconds, step, figures, samples }: TrackedStep): Buffer {
  const scalars = figures.map(([name, value]) => scalar(name, value));
  const texts = samples.map((sample) => text(sample.name, sampleText(sample)));
  return event(seconds, step, bytes(5, ...scalars, ...texts));
}

const NAME = /^events\.out\.tfevents\.(\d+)\.touchstone$/;

/**
 * Writes the event file of a run into `target`, behind the one that it had. That one is emptied rather than removed: a
 * TensorBoard that has it open goes on to the next file only from one that is there. What was emptied before goes.
 */
export async function writeEvents(target: string, steps: AsyncIterable<TrackedStep>): Promise<string> {
  const earlier = (await readdir(target).catch((): string[] => [])).filter((name) => NAME.test(name));
  const now = Math.floor(Date.now() / 1000);
  // Files are read in the order of these numbers.
  const number = Math.max(now, ...earlier.map((name) => Number(NAME.exec(name)![1]) + 1));
  const file = join(target, `events.out.tfevents.${number}.touchstone`);
  await writeFileAtomic(file, async (handle) => {
    let isEmpty = true;
    for await (const step of steps) {
      if (isEmpty) await handle.write(eventsHead(step.seconds));
      isEmpty = false;
      await handle.write(stepEvent(step));
    }
    if (isEmpty) await handle.write(eventsHead(now));
  });
  for (const path of earlier.map((name) => join(target, name)))
    if ((await stat(path)).size === 0) await rm(path);
    else await truncate(path);
  return file;
}

/** Begins with the steps that are there, so that what a killed process wrote beyond them is gone. */
export async function trackEvents(target: string, steps: AsyncIterable<TrackedStep>): Promise<Tracker> {
  const fd = openSync(await writeEvents(target, steps), "a");
  return {
    step: (step) => void writeSync(fd, stepEvent(step)),
    end: async () => closeSync(fd),
  };
}
