// Which of several words a language model means: by the probabilities of its first token, in a JSON object, or in plain text.
// Text is read for its verdict ("Answer: No", a line or sentence that is the word alone, "The response is FALSE."), and of
// several the closing one counts. Words that are merely named are no verdict.

import { fencedBlocks } from "../base/fences.js";
import { endOfObject } from "../base/json.js";
import { withoutThoughts } from "../base/thoughts.js";

/** Probabilities of the most likely tokens at one position, by their text. */
export type TokenChoices = readonly { token: string; logprob: number }[];

/** How far above 1 rounding may take a probability. */
const slack = 1.05;

/** Index of the word that a token begins, if only one of them can be meant. */
function wordBegun(token: string, words: readonly string[]): number | undefined {
  const text = token.replace(/\W+/g, "").toLowerCase();
  if (text === "") return undefined;
  const meant = [...words.keys()].filter((i) => words[i]!.toLowerCase().startsWith(text));
  return meant.length === 1 ? meant[0] : undefined;
}

const isBlank = (choices: TokenChoices) =>
  choices.reduce((a, b) => (b.logprob > a.logprob ? b : a)).token.trim() === "";

/**
 * The words' shares of the probability that they hold together, from the first position that is not blank. Undefined where
 * there is none, or where they hold no more than `minShare` of the whole: the model is saying something else. Throws on
 * numbers that are no log-probabilities.
 */
export function readProbabilities(
  positions: readonly TokenChoices[] | undefined,
  words: readonly string[],
  minShare: number,
): number[] | undefined {
  const choices = positions?.find((position) => position.length > 0 && !isBlank(position));
  if (!choices) return undefined;
  const mass = words.map(() => 0);
  let whole = 0;
  for (const { token, logprob } of choices) {
    const word = wordBegun(token, words);
    // What some servers send for log 0 does no harm where it is no word of ours.
    if (word === undefined && !(logprob > 0)) {
      whole += typeof logprob === "number" && logprob <= 0 ? Math.exp(logprob) : 0;
      continue;
    }
    const probability = typeof logprob === "number" ? Math.exp(logprob) : Number.NaN;
    if (!(probability <= slack)) {
      throw new Error(`the server gives the token ${JSON.stringify(token)} the log-probability ${logprob}`);
    }
    whole += probability;
    if (word !== undefined) mass[word]! += probability;
  }
  if (whole > slack) throw new Error(`the server's probabilities of one token add up to ${whole.toFixed(2)}`);
  const sum = mass.reduce((a, b) => a + b, 0);
  return sum > minShare ? mass.map((value) => value / sum) : undefined;
}

/** The word that a text is, whatever its case and the marks around it. */
function asWord(text: unknown, words: readonly string[]): string | undefined {
  if (typeof text !== "string" && typeof text !== "boolean") return undefined;
  const said = bare(String(text)).toLowerCase();
  return words.find((word) => word.toLowerCase() === said);
}

const letter = /[\p{L}\p{N}]/u;

/** From the first letter or digit to the last. */
function bare(text: string): string {
  const start = text.search(letter);
  if (start < 0) return "";
  let end = text.length;
  for (;;) {
    const isPair = /[\ud800-\udbff][\udc00-\udfff]/.test(text.slice(Math.max(0, end - 2), end));
    const size = isPair ? 2 : 1;
    if (letter.test(text.slice(end - size, end))) return text.slice(start, end);
    end -= size;
  }
}

const maxAttempts = 50;

/** The outermost JSON objects of a text. */
function objectsIn(text: string): Record<string, unknown>[] {
  const found: Record<string, unknown>[] = [];
  let start = text.indexOf("{");
  for (let attempt = 0; start >= 0 && attempt < maxAttempts; attempt++) {
    const end = endOfObject(text, start);
    let next = start + 1;
    if (end !== undefined) {
      try {
        found.push(JSON.parse(text.slice(start, end)) as Record<string, unknown>);
        next = end;
      } catch {
        // Braces that are no JSON.
      }
    }
    start = text.indexOf("{", next);
  }
  return found;
}

