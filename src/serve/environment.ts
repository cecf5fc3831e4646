// A task as an environment of one turn, which OpenEnv and ORS both serve: a prompt of the task's data, one answer, its reward.

import { hash32 } from "../base/random.js";
import type { PromptRow } from "../data/rows.js";
import { promptText } from "../data/rows.js";
import { resultJson } from "./dialects/native.js";
import { Problem } from "./problem.js";
import type { ServedResult } from "./sample.js";
import type { ServedTask } from "./task.js";

/** The one split: the prompts of the recipe. */
export const split = { name: "train", type: "train" };

export function rowAt({ name, rows }: ServedTask, index: number): PromptRow {
  const row = rows[index];
  if (row) return row;
  throw new Problem("invalid", `Invalid index: task ${name} has ${rows.length} prompts, from 0`);
}

/** The prompt that a seed stands for; without one, any. */
export const rowOfSeed = (task: ServedTask, seed: number | null | undefined): PromptRow =>
  rowAt(
    task,
    (seed === null || seed === undefined ? Math.floor(Math.random() * 2 ** 32) : hash32(`row ${seed}`)) %
      Math.max(1, task.rows.length),
  );

/** What an agent may see of a row: the prompt, and nothing that answers it. */
export const shown = (task: string, { id, prompt }: PromptRow) => ({
  task,
  prompt_id: id,
  prompt: promptText(prompt),
  messages: typeof prompt === "string" ? [{ role: "user", content: prompt }] : prompt,
});

/** What an agent is told of its answer. */
export function toldOf(result: ServedResult) {
  const { verdicts, ...rest } = resultJson(result);
  const said = Object.entries(verdicts).map(([judge, found]) => [
    judge,
    typeof found === "string" ? found : found.verdict,
  ]);
  return { ...rest, verdicts: Object.fromEntries(said) as Record<string, string> };
}
