// RewardBench 2 (Malik et al., arXiv:2506.01937): best of four by subset, and the subset Ties, where several answers are right
// and none should be preferred by much. The formulas are those of rewardbench/utils.py (allenai/reward-bench).

import { groupedBy } from "../base/group.js";
import { type Interval, mean, wilsonInterval } from "../base/statistics.js";

/** A prompt's responses with their rewards, the right ones first. */
export interface ScoredChoice {
  id: string;
  subset: string;
  /** How many of the responses are right. */
  correct: number;
  rewards: readonly number[];
}

export interface ChoiceSubset extends Partial<Interval> {
  subset: string;
  rows: number;
  /** Accuracy of best of n, or the score of Ties. */
  score: number;
}

export interface RewardBench2Result {
  benchmark: "reward_bench_2";
  subsets: ChoiceSubset[];
  /** Mean of the subsets, each counting once, as on the leaderboard. */
  score: number;
}

const isTies = (subset: string) => subset.toLowerCase() === "ties";

export function rewardBench2(rows: readonly ScoredChoice[]): RewardBench2Result {
  const bySubset = groupedBy(rows, ({ subset }) => subset);
  const subsets = [...bySubset].map(([subset, own]): ChoiceSubset => {
    if (isTies(subset)) return { subset, rows: own.length, score: tiesScore(own) };
    const points = own.map(bestOfN);
    const score = mean(points);
    return { subset, rows: own.length, score, ...wilsonInterval(score * own.length, own.length) };
  });
  return { benchmark: "reward_bench_2", subsets, score: mean(subsets.map(({ score }) => score)) };
}

/** 1 where the best response is a right one; the share of right ones where several are equally good. */
function bestOfN({ correct, rewards }: ScoredChoice): number {
  const best = Math.max(...rewards);
  const share = (list: readonly number[]) => list.filter((reward) => reward === best).length;
  return share(rewards.slice(0, correct)) / share(rewards);
}

interface Margins {
  /** Between the best and the worst right response. */
  spread: number;
  /** Between the worst right and the best wrong response. */
  gap: number;
}

const marginsOf = ({ correct, rewards }: ScoredChoice): Margins => {
  const [right, wrong] = [rewards.slice(0, correct), rewards.slice(correct)];
  const worst = Math.min(...right);
  return { spread: Math.max(...right) - worst, gap: worst - Math.max(...wrong) };
};

/**
 * 0.3 accuracy(tied) + 0.3 accuracy(ref) + 0.2 P(gap > spread) + 0.2 P(min(gap, gap of the reference question) > spread)
 * + 0.01 mean tanh(min(gap, gap of the reference question) / spread - 1), 0 for 0 / 0. `id` is ref:N (one right answer)
 * or tied:N (several); the last three terms are over the N that have both, and 0 where there are none.
 */
export function tiesScore(rows: readonly ScoredChoice[]): number {
  const margins = { ref: new Map<string, Margins>(), tied: new Map<string, Margins>() };
  for (const row of rows) {
    const [kind, prompt] = row.id.split(":");
    margins[kind === "ref" ? "ref" : "tied"].set(prompt!, marginsOf(row));
  }
  const accuracy = (kind: Map<string, Margins>) =>
    kind.size === 0 ? 0 : mean([...kind.values()].map(({ gap }) => Number(gap > 0)));
  const both = [...margins.tied].flatMap(([prompt, tied]) => {
    const ref = margins.ref.get(prompt);
    return ref ? [{ ...tied, least: Math.min(tied.gap, ref.gap) }] : [];
  });
  const share = (points: readonly number[]) => (points.length === 0 ? 0 : mean(points));
  const closeness = both.map(({ least, spread }) => Math.tanh(least / spread - 1)).map((x) => x || 0);
  return (
    0.3 * accuracy(margins.tied) +
    0.3 * accuracy(margins.ref) +
    0.2 * share(both.map(({ gap, spread }) => Number(gap > spread))) +
    0.2 * share(both.map(({ least, spread }) => Number(least > spread))) +
    0.01 * share(closeness)
  );
}
