// RewardBench 2, RM-Bench and JudgeBench against the functions that their authors publish (test/oracle/reward_benchmarks.py).

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Decision, judgeBench } from "./judge-bench.js";
import { rewardBench2, tiesScore } from "./reward-bench-2.js";
import { rmBench } from "./rm-bench.js";

const fixture = JSON.parse(
  readFileSync(new URL("../../test/fixtures/reward/benchmarks.json", import.meta.url), "utf8"),
);

interface ChoiceRow {
  id: string;
  subset: string;
  num_correct: number;
  scores: number[];
}

const choices = (fixture.reward_bench_2.rows as ChoiceRow[]).map(({ num_correct, scores, ...row }) => ({
  ...row,
  correct: num_correct,
  rewards: scores,
}));

describe("RewardBench 2", () => {
  it("gives the published scores of every subset, Ties included", () => {
    const { subsets, score } = rewardBench2(choices);
    const { expected } = fixture.reward_bench_2;
    expect(subsets.map(({ subset }) => subset)).toEqual(Object.keys(expected));
    for (const result of subsets) expect(result.score).toBeCloseTo(expected[result.subset], 12);
    const all = Object.values<number>(expected);
    expect(score).toBeCloseTo(all.reduce((sum, x) => sum + x, 0) / all.length, 12);
    expect(subsets.at(-1)).not.toHaveProperty("low");
  });

  it("gives the share of right ones among equally good responses", () => {
    const row = { id: "1", subset: "Focus", correct: 1 };
    const scoreOf = (...rewards: number[]) => rewardBench2([{ ...row, rewards }]).score;
    expect(scoreOf(2, 1, 1, 1)).toBe(1);
    expect(scoreOf(2, 2, 1, 2)).toBeCloseTo(1 / 3, 12);
    expect(scoreOf(1, 1, 1, 1)).toBe(0.25);
    expect(scoreOf(1, 2, 1, 1)).toBe(0);
  });

  it("weighs the parts of Ties, with 0 for 0 / 0", () => {
    const ref = { id: "ref:1", subset: "Ties", correct: 1, rewards: [3, 1] };
    const tied = (rewards: number[]) => [ref, { id: "tied:1", subset: "Ties", correct: 2, rewards }];
    expect(tiesScore(tied([2, 2, 1]))).toBeCloseTo(1 + 0.01, 12);
    expect(tiesScore(tied([2, 2, 2]))).toBeCloseTo(0.3, 12);
    expect(tiesScore(tied([4, 2, 1]))).toBeCloseTo(0.6 + 0.01 * Math.tanh(1 / 2 - 1), 12);
    expect(tiesScore([ref])).toBeCloseTo(0.3, 12);
  });
});

interface StyledRow {
  domain: string;
  score_chosen: number[];
  score_rejected: number[];
}

describe("RM-Bench", () => {
  const styled = (fixture.rm_bench.rows as StyledRow[]).map(({ domain, score_chosen, score_rejected }) => ({
    domain,
    chosen: score_chosen,
    rejected: score_rejected,
  }));

  it("gives the published accuracies by domain and difficulty", () => {
    const { expected } = fixture.rm_bench;
    const result = rmBench(styled);
    for (const { domain, score } of result.domains) expect(score).toBeCloseTo(expected[domain], 12);
    expect(result.domains.map(({ domain }) => domain).sort()).toEqual(["chat", "code", "math", "safety"]);
    expect(result.hard).toBeCloseTo(expected.hard_acc, 12);
    expect(result.normal).toBeCloseTo(expected.normal_acc, 12);
    expect(result.easy).toBeCloseTo(expected.easy_acc, 12);
    expect(result.score).toBeCloseTo(expected.total_avg_acc, 12);
  });

  it("gives those of a file of one domain", () => {
    const { hard, normal, easy } = rmBench(styled.map((row) => ({ ...row, domain: "all" })));
    const { hard_acc, normal_acc, easy_acc } = fixture.rm_bench.expected_without_domains;
    expect([hard, normal, easy].map((x) => x.toFixed(12))).toEqual(
      [hard_acc, normal_acc, easy_acc].map((x) => x.toFixed(12)),
    );
  });

  it("does not count equal rewards", () => {
    const { domains } = rmBench([{ domain: "chat", chosen: [1, 2, 3], rejected: [1, 2, 3] }]);
    expect(domains[0]).toMatchObject({ hard: 0, normal: 0, easy: 1 });
    expect(domains[0]!.matrix).toEqual([
      [0, 0, 0],
      [1, 0, 0],
      [1, 1, 0],
    ]);
  });
});

interface DecidedRow {
  source: string;
  label: "A>B" | "B>A";
  decisions: (Decision | null)[];
}

describe("JudgeBench", () => {
  const pairs = (fixture.judge_bench.rows as DecidedRow[]).map((row) => ({
    ...row,
    decisions: row.decisions.map((decision) => decision ?? undefined),
  }));
  const found = (rows: typeof pairs) =>
    Object.fromEntries(
      judgeBench(rows).sources.map(({ source, estimate }) => [source, estimate.toFixed(12)]),
    );
  const wanted = (expected: Record<string, number>) =>
    Object.fromEntries(Object.entries(expected).map(([source, rate]) => [source, rate.toFixed(12)]));

  it("counts both orders as published", () => {
    expect(found(pairs)).toEqual(wanted(fixture.judge_bench.expected));
    const { orders } = judgeBench(pairs);
    expect(orders!.undecided).toBe(pairs.filter(({ decisions }) => decisions.includes(undefined)).length);
    expect(orders!.bothRight).toBeLessThanOrEqual(judgeBench(pairs).score);
  });

  it("counts one order as published", () => {
    const once = pairs.map((pair) => ({ ...pair, decisions: pair.decisions.slice(0, 1) }));
    expect(found(once)).toEqual(wanted(fixture.judge_bench.expected_in_one_order));
    expect(judgeBench(once).orders).toBeUndefined();
  });

  it("asks both orders to speak for one response", () => {
    const scoreOf = (...decisions: Decision[]) =>
      judgeBench([{ source: "x", label: "A>B", decisions }]).score;
    expect(scoreOf("A>B", "B>A")).toBe(1);
    expect(scoreOf("A>B", "A=B")).toBe(1);
    expect(scoreOf(undefined, "B>A")).toBe(1);
    expect(scoreOf("A>B", "A>B")).toBe(0);
    expect(scoreOf("A=B", "A=B")).toBe(0);
    expect(scoreOf("B>A", "A>B")).toBe(0);
  });
});
