// How a kind of judge that recipes can name is written: its options and what makes a judge of them.

import type { z } from "zod";
import type { LlmModels } from "../llm/models.js";
import type { Judge } from "./verdict.js";

/** What the surroundings of a recipe offer to its judges. */
export interface JudgeContext {
  /** Directory that relative paths in the recipe start from. */
  baseDir: string;
  /** Tokens of a text under the policy's tokenizer. */
  countTokens?: (text: string) => number;
  /** The language models that judges may name. */
  llm?: Pick<LlmModels, "has" | "names" | "open" | "openEndpoint">;
}

type JudgeParts = Pick<Judge, "applies" | "judge"> & Partial<Pick<Judge, "version" | "concurrency">>;

export interface JudgeKind<Options extends z.ZodObject = z.ZodObject> {
  version: string;
  kind: Judge["kind"];
  isCostly?: boolean;
  /** What a response that was cut at the token limit gets, unless the recipe says otherwise. */
  truncated: "violated" | "judge";
  /** In camel case; recipes write the same names in snake case. */
  options: Options;
  /** A judge whose options reach into its verdicts says its own version. */
  create(options: z.output<Options>, context: JudgeContext): JudgeParts | Promise<JudgeParts>;
}

/** Infers the options' type from their schema. */
export function judgeKind<Options extends z.ZodObject>(kind: JudgeKind<Options>): JudgeKind {
  return kind as unknown as JudgeKind;
}

/** The usual rule of applicability: the prompt's metadata has the column that the judge needs. */
export const hasColumn = (column: string) => (metadata: Readonly<Record<string, unknown>>) =>
  metadata[column] !== undefined && metadata[column] !== null;

/** The reference answers in a metadata column, one or a list of alternatives. Throws where it holds anything but values. */
export function referencesIn(metadata: Readonly<Record<string, unknown>>, column: string): string[] {
  const value = metadata[column];
  const references: unknown[] = Array.isArray(value) ? value : [value];
  if (references.length === 0) throw new Error(`metadata "${column}" is an empty list, without any answer`);
  return references.map((reference) => {
    if (["string", "number", "bigint", "boolean"].includes(typeof reference)) return String(reference);
    const what = Array.isArray(reference) ? "a list in a list" : reference === null ? "null" : "an object";
    throw new Error(`metadata "${column}" holds ${what}; it must be a text, a number, or a list of them`);
  });
}
