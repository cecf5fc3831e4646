// What judges are shown of a step's samples.

import { type BatchJudgement, judgeBatch, type Mixture } from "../../judges/mixture.js";
import type { JudgeInput } from "../../judges/verdict.js";
import type { StepContext, TaskRollouts } from "./parts.js";

type Shown = Pick<TaskRollouts, "rows" | "completions" | "responses">;

/** Judges every sample by a mixture. Throws the signal's reason when that aborts. */
export const judgeSamples = (
  judges: Mixture,
  samples: Shown,
  { codec, signal }: StepContext,
): Promise<BatchJudgement> => judgeBatch(judges, judgeInputs(samples, codec), signal);

/** The samples as judges see them. */
export function judgeInputs(
  { rows, completions, responses }: Shown,
  codec: StepContext["codec"],
): JudgeInput[] {
  const openThoughts = new Map<number, string | undefined>();
  const openThoughtOf = (index: number): string | undefined => {
    const { prompt, metadata } = rows[index]!;
    if (!openThoughts.has(index)) openThoughts.set(index, codec.openThought?.(prompt, metadata));
    return openThoughts.get(index);
  };
  return completions.map(({ promptIndex, finishReason }, i) => ({
    prompt: rows[promptIndex]!.prompt,
    response: responses[i]!,
    openThought: openThoughtOf(promptIndex),
    truncated: finishReason === "length",
    metadata: rows[promptIndex]!.metadata,
  }));
}
