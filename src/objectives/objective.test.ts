import { describe, expect, it } from "vitest";
import { randomBatch } from "../../test/objectives/batches.js";
import { RandomStream } from "../base/random.js";
import { bradleyTerry } from "./bradley-terry.js";
import { codpo } from "./codpo.js";
import { crpg } from "./crpg.js";
import { crraft } from "./crraft.js";
import { dpo } from "./dpo.js";
import { grpo } from "./grpo.js";
import { logSigmoid, sigmoid } from "./numerics.js";
import { judgedSamples, rowsWithGradient, sequenceLogRatio, weightTask } from "./objective.js";
import { ppo, ppoAdvantages } from "./ppo.js";
import { raft } from "./raft.js";
import { reinforce } from "./reinforce.js";
import { rloo } from "./rloo.js";
import { sft } from "./sft.js";

describe("numerics", () => {
  it("sigmoid and log-sigmoid at the ends of the real line", () => {
    expect(sigmoid(800)).toBe(1);
    expect(sigmoid(-800)).toBe(0);
    expect(sigmoid(-30)).toBeCloseTo(Math.exp(-30), 25);
    expect(logSigmoid(-800)).toBe(-800);
    expect(logSigmoid(40)).toBeCloseTo(-Math.exp(-40), 30);
    expect(logSigmoid(0)).toBeCloseTo(-Math.LN2, 15);
  });
});

describe("batches", () => {
  const batch = randomBatch(5);

  it("that do not fit together are refused", () => {
    expect(() => judgedSamples({ ...batch, rewards: [1] })).toThrow("16 samples but 1 rewards");
    expect(() => judgedSamples({ ...batch, promptCount: 2 })).toThrow("the batch has 2 prompts");
    expect(() => sequenceLogRatio({ logprobs: [[1, 2]], referenceLogprobs: [[1]] }, 0)).toThrow(
      "Sequence 0 has 2",
    );
  });

  it("with nothing in them give loss 0, empty g and samples 0, for every objective", () => {
    const nothing = {
      logprobs: [],
      referenceLogprobs: [],
      oldLogprobs: [],
      rewards: [],
      baselineRewards: [],
      values: [],
      oldValues: [],
      advantages: [],
      returns: [],
      promptIndex: [],
      promptCount: 0,
      verdicts: [],
    };
    for (const result of [
      crpg(nothing, { klMax: 1 }),
      crraft(nothing, { klMax: 1 }),
      codpo(nothing),
      raft(nothing),
      reinforce(nothing),
      rloo(nothing),
      grpo(nothing),
      ppo(nothing),
      dpo(nothing, []),
      sft(nothing),
    ]) {
      expect(result.loss).toBe(0);
      expect(result.g).toEqual([]);
      expect(result.metrics.samples).toBe(0);
      expect(Object.values(result.metrics).every(Number.isFinite)).toBe(true);
    }
    expect(bradleyTerry({ chosen: [], rejected: [] })).toMatchObject({ loss: 0, metrics: { samples: 0 } });
    expect(ppoAdvantages(nothing).metrics.samples).toBe(0);
  });

  it("hold empty responses without harm", () => {
    const hollow = {
      ...batch,
      logprobs: batch.logprobs.map((row, i) => (i === 0 ? new Float64Array() : row)),
    };
    hollow.referenceLogprobs = hollow.logprobs;
    hollow.oldLogprobs = hollow.logprobs;
    hollow.verdicts = batch.verdicts.map(() => "satisfied");
    hollow.rewards = batch.rewards.map((r, i) => (i === 0 ? 9 : r));
    for (const result of [
      crpg(hollow, { klMax: 1 }),
      crraft(hollow, { klMax: 1 }),
      codpo(hollow),
      grpo(hollow),
      grpo(hollow, { importanceLevel: "sequence" }),
      rloo(hollow),
      sft(hollow, { average: "sequence" }),
    ]) {
      expect(Number.isFinite(result.loss)).toBe(true);
      expect(result.g.every((row) => row.every(Number.isFinite))).toBe(true);
    }
  });

  it("of thousands of samples keep their gradient small and finite", () => {
    const large = randomBatch(9, 1000, 4);
    const { g, metrics } = crpg(large, { klMax: 5 });
    expect(metrics.samples! + metrics.failed_samples!).toBe(4000);
    expect(g.every((row) => row.every((x) => Math.abs(x) < 0.01))).toBe(true);
  });
});

