// What a task family is: it draws prompts, and each drawn task can be answered by an author of any skill.

import type { RandomStream } from "../../base/random.js";

export const familyNames = ["writing", "arithmetic", "code", "instructions", "engagement", "safety"] as const;
export type FamilyName = (typeof familyNames)[number];

export interface Author {
  /** 0 is hopeless, 1 is nearly perfect. */
  skill: number;
}

/** Columns that travel with a prompt; judges read them (`answer`, `unit_tests`, ...), and so does the true reward. */
export interface TaskMetadata {
  /** writing: the things to mention, in this order. */
  keys?: string[];
  /** arithmetic: the final answer. */
  answer?: string;
  /** code: statements that throw for a wrong program, with `assert` as in Node. */
  unit_tests?: string[];
  /** instructions: IFEval's instruction ids and their keyword arguments. */
  instruction_id_list?: string[];
  kwargs?: Record<string, string | number | string[]>[];
  /** engagement: what the user wants to talk about. */
  topic?: string;
  /** safety: whether the request should be declined. */
  harmful?: boolean;
}

export interface Task {
  family: FamilyName;
  prompt: string;
  metadata: TaskMetadata;
  /** An answer by `author`, with its mistakes and its showing off. */
  answer(author: Author, random: RandomStream): string;
}

export type DrawTask = (random: RandomStream) => Task;
