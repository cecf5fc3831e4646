// The rubric and the task that a recipe or a command line names.

import { readFile } from "node:fs/promises";
import { UserError } from "../base/errors.js";
import { didYouMean } from "../base/suggest.js";
import { isPresetName, presetNames, taskPreset } from "./presets/index.js";
import type { Rubric, RubricItem } from "./rubric.js";
import { readRubric } from "./rubric-file.js";
import { initialRubric, readTask, type TaskPreset, taskFromYaml } from "./task.js";

/** The task of a rubric that comes without one. */
export const plainTask = (items: readonly RubricItem[]): TaskPreset => ({
  name: "plain",
  description: "Respond to the instruction: do what it asks, completely and correctly.",
  scorerPersona:
    "You are a strict and fair examiner. You give every response the points that its rubric says, no more.",
  refinerPersona:
    "You are an experienced examiner who writes rubrics for others and notices when a response got points without merit.",
  mode: "breadth",
  interval: 10,
  samples: 16,
  scoring: "one-reply",
  answerCheck: 0,
  judges: [],
  items: [...items],
});

export interface OpenedRubric {
  rubric: Rubric;
  task: TaskPreset;
}

/** The rubric and the task that a recipe names: a preset, a task file, or a rubric file with another task or none. */
export async function openRubric(name: string, taskName?: string): Promise<OpenedRubric> {
  const task = taskName === undefined ? undefined : await openTaskPreset(taskName);
  const own = await taskIn(name);
  const rubric = own ? initialRubric(own) : await readRubric(name);
  return { rubric, task: task ?? own ?? plainTask(rubric.items) };
}

const openTaskPreset = async (name: string): Promise<TaskPreset> =>
  isPresetName(name) ? taskPreset(name) : readTask(name);

/** The task of a preset or a task file; undefined for a rubric file. */
async function taskIn(name: string): Promise<TaskPreset | undefined> {
  if (isPresetName(name)) return taskPreset(name);
  const text = await readFile(name, "utf8").catch(() => {
    throw new UserError(
      `the rubric ${name} cannot be read, and there is no preset of that name${didYouMean(name, presetNames)}; presets are ${presetNames.join(", ")}`,
    );
  });
  // A rubric has items alone.
  return /^description:/m.test(text) ? taskFromYaml(text, name) : undefined;
}
