// How far a rubric, as a model applies it, agrees with people: responses that were labelled good or bad, or scored.

import { RandomStream } from "../base/random.js";
import { type Interval, sortedQuantile, spearman, wilsonInterval } from "../base/statistics.js";
import { normalised } from "./rollout.js";
import type { RubricScore } from "./rubric-reward.js";

/** What a person said: good (true) or bad, or a score on any scale. */
export type AnchorLabel = boolean | number;

export interface AnchorReport {
  scored: number;
  /** Could not be scored; in no figure. */
  failed: number;
  /** Why not, of the first. */
  failure?: string;
  /** Normalised score from which a response passes. */
  threshold: number;
  /** Of labels good and bad: the share on which rubric and person agree. */
  agreement?: Interval;
  /** Of the bad ones: the share that passes. */
  falsePass?: Interval;
  /** Of the good ones: the share that does not pass. */
  falseFail?: Interval;
  /** Probability that a good one scores above a bad one, ties one half; free of the threshold. */
  ranking?: Interval;
  /** Spearman's correlation with the person's scores. */
  correlation?: Interval;
}

/** P(good > bad) + P(good = bad) / 2: the area under the ROC curve. */
export function rankingProbability(good: readonly number[], bad: readonly number[]): number {
  let sum = 0;
  for (const a of good) for (const b of bad) sum += (1 + Math.sign(a - b)) / 2;
  return sum / (good.length * bad.length);
}

/** Percentile interval of a statistic over resampled indices 0..n-1; resamples without a value are left out. */
function bootstrap(n: number, statistic: (chosen: readonly number[]) => number, resamples = 2000): Interval {
  const stream = new RandomStream(0, "anchors");
  const draws = Array.from({ length: resamples }, () =>
    statistic(Array.from({ length: n }, () => stream.integer(n))),
  ).filter((draw) => !Number.isNaN(draw));
  const sorted = Float64Array.from(draws).sort();
  const estimate = statistic(Array.from({ length: n }, (_, i) => i));
  return { estimate, low: sortedQuantile(sorted, 0.025), high: sortedQuantile(sorted, 0.975) };
}

/** Compares scores with the labels of the same responses, 95 % intervals. Labels must be of one kind. */
export function compareWithLabels(
  scores: readonly RubricScore[],
  labels: readonly AnchorLabel[],
  threshold: number,
): AnchorReport {
  const rated = scores.flatMap((score, i) =>
    score.status === "scored" ? [{ share: normalised(score), label: labels[i]! }] : [],
  );
  const failure = scores.find((score) => score.status === "failed")?.reason;
  const report = {
    scored: rated.length,
    failed: scores.length - rated.length,
    ...(failure !== undefined && { failure }),
    threshold,
  };
  if (rated.length === 0) return report;
  if (typeof labels[0] === "number") {
    const people = rated.map(({ label }) => Number(label));
    const correlation = bootstrap(rated.length, (chosen) =>
      spearman(
        chosen.map((i) => rated[i]!.share),
        chosen.map((i) => people[i]!),
      ),
    );
    return { ...report, correlation };
  }
  const passes = (share: number) => share >= threshold;
  const good = rated.filter(({ label }) => label === true);
  const bad = rated.filter(({ label }) => label === false);
  const passedBad = bad.filter(({ share }) => passes(share)).length;
  const failedGood = good.filter(({ share }) => !passes(share)).length;
  const ranking = bootstrap(rated.length, (chosen) => {
    const sharesOf = (wanted: boolean) =>
      chosen.filter((i) => rated[i]!.label === wanted).map((i) => rated[i]!.share);
    return rankingProbability(sharesOf(true), sharesOf(false));
  });
  return {
    ...report,
    agreement: wilsonInterval(rated.length - passedBad - failedGood, rated.length),
    falsePass: wilsonInterval(passedBad, bad.length),
    falseFail: wilsonInterval(failedGood, good.length),
    ...(good.length > 0 && bad.length > 0 && { ranking }),
  };
}
