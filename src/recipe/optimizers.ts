// The optimizers of an align task, as recipes name them, and the judges' part in their reward. The defaults are the
// recommendations of cgpo.md section 7.

import { z } from "zod";
import {
  boolean,
  choice,
  counting,
  integer,
  number,
  oneOf,
  section,
  share,
  strictSection,
  text,
} from "./fields.js";

const OPTIMIZER_HINTS = {
  learning_rate: "belongs at the top level of the recipe: all tasks share one optimizer step",
  weight: "belongs to the task, beside optimizer",
  seed: "belongs at the top level of the recipe",
  kl_coef: "is not an option of this optimizer; its KL is bounded by kl_max",
};

const OPTIMIZER_ALIASES = {
  num_generations: "generations",
  k: "generations",
  max_completion_length: "max_new_tokens",
  response_length: "max_new_tokens",
  batch_size: "batch_prompts",
  per_device_train_batch_size: "batch_prompts",
  kl_threshold: "kl_max",
  lamb: "lambda",
  init_kl_coef: "kl_coef",
  cliprange: "clip_range",
  num_ppo_epochs: "ppo_epochs",
};

const samplingFields = (generations: number) => ({
  /** K: completions for each prompt. */
  generations: counting().default(generations),
  /** B: prompts of this task in one step. */
  batch_prompts: counting().default(16),
  max_new_tokens: counting().default(256),
  /** The constrained optimizers assume the raw distribution: 1. */
  temperature: number({ above: 0 }).default(1),
  top_p: number({ above: 0, max: 1 }).default(1),
  top_k: integer({ min: 0 }).default(0),
});

const optimizerSection = <S extends z.ZodRawShape>(shape: S) => {
  const hints: Record<string, string> = { ...OPTIMIZER_HINTS };
  for (const key of Object.keys(shape)) delete hints[key];
  return strictSection(shape, { hints, aliases: OPTIMIZER_ALIASES });
};

/** What the sequence-level terms are divided by: a constant keeps the direction of eq. 12. */
const lengthNormalization = () => oneOf("none", "constant").default("constant");

export const optimizer = choice(
  "name",
  [
    optimizerSection({
      name: z.literal("crpg"),
      ...samplingFields(4),
      /** KLmax of eq. 11, nats a response. Lenient (20) for math and code, strict (5) for chat. */
      kl_max: number({ above: 0 }).default(5),
      /** Upper clip of eq. 11's factor; absent: none, as printed. */
      kl_factor_max: number({ min: 1 }).optional(),
      /** Eq. 12 subtracts the mean of the task batch; `group` leaves one out of the prompt's own K. */
      baseline: oneOf("batch", "group").default("batch"),
      length_normalization: lengthNormalization(),
    }),
    optimizerSection({
      name: z.literal("crraft"),
      ...samplingFields(4),
      /** KLmax of the filter before eq. 17, nats a response. */
      kl_max: number({ above: 0 }).default(5),
      /** Weight of the baseline response when no generation survives. */
      fallback_weight: number({ min: 0 }).default(0.5),
      /** Whether the baseline response must pass the KL filter too. */
      fallback_kl_test: boolean().default(false),
      length_normalization: lengthNormalization(),
    }),
    optimizerSection({
      name: z.literal("codpo"),
      ...samplingFields(4),
      beta: number({ above: 0 }).default(0.1),
      /** Weight of the positive's length-normalised likelihood, eq. 14. */
      lambda: number({ min: 0 }).default(1),
    }),
    optimizerSection({
      name: z.literal("ppo"),
      ...samplingFields(1),
      /** Weight of the per-token KL penalty in the reward. */
      kl_coef: number({ min: 0 }).default(0.05),
      clip_range: number({ above: 0 }).default(0.2),
      value_clip_range: number({ above: 0 }).default(0.2),
      gamma: share().default(1),
      gae_lambda: share().default(0.95),
      ppo_epochs: counting().default(4),
      mini_batches: counting().default(1),
      /** Peak; absent: the policy's. All PPO tasks of a run share one critic. */
      critic_learning_rate: number({ above: 0 }).optional(),
      /** Absent: the policy's own trunk with a head of zeros. */
      critic_model: text("a reward model directory").optional(),
      whiten_rewards: boolean().default(false),
    }),
    optimizerSection({
      name: z.literal("grpo"),
      ...samplingFields(8),
      beta: number({ min: 0 }).default(0),
      clip_range: number({ above: 0 }).default(0.2),
      clip_range_high: number({ above: 0 }).optional(),
      iterations: counting().default(1),
      scale_rewards: oneOf("group", "batch", "none").default("group"),
    }),
    optimizerSection({
      name: z.literal("rloo"),
      ...samplingFields(4),
      kl_coef: number({ min: 0 }).default(0.05),
    }),
    optimizerSection({
      name: z.literal("reinforce"),
      ...samplingFields(4),
      kl_coef: number({ min: 0 }).default(0),
      /** What is subtracted from the reward: the mean of the task batch, or nothing. */
      baseline: oneOf("batch", "none").default("batch"),
      length_normalization: lengthNormalization(),
    }),
    optimizerSection({
      name: z.literal("raft"),
      ...samplingFields(4),
      length_normalization: lengthNormalization(),
    }),
    optimizerSection({
      name: z.literal("dpo"),
      /** Preference pairs in one step. */
      batch_prompts: counting().default(16),
      beta: number({ above: 0 }).default(0.1),
      /** Tokens of prompt and completion; longer rows are refused. */
      max_length: integer({ min: 2 }).default(1024),
    }),
    optimizerSection({
      name: z.literal("online_dpo"),
      ...samplingFields(2),
      beta: number({ above: 0 }).default(0.1),
    }),
  ],
  { assumed: "crpg", aliases: OPTIMIZER_ALIASES },
).prefault({});

/** Judges in the reward of an optimizer without constraints of its own; `{}` is R_cr of eq. 8. */
export const judgeGate = section({
  /** A satisfied sample counts with R_calib (eq. 5), or with its raw reward. */
  calibrated: boolean().default(true),
  /** What a violating sample counts with. Absent: 0, the least that R_calib can be. */
  violated_reward: number().optional(),
}).transform(({ calibrated, violated_reward }, context) => {
  if (violated_reward === undefined && !calibrated)
    context.addIssue({
      code: "custom",
      path: ["violated_reward"],
      message:
        "is missing; raw rewards have no least value, so give a number below what a good response gets",
    });
  return { calibrated, violated_reward: violated_reward ?? 0 };
});

/** Optimizers that have the judges as constraints. */
export const CONSTRAINED: readonly string[] = ["crpg", "crraft", "codpo"];
export const LEARNS_WITHOUT_REWARD: readonly string[] = [...CONSTRAINED, "dpo"];
