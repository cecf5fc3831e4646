// ARC (Clark et al., 1803.05457): science questions with given answers, in the Hub's columns or AI2's own. The most
// likely answer counts, by its log-probability (`acc`) and by that per character (`acc_norm`), as in lm-eval's `arc_*`.

import { z } from "zod";
import type { ChoiceBenchmark } from "../benchmark.js";

const choice = z.object({ text: z.string().min(1), label: z.string() });

const row = z
  .union([
    z
      .object({
        question: z.string().min(1),
        choices: z.object({ text: z.array(z.string().min(1)), label: z.array(z.string()) }),
        answerKey: z.string(),
      })
      .transform(({ question, choices: { text, label }, answerKey }) => ({
        question,
        texts: text,
        answer: label.indexOf(answerKey),
      })),
    z
      .object({
        question: z.object({ stem: z.string().min(1), choices: z.array(choice) }),
        answerKey: z.string(),
      })
      .transform(({ question: { stem, choices }, answerKey }) => ({
        question: stem,
        texts: choices.map(({ text }) => text),
        answer: choices.findIndex(({ label }) => label === answerKey),
      })),
  ])
  .refine(({ answer, texts }) => answer >= 0 && answer < texts.length, {
    message: "is none of the choices' labels",
    path: ["answerKey"],
  });

/** The place of the largest value, the first of equal ones. */
function argmax(values: readonly number[]): number {
  let best = 0;
  for (const [i, value] of values.entries()) if (value > values[best]!) best = i;
  return best;
}

/** Length in Unicode characters, as Python counts. */
const characters = (text: string) => [...text].length;

export const arc: ChoiceBenchmark<z.output<typeof row>> = {
  name: "arc",
  kind: "choose",
  columns: ["question", "answerKey"],
  row,
  plain: ({ question }) => `Question: ${question}\nAnswer:`,
  chat: ({ question }) => question,
  worked: ({ texts, answer }) => ({ plain: ` ${texts[answer]!}`, chat: texts[answer]! }),
  headline: "acc_norm",
  choices: ({ texts }) => texts,
  grade: ({ texts, answer }, logprobs) => ({
    acc: argmax(logprobs) === answer ? 1 : 0,
    acc_norm: argmax(logprobs.map((logprob, i) => logprob / characters(texts[i]!))) === answer ? 1 : 0,
  }),
};
