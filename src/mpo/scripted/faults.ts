// Everything that a server or a model can do wrong, by name.

import type { RubricItem } from "../rubric.js";
import { renderItems } from "../rubric-text.js";

/** What the transport does. */
export type TransportFault =
  | "500"
  | "429"
  | "closed-socket"
  | "slow"
  | "invalid-json"
  | "empty-choices"
  | "cut-off";

/** Rewrites a good reply into a bad one. */
export const contentFaults = {
  "no-tags": () => "I would rather talk about the weather.",
  "score-999": (content: string) => replaceScores(content, "999"),
  "score-minus-3": (content: string) => replaceScores(content, "-3"),
  "score-4/5": (content: string) => replaceScores(content, "4/5"),
  "non-ascii-digits": (content: string) => replaceScores(content, "٤"),
  "zero-items": (content: string) => (/^\d+$/.test(content) ? "0" : "<rubric>\n</rubric>"),
  "500-items": (content: string) => (/^\d+$/.test(content) ? "500" : rubricOf(manyItems(500))),
  "duplicate-names": (content: string) =>
    content.replace(/<item>\n### ([^\n(]*)[\s\S]*?<\/item>/g, (item, name: string) =>
      [item, item.replace(name, name.toUpperCase())].join("\n"),
    ),
} satisfies Record<string, (content: string) => string>;

export type ContentFault = keyof typeof contentFaults;
export type Fault = TransportFault | ContentFault;

const rubricOf = (items: readonly RubricItem[]): string => `<rubric>\n${renderItems(items)}\n</rubric>`;

const manyItems = (n: number): RubricItem[] =>
  Array.from({ length: n }, (_, i) => ({
    name: `Criterion ${i + 1}`,
    kind: "grade",
    levels: [
      { points: 5, text: "at least 1 words" },
      { points: 0, text: "otherwise" },
    ],
  }));

/** Puts `score` in the place of every score of a JSON reply, a tagged reply or a bare number. */
function replaceScores(content: string, score: string): string {
  const inJson = /^-?\d+$/.test(score) ? score : JSON.stringify(score);
  if (/^-?[\d.]+$/.test(content)) return score;
  return content
    .replace(/"score":-?[\d.]+/g, `"score":${inJson}`)
    .replace(/<score>[^<]*<\/score>/g, `<score>${score}</score>`);
}
