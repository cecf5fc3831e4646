// Learning-rate schedules, and how many steps epochs are.

export interface Schedule {
  lrSchedulerType: "constant" | "linear" | "cosine";
  warmupSteps: number;
  /** The share of the peak at which linear and cosine end. */
  minLrRatio: number;
}

/** Learning rate of step `step` (from 0) of `total`: a linear warm-up, then the schedule over what is left. */
export function learningRateAt(
  peak: number,
  step: number,
  total: number,
  { lrSchedulerType, warmupSteps, minLrRatio }: Schedule,
): number {
  if (step < warmupSteps) return (peak * (step + 1)) / warmupSteps;
  const progress = (step - warmupSteps) / Math.max(1, total - warmupSteps);
  switch (lrSchedulerType) {
    case "constant":
      return peak;
    case "linear":
      return peak * (minLrRatio + (1 - minLrRatio) * (1 - progress));
    case "cosine":
      return peak * (minLrRatio + ((1 - minLrRatio) * (1 + Math.cos(Math.PI * progress))) / 2);
  }
}

/** Every epoch ends with the batch that holds its last rows, which may be smaller. */
export const epochSteps = (
  { epochs, batchSize }: { epochs: number; batchSize: number },
  rows: number,
): number => {
  const whole = Math.floor(epochs);
  const rest = Math.ceil((epochs - whole) * rows);
  return Math.max(1, whole * Math.ceil(rows / batchSize) + Math.ceil(rest / batchSize));
};
