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
    const average = (of: (point: Point) => number): number => {
      let sum = 0;
      for (let k = from; k < to; k++) sum += of(points[k]!) / (to - from);
      return sum;
    };
    const y = average((point) => point.y);
    if (point.low === undefined || point.high === undefined) return { ...point, y };
    // The mean of the intervals' widths: what all steps of a seed share does not average out.
    return { ...point, y, low: average(({ y, low = y }) => low), high: average(({ y, high = y }) => high) };
  });
}

/** Points of a curve that are drawn. */
const DRAWN = 600;

/** Fewer points with the same outline: of each part the lowest and the highest. */
export function outline(points: readonly Point[], drawn = DRAWN): readonly Point[] {
  if (points.length <= drawn) return points;
  const part = points.length / (drawn / 2);
  return Array.from({ length: drawn / 2 }, (_, i) => {
    const some = points.slice(Math.floor(i * part), Math.floor((i + 1) * part));
    const low = some.reduce((a, b) => (b.y < a.y ? b : a));
    const high = some.reduce((a, b) => (b.y > a.y ? b : a));
    return low === high ? [low] : low.x < high.x ? [low, high] : [high, low];
  }).flat();
}
