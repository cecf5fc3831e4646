// Answers of the language models to prompts, with seeds of their own.

import type { RandomStream } from "../../base/random.js";
import type { LanguageModel } from "../../engine/contract.js";
import { maxAnswer, type Prompt } from "./keys-world.js";

/** Tokens of an answer; the end token is the last unless the answer was cut at its greatest length. */
export type Answer = readonly number[];

/** One answer to every prompt at `temperature`. */
export async function sampleAnswers(
  model: LanguageModel,
  prompts: readonly Prompt[],
  { temperature = 1, random }: { temperature?: number; random: RandomStream },
): Promise<Answer[]> {
  const completions = await model.sample(prompts, {
    maxNewTokens: maxAnswer,
    temperature,
    seeds: prompts.map(() => random.nextSeed()),
  });
  return completions.map(({ tokens }) => [...tokens]);
}

/** n answers to every prompt, grouped by prompt. */
export async function sampleGroups(
  model: LanguageModel,
  prompts: readonly Prompt[],
  n: number,
  random: RandomStream,
): Promise<Answer[][]> {
  const answers = await sampleAnswers(
    model,
    prompts.flatMap((prompt) => new Array<Prompt>(n).fill(prompt)),
    { random },
  );
  return prompts.map((_, p) => answers.slice(p * n, (p + 1) * n));
}

/** What a reward model reads. */
export const sequenceOf = (prompt: Prompt, answer: Answer): number[] => [...prompt, ...answer];
