// An objective of one's own: checked by finite differences, then trained with.
//   npx tsx examples/own-objective.ts lab/model runs/own-objective

import { rewardFrom, runAlign, silent } from "touchstone/align";
import { openPolicy } from "touchstone/engine";
import { findingsOf, type Objective, type TaskBatch } from "touchstone/objectives";

const [model = "lab/model", outputDir = "runs/own-objective"] = process.argv.slice(2);

/** L = 1/n sum_i (log pi(a_i) / |a_i| - r_i)^2: likelihoods that follow the reward. */
const follow: Objective = {
  name: "follow_reward",
  gradient(batch) {
    const { logprobs, rewards } = batch;
    const n = logprobs.length;
    const error = logprobs.map((row, i) => sum(row) / row.length - rewards[i]!);
    return {
      loss: error.reduce((total, e) => total + e ** 2 / n, 0),
      // dL / dlog pi of every token: the engine turns it into a gradient of the weights.
      g: logprobs.map((row, i) => new Float32Array(row.length).fill((2 * error[i]!) / (n * row.length))),
      findings: findingsOf(batch, (i) => -2 * error[i]!),
      metrics: { samples: n },
    };
  },
};

const sum = (row: ArrayLike<number>) => Array.from(row).reduce((total, x) => total + x, 0);

/** The largest difference between g and central differences of the loss. */
function gradientError(objective: Objective, batch: TaskBatch): number {
  const { g } = objective.gradient(batch);
  let largest = 0;
  const step = 1e-5;
  batch.logprobs.forEach((row, i) => {
    for (let t = 0; t < row.length; t++) {
      const lossAt = (x: number) => {
        const logprobs = batch.logprobs.map((other) => Array.from(other));
        logprobs[i]![t]! += x;
        return objective.gradient({ ...batch, logprobs }).loss;
      };
      const slope = (lossAt(step) - lossAt(-step)) / (2 * step);
      largest = Math.max(largest, Math.abs(slope - g[i]![t]!));
    }
  });
  return largest;
}

const error = gradientError(follow, {
  logprobs: [[-1, -0.5], [-2, -0.1, -0.7], [-0.3]],
  referenceLogprobs: [[-1, -0.5], [-2, -0.1, -0.7], [-0.3]],
  rewards: [-0.2, -1, 0.5],
  verdicts: ["satisfied", "satisfied", "satisfied"],
  promptIndex: [0, 0, 1],
  promptCount: 2,
  baselineRewards: [],
});
console.log(`largest difference from finite differences: ${error.toExponential(1)}`);
if (error > 1e-6) throw new Error("the gradient is wrong");

const { policy, codec } = await openPolicy(model);
const prompts = ["the sea", "a garden"].map((topic, i) => ({
  id: String(i),
  prompt: [{ role: "user", content: `Write a sentence about ${topic}.` }],
  metadata: {},
}));
const task = {
  name: "writing",
  prompts,
  reward: rewardFrom((responses) => responses.map(({ text }) => (text.includes("blue") ? -0.1 : -2))),
  objective: follow,
  limits: { batchPrompts: 2, generations: 4, maxNewTokens: 24 },
};
const parts = { policy, reference: await policy.snapshot(), codec, tasks: [task] };
const settings = { outputDir, steps: 3, learningRate: 1e-4, warmupSteps: 0 };
const { model: aligned } = await runAlign(parts, settings, { reporter: silent, resume: false });
console.log(`aligned model: ${aligned}`);
