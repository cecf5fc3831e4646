// Regular expressions that the response must match, or must not. They run on RE2, whose time is linear in the text
// whatever the pattern, so that a response cannot hang the judge; look-around and back-references do not exist there.

import { RE2JS } from "re2js";
import { z } from "zod";
import { UserError } from "../../base/errors.js";
import { judgeKind } from "../kind.js";
import { errorMessage, satisfied, violated } from "../verdict.js";

const patterns = z.union([z.string(), z.array(z.string())]).default([]);

const list = (value: string | string[]) => (typeof value === "string" ? [value] : value);

/** Characters, digits, word characters and word bounds in a row: nothing to repeat or to choose. */
const plain = /^(?:[\w ,;:!'"#%&@`~<>=/-]|\\[bBdDwW]|\\[.?*+()[\]{}|^$\\/])+$/;

interface Pattern {
  source: string;
  test(text: string): boolean;
  /** The text of the first match. */
  find(text: string): string | undefined;
}

/**
 * Node's own expressions backtrack, but not where nothing repeats: a plain pattern is linear there as well, means the same,
 * and takes a fifth of the time.
 */
function compile(source: string, flags: number): Pattern {
  try {
    const pattern = RE2JS.compile(source, flags);
    if ((flags & RE2JS.CASE_INSENSITIVE) === 0 && plain.test(source)) {
      const own = new RegExp(source, "u");
      return { source, test: (text) => own.test(text), find: (text) => own.exec(text)?.[0] };
    }
    return {
      source,
      test: (text) => pattern.test(text),
      find(text) {
        const matcher = pattern.matcher(text);
        return matcher.find() ? (matcher.group() ?? "") : undefined;
      },
    };
  } catch (error) {
    throw new UserError(
      `regular expression ${JSON.stringify(source)} is not valid RE2 syntax (no look-around, no ` +
        `back-references): ${errorMessage(error)}`,
    );
  }
}

export const regex = judgeKind({
  version: "1",
  kind: "rule",
  truncated: "judge",
  options: z.strictObject({
    mustMatch: patterns,
    mustNotMatch: patterns,
    ignoreCase: z.boolean().default(false),
    /** ^ and $ match at line ends. */
    multiline: z.boolean().default(false),
    /** . matches a line break. */
    dotAll: z.boolean().default(false),
  }),
  create({ mustMatch, mustNotMatch, ignoreCase, multiline, dotAll }) {
    const flags =
      (ignoreCase ? RE2JS.CASE_INSENSITIVE : 0) |
      (multiline ? RE2JS.MULTILINE : 0) |
      (dotAll ? RE2JS.DOTALL : 0);
    const required = list(mustMatch).map((source) => compile(source, flags));
    const forbidden = list(mustNotMatch).map((source) => compile(source, flags));
    if (required.length + forbidden.length === 0) {
      throw new UserError('judge "regex" needs `must_match` or `must_not_match`');
    }
    return {
      applies: () => true,
      judge({ response }) {
        for (const { source, test } of required) {
          if (!test(response)) return violated(`the response does not match /${source}/`);
        }
        for (const { source, find } of forbidden) {
          const match = find(response);
          if (match !== undefined) {
            return violated(`the response matches /${source}/`, { match: match.slice(0, 200) });
          }
        }
        return satisfied("the response matches what it must and nothing that it must not");
      },
    };
  },
});
