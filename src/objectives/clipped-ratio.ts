// The clipped importance ratio that PPO, GRPO and RLOO share.

export interface ClipRange {
  /** The ratio is clipped below at 1 - low and above at 1 + high. */
  low: number;
  high: number;
}

/**
 * The surrogate -min( rho A, clip(rho, 1 - low, 1 + high) A ) for rho = exp(logRatio), and its derivative with respect
 * to logRatio, which is 0 where the clipped term is the smaller one.
 */
export function clippedSurrogate(
  logRatio: number,
  advantage: number,
  { low, high }: ClipRange,
): { loss: number; derivative: number; clipped: boolean } {
  const ratio = Math.exp(logRatio);
  const clipped = advantage > 0 ? ratio > 1 + high : advantage < 0 && ratio < 1 - low;
  if (clipped) return { loss: -advantage * (advantage > 0 ? 1 + high : 1 - low), derivative: 0, clipped };
  // An advantage of 0 says nothing, however large the ratio.
  const loss = advantage === 0 ? 0 : -ratio * advantage;
  return { loss, derivative: loss, clipped };
}
