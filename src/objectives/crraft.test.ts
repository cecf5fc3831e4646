import { describe, expect, it } from "vitest";
import { randomBatch } from "../../test/objectives/batches.js";
import { calibratedReward } from "./calibrated-reward.js";
import { type CrraftBatch, crraft, crraftChoices } from "./crraft.js";
import { type Outcome, rowsWithGradient } from "./objective.js";
import { raft } from "./raft.js";

/** One prompt, four one-token samples. */
function onePrompt(
  rewards: number[],
  verdicts: Outcome[],
  logRatios = [0, 0, 0, 0],
  baseline?: Outcome,
): CrraftBatch {
  return {
    logprobs: logRatios.map((x) => [x - 1]),
    referenceLogprobs: logRatios.map(() => [-1]),
    rewards,
    verdicts,
    promptIndex: [0, 0, 0, 0],
    promptCount: 1,
    baselineRewards: [-2],
    ...(baseline && {
      baselines: { logprobs: [[-0.5, -0.5]], referenceLogprobs: [[-4, -4]], verdicts: [baseline] },
    }),
  };
}

const s = "satisfied";
const v = "violated";

describe("CRRAFT, equations 17 and 18", () => {
  it("takes the best satisfying sample, with negative rewards too, weighted by R_calib", () => {
    const batch = onePrompt([-2, -1, -3, -4], [s, v, s, s]);
    expect(crraftChoices(batch, { klMax: 1 })).toEqual([{ sample: 0 }]);
    const { g, loss } = crraft(batch, { klMax: 1 });
    expect(rowsWithGradient(g)).toEqual([0]);
    expect(g[0]![0]).toBeCloseTo(-calibratedReward(-2, -2), 7);
    expect(loss).toBeCloseTo(0.5, 12);
  });

  it("drops samples further than KLmax from the reference", () => {
    const batch = onePrompt([4, 3, 2, 1], [s, s, s, s], [1.5, 1, -9, 0]);
    expect(crraftChoices(batch, { klMax: 1 })).toEqual([{ sample: 1 }]);
    expect(crraft(batch, { klMax: 1 }).metrics.above_kl_max_rate).toBe(0.25);
  });

  it("falls back on a satisfying baseline response with weight 0.5", () => {
    const batch = onePrompt([4, 3, 2, 1], [v, v, v, v], undefined, s);
    const { g, baselineG, metrics, loss } = crraft(batch, { klMax: 1 });
    expect(rowsWithGradient(g)).toEqual([]);
    expect(Array.from(baselineG[0]!)).toEqual([-0.5, -0.5]);
    expect(loss).toBe(0.5);
    expect(metrics).toMatchObject({
      samples: 1,
      fallback_rate: 1,
      kept_prompt_rate: 1,
      calibrated_reward: 0.5,
    });
  });

  it("gives the baseline response the weight that it is told", () => {
    const batch = onePrompt([4, 3, 2, 1], [v, v, v, v], undefined, s);
    expect(Array.from(crraft(batch, { klMax: 1, fallbackWeight: 0.25 }).baselineG[0]!)).toEqual([
      -0.25, -0.25,
    ]);
  });

  it("puts the baseline response to the KL test only when asked", () => {
    const batch = onePrompt([4, 3, 2, 1], [v, v, v, v], undefined, s);
    expect(crraftChoices(batch, { klMax: 1, fallbackKlTest: true })).toEqual(["skip"]);
    expect(crraftChoices(batch, { klMax: 8, fallbackKlTest: true })).toEqual(["baseline"]);
  });

  it("skips a prompt without survivors whose baseline violates, is unknown, or whose judges all failed", () => {
    const none: Outcome[] = [v, v, "failed", v];
    for (const baseline of [v, "failed", undefined] as const) {
      expect(crraftChoices(onePrompt([4, 3, 2, 1], none, undefined, baseline), { klMax: 1 })).toEqual([
        "skip",
      ]);
    }
    const outage = onePrompt([4, 3, 2, 1], ["failed", "failed", "failed", "failed"], undefined, s);
    expect(crraftChoices(outage, { klMax: 1 })).toEqual(["skip"]);
    expect(crraft(outage, { klMax: 1 }).metrics).toEqual({ samples: 0, failed_samples: 4 });
  });

  it("divides by all prompts, skipped ones included", () => {
    const batch = randomBatch(3);
    const skipOthers = { ...batch, verdicts: batch.verdicts.map((_, i) => (i < 4 ? s : v) as Outcome) };
    const { g, metrics } = crraft(skipOthers, { klMax: 50 });
    const best = [0, 1, 2, 3].reduce((a, b) => (batch.rewards[b]! > batch.rewards[a]! ? b : a));
    const weight = calibratedReward(batch.rewards[best]!, batch.baselineRewards[0]!);
    expect(rowsWithGradient(g)).toEqual([best]);
    expect(g[best]![0]).toBeCloseTo(-weight / 4, 7);
    expect(metrics.kept_prompt_rate).toBe(0.25);
  });
});

describe("RAFT, equation 16", () => {
  it("is the best sample with weight 1, whatever its verdict, failed ones excepted", () => {
    const batch = onePrompt([4, 3, 2, 1], ["failed", v, s, s]);
    const { g, metrics } = raft(batch);
    expect(rowsWithGradient(g)).toEqual([1]);
    expect(g[1]![0]).toBe(-1);
    expect(metrics).toMatchObject({ samples: 1, best_reward: 3, failed_samples: 1 });
  });
});
