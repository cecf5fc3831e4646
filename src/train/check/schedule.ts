// Settings that are allowed and rarely meant.

import type { TrainerSettings } from "../../recipe/recipe.js";
import type { Findings } from "./findings.js";

/** How many steps, and whether the learning rate ever reaches its peak. */
export function checkSchedule(
  findings: Findings,
  name: string,
  steps: number,
  { warmupSteps, warmupRatio = 0 }: Pick<TrainerSettings, "warmupSteps" | "warmupRatio">,
): void {
  const warmup = warmupRatio > 0 ? Math.ceil(warmupRatio * steps) : warmupSteps;
  const said = `${steps} step${steps === 1 ? "" : "s"}`;
  if (warmup > steps)
    findings.warn(
      name,
      `${said}, fewer than warmup_steps ${warmup}: the learning rate never reaches its peak; lower warmup_steps`,
    );
  else findings.ok(name, said);
}
