// The regular expressions of tokenizer.json, which are Oniguruma's (the Rust library's engine), as JavaScript's. A file
// may hold any pattern, `(a+)+$` too: one that is not of the well-known kind runs against a deadline.

import { createContext, Script } from "node:vm";
import { toRegExpDetails } from "oniguruma-to-es";
import { UserError } from "../../base/errors.js";
import type { Matcher, Stretch } from "./pieces.js";
import { unassigned } from "./unicode-versions.js";

/** GPT-2's pattern, which `ByteLevel` splits with. */
export const gpt2Pattern =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** Patterns of common models, whose time is known to grow with the length of the text only. */
const wellKnown: ReadonlySet<string> = new Set([
  gpt2Pattern,
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
]);

/** Milliseconds for all matches of one pattern in one text. */
const deadline = 3000;
const context = createContext({ work: null as (() => unknown) | null });
const script = new Script("work()");

/** Runs `work`, which may be in a regular expression for ever, to an end. */
function beforeDeadline<T>(work: () => T, tooLong: () => Error): T {
  context.work = work;
  try {
    return script.runInContext(context, { timeout: deadline }) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_SCRIPT_EXECUTION_TIMEOUT") throw tooLong();
    throw error;
  } finally {
    context.work = null;
  }
}

/** The pattern of a `{ String }` or `{ Regex }`. `place` is the file and key, for errors. */
export function compilePattern(pattern: { String?: string; Regex?: string }, place: string): Matcher {
  if (pattern.String !== undefined) return literalMatcher(pattern.String);
  return regexMatcher(pattern.Regex!, place);
}

/** A word character as the translation has it, and as Oniguruma has it: of other numbers Latin-1's only. */
const translatedWord = "\\p{L}\\p{M}\\p{N}\\p{Pc}";
const onigurumaWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u00b2\\u00b3\\u00b9\\u00bc-\\u00be";

/** Inside brackets Oniguruma's word characters are without those numbers. */
function wordsInBrackets(source: string): string {
  let depth = 0;
  return source.replace(/\\[\s\S]|\[\^?\]?|\]/g, (part) => {
    if (part.startsWith("[")) depth++;
    if (part === "]") depth = Math.max(0, depth - 1);
    if (depth === 0 || !/^\\[wW]$/.test(part)) return part;
    return `[${part === "\\W" ? "^" : ""}\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}]`;
  });
}

export function regexMatcher(source: string, place: string): Matcher {
  let regex: RegExp;
  try {
    const { pattern, flags } = toRegExpDetails(wordsInBrackets(source), {
      avoidSubclass: true,
      rules: { captureGroup: true },
    });
    // Node 20 finds nothing with /^[^]*a/v.
    const mended = pattern.replaceAll(translatedWord, onigurumaWord).replaceAll("[^]", "\\p{Any}");
    regex = new RegExp(mended, `g${flags}`);
  } catch (error) {
    throw new UserError(
      `${place}: the regular expression ${JSON.stringify(source.slice(0, 200))} is not supported: ${(error as Error).message}`,
    );
  }
  const find = (text: string) => stretchesOf(asKnown(text), regex);
  if (wellKnown.has(source)) return find;
  const fails = (why: string) =>
    new UserError(`${place}: the regular expression ${JSON.stringify(source.slice(0, 200))} ${why}`);
  return (text) => {
    try {
      return beforeDeadline(
        () => find(text),
        () => fails(`takes more than ${deadline / 1000} seconds on a text of ${text.length} characters`),
      );
    } catch (error) {
      // The engine compiles a pattern when it first meets a text, and recurses as it does.
      if (error instanceof SyntaxError || error instanceof RangeError) throw fails("is too large");
      throw error;
    }
  };
}

export function literalMatcher(literal: string): Matcher {
  return (text) => {
    const matches: [number, number][] = [];
    if (literal === "") return between(text, matches);
    for (let at = text.indexOf(literal); at >= 0; at = text.indexOf(literal, at + literal.length))
      matches.push([at, at + literal.length]);
    return between(text, matches);
  };
}

/** Every character that a test accepts is a match of its own. */
export function characterMatcher(one: RegExp): Matcher {
  const all = new RegExp(one.source, "gu");
  return (text) => stretchesOf(text, all);
}

/** The text for those who know an older Unicode: what they do not know is an unassigned character of as many units. */
export function asKnown(text: string, isUnknown = unassigned): string {
  if (!/[^\0-\u061c]/.test(text)) return text;
  let known = "";
  for (const point of text) known += !isUnknown(point) ? point : point.length === 1 ? "\u0378" : "\u{1fffe}";
  return known;
}

function stretchesOf(text: string, regex: RegExp): Stretch[] {
  const matches: [number, number][] = [];
  let last = -1;
  for (const match of text.matchAll(regex)) {
    const end = match.index + match[0].length;
    // Not an empty match right after another, as in the Rust library.
    if (end > match.index || match.index !== last) matches.push([match.index, end]);
    last = end;
  }
  return between(text, matches);
}

function between(text: string, matches: readonly [number, number][]): Stretch[] {
  const stretches: Stretch[] = [];
  let last = 0;
  for (const [from, to] of matches) {
    if (from > last) stretches.push({ from: last, to: from, isMatch: false });
    stretches.push({ from, to, isMatch: true });
    last = to;
  }
  if (last < text.length) stretches.push({ from: last, to: text.length, isMatch: false });
  return stretches;
}

export const inverted =
  (matcher: Matcher): Matcher =>
  (text) =>
    matcher(text).map(({ from, to, isMatch }) => ({ from, to, isMatch: !isMatch }));
