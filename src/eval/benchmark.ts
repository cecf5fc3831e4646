// What a benchmark is: a published file format, the questions that its rows ask, and the grading of an answer.

import "../base/zod-words.js";
import type { z } from "zod";
import { UserError } from "../base/errors.js";
import { type DataRow, where } from "../data/rows.js";

/** The outcome of one graded answer, by metric: one value, or several that are pooled (one for each instruction of IFEval). */
export type Scores = Readonly<Record<string, number | readonly number[]>>;

/** A worked example's answer: what follows the question in a text, and the reply in a conversation. */
export interface Worked {
  plain: string;
  chat: string;
}

/** An answer as the graders see it. */
export interface Answer {
  /** Cut at the first stop string, without a reasoning model's thoughts. */
  text: string;
  /** The reply of a conversation, not the continuation of a text. */
  isChat: boolean;
  truncated: boolean;
}

/** Says whether a response refuses. Throws when it cannot tell. */
export type RefusalTest = (response: string) => Promise<boolean>;

/** What graders may need from outside. */
export interface GradeContext {
  refuses: RefusalTest;
}

export interface Format<Row> {
  name: string;
  /** What rows are recognised by: the columns that only this format has. */
  columns: readonly string[];
  row: z.ZodType<Row>;
  /** The question as the beginning of a text that the model continues. */
  plain(row: Row): string;
  /** The question as a user's message. */
  chat(row: Row): string;
  /** The row as a worked example. Absent: the benchmark has no few-shot form. */
  worked?(row: Row): Worked;
  /** Parts of the benchmark that are reported on their own, such as `{ level: "Level 5" }`. */
  groups?(row: Row): Record<string, string>;
  /** The metric that a person looks at first. */
  headline: string;
  /** Metrics of which less is better. */
  lowerIsBetter?: readonly string[];
  /** Means of several metrics, by name. */
  averages?: Readonly<Record<string, readonly string[]>>;
}

/** The model writes an answer. */
export interface GenerativeBenchmark<Row> extends Format<Row> {
  kind: "generate";
  maxNewTokens: number;
  /** Strings that end the continuation of a text; a reply ends by itself. */
  stop: readonly string[];
  /** The 0/1 metric of which pass@k is reported where there are several samples. */
  passMetric?: string;
  /** Throws when the answer cannot be judged. */
  grade(row: Row, answer: Answer, context: GradeContext): Scores | Promise<Scores>;
}

/** The model says how likely each of the given answers is. */
export interface ChoiceBenchmark<Row> extends Format<Row> {
  kind: "choose";
  choices(row: Row): readonly string[];
  /** `logprobs[i]`: log pi(choice i | question), nats. */
  grade(row: Row, logprobs: readonly number[]): Scores;
}

// biome-ignore lint/suspicious/noExplicitAny: the rows of every benchmark differ, and each reads its own only.
export type Benchmark = GenerativeBenchmark<any> | ChoiceBenchmark<any>;

/** A row of a benchmark, read. */
export interface Item {
  id: string;
  row: unknown;
  values: Readonly<Record<string, unknown>>;
}

/** Whether a row has the columns of the format. */
export const recognises = ({ columns }: Pick<Benchmark, "columns">, values: Record<string, unknown>) =>
  columns.every((path) => {
    const value = path
      .split(".")
      .reduce<unknown>((at, key) => (at as Record<string, unknown> | null | undefined)?.[key], values);
    return value !== undefined && value !== null;
  });

export function readItem({ name, row: schema }: Benchmark, row: DataRow): Item {
  const result = schema.safeParse(row.values);
  if (result.success) return { id: row.id, row: result.data, values: row.values };
  const { path, message } = result.error.issues[0]!;
  throw new UserError(
    `${where(row)}: not a row of ${name}: ${path.length > 0 ? `"${path.join(".")}" ` : ""}${message}; the row has ${Object.keys(row.values).join(", ")}`,
  );
}
