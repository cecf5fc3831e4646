// Prediction ensembles of reward models, the baselines of WARM (section 2.3) and of Coste et al. (2310.02743).
// `scores[m][i]` is member m's reward of sample i.

import { mean, ranks, standardDeviation } from "../base/statistics.js";

export type MemberScores = readonly ArrayLike<number>[];

/** ENS: the mean of the members' raw rewards. */
export function ensembleMean(scores: MemberScores): Float64Array {
  return combine(scores, mean);
}

/** WCO, worst-case optimisation: the lowest member's reward. Members need a common scale, see `zScoreMembers`. */
export function worstCase(scores: MemberScores): Float64Array {
  return combine(scores, (column) => column.reduce((low, r) => Math.min(low, r), Infinity));
}

/** UWO, uncertainty-weighted optimisation: mean - lambda * (1/k) sum (R_i - mean)^2, the population variance. */
export function uncertaintyWeighted(scores: MemberScores, lambda: number): Float64Array {
  return combine(scores, (column) => {
    const centre = mean(column);
    const spread = column.reduce((sum, r) => sum + (r - centre) ** 2, 0) / column.length;
    return centre - lambda * spread;
  });
}

/**
 * Share of the members that prefer the first response of every pair, a tie counting one half; the majority prefers it
 * where the share is above one half.
 */
export function majorityVote(first: MemberScores, second: MemberScores): Float64Array {
  const votes = first.map((member, m) =>
    Float64Array.from({ length: member.length }, (_, i) => (Math.sign(member[i]! - second[m]![i]!) + 1) / 2),
  );
  return combine(votes, mean);
}

/**
 * The same vote without a second response: the share of the other responses to the same prompt that sample i beats, mean
 * over the members, ties one half. `prompts[i]` tells which prompt sample i answers; a lone answer gets one half. Only
 * the order within a prompt counts, so the members need no common scale.
 */
export function votesWithinPrompts(scores: MemberScores, prompts: ArrayLike<number | string>): Float64Array {
  const groups = new Map<number | string, number[]>();
  for (let i = 0; i < prompts.length; i++) {
    const group = groups.get(prompts[i]!);
    if (group) group.push(i);
    else groups.set(prompts[i]!, [i]);
  }
  const votes = scores.map((member) => {
    const share = new Float64Array(member.length).fill(0.5);
    for (const group of groups.values()) {
      if (group.length === 1) continue;
      const places = ranks(group.map((i) => member[i]!));
      for (const [k, i] of group.entries()) share[i] = (places[k]! - 1) / (group.length - 1);
    }
    return share;
  });
  return combine(votes, mean);
}

export interface LengthPenalty {
  /** What every token beyond `freeTokens` costs, in the unit of the reward. */
  perToken: number;
  /** Default 0. */
  freeTokens?: number;
}

/** r - perToken * max(0, length - freeTokens); lengths are those of the responses alone. */
export function penaliseLength(
  rewards: ArrayLike<number>,
  lengths: ArrayLike<number>,
  { perToken, freeTokens = 0 }: LengthPenalty,
): Float64Array {
  return Float64Array.from(
    { length: rewards.length },
    (_, i) => rewards[i]! - perToken * Math.max(0, lengths[i]! - freeTokens),
  );
}

/** Every member's rewards in standard deviations from its own mean over reference samples (of the SFT policy, say). */
export function zScoreMembers(scores: MemberScores, referenceScores: MemberScores): Float64Array[] {
  return scores.map((member, m) => {
    const centre = mean(referenceScores[m]!);
    // A member that scores all reference samples alike has no scale of its own.
    const scale = standardDeviation(referenceScores[m]!, 0) || 1;
    return Float64Array.from({ length: member.length }, (_, i) => (member[i]! - centre) / scale);
  });
}

function combine(scores: MemberScores, fold: (column: Float64Array) => number): Float64Array {
  const size = scores[0]?.length ?? 0;
  if (scores.some((member) => member.length !== size)) {
    throw new Error("The members of an ensemble must score the same samples.");
  }
  const column = new Float64Array(scores.length);
  return Float64Array.from({ length: size }, (_, i) => {
    for (let m = 0; m < scores.length; m++) column[m] = scores[m]![i]!;
    return fold(column);
  });
}
