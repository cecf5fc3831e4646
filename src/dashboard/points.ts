// Points of a curve as a screen shows them: not more than it has room for, and smooth where they are noisy.

import type { Point } from "./sections.js";

/** Points of a curve: no screen shows more, and no reader of a page waits for more. */
export const MAX_POINTS = 2000;

/** Tasks with a curve of their own for each metric: nobody tells more apart. */
export const MAX_TASKS = 100;

/** Divided first, because a sum of large values is not finite. */
export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value / values.length, 0);

/** At most `MAX_POINTS` points, each the mean of as many neighbours at the last one's place. */
export function thinned(points: readonly Point[]): readonly Point[] {
  const every = Math.ceil(points.length / MAX_POINTS);
  if (every <= 1) return points;
  return Array.from({ length: Math.ceil(points.length / every) }, (_, i) => {
    const part = points.slice(i * every, (i + 1) * every);
    const { low, high, ...last } = part.at(-1)!;
    return {
      ...last,
      y: mean(part.map(({ y }) => y)),
      ...(low !== undefined && { low: mean(part.map((point) => point.low ?? point.y)) }),
      ...(high !== undefined && { high: mean(part.map((point) => point.high ?? point.y)) }),
    };
  });
}

/**
 * The centred moving average over `share` of the points to either side, for curves of no more than `MAX_POINTS`. Every mean
 * is summed anew: sums that run on would carry the rounding of one huge value through all that follow.
 */
export function smoothed(points: readonly Point[], share: number): Point[] {
  const half = Math.floor(points.length * share);
  return points.map((point, i) => {
    const [from, to] = [Math.max(0, i - half), Math.min(points.length, i + half + 1)];
    let y = 0;
    for (let k = from; k < to; k++) y += points[k]!.y / (to - from);
    return { ...point, y };
  });
}
