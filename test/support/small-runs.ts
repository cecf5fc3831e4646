// Recipes of small runs of every verb that trains: seconds each, and nothing left out.

import type { Workshop } from "./workshop.js";

const crpg = (batchPrompts: number) => ({
  name: "crpg",
  generations: 2,
  batch_prompts: batchPrompts,
  max_new_tokens: 8,
});

export const smallRuns: Record<"align" | "sft" | "reward", (shop: Workshop) => object> = {
  align: (shop) => ({
    policy: shop.policy,
    steps: 6,
    save_steps: 2,
    save_total_limit: 1,
    learning_rate: 0.02,
    seed: 3,
    tasks: [
      {
        name: "writing",
        prompts: shop.data("prompts/writing.jsonl"),
        reward: { warm: shop.reward },
        judges: [{ kind: "length", max_words: 4 }],
        optimizer: crpg(2),
      },
      {
        name: "sums",
        weight: 0.5,
        prompts: shop.data("prompts/arithmetic.jsonl"),
        reward: { models: [shop.reward, shop.reward], combine: "min" },
        judges: [{ kind: "length", min_words: 2 }],
        optimizer: crpg(3),
      },
    ],
  }),
  sft: (shop) => ({
    model: shop.policy,
    data: shop.data("sft.jsonl"),
    eval_data: shop.data("sft.jsonl"),
    steps: 5,
    save_steps: 2,
    eval_steps: 2,
    batch_size: 3,
    learning_rate: 0.01,
    lora: { r: 2 },
  }),
  reward: (shop) => ({
    model: shop.policy,
    data: shop.data("preferences.jsonl"),
    eval_data: shop.data("validation.jsonl"),
    runs: 2,
    steps: 4,
    save_steps: 2,
    batch_size: 4,
    learning_rate: [0.001, 0.01],
  }),
};
