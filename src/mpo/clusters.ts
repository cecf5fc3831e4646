// Clusters of prompts for depth mode: k-means over embeddings of the prompts (the paper: 3 clusters in each of 7 subjects).

import type { RandomStream } from "../base/random.js";

export interface Clustering {
  centroids: Float64Array[];
  /** Index of the centroid of every point. */
  assignment: number[];
}

function squaredDistance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return sum;
}

/** Index of the nearest centroid; the first of several. */
export function nearestCentroid(point: ArrayLike<number>, centroids: readonly ArrayLike<number>[]): number {
  let best = 0;
  for (let c = 1; c < centroids.length; c++) {
    if (squaredDistance(point, centroids[c]!) < squaredDistance(point, centroids[best]!)) best = c;
  }
  return best;
}

/** k-means++: the next seed is drawn in proportion to its squared distance from the seeds so far. */
function seeds(points: readonly ArrayLike<number>[], k: number, random: RandomStream): Float64Array[] {
  const chosen = [Float64Array.from(random.choice(points))];
  while (chosen.length < k) {
    const distances = points.map((point) => squaredDistance(point, chosen[nearestCentroid(point, chosen)]!));
    const total = distances.reduce((sum, d) => sum + d, 0);
    if (total === 0) break;
    let threshold = random.uniform() * total;
    const index = distances.findIndex((d) => (threshold -= d) < 0);
    chosen.push(Float64Array.from(points[index < 0 ? points.length - 1 : index]!));
  }
  return chosen;
}

function meanOf(points: readonly ArrayLike<number>[]): Float64Array {
  const centre = new Float64Array(points[0]!.length);
  for (const point of points) for (let i = 0; i < centre.length; i++) centre[i]! += point[i]! / points.length;
  return centre;
}

/** Lloyd's algorithm until the assignment stands still. Fewer distinct points than k give fewer clusters. */
export function kMeans(
  points: readonly ArrayLike<number>[],
  k: number,
  random: RandomStream,
  { iterations = 100 }: { iterations?: number } = {},
): Clustering {
  if (points.length === 0) return { centroids: [], assignment: [] };
  const centroids = seeds(points, k, random);
  let assignment: number[] = [];
  for (let i = 0; i < iterations; i++) {
    const next = points.map((point) => nearestCentroid(point, centroids));
    if (next.every((c, p) => c === assignment[p])) break;
    assignment = next;
    for (let c = 0; c < centroids.length; c++) {
      const members = points.filter((_, p) => assignment[p] === c);
      if (members.length > 0) centroids[c] = meanOf(members);
    }
  }
  return { centroids, assignment };
}
