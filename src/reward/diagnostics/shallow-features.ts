// What a reward can be had for without quality: length and format. Features are of the response alone; correlations are
// over pairs, because a reward is fixed only up to a constant for each prompt.

import { mean } from "../../base/statistics.js";

const count = (pattern: RegExp) => (text: string) => text.match(pattern)?.length ?? 0;

const counters = {
  characters: (text: string) => text.length,
  words: count(/\S+/g),
  sentences: count(/[.!?](?=\s|$)/g),
  lines: count(/\n/g),
  "list items": count(/^\s*(?:[-*+•]|\d+[.)])\s/gm),
  markdown: count(/\*\*|__|^#{1,6}\s|`+/gm),
  punctuation: count(/\p{P}/gu),
  exclamations: count(/!/g),
  capitals: count(/\p{Lu}/gu),
  digits: count(/\p{Nd}/gu),
} satisfies Record<string, (text: string) => number>;

export type ShallowFeature = keyof typeof counters | "tokens";
export type ShallowFeatures = Readonly<Record<ShallowFeature, number>>;

export const shallowFeatureNames = ["tokens", ...Object.keys(counters)] as ShallowFeature[];

export function shallowFeatures(text: string, tokens: number): ShallowFeatures {
  const counts = Object.entries(counters).map(([name, of]) => [name, of(text)]);
  return { tokens, ...Object.fromEntries(counts) };
}

/**
 * Correlation of two differences between the responses of a pair. Which response comes first is arbitrary, so it is that
 * over both orientations of every pair, where both means are 0; NaN where one side is constant.
 */
export function pairCorrelation(x: ArrayLike<number>, y: ArrayLike<number>): number {
  let xx = 0;
  let yy = 0;
  let xy = 0;
  for (let i = 0; i < x.length; i++) {
    xx += x[i]! ** 2;
    yy += y[i]! ** 2;
    xy += x[i]! * y[i]!;
  }
  return xy / Math.sqrt(xx * yy);
}

/** The correlation of x and y that z does not explain: (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2)(1 - r_yz^2)). */
export function partialPairCorrelation(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  z: ArrayLike<number>,
): number {
  const [xy, xz, yz] = [pairCorrelation(x, y), pairCorrelation(x, z), pairCorrelation(y, z)];
  return (xy - xz * yz) / Math.sqrt((1 - xz ** 2) * (1 - yz ** 2));
}

export interface FeatureLeaning {
  feature: ShallowFeature;
  /** Correlation of the reward margin with the feature's difference. */
  correlation: number;
  /** The same with what the true reward explains taken out, where it is known. */
  partial?: number;
  /** Share of the pairs in which the response with more of the feature has the higher reward; equal ones are left out. */
  prefersMore: number;
}

/**
 * How a reward leans on every feature that varies. `differences[f][i]` is feature f of the chosen response of pair i
 * less that of the rejected one, `gold` the same for the true reward.
 */
export function featureLeanings(
  margins: ArrayLike<number>,
  differences: Readonly<Record<ShallowFeature, ArrayLike<number>>>,
  gold?: ArrayLike<number>,
): FeatureLeaning[] {
  return shallowFeatureNames.flatMap((feature) => {
    const difference = Array.from(differences[feature]);
    const unequal = difference.flatMap((d, i) =>
      d === 0 ? [] : [(Math.sign(d) * Math.sign(margins[i]!) + 1) / 2],
    );
    const correlation = pairCorrelation(margins, difference);
    if (Number.isNaN(correlation)) return [];
    return {
      feature,
      correlation,
      ...(gold && { partial: partialPairCorrelation(margins, difference, gold) }),
      prefersMore: mean(unequal),
    };
  });
}
