// What a reward model says about preference pairs, and how good that is.

import { type Interval, wilsonInterval } from "../../base/statistics.js";
import {
  bestTemperature,
  brierScore,
  expectedCalibrationError,
  marginNll,
  marginPredictions,
  type ReliabilityBin,
  reliabilityBins,
} from "../calibration.js";
import { ensembleMean } from "../ensemble.js";

/** r(x, y+) and r(x, y-) of every pair. */
export interface PairScores {
  chosen: Float64Array;
  rejected: Float64Array;
}

export function marginsOf({ chosen, rejected }: PairScores): Float64Array {
  return chosen.map((r, i) => r - rejected[i]!);
}

/** Whether each pair is ordered as its label says: 1, 0, or 0.5 for a tie. */
export function correctness(scores: PairScores): Float64Array {
  return marginsOf(scores).map((margin) => (Math.sign(margin) + 1) / 2);
}

/** Rewards of all responses, chosen first. */
export function allRewards({ chosen, rejected }: PairScores): Float64Array {
  const all = new Float64Array(chosen.length + rejected.length);
  all.set(chosen);
  all.set(rejected, chosen.length);
  return all;
}

/** ENS: the mean of the members' raw rewards. */
export function ensembleScores(members: readonly PairScores[]): PairScores {
  return {
    chosen: ensembleMean(members.map(({ chosen }) => chosen)),
    rejected: ensembleMean(members.map(({ rejected }) => rejected)),
  };
}

/** Accuracy and Bradley-Terry loss. */
export interface Quality {
  accuracy: number;
  loss: number;
}

export function qualityOf(scores: PairScores): Quality {
  const right = correctness(scores);
  return {
    accuracy: right.reduce((sum, c) => sum + c, 0) / right.length,
    loss: marginNll(marginsOf(scores)),
  };
}

export function accuracyInterval(scores: PairScores): Interval {
  const right = correctness(scores);
  return wilsonInterval(
    right.reduce((sum, c) => sum + c, 0),
    right.length,
  );
}

/** How far sigma(margin) can be read as the probability that the preferred response is the one with the higher reward. */
export interface Calibration {
  /** Expected calibration error. */
  ece: number;
  brier: number;
  /** The temperature that the margins should be divided by. */
  temperature: number;
  /** The loss at that temperature. */
  temperedLoss: number;
  bins: ReliabilityBin[];
}

/** Predictions are about the response with the higher reward, so they are at least one half. */
const reliability = { from: 0.5, bins: 5 };

export function calibrationOf(scores: PairScores): Calibration {
  const margins = marginsOf(scores);
  const predictions = marginPredictions(margins);
  const temperature = bestTemperature(margins);
  return {
    ece: expectedCalibrationError(predictions, reliability),
    brier: brierScore(predictions),
    temperature,
    temperedLoss: marginNll(margins, { temperature }),
    bins: reliabilityBins(predictions, reliability).filter(({ count }) => count > 0),
  };
}
