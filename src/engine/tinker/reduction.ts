// How services reduce the losses of a step, and what undoes it.

/**
 * How a service reduces the losses of the tokens of a step, on which the advantages are scaled so that the gradient is
 * ours. `sum`: all tokens are added. `mean`: the mean of each sequence, and the mean of all sequences since the last step
 * (SkyRL's JAX back end). `call_mean`: the same, but of the sequences of one call, and calls are added.
 */
export const reductions = ["sum", "mean", "call_mean"] as const;
export type Reduction = (typeof reductions)[number];

/** What each token's advantage is multiplied with, for a sequence of so many targets among so many data. */
export function advantageScale(
  reduction: Reduction,
  targets: number,
  data: { step: number; call: number },
): number {
  if (reduction === "sum") return 1;
  return targets * (reduction === "mean" ? data.step : data.call);
}
