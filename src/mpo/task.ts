// A task of MPO as data: what the models are told of it, the rubric that it starts with, and the paper's settings for it.

import { readFile } from "node:fs/promises";
import { stringify } from "yaml";
import { z } from "zod";
import { UserError } from "../base/errors.js";
import { parseYaml } from "../base/yaml.js";
import type { MetaRewardModelOptions } from "./meta-reward-model.js";
import type { TaskPrompts } from "./prompts.js";
import { createRubric, type Rubric, type RubricItem } from "./rubric.js";
import { rubricItemSchema } from "./rubric-file.js";
import type { RubricRewardOptions, ScoringMode } from "./rubric-reward.js";

export interface TaskPreset extends TaskPrompts {
  name: string;
  /** `depth`: one rubric for each cluster of prompts. */
  mode: "breadth" | "depth";
  /** k: updates from one round to the next. */
  interval: number;
  /** n: rollouts of a round in breadth mode. */
  samples: number;
  scoring: ScoringMode;
  /** Share of prompts checked against the reference instead of scored; needs a reference column. */
  answerCheck: number;
  /** Gates outside the rubric, as entries of a recipe's `judges`: no round can change them. */
  judges: Record<string, unknown>[];
  /** Items of the iter-0 rubric. */
  items: RubricItem[];
}

const taskFile = z.strictObject({
  name: z.string().min(1),
  description: z.string().min(1),
  scorer_persona: z.string().min(1),
  refiner_persona: z.string().min(1),
  mode: z.enum(["breadth", "depth"]).default("breadth"),
  interval: z.int().min(1).default(10),
  samples: z.int().min(1).default(16),
  scoring: z.enum(["one-reply", "item-reply", "dialogue", "plan"]).default("one-reply"),
  answer_check: z.number().min(0).max(1).default(0),
  judges: z.array(z.record(z.string(), z.unknown())).default([]),
  items: z.array(rubricItemSchema).min(1),
});

export const initialRubric = ({ items }: Pick<TaskPreset, "items">): Rubric => createRubric(items);

/** What the task says about its reward model and its meta reward model; client and model names come from the recipe. */
export const rewardOptions = (task: TaskPreset) =>
  ({
    task,
    mode: task.scoring,
    ...(task.answerCheck > 0 ? { answerCheck: { probability: task.answerCheck } } : {}),
  }) satisfies Partial<RubricRewardOptions>;

export const metaOptions = (task: TaskPreset) =>
  ({ task, mode: task.mode, samples: task.samples }) satisfies Partial<MetaRewardModelOptions>;

/**
 * The same to the letter of the paper, where our defaults differ: two turns for each item, raw totals, the total alone
 * shown to the meta reward model, uniform samples, refinements beyond one merge left out, candidates checked for form only.
 */
export const faithfulRewardOptions = (task: TaskPreset) =>
  ({
    ...rewardOptions(task),
    mode: task.scoring === "plan" ? "plan" : "dialogue",
    reward: "raw",
    outOfRange: "clamp",
  }) satisfies Partial<RubricRewardOptions>;

export const faithfulMetaOptions = (task: TaskPreset) =>
  ({
    ...metaOptions(task),
    sampling: "uniform",
    refinement: "count-first",
    // In mathematics the paper shows the written feedback and the reference too.
    shows: task.mode === "depth" ? { items: true, reference: true } : {},
    mergeOverflow: "truncate",
    validation: { flaggedScoreLower: false, copiedWords: Number.POSITIVE_INFINITY },
  }) satisfies Partial<MetaRewardModelOptions>;

/** A copy for people to edit. */
export function taskToYaml(task: TaskPreset): string {
  const { scorerPersona, refinerPersona, answerCheck, name, description, ...rest } = task;
  const file = {
    name,
    description,
    scorer_persona: scorerPersona,
    refiner_persona: refinerPersona,
    answer_check: answerCheck,
    ...rest,
  };
  return stringify(file, { lineWidth: 110 });
}

export function taskFromYaml(text: string, source: string): TaskPreset {
  const data = parseYaml(text, source);
  const result = taskFile.safeParse(data);
  if (!result.success) {
    const { path, message } = result.error.issues[0]!;
    throw new UserError(`${source}: ${path.length > 0 ? `${path.join(".")}: ` : ""}${message}`);
  }
  const { scorer_persona, refiner_persona, answer_check, ...rest } = result.data;
  return {
    ...rest,
    scorerPersona: scorer_persona,
    refinerPersona: refiner_persona,
    answerCheck: answer_check,
  };
}

export async function readTask(path: string): Promise<TaskPreset> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch {
    throw new UserError(`the task ${path} cannot be read`);
  }
  return taskFromYaml(text, path);
}
