// MATH (Hendrycks et al., 2103.03874) and MATH-500: competition problems with a boxed answer, by subject and level. The
// text prompt is Minerva's, as in lm-eval's `minerva_math`; answers are compared by the math judge.

import { z } from "zod";
import { equivalent } from "../../judges/rules/math/equivalent.js";
import { finalAnswerSentence, lastBoxed, referenceAnswer } from "../../judges/rules/math/extract.js";
import type { GenerativeBenchmark } from "../benchmark.js";

const row = z
  .object({
    problem: z.string().min(1),
    solution: z.string().min(1),
    answer: z.string().min(1).optional(),
    level: z.union([z.string(), z.number()]).optional(),
    type: z.string().optional(),
    subject: z.string().optional(),
  })
  .refine(({ answer, solution }) => answer ?? lastBoxed(solution), {
    message: "has no \\boxed{} answer",
    path: ["solution"],
  });

type Row = z.output<typeof row>;

const reference = ({ answer, solution }: Row) => answer ?? referenceAnswer(solution);

/** The answer of Minerva's closing sentence, the last mention of the final answer before it; linear in the text. */
function minervaAnswer(text: string): string | undefined {
  const lower = text.toLowerCase();
  const from = lower.indexOf("final answer is");
  const close = from < 0 ? -1 : lower.indexOf("i hope it is correct", from);
  if (close < 0) return undefined;
  const start = lower.lastIndexOf("final answer is", close) + "final answer is".length;
  return text.slice(start, close).trim().replace(/^:/, "").replace(/\.$/, "").trim();
}

/** The final answer of a response: Minerva's sentence, a box, or "... final answer is X" at the end. */
export function finalAnswer(text: string): string | undefined {
  const found = minervaAnswer(text) ?? lastBoxed(text) ?? finalAnswerSentence(text);
  return found === undefined ? undefined : (lastBoxed(found) ?? found);
}

export const math: GenerativeBenchmark<Row> = {
  name: "math",
  kind: "generate",
  columns: ["problem", "solution"],
  row,
  plain: ({ problem }) => `Problem:\n${problem}\n\nSolution:`,
  chat: ({ problem }) => `${problem}\n\nReason step by step, and put the final answer in \\boxed{}.`,
  worked: (item) => ({
    plain: ` ${item.solution}\nFinal Answer: The final answer is $${reference(item)}$. I hope it is correct.`,
    chat: item.solution,
  }),
  groups: ({ level, type, subject = type }) => ({
    ...(level !== undefined && { level: String(level) }),
    ...(subject !== undefined && { subject }),
  }),
  maxNewTokens: 1024,
  stop: ["Problem:"],
  headline: "accuracy",
  grade(item, { text }) {
    const answer = finalAnswer(text);
    return { accuracy: answer !== undefined && equivalent(answer, reference(item)) ? 1 : 0 };
  },
};
