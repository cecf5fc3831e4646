// The Bradley-Terry loss of reward modelling (WARM, section 2.1; CGPO, equations 1 and 2). The papers have neither
// margins nor centring; both are off by default.

import { logSigmoid, sigmoid } from "./numerics.js";
import type { Metrics } from "./objective.js";

export interface BradleyTerryBatch {
  /** r(x, y+) of every pair. */
  chosen: ArrayLike<number>;
  /** r(x, y-) of every pair. */
  rejected: ArrayLike<number>;
  /** By how much the chosen response should win, for every pair. */
  margins?: ArrayLike<number>;
}

export interface BradleyTerryOptions {
  /** eta of the term eta (r+ + r-)^2, which pins the free constant of each reward model near 0; 0.01 is usual. */
  centerRewardsCoefficient?: number;
}

export interface BradleyTerryResult {
  loss: number;
  /** dLoss / dr(x, y+) of every pair. */
  gChosen: Float32Array;
  /** dLoss / dr(x, y-) of every pair. */
  gRejected: Float32Array;
  metrics: Metrics;
}

/** L = -mean log sigma( r(x, y+) - r(x, y-) - margin ) + eta mean (r+ + r-)^2. Accuracy counts ties as one half. */
export function bradleyTerry(
  { chosen, rejected, margins }: BradleyTerryBatch,
  { centerRewardsCoefficient = 0 }: BradleyTerryOptions = {},
): BradleyTerryResult {
  const n = chosen.length;
  if (rejected.length !== n || (margins !== undefined && margins.length !== n)) {
    throw new Error(`The batch has ${n} chosen rewards, so it needs as many rejected rewards and margins.`);
  }
  const gChosen = new Float32Array(n);
  const gRejected = new Float32Array(n);
  if (n === 0) return { loss: 0, gChosen, gRejected, metrics: { samples: 0 } };
  let loss = 0;
  let accuracy = 0;
  let margin = 0;
  let sum = 0;
  let lowest = Infinity;
  let highest = -Infinity;
  for (let i = 0; i < n; i++) {
    const difference = chosen[i]! - rejected[i]!;
    const total = chosen[i]! + rejected[i]!;
    const logit = difference - (margins?.[i] ?? 0);
    loss += (-logSigmoid(logit) + centerRewardsCoefficient * total ** 2) / n;
    const pull = sigmoid(-logit) / n;
    const centring = (2 * centerRewardsCoefficient * total) / n;
    gChosen[i] = centring - pull;
    gRejected[i] = centring + pull;
    accuracy += difference > 0 ? 1 : difference === 0 ? 0.5 : 0;
    margin += difference;
    sum += total;
    lowest = Math.min(lowest, chosen[i]!, rejected[i]!);
    highest = Math.max(highest, chosen[i]!, rejected[i]!);
  }
  return {
    loss,
    gChosen,
    gRejected,
    metrics: {
      samples: n,
      accuracy: accuracy / n,
      margin: margin / n,
      min_reward: lowest,
      mean_reward: sum / (2 * n),
      max_reward: highest,
    },
  };
}
