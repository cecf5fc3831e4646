// Linear mode connectivity (WARM, observation 1): along l in [0, 1] the average (1 - l) phi_1 + l phi_2 should be at least
// as accurate as the members are in proportion, the diagonal (1 - l) Acc(phi_1) + l Acc(phi_2).

import type { RandomStream } from "../../base/random.js";
import { type BootstrapInterval, mean, pairedBootstrap } from "../../base/statistics.js";
import { correctness, type PairScores, type Quality, qualityOf } from "./pair-scores.js";

/** l = 0, 0.1, ..., 1. */
export const pathSteps: readonly number[] = Array.from({ length: 11 }, (_, i) => i / 10);

export interface PathPoint {
  l: number;
  /** Of the averaged weights. */
  average: Quality;
  /** Of the averaged predictions (1 - l) r_1 + l r_2. */
  ensemble: Quality;
  /** The members' own, averaged. */
  diagonal: Quality;
}

/**
 * `connected`: the average holds the diagonal within noise. `sagging`: it is below by more than two standard errors.
 * `broken`: sagging, and below the worst member, so that it cannot be called WARM.
 */
export type Connection = "connected" | "sagging" | "broken";

/** The same for a person. */
export const connectionSentences: Readonly<Record<Connection, string>> = {
  connected: "the average holds what its members have on average: they are linearly connected",
  sagging:
    "the average is worse than its members are on average, by more than two standard errors: the members are barely connected; check that they share head and initialisation, and that learning rates are mild",
  broken:
    "the average is worse than its worst member: these members are not linearly connected, and their average is not WARM",
};

/** Accuracy of an average less the mean accuracy of its members, pairs resampled. */
export interface Gain extends BootstrapInterval {
  connection: Connection;
}

export interface GainOptions {
  stream: RandomStream;
  /** How the members weigh in the diagonal; default: all alike. */
  weights?: readonly number[];
}

/** Enough for a standard error within a few percent. */
export const resamples = 1000;

export function gainOf(
  average: PairScores,
  members: readonly PairScores[],
  { stream, weights = members.map(() => 1 / members.length) }: GainOptions,
): Gain {
  const right = correctness(average);
  const singles = members.map(correctness);
  const diagonal = right.map((_, i) => singles.reduce((sum, single, m) => sum + weights[m]! * single[i]!, 0));
  const difference = pairedBootstrap(right, diagonal, { stream, resamples });
  const isBelow = difference.estimate < -2 * difference.standardError;
  const worst = Math.min(...singles.filter((_, m) => weights[m] !== 0).map(mean));
  const connection = !isBelow ? "connected" : mean(right) < worst ? "broken" : "sagging";
  return { ...difference, connection };
}

export interface Path {
  points: PathPoint[];
  /** The lowest accuracy less the diagonal, and the highest loss above it, over l. */
  barrier: Quality;
  /** At l = 1/2. */
  midpoint: Gain;
}

const between = (l: number, a: number, b: number): number => (1 - l) * a + l * b;

const blend = (l: number, a: PairScores, b: PairScores): PairScores => ({
  chosen: a.chosen.map((r, i) => between(l, r, b.chosen[i]!)),
  rejected: a.rejected.map((r, i) => between(l, r, b.rejected[i]!)),
});

/** `averages[k]` are the scores of the weights at `pathSteps[k]`; the first and the last are the two members. */
export function pathOf(averages: readonly PairScores[], stream: RandomStream): Path {
  const [first, last] = [averages[0]!, averages.at(-1)!];
  const [start, end] = [qualityOf(first), qualityOf(last)];
  const points = averages.map((scores, k): PathPoint => {
    const l = pathSteps[k]!;
    return {
      l,
      average: qualityOf(scores),
      ensemble: qualityOf(blend(l, first, last)),
      diagonal: {
        accuracy: between(l, start.accuracy, end.accuracy),
        loss: between(l, start.loss, end.loss),
      },
    };
  });
  return {
    points,
    barrier: {
      accuracy: Math.min(...points.map(({ average, diagonal }) => average.accuracy - diagonal.accuracy)),
      loss: Math.max(...points.map(({ average, diagonal }) => average.loss - diagonal.loss)),
    },
    midpoint: gainOf(averages[pathSteps.indexOf(0.5)]!, [first, last], { stream }),
  };
}
