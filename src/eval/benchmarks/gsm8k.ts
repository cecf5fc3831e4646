// GSM8K (Cobbe et al., 2110.14168): school mathematics with a worked solution that ends with `#### 42`. Prompt and both
// ways of reading the answer as in lm-eval's `gsm8k`.

import { z } from "zod";
import type { GenerativeBenchmark } from "../benchmark.js";

const row = z.object({
  question: z.string().min(1),
  answer: z.string().regex(/#### /, 'must end with "#### " and a number'),
});

/** The number after the first `####`. */
const strictAnswer = (text: string) => /#### (-?[0-9.,]+)/.exec(text)?.[1];

/** The last thing that looks like a number. */
const flexibleAnswer = (text: string) => [...text.matchAll(/-?[$0-9.,]{2,}|-?[0-9]+/g)].at(-1)?.[0].trim();

const normalised = (text: string) =>
  text
    .replaceAll(",", "")
    .replaceAll("$", "")
    .replace(/[\s\S]*#### /, "")
    .replace(/\.$/, "")
    .toLowerCase();

const matches = (answer: string | undefined, reference: string) =>
  answer !== undefined && normalised(answer) === normalised(reference) ? 1 : 0;

/** The solution without GSM8K's calculator marks, `<<48/2=24>>`. */
const withoutCalculator = (solution: string) => solution.replace(/<<[^<>]*>>/g, "");

export const gsm8k: GenerativeBenchmark<z.output<typeof row>> = {
  name: "gsm8k",
  kind: "generate",
  columns: ["question", "answer"],
  row,
  plain: ({ question }) => `Question: ${question}\nAnswer:`,
  chat: ({ question }) =>
    `${question}\n\nReason step by step. End with a line that holds "#### " and the final number, nothing else.`,
  worked: ({ answer }) => ({ plain: ` ${answer}`, chat: withoutCalculator(answer) }),
  maxNewTokens: 512,
  stop: ["Question:", "</s>", "<|im_end|>"],
  headline: "flexible_extract",
  grade: ({ answer: reference }, { text }) => ({
    strict_match: matches(strictAnswer(text), reference),
    flexible_extract: matches(flexibleAnswer(text), reference),
  }),
};
