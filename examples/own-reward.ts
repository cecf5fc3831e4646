// Aligns a model with a reward and a judge that are functions of this program, by CRPG.
//   npx tsx examples/own-reward.ts lab/model runs/own-reward

import { type AlignParts, rewardFrom, runAlign, silent } from "touchstone/align";
import { openPolicy } from "touchstone/engine";
import { createMixture, type Judge, satisfied, violated } from "touchstone/judges";
import { crpg } from "touchstone/objectives";

const [model = "lab/model", outputDir = "runs/own-reward"] = process.argv.slice(2);

// The reward ranks: here, answers about rain are liked, and every further word is liked a little more.
const reward = rewardFrom((responses) =>
  responses.map(({ text }) => (/rain/i.test(text) ? 2 : 0) + 0.1 * text.split(/\s+/).length),
);

// The judge gates: no more than twelve words, whatever the reward says.
const brief: Judge = {
  name: "brief",
  version: "1",
  kind: "rule",
  applies: () => true,
  judge({ response }) {
    const words = response.split(/\s+/).length;
    return words <= 12 ? satisfied(`has ${words} words`) : violated(`has ${words} words, more than 12`);
  },
};

const topics = ["the sea", "a garden", "the weather", "a long walk"];
const { policy, codec } = await openPolicy(model);
const parts: AlignParts = {
  policy,
  reference: await policy.snapshot(),
  codec,
  tasks: [
    {
      name: "writing",
      prompts: topics.map((topic, i) => ({
        id: `topic ${i}`,
        prompt: [{ role: "user", content: `Write a sentence about ${topic}.` }],
        metadata: {},
      })),
      reward,
      judges: createMixture([{ judge: brief, onFailed: "drop", maxFailedRate: 0.2 }]),
      objective: { name: "crpg", calibrates: true, gradient: (batch) => crpg(batch, { klMax: 5 }) },
      limits: { batchPrompts: 4, generations: 4, maxNewTokens: 24 },
    },
  ],
};
const settings = { outputDir, steps: 3, learningRate: 1e-4, warmupSteps: 0 };
const result = await runAlign(parts, settings, { reporter: silent, resume: false });
console.log(`aligned model: ${result.model}`);
