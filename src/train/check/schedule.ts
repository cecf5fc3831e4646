// Settings that are allowed and rarely meant.

import type { TrainerSettings } from "../../recipe/recipe.js";
import { warmupRemarks } from "../../run/schedule.js";
import type { Findings } from "./findings.js";

/** How many steps, and whether the learning rate ever reaches its peak. */
export function checkSchedule(
  findings: Findings,
  name: string,
  steps: number,
  schedule: Pick<TrainerSettings, "warmupSteps" | "warmupRatio">,
): void {
  const [remark] = warmupRemarks(steps, schedule);
  if (remark !== undefined) findings.warn(name, remark);
  else findings.ok(name, `${steps} step${steps === 1 ? "" : "s"}`);
}