describe("baselines", () => {
  const batch = randomBatch(6);

  it("a sample alone in its group does not move the policy", () => {
    const alone = {
      ...batch,
      verdicts: batch.verdicts.map((_, i) => (i < 3 ? "failed" : "satisfied")),
    } as const;
    for (const { g } of [
      rloo(alone),
      grpo(alone, { beta: 0 }),
      crpg(alone, { klMax: 1, baseline: "group" }),
    ]) {
      expect(g[3]!.every((x) => x === 0)).toBe(true);
      expect(rowsWithGradient(g).length).toBeGreaterThan(0);
    }
  });

  it("equal rewards give GRPO and RLOO no gradient", () => {
    const equal = {
      ...batch,
      rewards: batch.rewards.map(() => 0.7),
      verdicts: batch.verdicts.map(() => "satisfied"),
    };
    const grpoResult = grpo(equal as typeof batch, { beta: 0 });
    expect(grpoResult.metrics.frac_reward_zero_std).toBe(1);
    for (const { g } of [grpoResult, rloo(equal as typeof batch, { beta: 0 })]) {
      expect(g.flatMap((row) => [...row]).every((x) => Math.abs(x) < 1e-12)).toBe(true);
    }
  });

  it("a KL coefficient without a reference is refused", () => {
    const { referenceLogprobs: _, ...unreferenced } = batch;
    expect(() => grpo(unreferenced)).toThrow("reference log-probabilities");
    expect(() => rloo(unreferenced)).toThrow("reference log-probabilities");
    expect(() => reinforce(unreferenced, { klCoefficient: 0.1 })).toThrow("reference log-probabilities");
  });

  it("PPO leaves failed samples out of the loss and of the whitening", () => {
    const values = batch.oldLogprobs;
    const { advantages } = ppoAdvantages({ ...batch, values });
    batch.verdicts.forEach((v, i) => {
      expect(advantages[i]!.length).toBe(v === "failed" ? 0 : batch.logprobs[i]!.length);
    });
    const all = advantages.flatMap((row) => [...row]);
    expect(all.reduce((a, b) => a + b, 0) / all.length).toBeCloseTo(0, 12);
    expect(all.reduce((a, b) => a + b * b, 0) / (all.length - 1)).toBeCloseTo(1, 6);
  });
});

describe("several tasks, Algorithm 2", () => {
  // A softmax policy over eight tokens: d log pi(a) / d logit_b = [a = b] - pi(b).
  const stream = new RandomStream(8, "tasks");
  const logits = Float64Array.from({ length: 8 }, () => stream.normal());
  const total = logits.reduce((sum, x) => sum + Math.exp(x), 0);
  const policy = logits.map((x) => Math.exp(x) / total);
  const task = (seed: number) => {
    const batch = randomBatch(seed);
    const tokens = batch.logprobs.map((row) => Array.from(row, () => stream.integer(8)));
    const logprobs = tokens.map((row) => Float64Array.from(row, (a) => Math.log(policy[a]!)));
    const referenceLogprobs = logprobs.map((row) => row.map((x) => x + 0.1 * stream.normal()));
    return { tokens, batch: { ...batch, logprobs, referenceLogprobs } };
  };
  const backward = (
    tokens: readonly number[][],
    g: readonly Float32Array[],
    gradient = new Float64Array(8),
  ) => {
    tokens.forEach((row, i) => {
      row.forEach((a, t) => {
        for (let b = 0; b < 8; b++) gradient[b]! += g[i]![t]! * (Number(a === b) - policy[b]!);
      });
    });
    return gradient;
  };

  it("the accumulated gradient is sum rho_l g_l, in micro-batches of any size", () => {
    const [chat, math] = [task(21), task(22)];
    const results = [
      { tokens: chat.tokens, result: crpg(chat.batch, { klMax: 2 }), rho: 0.3 },
      { tokens: math.tokens, result: crraft(math.batch, { klMax: 8 }), rho: 1.7 },
    ];
    const expected = new Float64Array(8);
    for (const { tokens, result, rho } of results) {
      backward(tokens, result.g).forEach((x, b) => {
        expected[b]! += rho * x;
      });
    }
    for (const size of [1, 3, 16]) {
      const gradient = new Float64Array(8);
      for (const { tokens, result, rho } of results) {
        const { g, loss } = weightTask(result, rho);
        expect(loss).toBe(rho * result.loss);
        for (let i = 0; i < tokens.length; i += size) {
          backward(tokens.slice(i, i + size), g.slice(i, i + size), gradient);
        }
      }
      gradient.forEach((x, b) => {
        expect(x).toBeCloseTo(expected[b]!, 7);
      });
    }
  });
});
