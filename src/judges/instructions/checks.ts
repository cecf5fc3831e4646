// The verifiable instructions of IFEval (Zhou et al. 2023), by id. All but `language:response_language` and
// `combination:repeat_prompt` are also the 23 rules of CGPO's synthetic instruction-following prompts (appendix A).
// A check says what is wrong with a response, or undefined. Keywords and markers are literal text, and `^`, `$` and `.`
// know no line end but \n.

import { z } from "zod";
import { isIn } from "./language.js";
import { sentences } from "./sentences.js";
import { countWords, treebankWords } from "./words.js";

type Problem = string | undefined;

export interface Instruction<Arguments extends z.ZodObject = z.ZodObject> {
  arguments: Arguments;
  check(response: string, args: z.output<Arguments>): Problem | Promise<Problem>;
}

/** Infers the arguments' type from their schema. */
function instruction<Arguments extends z.ZodObject>(
  args: Arguments,
  check: Instruction<Arguments>["check"],
): Instruction {
  return { arguments: args, check } as unknown as Instruction;
}

const nothing = z.strictObject({});
const count = z.number().min(0);
const text = z.string().refine((value) => value.trim() !== "", "must not be empty");
const relation = z.enum(["at least", "less than"]).default("at least");

type Relation = z.output<typeof relation>;

const holds = (found: number, wanted: Relation, bound: number) =>
  wanted === "at least" ? found >= bound : found < bound;

const compared = (found: number, wanted: Relation, bound: number, what: string): Problem =>
  holds(found, wanted, bound) ? undefined : `it has ${found} ${what}, not ${wanted} ${bound}`;

const exactly = (found: number, bound: number, what: string): Problem =>
  found === bound ? undefined : `it has ${found} ${what}, not ${bound}`;

const escaped = (literal: string) => literal.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");

const occurrences = (response: string, pattern: RegExp) => response.match(pattern)?.length ?? 0;

/** Every occurrence of a text, in capital or small letters. */
const anyCase = (literal: string) => new RegExp(escaped(literal), "giu");

const wordChar = "[\\p{L}\\p{N}_]";

const wholeWord = (word: string) => new RegExp(`(?<!${wordChar})${escaped(word)}(?!${wordChar})`, "giu");

const isUpperCase = (value: string) => /\p{Uppercase}/u.test(value) && !/[\p{Lowercase}\p{Lt}]/u.test(value);
const isLowerCase = (value: string) => /\p{Lowercase}/u.test(value) && !/[\p{Uppercase}\p{Lt}]/u.test(value);

async function notIn(language: string, response: string): Promise<Problem> {
  const { isIn: isWanted, found } = await isIn(language, response);
  if (isWanted) return undefined;
  return found === undefined ? "its language cannot be told" : `its language is ${found}, not ${language}`;
}

function paragraphsProblem(response: string, wanted: number): Problem {
  const paragraphs = response.split(/\s?\*\*\*\s?/u).map((paragraph) => paragraph.trim());
  if (paragraphs.slice(1, -1).includes("")) return "it has an empty paragraph";
  return exactly(paragraphs.filter((paragraph) => paragraph !== "").length, wanted, "paragraphs");
}

