// Learning-rate schedules, and how many steps epochs are.

export interface Schedule {
  lrSchedulerType: "constant" | "linear" | "cosine";
  warmupSteps: number;
  /** Share of all steps; where it is above 0, `warmupSteps` is not asked. */
  warmupRatio?: number | undefined;
  /** The share of the peak at which linear and cosine end. */
  minLrRatio: number;
}

/** Learning rate of step `step` (from 0) of `total`: a linear warm-up, then the schedule over what is left. */
export function learningRateAt(
  peak: number,
  step: number,
  total: number,
  { lrSchedulerType, warmupSteps, warmupRatio = 0, minLrRatio }: Schedule,
): number {
  const warmup = warmupRatio > 0 ? Math.ceil(warmupRatio * total) : warmupSteps;
  if (step < warmup) return (peak * (step + 1)) / warmup;
  const progress = (step - warmup) / Math.max(1, total - warmup);
  switch (lrSchedulerType) {
    case "constant":
      return peak;
    case "linear":
      return peak * (minLrRatio + (1 - minLrRatio) * (1 - progress));
    case "cosine":
      return peak * (minLrRatio + ((1 - minLrRatio) * (1 + Math.cos(Math.PI * progress))) / 2);
  }
}

/** One sentence where the warm-up is longer than the run. */
export function warmupRemarks(
  steps: number,
  { warmupSteps, warmupRatio = 0 }: Pick<Schedule, "warmupSteps" | "warmupRatio">,
): string[] {
  const warmup = warmupRatio > 0 ? Math.ceil(warmupRatio * steps) : warmupSteps;
  if (warmup <= steps) return [];
  return [
    `${steps} step${steps === 1 ? "" : "s"}, fewer than warmup_steps ${warmup}: the learning rate never reaches its peak; lower warmup_steps`,
  ];
}

/** Every epoch ends with the batch that holds its last rows, which may be smaller. */
export const epochSteps = (
  { epochs = 1, batchSize }: { epochs?: number | undefined; batchSize: number },
  rows: number,
): number => {
  const whole = Math.floor(epochs);
  const rest = Math.ceil((epochs - whole) * rows);
  return Math.max(1, whole * Math.ceil(rows / batchSize) + Math.ceil(rest / batchSize));
};
