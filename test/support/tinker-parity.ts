// The same updates on two engines: five of each objective on the same samples, from the same adapter.

import type { LanguageModel, Sequence } from "../../src/engine/contract.js";
import { clippedSurrogate } from "../../src/objectives/clipped-ratio.js";
import type { Objective, TaskBatch } from "../../src/objectives/index.js";
import { objectiveOf } from "../../src/recipe/optimizers.js";
import { parseRecipe } from "../../src/recipe/recipe.js";

/** The objective of an optimizer with its defaults; PPO's clipped surrogate with the rewards as advantages. */
export function objectiveNamed(name: string): Pick<Objective, "gradient" | "updates"> {
  if (name === "ppo")
    return {
      updates: 2,
      gradient: ({ logprobs, oldLogprobs, rewards }) => {
        const g = logprobs.map((row, i) =>
          Float32Array.from(row, (x, t) => {
            const logRatio = x - (oldLogprobs ?? logprobs)[i]![t]!;
            return clippedSurrogate(logRatio, rewards[i]!, { low: 0.2, high: 0.2 }).derivative / 50;
          }),
        );
        return { loss: 0, g, metrics: {}, findings: [] };
      },
    };
  const recipe = parseRecipe(
    "align",
    `{output_dir: x, steps: 1, policy: x, tasks: [{name: t, prompts: x, reward: {model: x}, judges: [{kind: length, max_words: 1}], optimizer: {name: ${name}}}]}`,
    "x",
  );
  const [task] = (recipe as { tasks: { optimizer: Parameters<typeof objectiveOf>[0] }[] }).tasks;
  return objectiveOf(task!.optimizer)!;
}

export const samples = (vocabSize: number): Sequence[] =>
  Array.from({ length: 8 }, (_, i) => {
    const length = 6 + (i % 4);
    return {
      tokens: Array.from({ length }, (_, t) => (31 * i + 7 * t + 11) % vocabSize),
      promptLength: 2 + (i % 2),
    };
  });

// An epsilon above the rounding of gradients, which Adam would blow up to whole steps where they are all rounding.
const adam = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-6 };

/** Five updates of an objective. */
export async function updates(
  policy: LanguageModel,
  reference: LanguageModel,
  objective: Pick<Objective, "gradient" | "updates">,
  sequences: readonly Sequence[],
): Promise<number[]> {
  const norms: number[] = [];
  const referenceLogprobs = await reference.logprobs(sequences);
  let old: Float32Array[] | undefined;
  for (let step = 0; step < 5; step++) {
    const logprobs = await policy.logprobs(sequences);
    if (step % (objective.updates ?? 1) === 0) old = logprobs;
    const batch: TaskBatch = {
      logprobs,
      oldLogprobs: old!,
      referenceLogprobs,
      rewards: sequences.map((_, i) => Math.sin(3 * i)),
      verdicts: sequences.map((_, i) => (i % 3 === 1 ? "violated" : "satisfied")),
      promptIndex: sequences.map((_, i) => i >> 2),
      promptCount: 2,
      baselineRewards: [0.1, -0.1],
    };
    const { g } = objective.gradient(batch);
    await policy.backward(sequences, g);
    norms.push((await policy.step(adam)).gradNorm ?? Number.NaN);
  }
  return norms;
}
