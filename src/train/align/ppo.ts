// PPO on the rollouts of a task: values and advantages once, then `ppo_epochs` passes over the samples, each in
// `mini_batches` updates of policy and critic.

import { RandomStream } from "../../base/random.js";
import type { Sequence } from "../../engine/contract.js";
import { ppo, ppoAdvantages } from "../../objectives/index.js";
import { timed } from "../../run/clock.js";
import type { PpoObjective, SampledTask, SampleLearning, StepContext, TaskRollouts } from "./parts.js";
import { accumulate, logprobsNow, tokensOf } from "./passes.js";
import { rounded } from "./rollout.js";

type PpoOptions = PpoObjective["critic"];

export async function learnByPpo(
  { name, weight: rho, random: { seed } }: SampledTask,
  options: PpoOptions,
  { batch, sequences }: Pick<TaskRollouts, "batch" | "sequences">,
  step: number,
  context: StepContext,
): Promise<SampleLearning> {
  const { clock } = context;
  const critic = context.critic!;
  const valuesNow = (rows: readonly Sequence[]) =>
    timed(clock.critic, tokensOf(rows), () => critic.values(rows));

  const oldValues = await valuesNow(sequences);
  const { advantages, returns, findings, metrics } = ppoAdvantages(
    { ...batch, values: oldValues },
    {
      klCoefficient: options.klCoef,
      gamma: options.gamma,
      gaeLambda: options.gaeLambda,
      whitenRewards: options.whitenRewards,
    },
  );
  const judged = advantages.flatMap((row, i) => (row.length > 0 ? [i] : []));
  const parts = miniBatches(judged, options, new RandomStream(seed, `mini-batches of ${name}, step ${step}`));
  return {
    updates: parts.length,
    async accumulate(update) {
      const pick = <T>(rows: readonly T[]): T[] => parts[update]!.map((i) => rows[i]!);
      const own = pick(sequences);
      const isFirst = update === 0;
      const result = ppo(
        {
          logprobs: isFirst ? pick(batch.logprobs) : await logprobsNow(own, context),
          oldLogprobs: pick(batch.logprobs),
          values: isFirst ? pick(oldValues) : await valuesNow(own),
          oldValues: pick(oldValues),
          advantages: pick(advantages),
          returns: pick(returns),
        },
        options,
      );
      const learned = await accumulate(rho, result, { sequences: own }, context);
      const gValues = result.gValues.map((row) => row.map((x) => rho * x));
      await timed(clock.critic, tokensOf(own), () => critic.backward(own, gValues));
      return {
        metrics: { ...result.metrics, ...metrics, loss: result.loss, learned_samples: learned },
        learned,
      };
    },
    findings: () => findings,
    // What the advantages are computed from, token by token.
    columns: oldValues.map((values, i) => ({
      token_values: Array.from(values, rounded),
      token_log_ratios: Array.from(batch.logprobs[i]!, (x, t) =>
        rounded(x - batch.referenceLogprobs[i]![t]!),
      ),
    })),
  };
}

/** The samples of every update: each epoch has all of them once, in an order of its own. */
export function miniBatches(
  samples: readonly number[],
  { ppoEpochs, miniBatches: count }: Pick<PpoOptions, "ppoEpochs" | "miniBatches">,
  random: RandomStream,
): number[][] {
  const cuts = Array.from({ length: count + 1 }, (_, k) => Math.round((k * samples.length) / count));
  return Array.from({ length: ppoEpochs }, () => {
    const order = count === 1 ? samples : random.shuffle(samples);
    return cuts.slice(1).map((end, k) => order.slice(cuts[k], end));
  })
    .flat()
    .filter((part) => part.length > 0);
}
