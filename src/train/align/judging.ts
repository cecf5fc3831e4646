// What judges are shown of a step's samples.

import { type BatchJudgement, judgeBatch, type Mixture } from "../../judges/mixture.js";
import type { StepContext, TaskRollouts } from "./parts.js";

/** Judges every sample by a mixture. Throws the signal's reason when that aborts. */
export function judgeSamples(
  judges: Mixture,
  { rows, completions, responses }: Pick<TaskRollouts, "rows" | "completions" | "responses">,
  { codec, signal }: StepContext,
): Promise<BatchJudgement> {
  const openThoughts = rows.map(({ prompt, metadata }) => codec.openThought?.(prompt, metadata));
  const samples = completions.map(({ promptIndex, finishReason }, i) => ({
    prompt: rows[promptIndex]!.prompt,
    response: responses[i]!,
    openThought: openThoughts[promptIndex],
    truncated: finishReason === "length",
    metadata: rows[promptIndex]!.metadata,
  }));
  return judgeBatch(judges, samples, signal);
}
