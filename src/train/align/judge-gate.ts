// Judges in the reward of an optimizer that has no constraints of its own (PPO, GRPO, ...): "PPO with judge-gated
// reward" keeps CGPO's judges and changes the optimizer alone.

import type { SampleJudgement } from "../../judges/mixture.js";
import { calibratedReward, type Outcome } from "../../objectives/index.js";
import type { TaskRecipe } from "../../recipe/recipe.js";
import type { TaskBatch } from "./policy-objectives.js";

export type JudgeGate = NonNullable<TaskRecipe["judgeGate"]>;

/** Whether a task compares its rewards with those of the baseline responses abar (eq. 5). */
export const calibrates = ({ optimizer: { name }, judgeGate }: TaskRecipe): boolean =>
  name === "crpg" || name === "crraft" || (judgeGate?.calibrated ?? false);

/** What a sample counts as; `isViolated`: its reward says so, whatever the judges say. */
export function verdictOf({ feasible }: SampleJudgement, isViolated = false): Outcome {
  if (feasible === undefined) return "failed";
  return feasible && !isViolated ? "satisfied" : "violated";
}

/**
 * R where the judges are satisfied and `violatedReward` where they are not. R is the calibrated reward, so that with 0
 * for violations the whole is R_cr (CGPO, eq. 8); or the raw reward. Failed samples stay as they are: they are dropped.
 */
export function judgeGatedRewards(
  { rewards, baselineRewards, promptIndex, verdicts }: TaskBatch,
  { calibrated, violatedReward }: JudgeGate,
): Float64Array {
  return Float64Array.from(verdicts, (verdict, i) => {
    if (verdict === "violated") return violatedReward;
    const calibrate = calibrated && verdict === "satisfied";
    return calibrate ? calibratedReward(rewards[i]!, baselineRewards[promptIndex[i]!]!) : rewards[i]!;
  });
}
