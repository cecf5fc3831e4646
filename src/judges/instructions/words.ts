// Words, as IFEval counts them.

import { sentences } from "./sentences.js";

/** Runs of letters, digits and underscores. */
export function countWords(text: string): number {
  return text.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0;
}

/** The rules of the Penn Treebank's tokenizer for one sentence, in order: each sets white space between words. */
const treebank: readonly [RegExp, string][] = [
  [/[«“‘„]|`+/gu, " $& "],
  [/^"/g, "``"],
  [/``/g, " $& "],
  [/([ ([{<])("|'')/g, "$1 `` "],
  [/'(?!re|ve|ll|[mtsdn])([\p{L}\p{N}_])(?![\p{L}\p{N}_])/giu, "' $1"],
  [/([^.])(\.)([\])}>"'»”’ ]*)\s*$/u, "$1 $2 $3 "],
  [/([:,])([^\d])/g, " $1 $2"],
  [/[:,]$/g, " $& "],
  [/\.{2,}/g, " $& "],
  [/[;@#$%&]/g, " $& "],
  [/([^.])(\.)([\])}>"']*)\s*$/, "$1 $2$3 "],
  [/[?!]/g, " $& "],
  [/([^'])' /g, "$1 ' "],
  [/\*/g, " * "],
  [/[\][(){}<>]/g, " $& "],
  [/--/g, " -- "],
  [/^|$/g, " "],
  [/[»”’]/gu, " $& "],
  [/''/g, " '' "],
  [/"/g, " '' "],
  [/([^' ])('[sS]|'[mM]|'[dD]|') /g, "$1 $2 "],
  [/([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) /g, "$1 $2 "],
  [
    /\b(can)(not)\b|\b(d)('ye)\b|\b(gim)(me)\b|\b(gon)(na)\b|\b(got)(ta)\b|\b(lem)(me)\b/gi,
    " $1$3$5$7$9$11 $2$4$6$8$10$12 ",
  ],
  [/\b(more)('n)\b|\b(wan)(na)(?=\s)/gi, " $1$3 $2$4 "],
  [/ ('t)(is|was)\b/gi, " $1 $2 "],
];

/** The words of a text; contractions are two words (do, n't) and punctuation is words of its own. */
export function treebankWords(text: string): string[] {
  return sentences(text).flatMap((sentence) => {
    let spaced = sentence;
    for (const [pattern, replacement] of treebank) spaced = spaced.replace(pattern, replacement);
    return spaced.split(/\s+/).filter((word) => word !== "");
  });
}
