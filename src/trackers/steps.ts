// A step of a run as trackers take it, and the steps that a run directory holds.

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { redact } from "../base/secrets.js";
import { eachRollout, type Metrics, type MetricsRow, type Rollout, readMetrics } from "../run/metrics.js";

/** A sample that is shown: what a person reads of it. */
export interface ShownSample {
  /** `samples/<task>/<k>` */
  name: string;
  prompt: string;
  response: string;
  /** Reward and outcome, in words. */
  result: string;
}

export interface TrackedStep {
  step: number;
  /** Since 1970. */
  seconds: number;
  /** By the names of metrics.jsonl and timings.jsonl. */
  figures: [name: string, value: number][];
  samples: ShownSample[];
}

/** What a tool gets of a run. */
export interface Tracker {
  /** Steps come in their order. Must not throw, nor wait. */
  step(step: TrackedStep): void;
  /** Nothing more comes from this process; `running`: of a run that another one writes. */
  end(how: "finished" | "interrupted" | "failed" | "running"): Promise<void>;
}

/** Samples of a task and step that are shown. */
const SAMPLES = 2;

/** Collects the first samples of each task, and forgets the others at once. */
export class SampleChoice {
  private readonly chosen: ShownSample[] = [];
  private readonly counts = new Map<string, number>();

  add({ task, prompt, response, reward, outcome }: Rollout): void {
    const count = (this.counts.get(task) ?? 0) + 1;
    this.counts.set(task, count);
    if (count > SAMPLES) return;
    this.chosen.push({
      name: `samples/${task}/${count}`,
      prompt: redact(prompt),
      response: redact(response),
      result: `reward ${reward ?? "none"}, ${outcome ?? "not judged"}`,
    });
  }

  /** What was chosen since the last call. */
  take(): ShownSample[] {
    this.counts.clear();
    return this.chosen.splice(0);
  }
}

/** What of metrics is a number. */
export const figuresOf = (metrics: Metrics | Omit<MetricsRow, "step">): [string, number][] =>
  Object.entries(metrics).filter(
    (entry): entry is [string, number] => entry[0] !== "step" && typeof entry[1] === "number",
  );

/**
 * The steps that a run has written, in order. The last one is as old as its file, and those before it lie `step_time` apart:
 * a run does not write down when a step was done.
 */
export async function* stepsOfRun(dir: string): AsyncGenerator<TrackedStep> {
  const file = join(dir, "metrics.jsonl");
  const rows = await readMetrics(file);
  if (rows.length === 0) return;
  const timings = new Map((await readMetrics(join(dir, "timings.jsonl"))).map((row) => [row.step, row]));
  const took = ({ step }: MetricsRow): number => {
    const time = timings.get(step)?.step_time;
    return typeof time === "number" ? time : 0;
  };
  const { mtimeMs } = await stat(file);
  let seconds = mtimeMs / 1000 - rows.slice(1).reduce((sum, row) => sum + took(row), 0);
  const rollouts = eachRollout(join(dir, "rollouts.jsonl"));
  let next = await rollouts.next();
  for (const [i, row] of rows.entries()) {
    if (i > 0) seconds += took(row);
    const choice = new SampleChoice();
    for (; !next.done && next.value.step <= row.step; next = await rollouts.next())
      if (next.value.step === row.step) choice.add(next.value);
    const figures = [...figuresOf(row), ...figuresOf(timings.get(row.step) ?? {})];
    yield { step: row.step, seconds, figures, samples: choice.take() };
  }
}
