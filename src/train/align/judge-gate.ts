// Judges in the reward of an optimizer that has no constraints of its own (PPO, GRPO, ...): "PPO with judge-gated
// reward" keeps CGPO's judges and changes the optimizer alone.

import { calibratedReward, type TaskBatch } from "../../objectives/index.js";
import type { JudgeGate } from "./parts.js";

/** A batch as the objective is to see it, and R_calib of each sample (null: it has none) where the gate calibrates. */
export interface Gated {
  batch: TaskBatch;
  calibrated?: readonly (number | null)[];
}

/**
 * R where the judges are satisfied and `violatedReward` where they are not. R is the calibrated reward, so that with 0
 * for violations the whole is R_cr (CGPO, eq. 8); or the raw reward. Failed samples stay as they are: they are dropped.
 */
export function gated(batch: TaskBatch, gate: JudgeGate | undefined): Gated {
  if (gate === undefined) return { batch };
  const { rewards, baselineRewards, promptIndex, verdicts } = batch;
  const calibrated = gate.calibrated
    ? verdicts.map((verdict, i) =>
        verdict === "failed" ? null : calibratedReward(rewards[i]!, baselineRewards[promptIndex[i]!]!),
      )
    : undefined;
  const paid = Float64Array.from(verdicts, (verdict, i) =>
    verdict === "violated" ? gate.violatedReward : (calibrated?.[i] ?? rewards[i]!),
  );
  return { batch: { ...batch, rewards: paid }, ...(calibrated && { calibrated }) };
}
