// How sure a step's mean is: its standard error over the step's prompts, from rollouts.jsonl. The samples of one prompt are
// alike, so that the prompts, not the samples, are counted.

import { mean, standardDeviation } from "../base/statistics.js";

/** What of a sample a metric of its task is the mean of. */
export interface SpreadSample {
  task: string;
  step: number;
  /** What tells the step's prompts apart. */
  prompt_id?: string | number;
  prompt?: string;
  reward?: number | null;
  calibrated_reward?: number | null;
  log_ratio?: number | null;
  outcome?: string;
}

/** Metrics of a task that are means over samples, and what each sample counts. */
const MEASURED: Record<string, (sample: SpreadSample) => number | null | undefined> = {
  reward: ({ reward, outcome }) => (outcome === "failed" ? undefined : reward),
  "rewards/mean": ({ reward }) => reward,
  calibrated_reward: ({ calibrated_reward: calibrated }) => calibrated,
  kl: ({ log_ratio: ratio }) => ratio,
  log_ratio: ({ log_ratio: ratio, outcome }) => (outcome === "failed" ? undefined : ratio),
  "constraints/satisfied_rate": ({ outcome }) =>
    outcome === undefined || outcome === "failed" ? undefined : Number(outcome === "satisfied"),
  satisfied_rate: ({ outcome }) =>
    outcome === undefined || outcome === "failed" ? undefined : Number(outcome === "satisfied"),
};

/** Standard errors by metric (`tasks/<task>/<metric>`) and step; absent where a step has fewer than two prompts. */
export type StandardErrors = Record<string, Record<number, number>>;

/** Sums of the samples of each prompt. */
type Sums = Map<string | number, [sum: number, count: number]>;

/** Takes samples in the order of their steps, as a run writes them, and keeps no more than one step's prompts. */
export class SpreadTally {
  private readonly done: StandardErrors = {};
  private step = Number.NaN;
  private sums = new Map<string, Sums>();

  add(sample: SpreadSample): void {
    if (sample.step !== this.step) {
      this.close();
      this.step = sample.step;
    }
    const prompt = sample.prompt_id ?? sample.prompt ?? "";
    for (const metric in MEASURED) {
      const value = MEASURED[metric]!(sample);
      if (typeof value !== "number" || !Number.isFinite(value)) continue;
      const key = `tasks/${sample.task}/${metric}`;
      let prompts = this.sums.get(key);
      if (!prompts) this.sums.set(key, (prompts = new Map()));
      const known = prompts.get(prompt);
      if (known) {
        known[0] += value;
        known[1]++;
      } else prompts.set(prompt, [value, 1]);
    }
  }

  /** Of the steps so far; the newest may still grow. */
  errors(): StandardErrors {
    const sums = this.sums;
    this.close();
    this.sums = sums;
    return this.done;
  }

  private close(): void {
    for (const [key, prompts] of this.sums) {
      const error = errorOf(prompts);
      if (error !== undefined) (this.done[key] ??= {})[this.step] = Number(error.toPrecision(4));
    }
    this.sums = new Map();
  }
}

export function standardErrors(samples: Iterable<SpreadSample>): StandardErrors {
  const tally = new SpreadTally();
  for (const sample of samples) tally.add(sample);
  return tally.errors();
}

/** The standard error of a step's mean: of a ratio of sums where prompts have different numbers of samples. */
function errorOf(prompts: Sums): number | undefined {
  if (prompts.size < 2) return undefined;
  const all = [...prompts.values()];
  const total = all.reduce((sum, [, count]) => sum + count, 0);
  const average = all.reduce((sum, [value]) => sum + value, 0) / total;
  // Linearised (Cochran, Sampling Techniques, sec. 2.11): the deviations of the prompts' sums from average * count.
  const size = mean(all.map(([, count]) => count));
  const deviations = all.map(([value, count]) => (value - average * count) / size);
  return standardDeviation(deviations) / Math.sqrt(all.length);
}
