// HumanEval (Chen et al., 2107.03374): complete a Python function from its signature and docstring. Prompt and stop
// strings as in the paper and lm-eval's `humaneval`; a reply gives the function in a fenced block.

import { z } from "zod";
import type { GenerativeBenchmark } from "../benchmark.js";
import { passes, programIn } from "./python.js";

const row = z.object({
  task_id: z.string().optional(),
  prompt: z.string().min(1),
  canonical_solution: z.string().optional(),
  test: z.string().min(1),
  entry_point: z.string().min(1),
});

const fenced = (code: string) => `\`\`\`python\n${code.trimEnd()}\n\`\`\``;

export const humaneval: GenerativeBenchmark<z.output<typeof row>> = {
  name: "humaneval",
  kind: "generate",
  columns: ["prompt", "test", "entry_point"],
  row,
  plain: ({ prompt }) => prompt,
  chat: ({ prompt }) =>
    `Complete this Python function. Reply with the whole function in one fenced block of Python.\n\n${fenced(prompt)}`,
  worked: ({ prompt, canonical_solution = "" }) => ({
    plain: canonical_solution,
    chat: fenced(`${prompt}${canonical_solution}`),
  }),
  maxNewTokens: 1024,
  stop: ["\nclass", "\ndef", "\n#", "\nif", "\nprint"],
  headline: "pass@1",
  passMetric: "pass@1",
  async grade(item, answer) {
    const source = answer.isChat ? programIn(answer.text) : `${item.prompt}${answer.text}`;
    return { "pass@1": await passes(source, item, answer) };
  },
};
