// TensorBoard event files: the figures of metrics.jsonl and samples of rollouts.jsonl where TensorBoard's users look. The
// format (TFRecord around tensorflow.Event messages) is that of tensorboard/compat/proto/event.proto and summary.proto;
// written are scalars (`simple_value`) and texts (a string tensor of the plugin "text"), nothing else.

import { crc32c } from "../base/crc32c.js";
import type { MetricsRow, Rollout } from "../run/metrics.js";

// Protocol buffers: a field is its number and wire type, then the value.

function varint(value: number): Buffer {
  const bytes = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 128);
  }
}

const WIRE = { varint: 0, double: 1, bytes: 2, float: 5 } as const;
const tag = (field: number, wire: keyof typeof WIRE) => varint(field * 8 + WIRE[wire]);
const whole = (field: number, value: number) => Buffer.concat([tag(field, "varint"), varint(value)]);

function bytes(field: number, value: string | Buffer): Buffer {
  const content = Buffer.from(value as string);
  return Buffer.concat([tag(field, "bytes"), varint(content.length), content]);
}

function double(field: number, value: number): Buffer {
  const content = Buffer.alloc(8);
  content.writeDoubleLE(value);
  return Buffer.concat([tag(field, "double"), content]);
}

function float(field: number, value: number): Buffer {
  const content = Buffer.alloc(4);
  content.writeFloatLE(value);
  return Buffer.concat([tag(field, "float"), content]);
}

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
const scalar = (name: string, value: number) => bytes(1, Buffer.concat([bytes(1, name), float(2, value)]));

/** DataType.DT_STRING. */
const STRING = 7;

/** A text: `tag` 1, `tensor` 8 (dtype 1, shape 2, string_val 8), `metadata` 9 (plugin_data 1: plugin_name 1). */
function text(name: string, content: string): Buffer {
  const shape = bytes(2, whole(1, 1));
  const tensor = Buffer.concat([whole(1, STRING), bytes(2, shape), bytes(8, content)]);
  return bytes(1, Buffer.concat([bytes(1, name), bytes(8, tensor), bytes(9, bytes(1, bytes(1, "text")))]));
}

/** tensorflow.Event: `wall_time` 1, `step` 2, `file_version` 3 or `summary` 5. */
const event = (wallTime: number, step: number, content: Buffer) =>
  record(Buffer.concat([double(1, wallTime), whole(2, step), content]));

export interface EventsOptions {
  /** Seconds since 1970 of the last step; those before it lie `step_time` apart. */
  end: number;
  timings?: readonly MetricsRow[];
  rollouts?: readonly Rollout[];
}

/** Samples of a task and step that are shown. */
const SAMPLES = 2;

const indented = (content: string) => content.replace(/^/gm, "    ");

/** TensorBoard renders texts as Markdown; an indented block shows them as they are. */
const sampleText = ({ prompt, response, reward, outcome }: Rollout): string =>
  `reward ${reward ?? "none"}, ${outcome ?? "not judged"}\n\n${indented(prompt)}\n\n${indented(response)}\n`;

function grouped<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}

/** The bytes of an event file. */
export function tensorboardEvents(metrics: readonly MetricsRow[], options: EventsOptions): Buffer {
  const { end, timings = [], rollouts = [] } = options;
  const seconds = new Map(
    timings.map(({ step, step_time: time }) => [step, typeof time === "number" ? time : 0]),
  );
  let wallTime = end - metrics.slice(1).reduce((sum, { step }) => sum + (seconds.get(step) ?? 0), 0);
  const samples = grouped(rollouts, ({ step }) => step);
  const events = [event(wallTime, 0, bytes(3, "brain.Event:2"))];
  metrics.forEach((row, i) => {
    if (i > 0) wallTime += seconds.get(row.step) ?? 0;
    const values = Object.entries(row).flatMap(([key, value]) =>
      key !== "step" && typeof value === "number" ? [scalar(key, value)] : [],
    );
    const shown = [...grouped(samples.get(row.step) ?? [], ({ task }) => task)].flatMap(([task, of]) =>
      of.slice(0, SAMPLES).map((rollout, k) => text(`samples/${task}/${k + 1}`, sampleText(rollout))),
    );
    events.push(event(wallTime, row.step, bytes(5, Buffer.concat([...values, ...shown]))));
  });
  return Buffer.concat(events);
}
