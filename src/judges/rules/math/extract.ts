// Where the final answer of a response, or of a worked reference solution, stands. All of it is linear in the text.

import { undressed } from "./spelling.js";

/** Boxes from the last to the first: where their contents begin, and whether braces hold them. */
const boxes = (text: string) =>
  [...text.matchAll(/\\(?:boxed|fbox)(?:\s*\{| *(?=[-+.\d\\([]))/g)].toReversed();

/** No answer, but a place for one: `\boxed{}`, `\boxed{...}`. */
const isPlaceholder = (content: string) => /^(?:\\(?:ldots|dots|cdots|quad|,|;| )|[\s.…_?~])*$/.test(content);

/** A box without an answer, and nothing else. */
export const isPlaceholderBox = (text: string) => {
  const content = /^\s*\$*\s*\\(?:boxed|fbox)\s*\{([^{}]*)\}[\s$.]*$/.exec(text)?.[1];
  return content !== undefined && isPlaceholder(content);
};

/**
 * Contents of the last `\boxed{...}` (or `\fbox{...}`) with balanced braces, or of `\boxed 2` to its formula's end. A box
 * that holds nothing only mentions boxes.
 */
export function lastBoxed(text: string): string | undefined {
  for (const box of boxes(text).slice(0, 20)) {
    const open = box.index + box[0].length - 1;
    const content = text[open] === "{" ? braced(text, open) : toEndOfFormula(text, open + 1);
    if (content === undefined) return undefined;
    if (!isPlaceholder(content.slice(0, 200))) return content;
  }
  return undefined;
}

function braced(text: string, open: number): string | undefined {
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === "{") depth++;
    else if (text[i] === "}" && --depth === 0) return text.slice(open + 1, i).trim();
  }
  return undefined;
}

function toEndOfFormula(text: string, start: number): string | undefined {
  let end = start;
  while (end < text.length && text[end] !== "$" && text[end] !== "\n") {
    if (text[end] === "\\" && ")]".includes(text[end + 1] ?? " ")) break;
    end++;
  }
  return text.slice(start, end).trim() || undefined;
}

/** Words that end in a full stop and no sentence. */
const abbreviations = new Set(
  "sq cu ft in yd mi oz lb lbs cm mm km hr hrs min sec approx ca no nos vs resp st dr mr mrs ms fig eq e.g i.e p.m a.m".split(
    " ",
  ),
);

/** A line break or a full stop after which another sentence begins; formulas on lines of their own are part of theirs. */
function hasSentenceEnd(text: string): boolean {
  const plain = withoutDisplays(text);
  for (let i = 0; i < plain.length; i++) {
    const char = plain[i]!;
    if (char === "\n") return true;
    if (!".!?".includes(char) || !/\s/.test(plain[i + 1] ?? "")) continue;
    let next = i + 1;
    while (next < plain.length && /\s/.test(plain[next]!)) if (plain[next++] === "\n") return true;
    if (next === plain.length) return false;
    let start = i;
    while (start > 0 && i - start < 8 && /[A-Za-z.]/.test(plain[start - 1]!)) start--;
    const word = plain.slice(start, i).toLowerCase();
    const isAbbreviation =
      char === "." && (abbreviations.has(word) || (/^[A-J]$/i.test(word) && !/[A-Z]/.test(plain[next]!)));
    if (!isAbbreviation) return true;
  }
  return false;
}

const displays: Record<string, string> = { "\\[": "\\]", $$: "$$", "```": "```" };

/** Displayed formulas and environments are left out: their line breaks and stops end no sentence. */
function withoutDisplays(text: string): string {
  const parts: string[] = [];
  let from = 0;
  const opening = /\\\[|\$\$|```|\\begin\{(\w+\*?)\}/g;
  for (let match = opening.exec(text); match; match = opening.exec(text)) {
    const close = match[1] === undefined ? displays[match[0]]! : `\\end{${match[1]}}`;
    const end = text.indexOf(close, opening.lastIndex);
    if (end < 0) break;
    parts.push(text.slice(from, match.index));
    from = opening.lastIndex = end + close.length;
  }
  parts.push(text.slice(from));
  return parts.join("").trim();
}

/** X of "... final answer is X" when that is the last sentence (CGPO, Table 4's prompt suffix asks for it). */
export function finalAnswerSentence(text: string): string | undefined {
  const last = [...text.matchAll(/final answer is:?/gi)].at(-1);
  if (!last) return undefined;
  const rest = text.slice(last.index + last[0].length).replaceAll("**", "");
  const answer = undressed(rest.replace(/^:/, ""));
  return answer === "" || hasSentenceEnd(answer) ? undefined : answer;
}

/** What a reference column means: GSM8K's `#### x`, MATH's boxed answer in a worked solution, or the text itself. */
export function referenceAnswer(text: string): string {
  const marker = text.lastIndexOf("####");
  if (marker >= 0) return text.slice(marker + 4).trim();
  return lastBoxed(text) ?? text.trim();
}
