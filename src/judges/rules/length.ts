// Bounds on the length of the response in characters (code points), words (runs of non-space) or tokens.

import { z } from "zod";
import { UserError } from "../../base/errors.js";
import { judgeKind } from "../kind.js";
import { satisfied, violated } from "../verdict.js";

const bound = z.number().int().min(0).optional();

const isWideSpace = (code: number) => /\s/u.test(String.fromCharCode(code));

/** The runs of non-space of `/\S+/gu`, without a text for each of them. */
export function countWords(text: string): number {
  let count = 0;
  let wasSpace = true;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const isSpace = code <= 32 ? code === 32 || (code >= 9 && code <= 13) : code >= 160 && isWideSpace(code);
    if (wasSpace && !isSpace) count++;
    wasSpace = isSpace;
  }
  return count;
}

export const length = judgeKind({
  version: "1",
  kind: "rule",
  truncated: "judge",
  options: z.strictObject({
    minChars: bound,
    maxChars: bound,
    minWords: bound,
    maxWords: bound,
    minTokens: bound,
    maxTokens: bound,
  }),
  create({ minChars, maxChars, minWords, maxWords, minTokens, maxTokens }, { countTokens }) {
    const limits = [
      { unit: "characters", min: minChars, max: maxChars, count: (text: string) => [...text].length },
      { unit: "words", min: minWords, max: maxWords, count: countWords },
      { unit: "tokens", min: minTokens, max: maxTokens, count: countTokens },
    ].filter(({ min, max }) => min !== undefined || max !== undefined);
    if (limits.length === 0) {
      throw new UserError('judge "length" needs a bound, for example `max_words: 200`');
    }
    const empty = limits.find(({ min = 0, max = Number.POSITIVE_INFINITY }) => min > max);
    if (empty)
      throw new UserError(
        `judge "length" lets nothing through: ${empty.min} ${empty.unit} at least, and ${empty.max} at most`,
      );
    return {
      applies: () => true,
      judge({ response }) {
        for (const { unit, min = 0, max = Number.POSITIVE_INFINITY, count } of limits) {
          if (!count) throw new Error("there is no tokenizer to count tokens with");
          const size = count(response);
          if (size < min)
            return violated(`the response has ${size} ${unit}, fewer than ${min}`, { [unit]: size });
          if (size > max)
            return violated(`the response has ${size} ${unit}, more than ${max}`, { [unit]: size });
        }
        return satisfied("the response is within the bounds");
      },
    };
  },
});
