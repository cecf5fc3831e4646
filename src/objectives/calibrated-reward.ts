// The calibrated reward of CGPO (equation 5).

import { sigmoid } from "./numerics.js";

/**
 * R_calib(s, a) = sigma( r_pair(s, a) - r_pair(s, abar) ), in (0, 1): about the probability that the response beats
 * the prompt's baseline response abar. Comparable across prompts, and 0.5 for abar itself (CGPO, equation 5).
 */
export function calibratedReward(reward: number, baselineReward: number): number {
  return sigmoid(reward - baselineReward);
}
