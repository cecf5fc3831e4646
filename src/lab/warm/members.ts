// The members (WARM, 2401.12187, sections 3.1 and 3.3): Bradley-Terry fine-tunings of all weights from one probed head,
// different in data order, learning rate, dropout and, for Baklava, in the SFT checkpoint that they start from.

import { join } from "node:path";
import { writeFileAtomic } from "../../base/atomic.js";
import { jsonl } from "../../base/jsonl.js";
import { runReward } from "../../train/reward-model/runs.js";
import { quietly, writeRecipe } from "../reproduce/recipe-file.js";
import { type KeysWorld, type Prompt, textOf } from "./keys-world.js";
import { type RecipeContext, rewardRecipe, type Suite } from "./recipes.js";
import type { Answer } from "./sampling.js";
import type { MemberSettings } from "./settings.js";

/** What training sees of a pair. */
export interface LabelledPair {
  prompt: Prompt;
  chosen: Answer;
  rejected: Answer;
}

/** Writes the pairs as a file of preferences; the file. */
export async function writePairs(
  file: string,
  world: KeysWorld,
  pairs: readonly LabelledPair[],
): Promise<string> {
  const text = (tokens: readonly number[]) => textOf(world, tokens);
  const rows = pairs.map(({ prompt, chosen, rejected }) => ({
    prompt: text(prompt),
    chosen: text(chosen),
    rejected: text(rejected),
  }));
  await writeFileAtomic(file, jsonl(rows));
  return file;
}

export interface SuiteOptions extends RecipeContext {
  /** File of preferences. */
  data: string;
  settings: MemberSettings;
  signal?: AbortSignal | undefined;
}

/** Trains the members of a suite in `<dir>/<name>`; their models, in order. */
export async function trainSuite(
  name: string,
  suite: Suite,
  { data, settings, signal, ...context }: SuiteOptions,
): Promise<string[]> {
  const recipe = rewardRecipe(suite, { data, out: join(context.dir, name) }, settings, context);
  const file = join(context.dir, `${name}.yaml`);
  const { members } = await runReward(await writeRecipe("reward", file, recipe), quietly(signal));
  return members.map(({ model }) => model);
}
