// The constraint-regularised reward of CGPO (equation 8) and its KL-regularised form (equation 11).

/** R_cr: R_calib inside the feasible set Sigma, 0 outside (CGPO, equation 8). */
export function constraintRegularisedReward(calibratedReward: number, feasible: boolean): number {
  return feasible ? calibratedReward : 0;
}

/**
 * max{ 1 - log( pi_w(s,a) / pi_ref(s,a) ) / KLmax, 0 }, a constant in the gradient (CGPO, equation 11). It is 1 where
 * the policy still equals the reference, 0 from KLmax nats on, and above 1 where a response became less likely. The
 * paper has no upper bound; `klFactorMax` sets one.
 */
export function klFactor(logRatio: number, klMax: number, klFactorMax = Infinity): number {
  return Math.min(Math.max(1 - logRatio / klMax, 0), klFactorMax);
}

/** R~_cr = factor * R_cr (CGPO, equation 11). A reward of 0 stays 0 whatever the factor. */
export function klRegularisedReward(rCr: number, factor: number): number {
  return rCr === 0 ? 0 : factor * rCr;
}
