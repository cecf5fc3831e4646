// Win rates of one policy over others by the true reward: the same prompts, ties one half, four ways of choosing which
// checkpoints meet (WARM, 2401.12187, section 5.2, chose by hand). The unit of the interval is the seed, then the
// opponent, then the prompt.

import { RandomStream } from "../../base/random.js";
import { type BootstrapInterval, hierarchicalBootstrap, mean } from "../../base/statistics.js";
import type { PolicyResult } from "./seed.js";

type Point = PolicyResult["points"][number];

/** For every prompt: 1 where a is better, 0 where b is, 1/2 for a tie. */
export const wins = (a: readonly number[], b: readonly number[]): number[] =>
  a.map((gold, p) => (Math.sign(gold - b[p]!) + 1) / 2);

/** Checkpoints that stand for a run, with weights that sum to 1; none where the run does not get there. */
export type Choice = (run: PolicyResult) => readonly { point: Point; weight: number }[];

const only = (point: Point | undefined) => (point ? [{ point, weight: 1 }] : []);

/** (i) the same step. */
export const atStep =
  (step: number): Choice =>
  ({ points }) =>
    only(points.find((point) => point.step === step));

/** (ii) the same KL: the two checkpoints around it, by linear interpolation. */
export const atKl =
  (kl: number): Choice =>
  ({ points }) => {
    const above = points.findIndex((point) => point.kl >= kl);
    if (above < 1) return [];
    const [low, high] = [points[above - 1]!, points[above]!];
    const share = (kl - low.kl) / (high.kl - low.kl);
    return [
      { point: low, weight: 1 - share },
      { point: high, weight: share },
    ];
  };

/** (iii) a stop chosen without the true reward: the first checkpoint with 95 % of the run's whole gain in proxy. */
export const atPlateau: Choice = ({ points }) => {
  const start = points[0]!.proxy;
  const gain = Math.max(...points.map(({ proxy }) => proxy)) - start;
  return only(points.find(({ proxy }) => proxy - start >= 0.95 * gain));
};

/** (iv) each run at the peak of its own true reward. */
export const atPeak: Choice = ({ points }) => {
  const golds = points.map(({ gold }) => mean(gold));
  return only(points[golds.indexOf(Math.max(...golds))]);
};

/** Expected win of every prompt, where both runs are mixtures of checkpoints; undefined where one has none. */
function meeting(ours: PolicyResult, theirs: PolicyResult, choice: Choice): number[] | undefined {
  const [mine, others] = [choice(ours), choice(theirs)];
  if (mine.length === 0 || others.length === 0) return undefined;
  const total = new Array<number>(mine[0]!.point.gold.length).fill(0);
  for (const a of mine)
    for (const b of others)
      wins(a.point.gold, b.point.gold).forEach((win, p) => {
        total[p]! += a.weight * b.weight * win;
      });
  return total;
}

export interface WinRateResult extends BootstrapInterval {
  /** Seeds in which both sides have such a checkpoint. */
  seeds: number;
  /** Rates of the seeds, each over its opponents and prompts. */
  bySeed: number[];
}

/** `bySeed[s]`: our run of seed s and its opponents. Undefined where no seed has such checkpoints. */
export function policyWinRate(
  bySeed: readonly { ours: PolicyResult; theirs: readonly PolicyResult[] }[],
  choice: Choice,
): WinRateResult | undefined {
  return nestedWinRate(
    bySeed.map(({ ours, theirs }) =>
      theirs.flatMap((opponent) => {
        const met = meeting(ours, opponent, choice);
        return met ? [met] : [];
      }),
    ),
  );
}

/** Win rate from wins[seed][opponent][prompt]; seeds without an opponent are left out. */
export function nestedWinRate(all: readonly number[][][]): WinRateResult | undefined {
  const values = all.filter((opponents) => opponents.length > 0);
  if (values.length === 0) return undefined;
  const interval = hierarchicalBootstrap(values, {
    stream: new RandomStream(0, "win rate"),
    resamples: 1000,
  });
  return { ...interval, seeds: values.length, bySeed: values.map((opponents) => mean(opponents.map(mean))) };
}
