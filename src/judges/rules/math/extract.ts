// Where the final answer of a response, or of a worked reference solution, stands.

/** Contents of the last `\boxed{...}` (or `\fbox{...}`) with balanced braces, or of `\boxed 2` to its formula's end. */
export function lastBoxed(text: string): string | undefined {
  const box = [...text.matchAll(/\\(?:boxed|fbox)(?:\s*\{| *(?=[-+.\d\\([]))/g)].at(-1);
  if (!box) return undefined;
  const open = box.index + box[0].length - 1;
  if (text[open] !== "{")
    return /^[^$\n]*?(?=\$|\n|\\\)|\\\]|$)/.exec(text.slice(open + 1))![0].trim() || undefined;
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === "{") depth++;
    else if (text[i] === "}" && --depth === 0) return text.slice(open + 1, i).trim();
  }
  return undefined;
}

/** X of "... final answer is X" when that is the last sentence (CGPO, Table 4's prompt suffix asks for it). */
export function finalAnswerSentence(text: string): string | undefined {
  const matches = [...text.matchAll(/final answer is:?/gi)];
  const last = matches.at(-1);
  if (!last) return undefined;
  const answer = text
    .slice(last.index + last[0].length)
    .replaceAll("**", "")
    .trim()
    .replace(/\.$/, "")
    .trim();
  // A sentence ends at a line break, or at a full stop before a space: what follows is another sentence.
  const isLastSentence =
    answer !== "" && !/\n|[.!?]\s+\S/.test(answer.replace(/\\begin\{[\s\S]*\\end\{\w+\}/g, ""));
  return isLastSentence ? answer : undefined;
}

/** What a reference column means: GSM8K's `#### x`, MATH's boxed answer in a worked solution, or the text itself. */
export function referenceAnswer(text: string): string {
  const marker = text.lastIndexOf("####");
  if (marker >= 0) return text.slice(marker + 4).trim();
  return lastBoxed(text) ?? text.trim();
}
