// Exact match of the response with a reference answer, or with any of a list of them.

import { z } from "zod";
import { hasColumn, judgeKind, referencesIn } from "../kind.js";
import { satisfied, violated } from "../verdict.js";

export interface Normalisation {
  ignoreCase: boolean;
  ignorePunctuation: boolean;
  /** English a, an, the. */
  ignoreArticles: boolean;
}

/** An article stands before a word; a capital A only where a text or sentence begins, or it is a name (vitamin A). */
const article =
  /(?<![\p{L}\p{N}\p{M}'’-])(?:a|an|the|An|The|THE|A(?<=(?:^|[.!?:"“(])\s*A))(?=\s+["'“‘(]?[\p{L}\p{N}])/gu;

/** Commas and the like between groups of three digits. */
const thousands = /(?<![\d.,])\d{1,3}(?:[,'’]\d{3})+(?!\d|[,'’]\d)/gu;

/**
 * Punctuation but signs (-5, -x, C#, 50%), decimal points and whatever else stands between digits (1/2, 12:30, 10-20). A dash
 * between letters is no sign.
 */
const punctuation =
  /(?<!\d)(?!\.\d|(?<![\p{L}\p{N}])[-–]\.?\d|(?<![^\s(=])-\p{L}|(?<=\p{L})#)\p{P}|(?<=\d)(?![%‰#])\p{P}(?!\d)/gu;

/** ASCII words with one space between them, which normalisation leaves as they are. */
const plain = /^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/;

/** Unicode-composed, white space collapsed and trimmed, and whatever else is asked for. */
export function normalise(
  text: string,
  { ignoreCase, ignorePunctuation, ignoreArticles }: Normalisation,
): string {
  const isPlain = plain.test(text);
  let out = isPlain ? text : text.normalize("NFKC").replace(/\u2212/g, "-");
  if (ignoreArticles) out = out.replace(article, " ");
  if (ignorePunctuation)
    out = out.replace(thousands, (number) => number.replace(/[,'’]/g, "")).replace(punctuation, "");
  if (ignoreCase) out = out.toLowerCase();
  return isPlain && !ignoreArticles && !ignorePunctuation ? out : out.replace(/\s+/gu, " ").trim();
}

/** The answer, normalised by as much as leaves something of it. */
function normalisedAnswer(answer: string, asked: Normalisation): [text: string, by: Normalisation] {
  const text = normalise(answer, asked);
  if (text !== "") return [text, asked];
  const weaker = [
    { ...asked, ignoreArticles: false },
    { ...asked, ignorePunctuation: false },
    { ...asked, ignoreArticles: false, ignorePunctuation: false },
  ];
  const by = weaker.find((step) => normalise(answer, step) !== "") ?? asked;
  return [normalise(answer, by), by];
}

/** Letters of scripts that put spaces between words, and digits. */
const wordCharacter =
  /[\p{N}_]|(?![\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}\p{Script=Tibetan}\p{Script=Hangul}])[\p{L}\p{M}]/u;

const isWordAt = (text: string, at: number) => wordCharacter.test(text[at] ?? "");
const isDigitAt = (text: string, at: number) => /\d/.test(text[at] ?? "");

/** Whether the stretch is no part of a longer word or number: 5 is not in 15, 5.2, -5 or 1/5, and -5 is not in 3-5. */
function standsAlone(text: string, start: number, end: number): boolean {
  if (isWordAt(text, start) && isWordAt(text, start - 1)) return false;
  if (isWordAt(text, end - 1) && isWordAt(text, end)) return false;
  if (isDigitAt(text, end - 1) && /[.,:/]/.test(text[end] ?? "") && isDigitAt(text, end + 1)) return false;
  if (/^[-–]\.?\d/.test(text.slice(start, start + 3))) return !isWordAt(text, start - 1);
  if (!isDigitAt(text, start)) return true;
  const before = text[start - 1] ?? "";
  if (/[.,:/]/.test(before) && isDigitAt(text, start - 2)) return false;
  if (before === "." && !/[\p{L}.)]/u.test(text[start - 2] ?? "")) return false;
  return before !== "-" || isWordAt(text, start - 2);
}

function contains(text: string, part: string): boolean {
  if (part === "") return false;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + 1)) {
    if (standsAlone(text, at, at + part.length)) return true;
  }
  return false;
}

export const exact = judgeKind({
  version: "3",
  kind: "rule",
  truncated: "judge",
  options: z.strictObject({
    answerKey: z.string().default("answer"),
    /** `equals`: the whole response; `contains`: whole words or numbers somewhere in it. */
    match: z.enum(["equals", "contains"]).default("equals"),
    ignoreCase: z.boolean().default(false),
    ignorePunctuation: z.boolean().default(false),
    ignoreArticles: z.boolean().default(false),
  }),
  create: ({ answerKey, match, ...normalisation }) => ({
    applies: hasColumn(answerKey),
    judge({ response, metadata }) {
      const answers = referencesIn(metadata, answerKey).map((answer) =>
        normalisedAnswer(answer, normalisation),
      );
      const found = answers.find(([answer, by]) => {
        const given = normalise(response, by);
        return match === "equals" ? given === answer : contains(given, answer);
      });
      if (found !== undefined) return satisfied(`the response ${match} "${found[0]}"`);
      const verb = match === "equals" ? "is not" : "does not contain";
      return violated(`the response ${verb} ${answers.map(([answer]) => `"${answer}"`).join(" or ")}`);
    },
  }),
});
