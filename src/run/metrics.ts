// What a run writes about itself: metrics.jsonl (the same bytes for the same recipe and seed), timings.jsonl (wall
// clock, which never is) and rollouts.jsonl.

import {
  closeSync,
  createReadStream,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { z } from "zod";
import { explainDiskError } from "../base/atomic.js";
import { NonFiniteError, UserError } from "../base/errors.js";
import { checkFile } from "../base/files.js";
import { jsonl } from "../base/jsonl.js";
import { redact } from "../base/secrets.js";

/** undefined is written as null: the metric exists but has no value at this step. */
export type Metrics = Readonly<Record<string, number | string | undefined>>;

/** A line of metrics.jsonl or timings.jsonl as it is read back. */
export type MetricsRow = { step: number } & Record<string, number | string | null>;

/** A line of rollouts.jsonl: one sample with everything that was said about it, and what the objective made of it. */
export interface Rollout {
  step: number;
  task: string;
  prompt_id?: string;
  prompt: string;
  response: string;
  /** `length`: cut at the token limit. */
  finish_reason: "stop" | "length";
  tokens: number;
  /** r_pair(s, a) less what the task takes off; null where it could not be had. */
  reward: number | null;
  /** r_pair(s, abar), where the task calibrates. */
  baseline_reward?: number | null;
  /** R_calib(s, a) (CGPO, eq. 5), where the task calibrates. */
  calibrated_reward?: number | null;
  /** log(pi_w / pi_ref) of the response, nats. */
  log_ratio?: number | null;
  /** Judges and reward together; `failed`: one of them could not be had. */
  outcome?: "satisfied" | "violated" | "failed";
  /** What log pi of the sample is weighted by, before batch size and lengths divide it; null: the sample was dropped. */
  advantage?: number | null;
  /** Why it was. */
  dropped?: string;
  /** By judge; a judge that was not asked is absent. */
  verdicts: Record<
    string,
    { verdict: "satisfied" | "violated" | "failed"; reason: string; evidence?: unknown }
  >;
  /** Whatever else is known of the sample. */
  [extra: string]: unknown;
}

/** Appends lines to a file. Each append is one write, so a killed process leaves at most one torn line. */
export class JsonlWriter {
  private readonly fd: number;

  constructor(readonly path: string) {
    this.fd = openSync(path, "a");
  }

  /** Bytes in the file. */
  get offset(): number {
    return fstatSync(this.fd).size;
  }

  append(rows: readonly unknown[] | string): void {
    const text = redact(typeof rows === "string" ? rows : jsonl(rows));
    try {
      writeFileSync(this.fd, text);
    } catch (error) {
      throw explainDiskError(error, this.path);
    }
  }

  /** Forgets everything after the first `offset` bytes. */
  truncate(offset: number): void {
    if (offset > this.offset) {
      throw new UserError(`${this.path} is shorter than the checkpoint to resume from says; was it edited?`);
    }
    ftruncateSync(this.fd, offset);
  }

  /** Forgets every line from the first that is torn or of a later step on. */
  truncateAfter(step: number): void {
    const text = readFileSync(this.path, "utf8");
    let end = 0;
    for (let next = text.indexOf("\n"); next !== -1; next = text.indexOf("\n", end)) {
      if (!(stepOf(text.slice(end, next)) <= step)) break;
      end = next + 1;
    }
    ftruncateSync(this.fd, Buffer.byteLength(text.slice(0, end)));
  }

  flush(): void {
    fsyncSync(this.fd);
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** The step of a line, NaN for what is no line. */
function stepOf(line: string): number {
  try {
    return Number((JSON.parse(line) as { step?: unknown } | null)?.step);
  } catch {
    return Number.NaN;
  }
}

/** Metrics of this process, not of the training, which a resumed run does not repeat: they go to timings.jsonl. */
const isTiming = (key: string) =>
  /(^|[/_])(time|seconds|latency|per_second|mb|cache_hits)$|^time\/|(^|\/)judges\/.+\/(calls|prompt_tokens|completion_tokens|cost)$/.test(
    key,
  );

/** One line: `step` first, then the keys in alphabetical order. A number that is not finite is an error. */
export function metricsLine(step: number, metrics: Metrics): string {
  const row: Record<string, unknown> = { step };
  for (const key of Object.keys(metrics).sort()) {
    const value = metrics[key];
    if (typeof value === "number" && !Number.isFinite(value)) {
      throw new NonFiniteError(`metric ${key} is ${value} at step ${step}`);
    }
    row[key] = value ?? null;
  }
  return `${JSON.stringify(row)}\n`;
}

/** Writes each step's metrics: what repeats exactly to `metrics`, rates and latencies to `timings`. */
export class MetricsSink {
  constructor(
    private readonly metrics: JsonlWriter,
    private readonly timings: JsonlWriter,
    /** Told of what is written. */
    private readonly onLogged: (step: number, metrics: Metrics) => void,
  ) {}

  log(step: number, metrics: Metrics): void {
    const entries = Object.entries(metrics);
    const exact = entries.filter(([key]) => !isTiming(key));
    const timed = entries.filter(([key]) => isTiming(key));
    this.metrics.append(metricsLine(step, Object.fromEntries(exact)));
    if (timed.length > 0) this.timings.append(metricsLine(step, Object.fromEntries(timed)));
    this.onLogged(step, metrics);
  }
}

const metricsRow = z
  .looseObject({ step: z.int().min(0) })
  .catchall(z.union([z.number(), z.string(), z.null()]));

const number = z.number().nullish();
const verdict = z.looseObject({
  verdict: z.enum(["satisfied", "violated", "failed"]),
  reason: z.string().default(""),
});
const rollout = z.looseObject({
  step: z.int().min(0),
  task: z.string(),
  prompt_id: z.string().optional(),
  prompt: z.string(),
  response: z.string(),
  finish_reason: z.enum(["stop", "length"]).optional(),
  tokens: z.number().optional(),
  reward: number,
  baseline_reward: number,
  calibrated_reward: number,
  log_ratio: number,
  advantage: number,
  verdicts: z.record(z.string(), verdict).default({}),
});

/** The lines of metrics.jsonl or timings.jsonl, each checked. */
export const readMetrics = (path: string) => readJsonl<MetricsRow>(path, metricsRow);

/** The lines of rollouts.jsonl, each checked. */
export const readRollouts = (path: string) => readJsonl<Rollout>(path, rollout);

/** The same one by one. */
export const eachRollout = (path: string) => eachRow<Rollout>(path, rollout);

/** A line of a log: nothing that a run writes is longer. */
const MAX_LINE_BYTES = 64 * 2 ** 20;

/**
 * The rows of a JSONL file that a run wrote; a torn last line (a killed run) is left out, no file is no rows. Others may
 * have edited it: what is no such row is a UserError with its line.
 */
export async function readJsonl<Row = MetricsRow>(
  path: string,
  schema: z.ZodType = z.looseObject({}),
): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const row of eachRow<Row>(path, schema)) rows.push(row);
  return rows;
}

async function* eachRow<Row>(path: string, schema: z.ZodType): AsyncGenerator<Row, void> {
  let number = 0;
  for await (const line of wholeLines(path)) {
    number++;
    if (line.length > MAX_LINE_BYTES)
      throw new UserError(`${path}:${number}: the line is longer than any of a run`);
    const text = line.toString("utf8");
    if (text.trim() === "") continue;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new UserError(`${path}:${number}: not valid JSON`);
    }
    const result = schema.safeParse(value);
    if (!result.success) {
      const { path: at, message } = result.error.issues[0]!;
      throw new UserError(
        `${path}:${number}: no line of a run's log: ${[...at.map(String), message].join(": ")}`,
      );
    }
    yield result.data as Row;
  }
}

/** Everything up to the last line feed, in lines. */
async function* wholeLines(path: string): AsyncGenerator<Buffer> {
  if (!existsSync(path)) return;
  await checkFile(path);
  let rest: Buffer[] = [];
  let length = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 }) as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      yield Buffer.concat([...rest, chunk.subarray(start, end)]);
      [rest, length, start] = [[], 0, end + 1];
    }
    rest.push(chunk.subarray(start));
    length += chunk.length - start;
    // Said by the caller, who counts lines.
    if (length > MAX_LINE_BYTES) return yield Buffer.concat(rest);
  }
}
