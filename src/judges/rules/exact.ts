// Exact match of the response with a reference answer, or with any of a list of them.

import { z } from "zod";
import { hasColumn, judgeKind } from "../kind.js";
import { satisfied, violated } from "../verdict.js";

export interface Normalisation {
  ignoreCase: boolean;
  ignorePunctuation: boolean;
  /** English a, an, the. */
  ignoreArticles: boolean;
}

/** Unicode-composed, white space collapsed and trimmed, and whatever else is asked for. */
export function normalise(
  text: string,
  { ignoreCase, ignorePunctuation, ignoreArticles }: Normalisation,
): string {
  let out = text.normalize("NFKC");
  if (ignoreCase) out = out.toLowerCase();
  if (ignorePunctuation) out = out.replace(/\p{P}/gu, "");
  if (ignoreArticles) out = out.replace(/\b(?:a|an|the)\b/gi, " ");
  return out.replace(/\s+/gu, " ").trim();
}

const list = (value: unknown) => (Array.isArray(value) ? value : [value]).map(String);

export const exact = judgeKind({
  version: "1",
  kind: "rule",
  truncated: "judge",
  options: z.strictObject({
    answerKey: z.string().default("answer"),
    /** `equals`: the whole response; `contains`: somewhere in it. */
    match: z.enum(["equals", "contains"]).default("equals"),
    ignoreCase: z.boolean().default(false),
    ignorePunctuation: z.boolean().default(false),
    ignoreArticles: z.boolean().default(false),
  }),
  create: ({ answerKey, match, ...normalisation }) => ({
    applies: hasColumn(answerKey),
    judge({ response, metadata }) {
      const given = normalise(response, normalisation);
      const answers = list(metadata[answerKey]).map((answer) => normalise(answer, normalisation));
      const found = answers.find((answer) =>
        match === "equals" ? given === answer : given.includes(answer),
      );
      if (found !== undefined) return satisfied(`the response ${match} "${found}"`);
      const verb = match === "equals" ? "is not" : "does not contain";
      return violated(`the response ${verb} ${answers.map((answer) => `"${answer}"`).join(" or ")}`);
    },
  }),
});
