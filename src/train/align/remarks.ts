// What a task of an alignment has in vain: judges that never say anything, or that nobody listens to. Allowed, for recipes are
// shared and judges are neutral where they have nothing to say; said, for a run shows none of it.

import { UserError } from "../../base/errors.js";
import type { PromptRow } from "../../data/rows.js";
import { mayApply } from "../../judges/applicability.js";
import type { Judge } from "../../judges/verdict.js";
import { optimizerRow } from "../../recipe/optimizers.js";
import type { TaskRecipe } from "../../recipe/recipe.js";

/** Columns that a person is shown. */
const SHOWN = 8;

/** The task's judges that apply to none of its prompts. Where nothing else is to be learned from, that is a mistake. */
export function judgeRemarks(
  { name, reward }: Pick<TaskRecipe, "name" | "reward">,
  judges: readonly Judge[],
  rows: readonly PromptRow[],
): string[] {
  const idle = judges.filter((judge) => !rows.some(({ metadata }) => mayApply(judge, metadata)));
  if (idle.length === 0) return [];
  const columns = [...new Set(rows.flatMap(({ metadata }) => Object.keys(metadata)))];
  const have =
    columns.length === 0
      ? "they have no column beside the prompt"
      : `their columns are ${columns.slice(0, SHOWN).join(", ")}${columns.length > SHOWN ? ", ..." : ""}`;
  if (idle.length === judges.length && reward === undefined)
    throw new UserError(
      `task ${name}: ${idle.map(({ name: judge }) => judge).join(", ")} ${idle.length === 1 ? "applies" : "apply"} to none of the ${rows.length} prompts (${have}), and there is no reward, so nothing can be learned`,
    );
  return idle.map(
    ({ name: judge }) =>
      `warning: task ${name}: judge ${judge} applies to none of the ${rows.length} prompts, so it never says anything (${have})`,
  );
}

/** What of a task nobody looks at. */
export function taskRemarks(
  { name, judges, judgeGate, optimizer, baselineResponse, reward }: TaskRecipe,
  steps: number,
): string[] {
  const { constrained, calibrates, learns } = optimizerRow(optimizer);
  const remarks: string[] = [];
  if (learns === "pairs") {
    if (reward || judges.length > 0)
      remarks.push(`${optimizer.name} learns from the pairs as they are; reward and judges are not asked`);
  } else {
    if (judges.length > 0 && !constrained && judgeGate === undefined)
      remarks.push(
        `the judges change nothing that ${optimizer.name} learns, they are only counted; judge_gate: {} puts them into the reward`,
      );
    if (baselineResponse !== "auto" && !calibrates && !judgeGate?.calibrated)
      remarks.push(
        `baseline_response is not looked at: ${optimizer.name} compares with no baseline response`,
      );
  }
  const sources = reward === undefined ? [] : "sum" in reward ? reward.sum : [reward];
  for (const source of sources) {
    const { interval: every, triggers } = ("rubric" in source && source.meta) || {};
    if (typeof every === "number" && Number.isFinite(every) && every > steps && !triggers)
      remarks.push(
        `meta.interval ${every} is more than the ${steps} steps of the run: the rubric is never revised`,
      );
  }
  return remarks.map((remark) => `warning: task ${name}: ${remark}`);
}
