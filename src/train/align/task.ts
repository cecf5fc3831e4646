// A task of an alignment while it runs: where it is in its prompts and random streams, the baseline responses it has
// taken, and the step that it makes of them.

import { RandomStream } from "../../base/random.js";
import { PromptCursor } from "../../data/index.js";
import type { PromptRow } from "../../data/rows.js";
import { createMixture } from "../../judges/mixture.js";
import { lengthMetrics } from "../lengths.js";
import { noReward } from "../rewards/fixed.js";
import type { Codec } from "../text.js";
import { preferenceTask } from "./dpo.js";
import { learnFrom, whyNothing } from "./learn.js";
import { measureSamples } from "./measures.js";
import type { RunningTask, SampledTask, SamplingTask, TaskParts } from "./parts.js";
import { rollOut, rolloutRows, tokenColumns } from "./rollout.js";

/** A task at its beginning. `seed` is the run's, `window` the tokens that its models read. */
export const startTask = (parts: TaskParts, seed: number, codec: Codec, window: number): RunningTask =>
  "pairs" in parts ? preferenceTask(parts, { seed, codec, window }) : samplingTask(parts, seed);

function samplingTask(parts: SamplingTask, seed: number): RunningTask {
  const { name, prompts, fit } = parts;
  const lengths = fit ? lengthMetrics(fit.lengths) : {};
  let cursor = PromptCursor.start(prompts, { seed, name: `prompts of ${name}` });
  let batch: readonly PromptRow[] = [];
  const task: SampledTask = {
    weight: 1,
    reward: noReward,
    judges: createMixture([]),
    measures: [],
    missingEosPenalty: 0,
    maxFailedRate: 0.2,
    baselineResponse: "auto",
    ...definedOf(parts),
    calibrates: Boolean(parts.objective.calibrates || parts.judgeGate?.calibrated),
    random: new RandomStream(seed, `samples of ${name}`),
    baselines: new Map(),
    nextPrompts() {
      batch = cursor.next(parts.limits.batchPrompts);
      return batch;
    },
  };
  return {
    name,
    weight: task.weight,
    fit,
    batch: () => batch,
    state: () => ({
      cursor: cursor.state(),
      random: task.random.state(),
      baselines: [...task.baselines],
      reward: task.reward.state(),
    }),
    restore(state) {
      cursor = PromptCursor.restore(prompts, state.cursor);
      task.random = RandomStream.restore(state.random);
      task.baselines = new Map(state.baselines);
      task.reward.restore(state.reward);
    },
    async begin(step, context) {
      if (step === 1 && task.reward.hasPreview) await task.reward.afterStep(0, await rollOut(task, context));
      const rollouts = await rollOut(task, context);
      const measured = await measureSamples(task, rollouts, step, context);
      const { updates, accumulate, findings, columns } = await learnFrom(task, rollouts, step, context);
      let learned = 0;
      return {
        updates,
        async accumulate(update) {
          const result = await accumulate(update);
          learned += result.learned;
          return result;
        },
        async finish() {
          const changes = await task.reward.afterStep(step, rollouts);
          const failure = rollouts.metrics.dropped_reason;
          const nothing = learned === 0 && { nothing_learned: whyNothing(findings(), failure as string) };
          return {
            metrics: { ...rollouts.metrics, ...measured.metrics, ...changes, ...lengths, ...nothing },
            rollouts: rolloutRows(
              task,
              step,
              rollouts,
              findings(),
              rollouts.responses.map((_, i) => ({
                ...columns?.[i],
                ...measured.columns[i],
                ...(i < (context.logged?.tokens ?? 0) && tokenColumns(rollouts, i, context.codec)),
              })),
            ),
          };
        },
      };
    },
  };
}

/** Without the keys that are there but undefined, so that defaults hold. */
const definedOf = <T extends object>(given: T): T =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as T;
