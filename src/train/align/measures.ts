// What a task looks at on its samples and never learns from: rewards and judges beside the one that trains. They are what a
// rising reward is compared with (src/monitor).

import { mean } from "../../base/statistics.js";
import { timed } from "../../run/clock.js";
import type { Metrics } from "../../run/metrics.js";
import { judgeSamples } from "./judging.js";
import type { Measure, SampledTask, StepContext, TaskRollouts } from "./parts.js";
import { tokensOf } from "./passes.js";

export interface Measured {
  /** `measures/NAME`: the mean of what could be had; `measures/NAME/spread` where members of an ensemble differ. */
  metrics: Metrics;
  /** For rollouts.jsonl, by sample: `measures: { NAME: number or null }`; empty at a step without measures. */
  columns: readonly Readonly<Record<string, unknown>>[];
}

/** What of each sample, and how far members differ. */
interface Values {
  values: (number | null)[];
  spreads: number[];
}

/** Asks every measure that is due at `step` about the samples. Throws the signal's reason when that aborts. */
export async function measureSamples(
  { measures }: Pick<SampledTask, "measures">,
  rollouts: TaskRollouts,
  step: number,
  context: StepContext,
): Promise<Measured> {
  const due = measures.filter(({ every = 1 }) => step % every === 0);
  const metrics: Record<string, number | undefined> = {};
  const columns = rollouts.responses.map(() => ({}) as Record<string, number | null>);
  for (const { name, of } of due) {
    const { values, spreads } = await valuesOf(of, rollouts, context);
    const had = values.filter((value) => value !== null);
    metrics[`measures/${name}`] = had.length > 0 ? mean(had) : undefined;
    if (spreads.length > 0) metrics[`measures/${name}/spread`] = mean(spreads);
    values.forEach((value, i) => void (columns[i]![name] = value));
  }
  return { metrics, columns: due.length === 0 ? [] : columns.map((measured) => ({ measures: measured })) };
}

async function valuesOf(of: Measure["of"], rollouts: TaskRollouts, context: StepContext): Promise<Values> {
  if ("score" in of) {
    const { rows, completions, sequences, responses } = rollouts;
    const { clock, signal } = context;
    const asked = sequences.map(({ tokens }, i) => ({
      row: rows[completions[i]!.promptIndex]!,
      text: responses[i]!,
      tokens,
      // A measure uses no chance of the run's.
      seed: i,
    }));
    const score = () => of.score(asked, "trial", signal);
    const { rewards, failed, notes } = await timed(clock.reward, tokensOf(sequences), score);
    return {
      values: Array.from(rewards, (value, i) => (failed[i] || !Number.isFinite(value) ? null : value)),
      spreads: spreadsIn(notes),
    };
  }
  const { results } = await judgeSamples(of, rollouts, context);
  return {
    values: results.map(({ verdicts }) => {
      const [said] = Object.values(verdicts);
      if (typeof said !== "object" || said.verdict === "failed") return null;
      return Number(said.verdict === "satisfied");
    }),
    spreads: [],
  };
}

/** How far the members of an ensemble differ on a sample (`spread`), where the reward is one. */
export const spreadsIn = (notes: readonly Readonly<Record<string, unknown>>[]): number[] =>
  notes.flatMap(({ spread }) => (typeof spread === "number" ? [spread] : []));
