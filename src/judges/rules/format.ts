// The shape of a response: tags around its parts, JSON, a fixed ending, an end at all, and no endless repetition.

import { z } from "zod";
import { UserError } from "../../base/errors.js";
import { fencedBlocks } from "../../base/fences.js";
import { percent } from "../../base/percent.js";
import { isThoughtTag, openThoughtIn, withEmptyThoughts } from "../../base/thoughts.js";
import { judgeKind } from "../kind.js";
import { errorMessage, type JudgeInput, satisfied, violated } from "../verdict.js";
import type { SchemaCheck } from "./json-schema.js";

/** What is wrong with the response, or undefined. */
type Check = (input: JudgeInput) => string | undefined;

function occurrences(text: string, part: string): number {
  let count = 0;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) count++;
  return count;
}

/**
 * Each tag exactly once, opened and closed, in the order given and one after another. Where thoughts are one of the parts,
 * tags that the thoughts mention do not count, and a tag that the chat template wrote does.
 */
function tagsInOrder(tags: readonly string[]): Check {
  const seesThoughts = tags.some(isThoughtTag);
  const marks = tags.map((tag) => [`<${tag}>`, `</${tag}>`] as const);
  return ({ response, whole = response, openThought, prompt }) => {
    const text = seesThoughts ? withEmptyThoughts(whole, openThought ?? openThoughtIn(prompt)) : response;
    let from = 0;
    for (const [open, close] of marks) {
      for (const part of [open, close]) {
        const count = occurrences(text, part);
        if (count !== 1) return `${part} occurs ${count} times, not once`;
      }
      const start = text.indexOf(open, from);
      const end = text.indexOf(close, start);
      if (start < 0 || end < 0)
        return `${open}...${close} is not where it belongs (order: ${tags.join(", ")})`;
      from = end + close.length;
    }
    return undefined;
  };
}

/** The text of the one value that the response should be, bare or in one code fence, or what is wrong. */
function jsonText(response: string): { text: string } | { problem: string } {
  // trim() takes a byte order mark away as well.
  const text = response.trim();
  const blocks = fencedBlocks(text);
  if (blocks.length === 0) return { text };
  const [{ body, start, end }] = [blocks[0]!];
  if (blocks.length === 1 && start === 0 && end === text.length) return { text: body.trim() };
  // A fence inside of a string is no fence.
  if (/^["[{]/.test(text)) return { text };
  return {
    problem:
      blocks.length === 1
        ? "there is text around the code fence; the response must be the JSON alone, bare or in one fence"
        : `the response has ${blocks.length} code fences; it must be the JSON alone, bare or in one fence`,
  };
}

function jsonMatching(schema: SchemaCheck | undefined): Check {
  return ({ response }) => {
    const found = jsonText(response);
    if ("problem" in found) return found.problem;
    let value: unknown;
    try {
      value = JSON.parse(found.text);
    } catch (error) {
      return `the response is not JSON: ${errorMessage(error)}`;
    }
    return schema?.(value);
  };
}

const wordsInGram = 4;
/** About as much text as four words: where a character is a word or half of one, and elsewhere. */
const charactersInGram = { wide: 8, narrow: 24 };

const repeatedShare = (count: number, gram: (i: number) => string): number => {
  if (count <= 0) return 0;
  const seen = new Set<string>();
  for (let i = 0; i < count; i++) seen.add(gram(i));
  return 1 - seen.size / count;
};

/**
 * Share of sequences that have occurred before in the text, of four words or of as many characters (the larger share), so
 * that text without spaces counts too; numbers and bullets of a list's items do not hide that they are the same. 0 for
 * texts that are no longer than a sequence.
 */
export function repetition(text: string): number {
  const plain = text.replace(/^[ \t]*(?:\(?\d{1,9}[.):]|[-*•])[ \t]+/gmu, "");
  const words = plain.match(/\S+/gu) ?? [];
  const characters = [...words.join(" ")];
  const wide = plain.match(/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/gu) ?? [];
  const size = 2 * wide.length > characters.length ? charactersInGram.wide : charactersInGram.narrow;
  return Math.max(
    repeatedShare(words.length - wordsInGram + 1, (i) => words.slice(i, i + wordsInGram).join(" ")),
    repeatedShare(characters.length - size + 1, (i) => characters.slice(i, i + size).join("")),
  );
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
    /** Largest share of sequences of words or characters that occurred before. */
    maxRepetition: z.number().min(0).max(1).optional(),
  }),
  async create({ tags, json, jsonSchema, startsWith, endsWith, finished, maxRepetition }) {
    const checks: Check[] = [];
    if (finished) checks.push(({ truncated }) => (truncated ? "the response has no end token" : undefined));
    if (tags) checks.push(tagsInOrder(tags));
    // The validator takes a while to load, and few judges need it.
    if (jsonSchema) checks.push(jsonMatching((await import("./json-schema.js")).compileSchema(jsonSchema)));
    else if (json) checks.push(jsonMatching(undefined));
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
        return found > maxRepetition ? `${percent(found, 0)} of it repeats itself` : undefined;
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
