// A recipe's rubric as options of the library: what the recipe gives, else what the task says (a preset, or the paper's
// settings with `faithful`), else the library's defaults.

import { loadPreferences } from "../../data/index.js";
import { promptText } from "../../data/rows.js";
import type { MpoOptions } from "../../mpo/hook.js";
import type { MetaRewardModelOptions } from "../../mpo/meta-reward-model.js";
import type { RubricRewardOptions } from "../../mpo/rubric-reward.js";
import {
  faithfulMetaOptions,
  faithfulRewardOptions,
  metaOptions,
  rewardOptions,
  type TaskPreset,
} from "../../mpo/task.js";
import type { Anchor } from "../../mpo/validation.js";
import type { MetaRewardRecipe, RubricRewardRecipe } from "../../recipe/recipe.js";

type Given<T> = { [K in keyof T]?: T[K] | undefined };

/** The entries that are there. */
export const given = <T extends object>(options: Given<T>): Partial<T> =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;

export function scoringOptions(
  {
    scoring,
    scale,
    outOfRange,
    showReference,
    answerCheck,
    attempts,
    maxTokens,
    faithful,
  }: RubricRewardRecipe,
  task: TaskPreset,
): Omit<RubricRewardOptions, "client" | "model"> {
  return {
    ...(faithful ? faithfulRewardOptions(task) : rewardOptions(task)),
    ...given<RubricRewardOptions>({
      mode: scoring,
      reward: scale,
      outOfRange,
      showReference,
      attempts,
      maxTokens,
    }),
    ...(answerCheck !== undefined && { answerCheck: { probability: answerCheck } }),
    task,
    // The log remembers every reply, and counts the same after a resume.
    cacheSize: 0,
  };
}

export const roundOptions = (
  { interval, triggers, cooldown, stopAfterUnchanged }: MetaRewardRecipe,
  task: TaskPreset,
): MpoOptions => ({
  interval: interval ?? task.interval,
  ...given<MpoOptions>({ triggers, cooldown, stopAfterUnchanged }),
});

export async function revisionOptions(
  meta: MetaRewardRecipe,
  { faithful = false }: RubricRewardRecipe,
  task: TaskPreset,
): Promise<Omit<MetaRewardModelOptions, "client" | "model">> {
  const { mode, samples, perTertile, sampling, refinement, mergeOverflow, maxTokens, shows, anchors } = meta;
  const { flaggedScoreLower, copiedWords, allowLooserGates } = meta;
  const base: Omit<MetaRewardModelOptions, "client" | "model"> = faithful
    ? faithfulMetaOptions(task)
    : metaOptions(task);
  return {
    ...base,
    ...given<MetaRewardModelOptions>({
      mode,
      samples,
      perTertile,
      sampling,
      refinement,
      mergeOverflow,
      maxTokens,
      shows: shows && Object.fromEntries(shows.map((part) => [part, true])),
    }),
    validation: {
      ...base.validation,
      ...given<NonNullable<MetaRewardModelOptions["validation"]>>({
        flaggedScoreLower,
        copiedWords,
        allowLooserGates,
        anchors: anchors === undefined ? undefined : await readAnchors(anchors),
      }),
    },
  };
}

/** Pairs of which the first response is the better one; the columns are those of preference data. */
async function readAnchors(path: string): Promise<Anchor[]> {
  const { rows } = await loadPreferences(path);
  return rows.map(({ prompt, chosen, rejected }) => ({
    prompt: promptText(prompt),
    good: promptText(chosen),
    bad: promptText(rejected),
  }));
}
