// The options of a question with several answers: `(B)`, `B. the text`, `\textbf{(B)}\ 7`.

export interface Option {
  letter: string;
  /** What stands behind the letter. */
  text?: string;
}

const wrapper = String.raw`(?:\\(?:text[a-z]*|math[a-z]*|mbox|boldsymbol|bm)\s*\{\s*)*`;
const alone = new RegExp(
  `^(?:[Oo]ption |[Cc]hoice |[Aa]nswer )?\\$?${wrapper}\\(?\\s*([A-J])\\s*\\)?[.:]?\\s*\\}*\\$?$`,
);
const labelled = new RegExp(`^\\$?${wrapper}(?:\\(\\s*([A-J])\\s*\\)|([A-J])\\s*[).:])\\s*\\}*`);

/** What cannot be the text of an option: another letter, or an operator between this letter and something else. */
const noText =
  /^(?:[,;&/+*^=<>|!_'-]|[aA]nd\b|[oO]r\b|\\(?:cup|cap|times|cdot|to)(?![a-z])|\\text\s*\{\s*(?:and|or)\b|\(?[A-J]\)?(?:$|[\s,).}]))/;

export function optionOf(text: string): Option | undefined {
  const trimmed = text.trim();
  if (trimmed.length > 2000) return undefined;
  const letter = alone.exec(trimmed)?.[1];
  if (letter !== undefined) return { letter };
  const match = labelled.exec(trimmed);
  if (!match) return undefined;
  const isColon = !match[1] && /:/.test(match[0]);
  let rest = trimmed
    .slice(match[0].length)
    .replace(/^(?:\\[ ,;:]|\\q?quad|~|\s)+/, "")
    .replace(/\$$/, "")
    .trim();
  // B:3 may be a ratio, and the brace of \text{E: ...} closes behind the text.
  if (isColon && !/:\s/.test(match[0])) return undefined;
  if (/^\\(?:text|math|mbox)/.test(trimmed) && !match[0].includes("}")) rest = rest.replace(/\}+$/, "");
  if (rest === "" || noText.test(rest)) return undefined;
  return { letter: (match[1] ?? match[2])!, text: rest };
}
