import { describe, expect, it } from "vitest";
import { randomBatch } from "../../test/objectives/batches.js";
import { codpo, codpoPairs } from "./codpo.js";
import { alternatingPairs, bestWorstPairs, dpo } from "./dpo.js";
import { type ConstrainedBatch, type Outcome, rowsWithGradient } from "./objective.js";

function onePrompt(rewards: number[], verdicts: Outcome[]): ConstrainedBatch {
  return {
    logprobs: rewards.map((_, i) => [-1 - i, -2]),
    referenceLogprobs: rewards.map(() => [-2, -2]),
    rewards,
    verdicts,
    promptIndex: rewards.map(() => 0),
    promptCount: 1,
  };
}

const s = "satisfied";
const v = "violated";

describe("CODPO pairs", () => {
  it("with negative rewards, where multiplying by the verdict would pick wrongly", () => {
    expect(codpoPairs(onePrompt([-2, -1, -3, -4], [s, v, s, v]))).toEqual([{ chosen: 0, rejected: 3 }]);
  });

  it("the constraint decides: a+ may have the lower reward", () => {
    expect(codpoPairs(onePrompt([-2, 5, 7], [s, v, v]))).toEqual([{ chosen: 0, rejected: 1 }]);
  });

  it("all satisfied: a- is the lowest reward", () => {
    expect(codpoPairs(onePrompt([1, 3, -1], [s, s, s]))).toEqual([{ chosen: 1, rejected: 2 }]);
  });

  it("no pair without a satisfying sample, with one sample, or when all tie", () => {
    expect(codpoPairs(onePrompt([1, 2], [v, v]))).toEqual([]);
    expect(codpoPairs(onePrompt([1], [s]))).toEqual([]);
    expect(codpoPairs(onePrompt([2, 2, 2], [s, s, s]))).toEqual([]);
  });

  it("a failed sample is neither a+ nor a-", () => {
    expect(codpoPairs(onePrompt([9, 3, -1, -9], ["failed", s, s, "failed"]))).toEqual([
      { chosen: 1, rejected: 2 },
    ]);
  });
});

describe("CODPO, equations 13 to 15", () => {
  it("descends the negative log-likelihood: a+ is pushed up, a- down", () => {
    const { g } = codpo(onePrompt([-2, -1, -3, -4], [s, v, s, v]), { beta: 0.5, lambda: 2 });
    expect(rowsWithGradient(g)).toEqual([0, 3]);
    expect(Math.max(...g[0]!)).toBeLessThan(0);
    expect(Math.min(...g[3]!)).toBeGreaterThan(0);
    // The NLL term adds lambda / |a+| to every token of a+.
    expect(-g[0]![0]! - g[3]![0]!).toBeCloseTo(2 / 2, 6);
  });

  it("divides by all prompts and reports the kept share", () => {
    const batch = randomBatch(4);
    const pairs = codpoPairs(batch);
    expect(pairs.length).toBeGreaterThan(0);
    expect(codpo(batch, { lambda: 0 }).loss * 4).toBeCloseTo(dpo(batch, pairs).loss * pairs.length, 10);
    expect(codpo(batch).metrics.kept_prompt_rate).toBe(pairs.length / 4);
  });

  it("nothing to learn from: loss 0, zero gradient, samples 0", () => {
    const skipped = codpo(onePrompt([1, 2], [v, v]));
    expect(skipped.loss).toBe(0);
    expect(rowsWithGradient(skipped.g)).toEqual([]);
    expect(skipped.metrics).toMatchObject({ samples: 0, satisfied_rate: 0, kept_prompt_rate: 0 });
    expect(codpo(onePrompt([], [])).metrics).toEqual({ samples: 0, failed_samples: 0 });
  });
});

describe("DPO", () => {
  it("starts at log 2 with accuracy one half and stays finite at extreme margins", () => {
    const same = { logprobs: [[-1], [-2]], referenceLogprobs: [[-1], [-2]] };
    const start = dpo(same, alternatingPairs(1));
    expect(start.loss).toBeCloseTo(Math.LN2, 12);
    expect(start.metrics["rewards/accuracies"]).toBe(0.5);
    const far = dpo({ logprobs: [[-1e6], [-1]], referenceLogprobs: [[-1], [-1e6]] }, alternatingPairs(1), {
      beta: 1,
    });
    expect(far.loss).toBeCloseTo(2e6 - 2, 6);
    expect(Array.from(far.g[0]!)).toEqual([-1]);
  });

  it("online: best against worst by reward, verdicts aside", () => {
    expect(bestWorstPairs(onePrompt([1, 5, -2, 9], [s, v, v, "failed"]))).toEqual([
      { chosen: 1, rejected: 2 },
    ]);
    expect(bestWorstPairs(onePrompt([1, 1], [s, s]))).toEqual([]);
  });

  it("a sequence in several pairs collects both gradients", () => {
    const batch = { logprobs: [[-1], [-2], [-3]], referenceLogprobs: [[-1], [-2], [-3]] };
    const { g } = dpo(batch, [
      { chosen: 0, rejected: 1 },
      { chosen: 0, rejected: 2 },
    ]);
    expect(g[0]![0]).toBeCloseTo(-0.05, 7);
  });
});
