// What a reasoning model thinks is no part of its answer. Judges, evaluations and readers of replies take thoughts out by
// this one function: the tag pairs that chat templates use, an opening tag that the template has written already (the
// response then begins inside the thought), and a thought that never ends, which leaves no answer.

import { fencedBlocks } from "./fences.js";

/** Name of an XML-like tag around thoughts: think, thinking, seed:think, reasoning, ... */
const tagName = "(?:[a-z]+[:_-])?(?:think(?:ing)?|thoughts?|reasoning)";

/** Pairs of marks around thoughts: XML-like tags, Magistral, Kimi, OpenThoughts, Command A, Apertus, Gemma 3n and 4, gpt-oss. */
const families: readonly (readonly [open: string, close: string])[] = [
  [String.raw`<\s?${tagName}(?:\s[^<>\n]{0,100})?>`, String.raw`<\s?\/\s?${tagName}\s?>`],
  [String.raw`\[THINK\]`, String.raw`\[\/THINK\]`],
  ["◁think▷", String.raw`◁\/think▷`],
  [String.raw`<\|begin_of_thought\|>`, String.raw`<\|end_of_thought\|>`],
  [String.raw`<\|START_THINKING\|>`, String.raw`<\|END_THINKING\|>`],
  [String.raw`<\|inner_prefix\|>`, String.raw`<\|inner_suffix\|>`],
  [String.raw`<unused94>(?:thought\b)?`, "<unused95>"],
  [String.raw`<\|channel>thought`, String.raw`<channel\|>`],
  [
    String.raw`<\|channel\|>(?:analysis|commentary)\b[^<\n]{0,100}<\|message\|>`,
    String.raw`<\|channel\|>final\b[^<\n]{0,100}<\|message\|>`,
  ],
];

/** Its groups are the opening and the closing mark of each family in turn. */
const mark = new RegExp(
  families
    .flat()
    .map((source) => `(${source})`)
    .join("|"),
  "giu",
);
const openingAtEnd = new RegExp(`(?:${families.map(([open]) => open).join("|")})\\s*$`, "iu");
const wholeTagName = new RegExp(`^${tagName}$`, "i");

/** Every mark has one of these, and most responses have none of them: three searches for a character cost nothing. */
const mayHold = (text: string) => text.includes("<") || text.includes("[") || text.includes("◁");

/** Whether `<name>...</name>` holds thoughts. */
export const isThoughtTag = (name: string) => wholeTagName.test(name);

/** The mark with which a prompt, as the model reads it, already opens a thought; undefined: it opens none. */
export function openThoughtOf(prompt: string): string | undefined {
  const end = prompt.slice(-200);
  return mayHold(end) ? openingAtEnd.exec(end)?.[0].trim() : undefined;
}

/** The same for what a judge sees of the prompt: a text, or a conversation whose last turn the response continues. */
export function openThoughtIn(prompt: string | readonly { role: string; content: string }[]) {
  if (typeof prompt === "string") return openThoughtOf(prompt);
  const last = prompt.at(-1);
  return last?.role === "assistant" ? openThoughtOf(last.content) : undefined;
}

interface Mark {
  family: number;
  isOpening: boolean;
  start: number;
  end: number;
}

const quotes = "[\"'`“”‘’]";
const betweenQuotes = new RegExp(`^${quotes}{2}$`, "u");
const besideQuote = new RegExp(quotes, "u");

const around = (text: string, { start, end }: Mark) => (text[start - 1] ?? "") + (text[end] ?? "");

/** Of a text's marks those that are not talked about, between quotation marks or backticks. */
const marksIn = (text: string): Mark[] =>
  [...text.matchAll(mark)]
    .map((match) => {
      const group = match.findIndex((found, i) => i > 0 && found !== undefined) - 1;
      const { index: start, 0: found } = match;
      return { family: group >> 1, isOpening: group % 2 === 0, start, end: start + found.length };
    })
    .filter((one) => !betweenQuotes.test(around(text, one)));

