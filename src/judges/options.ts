// The options of a judge's entry in a recipe, checked.

import "../base/zod-words.js";
import { z } from "zod";
import { camelCase, snakeCase } from "../base/case.js";
import { UserError } from "../base/errors.js";
import { didYouMean } from "../base/suggest.js";

const columnValue = z.union([z.string(), z.number(), z.boolean()]);

/** What every entry may say, whatever its kind. */
export const commonOptions = {
  name: z.string().min(1).optional(),
  onFailed: z.enum(["drop", "violate", "stop"]).default("drop"),
  maxFailedRate: z.number().min(0).max(1).default(0.1),
  truncated: z.enum(["violated", "judge"]).optional(),
  stripThoughts: z.boolean().default(true),
  appliesTo: z.record(z.string(), z.union([columnValue, z.array(columnValue).min(1)])).optional(),
};

export type CommonOptions = z.output<z.ZodObject<typeof commonOptions>>;

/** What the entry of a judge of the user's own may say. */
export const moduleOptions = z.strictObject({
  ...commonOptions,
  module: z.string().min(1),
  export: z.string().min(1).default("default"),
  kind: z.enum(["rule", "llm"]).default("rule"),
  version: z.string().default("1"),
  /** For one answer; a judge that takes longer has failed. */
  timeoutSeconds: z.number().positive().default(60),
});

/** Checks the options of judge `label`, given in snake case; mistakes become one UserError. */
export function parseOptions<S extends z.ZodObject>(
  schema: S,
  options: Record<string, unknown>,
  label: string,
): z.output<S> {
  const entries = Object.entries(options).map(([key, value]) => [camelCase(key), value] as const);
  const result = schema.safeParse(Object.fromEntries(entries));
  if (result.success) return result.data;
  const mistakes = result.error.issues.flatMap((issue) => {
    if (issue.code === "unrecognized_keys" && issue.path.length === 0) {
      const known = Object.keys(schema.shape).map(snakeCase);
      return issue.keys.map(snakeCase).map((key) => ` has no option "${key}"${didYouMean(key, known)}`);
    }
    const path = issue.path
      .map((part, depth) => (depth === 0 ? snakeCase(String(part)) : String(part)))
      .join(".");
    const isMissing = issue.path.length === 1 && options[path] === undefined;
    return `${path === "" ? "" : `, option "${path}"`}: ${isMissing ? "is missing" : issue.message}`;
  });
  throw new UserError(mistakes.map((mistake) => `judge "${label}"${mistake}`).join("; "));
}