/** The first word, in small letters, without an opening quotation mark and what follows a punctuation mark. */
function firstWord(paragraph: string): string {
  const [word] = paragraph.trim().split(/\s+/);
  return /^[^.,?!'"]*/.exec(word!.replace(/^'+/, "").replace(/^"+/, ""))![0].toLowerCase();
}

function nthParagraphProblem(
  response: string,
  args: { num_paragraphs: number; nth_paragraph: number; first_word: string },
): Problem {
  const paragraphs = response.split("\n\n");
  const filled = paragraphs.filter((paragraph) => paragraph.trim() !== "").length;
  if (filled !== args.num_paragraphs) return exactly(filled, args.num_paragraphs, "paragraphs");
  const paragraph = paragraphs[args.nth_paragraph - 1]!;
  if (paragraph.trim() === "") return `its paragraph ${args.nth_paragraph} is empty`;
  const found = firstWord(paragraph);
  if (found === args.first_word.toLowerCase()) return undefined;
  return `its paragraph ${args.nth_paragraph} starts with "${found}", not with "${args.first_word}"`;
}

function highlights(response: string): number {
  const single = response.match(/\*[^\n*]*\*/g) ?? [];
  const double = response.match(/\*\*[^\n*]*\*\*/g) ?? [];
  return [...single, ...double].filter((part) => part.replaceAll("*", "").trim() !== "").length;
}

/**
 * Matches of /^\s*MARK.../m one after the other, in one pass: white space before the mark may reach over lines. `length` is
 * that of the mark with what must follow it, or 0 where it is none.
 */
function marked(response: string, length: (at: number) => number): number {
  let found = 0;
  let at = 0;
  while (at < response.length) {
    const step = /\S/g;
    step.lastIndex = at;
    const mark = step.exec(response)?.index;
    if (mark === undefined) break;
    const taken = length(mark);
    if (taken > 0) found++;
    const end = response.indexOf("\n", mark + taken);
    if (end < 0) break;
    at = end + 1;
  }
  return found;
}

/** Lines that begin with one asterisk, and lines that begin with a dash. */
function bullets(response: string): number {
  const isStar = (at: number) => response[at] === "*" && at + 1 < response.length && response[at + 1] !== "*";
  return (
    marked(response, (at) => (isStar(at) ? 2 : 0)) + marked(response, (at) => (response[at] === "-" ? 1 : 0))
  );
}

/** Matches of \[.*?\] on each line. */
function placeholders(response: string): number {
  let found = 0;
  for (const line of response.split("\n")) {
    for (let at = line.indexOf("["); at >= 0; at = line.indexOf("[", at)) {
      at = line.indexOf("]", at);
      if (at < 0) break;
      found++;
    }
  }
  return found;
}

/** `text` without the marks of one kind at its ends. */
function trimmed(text: string, start: string, end: string): string {
  let [from, to] = [0, text.length];
  while (from < to && text[from] === start) from++;
  while (to > from && text[to - 1] === end) to--;
  return text.slice(from, to);
}

/** Whether a line holds <<...>> with something between. */
function isTitle(line: string): boolean {
  const [from, to] = [line.indexOf("<<"), line.lastIndexOf(">>")];
  return from >= 0 && to >= from + 3 && trimmed(line.slice(from, to + 2), "<", ">").trim() !== "";
}

function jsonProblem(response: string): Problem {
  let inner = response.trim();
  for (const fence of ["```json", "```Json", "```JSON", "```"]) {
    if (inner.startsWith(fence)) inner = inner.slice(fence.length);
  }
  if (inner.endsWith("```")) inner = inner.slice(0, -3);
  try {
    JSON.parse(inner.trim());
    return undefined;
  } catch {
    return "it is not JSON";
  }
}

function postscript(marker: string): RegExp {
  if (marker === "P.P.S") return /p\.\s?p\.\s?s/u;
  if (marker === "P.S.") return /p\.\s?s\./u;
  return new RegExp(escaped(marker.toLowerCase()), "u");
}

function twoResponsesProblem(response: string): Problem {
  const parts = response.split("******").map((part) => part.trim());
  if (parts.slice(1, -1).includes("")) return "there is nothing between two separators";
  const filled = parts.filter((part) => part !== "");
  if (filled.length !== 2) return exactly(filled.length, 2, "responses separated by ******");
  return filled[0] === filled[1] ? "its two responses are the same" : undefined;
}

const answers = ["My answer is yes.", "My answer is no.", "My answer is maybe."];

/** The argument names are those of the data set. */
export const instructions: Record<string, Instruction> = {
  "keywords:existence": instruction(z.strictObject({ keywords: z.array(text).min(1) }), (response, args) => {
    const missing = args.keywords.find((keyword) => !anyCase(keyword).test(response));
    return missing === undefined ? undefined : `it lacks "${missing}"`;
  }),
  "keywords:frequency": instruction(
    z.strictObject({ keyword: text, frequency: count, relation }),
    (response, args) => {
      const keyword = args.keyword.trim();
      const found = occurrences(response, anyCase(keyword));
      return compared(found, args.relation, args.frequency, `occurrences of "${keyword}"`);
    },
  ),
  "keywords:forbidden_words": instruction(
    z.strictObject({ forbidden_words: z.array(text).min(1) }),
    (response, args) => {
      const found = args.forbidden_words.find((word) => wholeWord(word).test(response));
      return found === undefined ? undefined : `it has the forbidden word "${found}"`;
    },
  ),
  "keywords:letter_frequency": instruction(
    z.strictObject({ letter: text, let_frequency: count, let_relation: relation }),
    (response, args) => {
      const found = response.toLowerCase().split(args.letter.trim().toLowerCase()).length - 1;
      return compared(found, args.let_relation, args.let_frequency, `letters ${args.letter.trim()}`);
    },
  ),
  "language:response_language": instruction(z.strictObject({ language: text }), (response, args) =>
    notIn(args.language, response),
  ),
  "length_constraints:number_sentences": instruction(
    z.strictObject({ num_sentences: count, relation }),
    (response, args) => compared(sentences(response).length, args.relation, args.num_sentences, "sentences"),
  ),
  "length_constraints:number_paragraphs": instruction(
    z.strictObject({ num_paragraphs: count }),
    (response, args) => paragraphsProblem(response, args.num_paragraphs),
  ),
  "length_constraints:number_words": instruction(
    z.strictObject({ num_words: count, relation }),
    (response, args) => compared(countWords(response), args.relation, args.num_words, "words"),
  ),
  "length_constraints:nth_paragraph_first_word": instruction(
    z
      .strictObject({ num_paragraphs: count, nth_paragraph: z.number().int().min(1), first_word: text })
      .refine(
        (args) => args.nth_paragraph <= args.num_paragraphs,
        "nth_paragraph must not be greater than num_paragraphs",
      ),
    nthParagraphProblem,
  ),
  "detectable_content:number_placeholders": instruction(
    z.strictObject({ num_placeholders: count }),
    (response, args) => compared(placeholders(response), "at least", args.num_placeholders, "placeholders"),
  ),
  "detectable_content:postscript": instruction(
    z.strictObject({ postscript_marker: text }),
    (response, args) => {
      const marker = args.postscript_marker.trim();
      return postscript(marker).test(response.toLowerCase()) ? undefined : `it has no postscript "${marker}"`;
    },
  ),
  "detectable_format:number_bullet_lists": instruction(
    z.strictObject({ num_bullets: count }),
    (response, args) => exactly(bullets(response), args.num_bullets, "bullet points"),
  ),
  "detectable_format:constrained_response": instruction(nothing, (response) =>
    answers.some((answer) => response.includes(answer)) ? undefined : `it has none of: ${answers.join(" ")}`,
  ),
  "detectable_format:number_highlighted_sections": instruction(
    z.strictObject({ num_highlights: count }),
    (response, args) =>
      compared(highlights(response), "at least", args.num_highlights, "highlighted sections"),
  ),
  "detectable_format:multiple_sections": instruction(
    z.strictObject({ section_spliter: text, num_sections: count }),
    (response, args) => {
      const marker = args.section_spliter.trim();
      const found = occurrences(response, new RegExp(`${escaped(marker)}\\s?\\p{Nd}+`, "gu"));
      return compared(found, "at least", args.num_sections, `sections marked "${marker} X"`);
    },
  ),
  "detectable_format:json_format": instruction(nothing, jsonProblem),
  "detectable_format:title": instruction(nothing, (response) => {
    const isTitled = response.split("\n").some(isTitle);
    return isTitled ? undefined : "it has no <<title>>";
  }),
  "combination:two_responses": instruction(nothing, twoResponsesProblem),
  "combination:repeat_prompt": instruction(z.strictObject({ prompt_to_repeat: text }), (response, args) => {
    const start = args.prompt_to_repeat.trim().toLowerCase();
    return response.trim().toLowerCase().startsWith(start)
      ? undefined
      : "it does not start with the request, word for word";
  }),
  "startend:end_checker": instruction(z.strictObject({ end_phrase: text }), (response, args) => {
    const ending = trimmed(response.trim(), '"', '"').toLowerCase();
    const phrase = args.end_phrase.trim();
    return ending.endsWith(phrase.toLowerCase()) ? undefined : `it does not end with "${phrase}"`;
  }),
  "startend:quotation": instruction(nothing, (response) =>
    /^".*"$/s.test(response.trim()) ? undefined : "it is not wrapped in double quotation marks",
  ),
  "change_case:capital_word_frequency": instruction(
    z.strictObject({ capital_frequency: count, capital_relation: relation }),
    (response, args) => {
      const found = treebankWords(response).filter(isUpperCase).length;
      return compared(found, args.capital_relation, args.capital_frequency, "words in capital letters");
    },
  ),
  "change_case:english_capital": instruction(nothing, (response) =>
    isUpperCase(response) ? notIn("en", response) : "it is not in capital letters",
  ),
  "change_case:english_lowercase": instruction(nothing, (response) =>
    isLowerCase(response) ? notIn("en", response) : "it is not in small letters",
  ),
  "punctuation:no_comma": instruction(nothing, (response) =>
    response.includes(",") ? "it has a comma" : undefined,
  ),
};
