// The final answer of a mathematical response against the reference (CGPO, appendix B.1: extract it from the last
// sentence, "final answer is [answer]"; a wrong answer or a wrong format is a violation). `\boxed{}` counts as well.

import { z } from "zod";
import { hasColumn, judgeKind } from "../kind.js";
import { failed, satisfied, violated } from "../verdict.js";
import { equivalent } from "./math/equivalent.js";
import { finalAnswerSentence, isPlaceholderBox, lastBoxed, referenceAnswer } from "./math/extract.js";

/** The reference as text; undefined for what is no answer: an object, an empty text, a worked solution without its end. */
function readReference(value: unknown): string | undefined {
  const isText = typeof value === "string" || typeof value === "number" || typeof value === "bigint";
  const reference = isText ? referenceAnswer(String(value)) : "";
  return /[^\s$]/.test(reference) && !isPlaceholderBox(reference) ? reference : undefined;
}

const extractors = { final_answer: finalAnswerSentence, boxed: lastBoxed };

export const math = judgeKind({
  version: "4",
  kind: "rule",
  truncated: "violated",
  options: z.strictObject({
    answerKey: z.string().default("answer"),
    /** Forms of the final answer that are accepted, tried in this order. */
    formats: z
      .array(z.enum(["final_answer", "boxed"]))
      .min(1)
      .default(["final_answer", "boxed"]),
  }),
  create: ({ answerKey, formats }) => ({
    applies: hasColumn(answerKey),
    judge({ response, metadata }) {
      const reference = readReference(metadata[answerKey]);
      if (reference === undefined) return failed(`the column "${answerKey}" holds no answer to compare with`);
      const found = formats.map((format) => extractors[format](response)).find((text) => text !== undefined);
      if (found === undefined) {
        return violated('the response does not end with "final answer is ..." nor with \\boxed{...}', {
          reference,
        });
      }
      // "The final answer is \boxed{5}" and "... is $\boxed{5}$".
      const answer = lastBoxed(found) ?? found;
      const evidence = { answer, reference };
      if (equivalent(answer, reference))
        return satisfied(`the answer ${answer} equals ${reference}`, evidence);
      return violated(`the answer ${answer} is not ${reference}`, evidence);
    },
  }),
});
