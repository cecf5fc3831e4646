// The shape of a response: tags around its parts, JSON, a fixed ending, an end at all, and no endless repetition.

import { z } from "zod";
import { UserError } from "../../base/errors.js";
import { judgeKind } from "../kind.js";
import { errorMessage, type JudgeInput, satisfied, violated } from "../verdict.js";
import { fencedBlocks } from "./fences.js";

/** What is wrong with the response, or undefined. */
type Check = (input: JudgeInput) => string | undefined;

function occurrences(text: string, part: string): number {
  return text.split(part).length - 1;
}

/** Each tag exactly once, opened and closed, in the order given and one after another. */
function tagsInOrder(tags: readonly string[]): Check {
  return ({ response }) => {
    let from = 0;
    for (const tag of tags) {
      const [open, close] = [`<${tag}>`, `</${tag}>`];
      for (const part of [open, close]) {
        const count = occurrences(response, part);
        if (count !== 1) return `${part} occurs ${count} times, not once`;
      }
      const start = response.indexOf(open, from);
      const end = response.indexOf(close, start);
      if (start < 0 || end < 0)
        return `<${tag}>...</${tag}> is not where it belongs (order: ${tags.join(", ")})`;
      from = end + close.length;
    }
    return undefined;
  };
}

/** The one value that the response consists of, bare or in one code fence. Throws when it is not JSON. */
function parseJsonResponse(response: string): unknown {
  const blocks = fencedBlocks(response);
  const isOneBlock = blocks.length === 1 && response.trim() === blocks[0]!.whole.trim();
  return JSON.parse(isOneBlock ? blocks[0]!.body : response);
}

function jsonMatching(schema: z.ZodType): Check {
  return ({ response }) => {
    let value: unknown;
    try {
      value = parseJsonResponse(response);
    } catch (error) {
      return `the response is not JSON: ${errorMessage(error)}`;
    }
    const issue = schema.safeParse(value).error?.issues[0];
    return issue && `the JSON breaks the schema at "${issue.path.join(".")}": ${issue.message}`;
  };
}

function compileSchema(jsonSchema: Record<string, unknown>): z.ZodType {
  try {
    return z.fromJSONSchema(jsonSchema as Parameters<typeof z.fromJSONSchema>[0]);
  } catch (error) {
    throw new UserError(`option "json_schema" cannot be used: ${errorMessage(error)}`);
  }
}

const gramLength = 4;

/** Share of 4-word sequences that have occurred before in the text; 0 for fewer than 4 words. */
export function repetition(text: string): number {
  const words = text.match(/\S+/gu) ?? [];
  const grams = words.slice(gramLength - 1).map((_, i) => words.slice(i, i + gramLength).join(" "));
  return grams.length === 0 ? 0 : 1 - new Set(grams).size / grams.length;
}

export const format = judgeKind({
  version: "1",
  kind: "rule",
  truncated: "judge",
  options: z.strictObject({
    /** Tag names, for example [think, answer]. */
    tags: z.array(z.string().min(1)).optional(),
    /** The response is one JSON value. */
    json: z.boolean().optional(),
    /** The response is one JSON value that this JSON Schema accepts. */
    jsonSchema: z.record(z.string(), z.unknown()).optional(),
    startsWith: z.string().optional(),
    endsWith: z.string().optional(),
    /** The response ends with the end token, not at the token limit. */
    finished: z.boolean().optional(),
    /** Largest share of repeated 4-word sequences. */
    maxRepetition: z.number().min(0).max(1).optional(),
  }),
  create({ tags, json, jsonSchema, startsWith, endsWith, finished, maxRepetition }) {
    const checks: Check[] = [];
    if (finished) checks.push(({ truncated }) => (truncated ? "the response has no end token" : undefined));
    if (tags) checks.push(tagsInOrder(tags));
    if (jsonSchema) checks.push(jsonMatching(compileSchema(jsonSchema)));
    else if (json) checks.push(jsonMatching(z.unknown()));
    if (startsWith !== undefined) {
      checks.push(({ response }) =>
        response.trimStart().startsWith(startsWith) ? undefined : `it does not start with "${startsWith}"`,
      );
    }
    if (endsWith !== undefined) {
      checks.push(({ response }) =>
        response.trimEnd().endsWith(endsWith) ? undefined : `it does not end with "${endsWith}"`,
      );
    }
    if (maxRepetition !== undefined) {
      checks.push(({ response }) => {
        const found = repetition(response);
        return found > maxRepetition ? `${Math.round(100 * found)} % of it repeats itself` : undefined;
      });
    }
    if (checks.length === 0) {
      throw new UserError('judge "format" has nothing to check; give it for example `tags` or `json: true`');
    }
    return {
      applies: () => true,
      judge(input) {
        for (const check of checks) {
          const problem = check(input);
          if (problem !== undefined) return violated(problem);
        }
        return satisfied("the response has the required format");
      },
    };
  },
});
