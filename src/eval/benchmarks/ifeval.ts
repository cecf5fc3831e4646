// IFEval (Zhou et al., 2311.07911): instructions that a program can verify. Strict and loose, by prompt (all of its
// instructions) and by instruction; CGPO's figure is the mean of the four (App. C).

import { z } from "zod";
import { followedBy } from "../../judges/instructions/instructions.js";
import type { GenerativeBenchmark } from "../benchmark.js";

const row = z.object({
  prompt: z.string().min(1),
  instruction_id_list: z.array(z.string()).min(1),
  kwargs: z.array(z.record(z.string(), z.unknown()).nullable()),
});

const all = (followed: readonly number[]) => Math.min(...followed);

export const ifeval: GenerativeBenchmark<z.output<typeof row>> = {
  name: "ifeval",
  kind: "generate",
  columns: ["prompt", "instruction_id_list", "kwargs"],
  row,
  plain: ({ prompt }) => prompt,
  chat: ({ prompt }) => prompt,
  maxNewTokens: 1280,
  stop: [],
  headline: "mean_of_four",
  averages: {
    mean_of_four: ["prompt_strict", "prompt_loose", "instruction_strict", "instruction_loose"],
  },
  async grade({ instruction_id_list, kwargs }, { text }) {
    const requirements = instruction_id_list.map((id, i) => ({ id, args: kwargs[i] ?? {} }));
    const followed = async (mode: "strict" | "loose") =>
      (await followedBy(text, requirements, mode)).map((problem) => (problem === undefined ? 1 : 0));
    const [strict, loose] = [await followed("strict"), await followed("loose")];
    return {
      prompt_strict: all(strict),
      prompt_loose: all(loose),
      instruction_strict: strict,
      instruction_loose: loose,
    };
  },
};
