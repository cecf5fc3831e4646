// What a run writes about itself: metrics.jsonl (the same bytes for the same recipe and seed), timings.jsonl (wall
// clock, which never is) and rollouts.jsonl.

import {
  closeSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { explainDiskError } from "../base/atomic.js";
import { NonFiniteError, UserError } from "../base/errors.js";
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
  /(^|[/_])(time|seconds|latency|per_second|mb|cache_hits)$|^time\//.test(key);

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
  ) {}

  log(step: number, metrics: Metrics): void {
    const entries = Object.entries(metrics);
    const exact = entries.filter(([key]) => !isTiming(key));
    const timed = entries.filter(([key]) => isTiming(key));
    this.metrics.append(metricsLine(step, Object.fromEntries(exact)));
    if (timed.length > 0) this.timings.append(metricsLine(step, Object.fromEntries(timed)));
  }
}

/** The rows of a JSONL file that a run wrote; a torn last line (a killed run) is left out, no file is no rows. */
export async function readJsonl<Row = MetricsRow>(path: string): Promise<Row[]> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  const lines = text.split("\n");
  if (!text.endsWith("\n")) lines.pop();
  return lines.flatMap((line, index) => {
    if (line.trim() === "") return [];
    try {
      return [JSON.parse(line) as Row];
    } catch {
      throw new UserError(`${path}:${index + 1}: not valid JSON`);
    }
  });
}