/** A stretch of the response between two marks, or between a mark and an end of the text. */
interface Stretch {
  isThought: boolean;
  text: string;
  /** The mark that stands before it. */
  mark: string;
}

/** Whether anything but white space stands on the mark's line before, and on all of it. */
function placeOf(text: string, { start, end }: Mark): { startsLine: boolean; isAlone: boolean } {
  const before = /[^\n]*$/.exec(text.slice(Math.max(0, start - 200), start))![0];
  const after = /^[^\n]*/.exec(text.slice(end, end + 200))![0];
  return { startsLine: before.trim() === "", isAlone: `${before}${after}`.trim() === "" };
}

/** For each mark whether it stands in a code block. */
function fenced(text: string, marks: readonly Mark[]): boolean[] {
  const blocks = marks.length > 0 ? fencedBlocks(text) : [];
  let next = 0;
  return marks.map(({ start, end }) => {
    while (next < blocks.length && blocks[next]!.end < end) next++;
    return next < blocks.length && blocks[next]!.start < start;
  });
}

function stretchesOf(text: string, openThought: string | undefined): Stretch[] {
  if (openThought === undefined && !mayHold(text)) return [{ isThought: false, text, mark: "" }];
  const marks = marksIn(text);
  const isFenced = fenced(text, marks);
  const lastClosing = families.map((_, family) =>
    marks.findLastIndex((one) => one.family === family && !one.isOpening),
  );
  const found: Stretch[] = [];
  let family = openThought === undefined ? undefined : (marksIn(openThought)[0]?.family ?? 0);
  let [from, before] = [0, openThought ?? ""];
  /** The answer has begun. */
  let isAnswered = false;
  /** Up to here everything is thought, because the template had opened it. */
  let thoughts = 0;
  /** Opening tags inside of code or quotations, whose closing tags are no more than that. */
  let quoted = 0;
  const cut = (isThought: boolean, { start, end }: Mark) => {
    found.push({ isThought, text: text.slice(from, start), mark: before });
    [from, before] = [end, text.slice(start, end)];
  };
  marks.forEach((one, i) => {
    if (family !== undefined) {
      if (one.isOpening || one.family !== family) return;
      cut(true, one);
      family = undefined;
    } else if (one.isOpening) {
      isAnswered ||= text.slice(from, one.start).trim() !== "";
      if (isAnswered && (isFenced[i] || besideQuote.test(around(text, one)))) quoted++;
      else if (!isAnswered || i < lastClosing[one.family]! || placeOf(text, one).startsLine) {
        cut(false, one);
        family = one.family;
      }
    } else if (quoted > 0) quoted--;
    else if (!isFenced[i] || placeOf(text, one).isAlone) {
      cut(true, one);
      thoughts = found.length;
      isAnswered = false;
    }
  });
  found.push({ isThought: family !== undefined, text: text.slice(from), mark: before });
  return found.map((part, i) => (i < thoughts ? { ...part, isThought: true } : part));
}

/**
 * The answer of a response, without thoughts; empty where a thought never ends. `openThought`: see `openThoughtOf`; without
 * it a closing tag that nothing opened says the same.
 */
export function withoutThoughts(response: string, openThought?: string): string {
  if (openThought === undefined && !mayHold(response)) return response;
  const stretches = stretchesOf(response, openThought);
  if (stretches.length === 1 && !stretches[0]!.isThought) return response;
  return stretches
    .filter(({ isThought }) => !isThought)
    .map(({ text }) => text)
    .join("")
    .trim();
}

/** The response with its thoughts emptied, their tags kept, the one that the template wrote included. */
export function withEmptyThoughts(response: string, openThought?: string): string {
  if (openThought === undefined && !mayHold(response)) return response;
  const stretches = stretchesOf(response, openThought);
  const [first, second] = stretches;
  const opened =
    first!.isThought && first!.mark === "" && second ? second.mark.replace(/^(\W)\s?\/\s?/u, "$1") : "";
  return opened + stretches.map(({ isThought, text, mark: m }) => m + (isThought ? "" : text)).join("");
}
