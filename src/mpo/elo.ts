// Ratings from comparisons: the Bradley-Terry model, P(a beats b) = sigma(theta_a - theta_b), on Elo's scale. Unlike the
// running updates of MPO (2504.20157) the fit does not depend on the order of the matches; a tie is half a win.

import { RandomStream } from "../base/random.js";
import { type Interval, sortedQuantile } from "../base/statistics.js";

/** Players are numbers from 0. */
export interface Match {
  a: number;
  b: number;
  /** What a gets, in [0, 1]: 1 for a win, 1/2 for a tie. */
  credit: number;
}

export interface FitOptions {
  /** Ties added between every two players, so that one who never lost has a finite rating. */
  virtualTies?: number;
  iterations?: number;
  /** Largest change of a theta with which the fit is done. */
  tolerance?: number;
}

/**
 * The maximum-likelihood theta, mean 0, by the minorisation of Hunter (2004): gamma_i = W_i / sum_j n_ij / (gamma_i +
 * gamma_j), theta = log gamma. Without virtual ties a player who won or lost everything has no finite theta.
 */
export function fitBradleyTerry(
  players: number,
  matches: readonly Match[],
  { virtualTies = 0, iterations = 10_000, tolerance = 1e-10 }: FitOptions = {},
): Float64Array {
  const played = Array.from({ length: players }, () => new Float64Array(players).fill(virtualTies));
  const wins = new Float64Array(players).fill((virtualTies * (players - 1)) / 2);
  for (const { a, b, credit } of matches) {
    played[a]![b]!++;
    played[b]![a]!++;
    wins[a]! += credit;
    wins[b]! += 1 - credit;
  }
  let gamma = new Float64Array(players).fill(1);
  for (let round = 0; round < iterations; round++) {
    const next = gamma.map((own, i) => {
      let sum = 0;
      for (let j = 0; j < players; j++) if (j !== i) sum += played[i]![j]! / (own + gamma[j]!);
      return sum === 0 ? own : wins[i]! / sum;
    });
    const logs = next.map(Math.log);
    const centre = logs.reduce((total, theta) => total + theta, 0) / players;
    const scaled = logs.map((theta) => Math.exp(theta - centre));
    const change = Math.max(...scaled.map((g, i) => Math.abs(Math.log(g / gamma[i]!))));
    gamma = scaled;
    // Infinite strengths are no numbers to compare.
    if (!(change > tolerance)) break;
  }
  return gamma.map(Math.log);
}

/** Elo's scale: 400 points are odds of 10 to 1; the mean of the players is 1000. */
export const eloOf = (theta: number): number => 1000 + (400 / Math.LN10) * theta;

/**
 * Elo of every player with its 95 % interval. `groups` are matches that belong together (those over one prompt) and are
 * resampled as one.
 */
export function eloRatings(
  players: number,
  groups: readonly (readonly Match[])[],
  { virtualTies = 0.5, resamples = 1000, seed = 0 }: FitOptions & { resamples?: number; seed?: number } = {},
): Interval[] {
  const rate = (chosen: readonly (readonly Match[])[]) =>
    fitBradleyTerry(players, chosen.flat(), { virtualTies, tolerance: 1e-6 }).map(eloOf);
  const stream = new RandomStream(seed, "elo");
  const draws = Array.from({ length: resamples }, () =>
    rate(groups.map(() => groups[stream.integer(groups.length)]!)),
  );
  return Array.from(rate(groups), (estimate, player) => {
    const sorted = Float64Array.from(draws, (ratings) => ratings[player]!).sort();
    return { estimate, low: sortedQuantile(sorted, 0.025), high: sortedQuantile(sorted, 0.975) };
  });
}
