// How far the members differ in what they say. An average has no such signal of its own: keep the members to raise an
// alarm with.

import { mean, standardDeviation } from "../../base/statistics.js";
import { zScoreMembers } from "../ensemble.js";
import { allRewards, correctness, type PairScores } from "./pair-scores.js";

export interface Disagreement {
  /** Mean over the responses of the members' standard deviation, each member in its own standard deviations. */
  deviation: number;
  /** Share of the pairs that two members order differently, mean over all pairs of members. */
  orderedDifferently: number;
  /** Share of the pairs that all members order alike. */
  unanimous: number;
}

/** `reference` are the same members' scores of the pairs that give each its mean and scale. */
export function disagreementOf(
  members: readonly PairScores[],
  reference: readonly PairScores[],
): Disagreement {
  const scaled = zScoreMembers(members.map(allRewards), reference.map(allRewards));
  const deviations = scaled[0]!.map((_, i) =>
    standardDeviation(
      scaled.map((member) => member[i]!),
      0,
    ),
  );
  const votes = members.map(correctness);
  const differing: number[] = [];
  for (let a = 0; a < votes.length; a++)
    for (let b = 0; b < a; b++) differing.push(mean(votes[a]!.map((vote, i) => +(vote !== votes[b]![i]))));
  return {
    deviation: mean(deviations),
    orderedDifferently: differing.length > 0 ? mean(differing) : 0,
    unanimous: mean(votes[0]!.map((vote, i) => +votes.every((other) => other[i] === vote))),
  };
}

/** mean |r_WA - mean r_i| / sd(mean r_i) over the responses: how far first order holds (WARM, observation 2). */
export function firstOrderGap(average: PairScores, ensemble: PairScores): number {
  const [a, b] = [allRewards(average), allRewards(ensemble)];
  return mean(a.map((r, i) => Math.abs(r - b[i]!))) / standardDeviation(b, 0);
}