export interface ReadLabel {
  label: string;
  /** What the model said for itself. */
  explanation?: string;
}

/** The label in the last JSON object that has one, whatever stands around it. */
export function readObject(reply: string, words: readonly string[]): ReadLabel | undefined {
  for (const object of objectsIn(withoutThoughts(reply)).reverse()) {
    const entry = Object.entries(object).find(([key]) => key.toLowerCase() === "label");
    const label = asWord(entry?.[1], words);
    if (label === undefined) continue;
    return typeof object.reason === "string" ? { label, explanation: object.reason } : { label };
  }
  return undefined;
}

const subject =
  "(?:the |this |that |its |his |her |last |agent['’]s |assistant['’]s |model['’]s )*" +
  "(?:response|reply|text|content|statement|claim|turn|message|output|completion|conversation|it|this|that)";
const conclusion =
  "(?:(?:so|thus|therefore|hence|finally|overall|conclusion|in (?:short|conclusion|summary|the end)|to conclude|" +
  "all in all|on balance|altogether|ok(?:ay)?|right|well|then)\\b[\\s,:;–—-]*)*";
const cue =
  "\\b(?:answer|verdict|label|judge?ment|decision|conclusion|classification|rating|assessment|determination|ruling)s?\\b";
// Each part begins where it must, so that there is one way to read a row of marks: "answer : : : --> --> Yes".
const link =
  "\\s*(?:is|was|['’]s|[:=→⇒–—-])(?:\\s*(?:is|was|['’]s|[:=→⇒–—>-]))*(?:\\s*(?:therefore|thus|clearly|simply|definitely|an?)\\b)?";
const said =
  "\\b(?:I|we)(?: would|['’]d| will|['’]ll)? (?:say|answer|conclude|judge|vote|choose|pick|rate|label|classify|go with|decide)" +
  "(?: (?:it|this|that|the \\w+))?(?: as| with| for| on| is)?[\\s:]";
