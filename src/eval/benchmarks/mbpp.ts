// MBPP (Austin et al., 2108.07732), full and sanitized: a Python function from a sentence and three assertions. The text
// prompt is the paper's, as in lm-eval's `mbpp`; a reply gives the program in a fenced block.

import { z } from "zod";
import type { GenerativeBenchmark } from "../benchmark.js";
import { passes, programIn } from "./python.js";

const row = z
  .looseObject({
    text: z.string().min(1).optional(),
    prompt: z.string().min(1).optional(),
    code: z.string().optional(),
    test_list: z.array(z.string().min(1)).min(1),
    test_setup_code: z.string().nullish(),
    test_imports: z.array(z.string()).nullish(),
  })
  .refine(({ text, prompt }) => text ?? prompt, { message: "is missing", path: ["text"] });

type Row = z.output<typeof row>;

const task = ({ text, prompt }: Row) => (text ?? prompt)!;

const tests = ({ test_list }: Row) => test_list.slice(0, 3).join("\n");

const code = ({ code: solution = "" }: Row) => solution.replaceAll("\r\n", "\n");

export const mbpp: GenerativeBenchmark<Row> = {
  name: "mbpp",
  kind: "generate",
  columns: ["test_list"],
  row,
  plain: (item) =>
    `You are an expert Python programmer, and here is your task: ${task(item)} ` +
    `Your code should pass these tests:\n\n${tests(item)}\n[BEGIN]\n`,
  chat: (item) =>
    `${task(item)} Reply with the program in one fenced block of Python. It must pass these tests:\n\n` +
    `\`\`\`python\n${tests(item)}\n\`\`\``,
  worked: (item) => ({
    plain: `${code(item)}\n[DONE]`,
    chat: `\`\`\`python\n${code(item).trimEnd()}\n\`\`\``,
  }),
  maxNewTokens: 512,
  stop: ["[DONE]"],
  headline: "pass@1",
  passMetric: "pass@1",
  async grade(item, answer) {
    const source = answer.isChat ? programIn(answer.text) : answer.text;
    return { "pass@1": await passes(source, item, answer) };
  },
};
