// JudgeBench (Tan et al., arXiv:2410.12784): pairs of responses of which one is objectively right. A judge sees each pair in
// both orders; a reward model needs one. The counting is that of utils/metrics.py (ScalerLab/JudgeBench).

import { groupedBy } from "../base/group.js";
import { type Interval, wilsonInterval } from "../base/statistics.js";

export const decisions = ["A>B", "B>A", "A=B"] as const;

/** What was said of a pair; undefined where nothing could be made of the answer. */
export type Decision = (typeof decisions)[number] | undefined;

export interface DecidedPair {
  source: string;
  label: "A>B" | "B>A";
  /** The decision with A shown first, and, of a judge, the one with B shown first, in the letters that it saw. */
  decisions: readonly Decision[];
}

export interface SourceResult extends Interval {
  source: string;
  pairs: number;
}

export interface JudgeBenchResult {
  benchmark: "judge_bench";
  /** By groups of sources, and all. */
  sources: SourceResult[];
  /** Of all pairs: share that is right by the benchmark's count. */
  score: number;
  /** Only of a judge: how its two orders agree. */
  orders?: {
    /** Both right. */
    bothRight: number;
    /** The two orders name different responses (or one of them none). */
    inconsistent: number;
    /** Pairs of which an order has no decision. */
    undecided: number;
  };
}

/** The groups that the benchmark shows, by how names of sources begin; others stand for themselves. */
const groups = ["mmlu-pro", "livebench-reasoning", "livebench-math", "livecodebench"];
const groupOf = ({ source }: DecidedPair) => groups.find((group) => source.startsWith(group)) ?? source;

const turned: Record<string, Decision> = { "A>B": "B>A", "B>A": "A>B", "A=B": "A=B" };

/** The decisions with the letters of the file. */
const inOwnLetters = ({ decisions: [first, second] }: DecidedPair): [Decision, Decision] => [
  first,
  second && turned[second],
];

/**
 * Right where the two orders together speak for the label: two decisions for it, or one beside a tie or nothing. One for
 * and one against is not right.
 */
function isRight(pair: DecidedPair): boolean {
  const points = inOwnLetters(pair).map((decision) =>
    decision === undefined || decision === "A=B" ? 0 : decision === pair.label ? 1 : -1,
  );
  return points.reduce<number>((sum, point) => sum + point, 0) > 0;
}

export function judgeBench(pairs: readonly DecidedPair[]): JudgeBenchResult {
  const resultOf = (source: string, own: readonly DecidedPair[]): SourceResult => ({
    source,
    pairs: own.length,
    ...wilsonInterval(own.filter(isRight).length, own.length),
  });
  const all = resultOf("all", pairs);
  const judged = pairs.filter((pair) => pair.decisions.length === 2);
  const share = (isMeant: (pair: DecidedPair, own: [Decision, Decision]) => boolean) =>
    judged.filter((pair) => isMeant(pair, inOwnLetters(pair))).length / judged.length;
  return {
    benchmark: "judge_bench",
    sources: [...[...groupedBy(pairs, groupOf)].map(([source, own]) => resultOf(source, own)), all],
    score: all.estimate,
    ...(judged.length > 0 && {
      orders: {
        bothRight: share(({ label }, [a, b]) => a === label && b === label),
        inconsistent: share((_, [a, b]) => a !== b),
        undecided: judged.filter((pair) => pair.decisions.includes(undefined)).length,
      },
    }),
  };
}
