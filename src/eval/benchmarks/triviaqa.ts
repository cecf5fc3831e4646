// TriviaQA (Joshi et al., 1705.03551) without its documents: a name, accepted under any of its aliases. `exact_match` as
// in lm-eval's `triviaqa`, `normalised_match` as in the data set's own evaluation (articles and punctuation do not count).

import { z } from "zod";
import type { GenerativeBenchmark } from "../benchmark.js";

const row = z.object({
  question: z.string().min(1),
  answer: z.object({
    value: z.string().optional(),
    aliases: z.array(z.string()).min(1),
    normalized_aliases: z.array(z.string()).optional(),
  }),
});

const punctuation = /[!-/:-@[-`{-~]/g;

const plainWords = (text: string) => text.toLowerCase().replace(punctuation, "");

/** Lower case, punctuation as spaces, without articles, single spaces. */
export const normalised = (text: string) =>
  text
    .toLowerCase()
    .replace(punctuation, " ")
    .replace(/[‘’´]/g, " ")
    .replace(/\b(?:a|an|the)\b/g, " ")
    .split(/\s+/)
    .filter(Boolean)
    .join(" ");

export const triviaqa: GenerativeBenchmark<z.output<typeof row>> = {
  name: "triviaqa",
  kind: "generate",
  columns: ["question", "answer.aliases"],
  row,
  // The second question mark is lm-eval's, and figures are only comparable with it.
  plain: ({ question }) => `Question: ${question}?\nAnswer:`,
  chat: ({ question }) => `${question}\n\nReply with the answer alone: a name, a number or a few words.`,
  worked: ({ answer: { value, aliases } }) => ({
    plain: ` ${value ?? aliases[0]!}`,
    chat: value ?? aliases[0]!,
  }),
  maxNewTokens: 64,
  stop: ["\n", ".", ","],
  headline: "exact_match",
  grade({ answer: { aliases, normalized_aliases = aliases } }, { text }) {
    const answer = text.trim();
    return {
      exact_match: aliases.some((alias) => plainWords(alias) === plainWords(answer)) ? 1 : 0,
      normalised_match: normalized_aliases.some((alias) => normalised(alias) === normalised(answer)) ? 1 : 0,
    };
  },
};