const hypothetical = /\b(?:if|whether|unless|suppose|supposing)\s+(?:the|my|its|an?|your)?\s*(?:\w+\s+)?$/i;
const doubt = /\b(?:not|unsure|unclear|doubt|hardly|cannot|neither)\b|n['’]t\b/i;
const correction =
  /\b(?:wait|actually|correction|on second thoughts?|scratch that|hmm+|instead|never mind)\b/i;

/** What may follow a word that is a verdict. */
const after = /^[\s"'”’`*_)\]}>]*(?:$|[.,;:!?(–—-]|(?:because|since|as|for|due|given)\b)/i;

/** Several words offered side by side. */
const offered = /^[\s"'”’`*_)\]},]*(?:or|and|nor|\/|\|)/i;

/** After the first word of a reply: what makes it a courtesy or a figure of speech, and what may follow it without a mark. */
const courtesy =
  /^[\s,.!:;–—-]*(?:I (?:can|will|could|would|shall)\b|I['’](?:ll|d|m happy)\b|let me|let['’]s|sure\b|of course|certainly|absolutely|happy to|here(?: is| are|['’]s| you)|with pleasure|well\b|wait\b|hold on|and\b|or\b)/i;
const subjectAfter =
  /^\s+(?:it|the|this|that|these|those|there|they|he|she|because|since|as|every|each|all|most|some|both|lines?|is|are|was|has|does|wins)\b/i;

/** A quotation of one word is how labels are written; a longer one is somebody else's. */
const quoted = (quotation: string) => (/^.[\p{L}\p{N}]+.$/u.test(quotation) ? quotation : " ... ");

/** Without the code blocks, but for one of a single word or one that is the whole reply. */
function unfenced(reply: string): string {
  const blocks = fencedBlocks(reply);
  let out = "";
  let from = 0;
  for (const { start, end, body } of blocks) {
    const isOwn = /^\s*\S+\s*$/.test(body) || reply.length === end - start;
    out += reply.slice(from, start) + (isOwn ? body : "...");
    from = end;
  }
  return out + reply.slice(from);
}

/** Marks of emphasis and headings say nothing; what is quoted at length, or fenced, is not the model's own word. */
function ownWords(reply: string): string {
  return unfenced(reply)
    .replace(/^"([^"]*)"$/, "$1")
    .replace(/\\(?:boxed|text|textbf|mathrm)\s?\{([^{}]{0,200})\}/g, " $1 ")
    .replace(/\[\[([^[\]\n]{0,80})\]\]/g, "\nverdict: $1\n")
    .replace(/<(answer|verdict|label|judgment)>([^<>\n]{0,80})<\/\1>/gi, "\nverdict: $2\n")
    .replace(/^[ \t]*(?:`{3,}|~{3,})[^\n]*$/gm, "")
    .replace(/^[ \t]*>[^\n]*$/gm, "")
    .replace(/"[^"\n]*"|“[^”\n]*”|`[^`\n]*`/g, quoted)
    .replace(/[*_`#$]+/g, " ");
}

interface Segment {
  text: string;
  /** An item of a list. */
  isItem: boolean;
}

/** Lines and sentences. */
const segmentsOf = (text: string): Segment[] =>
  text
    .split(/\n+/)
    .flatMap((line) => {
      const item = /^[ \t]*(?:[-+•]|\(?\d{1,9}[.):])[ \t]+/.exec(line)?.[0];
      return (
        line
          .slice(item?.length ?? 0)
          .split(/(?<=[.!?;])["'”’)\]]*\s+/u)
          // One blank for many: what follows looks at blanks from more than one side.
          .map((part) => ({ text: part.trim().replace(/\s+/g, " "), isItem: item !== undefined }))
      );
    })
    .filter(({ text: part }) => bare(part) !== "");

const escaped = (word: string) => word.replace(/[^\w\s]/g, "\\$&");

const pattern = (word: string) =>
  `(?<![\\p{L}\\p{N}_]|\\p{L}[-'’])${escaped(word)}(?![\\p{L}\\p{N}_]|[-'’]\\p{L})`;

/** What verdicts look like for these words. */
function patternsFor(words: readonly string[]) {
  const any = words.map(pattern).join("|");
  const made = (source: string, flags = "iu") => new RegExp(source, flags);
  return {
    alone: made(`^${conclusion}(${any})$`),
    stated: made(
      `^${conclusion}${subject}(?: is|['’]s| seems| appears| counts as) (?:therefore |thus |clearly |indeed |overall |an? )?(${any})$`,
    ),
    cued: made(`(?:${cue}${link}|${said})[\\s:"'“‘(\\[{<]*(${any})`, "giu"),
    cuedAtEnd: made(`${cue}\\s+(${any})$`),
    first: made(`^[^\\p{L}\\p{N}]*(${any})`),
  };
}

/** In whatever case; a single letter in its own, for "a" is everywhere. */
const wordOf = (found: string | undefined, words: readonly string[]) =>
  words.find((word) => word === found || (word.length > 1 && word.toLowerCase() === found?.toLowerCase()));

/** Words named in their own spelling, or in capitals: "no" in a sentence is not the label No. */
const named = (text: string, words: readonly string[]) =>
  words.filter((word) => new RegExp(`${pattern(word)}|${pattern(word.toUpperCase())}`, "u").test(text));

const maxCharacters = 20_000;

/** The word that a reply in plain text gives as its verdict. `isComplete`: the reply was not cut off. */
export function readText(reply: string, words: readonly string[], isComplete = true): ReadLabel | undefined {
  const answer = withoutThoughts(reply).trim();
  const object = isComplete ? readObject(answer, words) : undefined;
  if (object) return object;
  // JSON without a label names words without meaning one.
  if (answer.startsWith("{")) return undefined;
  const whole = asWord(answer, words);
  if (whole !== undefined) return { label: whole };
  // The verdict stands at the beginning or at the end.
  const text =
    answer.length > maxCharacters
      ? `${answer.slice(0, maxCharacters / 2)}\n...\n${answer.slice(-maxCharacters / 2)}`
      : answer;
  const segments = segmentsOf(ownWords(text));
  const label = verdictOf(segments, words, isComplete);
  return label === undefined ? undefined : { label };
}

interface Found {
  label: string;
  at: number;
  isAlone: boolean;
}

function verdictOf(
  segments: readonly Segment[],
  words: readonly string[],
  isComplete: boolean,
): string | undefined {
  const patterns = patternsFor(words);
  const spoken = segments.map(({ text }) => named(text, words));
  const isOther = (label: string) => (word: string) => word !== label;
  const verdicts = segments.map(({ text, isItem }, at): Found | undefined => {
    const part = bare(text);
    const alone = wordOf(patterns.alone.exec(part)?.[1], words);
    if (alone !== undefined)
      return isItem && segments.length > 1 ? undefined : { label: alone, at, isAlone: true };
    const stated = wordOf(patterns.stated.exec(part)?.[1], words) ?? cuedIn(text, words, patterns);
    return stated === undefined ? undefined : { label: stated, at, isAlone: false };
  });
  if (!isComplete) {
    const [first] = verdicts;
    return first?.isAlone && !spoken.flat().some(isOther(first.label)) ? first.label : undefined;
  }
  const found = verdicts.filter((verdict) => verdict !== undefined);
  const last = found.at(-1);
  if (!last) return firstOrLast(segments, words, patterns, spoken.flat());
  const isContradicted = found.some(({ label }) => label !== last.label);
  const onlyWords = found.length === segments.length && found.every(({ isAlone }) => isAlone);
  if (isContradicted && (onlyWords || (last.isAlone && last.at < segments.length - 1))) return undefined;
  const isTakenBack = segments.some(
    ({ text }, at) => at > last.at && correction.test(text) && spoken[at]!.some(isOther(last.label)),
  );
  return isTakenBack ? undefined : last.label;
}

type Patterns = ReturnType<typeof patternsFor>;

/** The last word after "the answer is" or the like in a sentence that means it. */
function cuedIn(text: string, words: readonly string[], { cued, cuedAtEnd }: Patterns): string | undefined {
  let label: string | undefined;
  for (const match of text.matchAll(cued)) {
    const before = text.slice(0, match.index);
    const rest = text.slice(match.index + match[0].length);
    if (!after.test(rest) || offered.test(rest) || hypothetical.test(before)) continue;
    const clause = before.slice(before.lastIndexOf(".") + 1);
    if (/\bthat\b/i.test(clause) && doubt.test(before)) continue;
    label = wordOf(match[1], words) ?? label;
  }
  return label ?? wordOf(cuedAtEnd.exec(bare(text))?.[1], words);
}

/** A word that begins the reply and is no courtesy, or ends it after a colon; none of the others may be named. */
function firstOrLast(
  segments: readonly Segment[],
  words: readonly string[],
  patterns: Patterns,
  spoken: readonly string[],
): string | undefined {
  const isOnlyOne = (label: string) => spoken.every((word) => word === label);
  const [first] = segments;
  const begun = first && !first.isItem ? patterns.first.exec(first.text) : null;
  const label = wordOf(begun?.[1], words);
  if (begun && label !== undefined && isOnlyOne(label)) {
    const rest = first!.text.slice(begun[0].length);
    const isSaid = after.test(rest) || subjectAfter.test(rest);
    if (isSaid && !offered.test(rest) && !courtesy.test(rest)) return label;
  }
  const closing = /^(.*)[:→]\s*(\S+)$/u.exec(bare(segments.at(-1)?.text ?? ""));
  const closed = closing && !doubt.test(closing[1]!) ? asWord(closing[2], words) : undefined;
  return closed !== undefined && isOnlyOne(closed) ? closed : undefined;
}
