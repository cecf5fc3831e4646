// The optimizers of an align task, one row each: its options as a recipe writes them, what it needs of a task, and the
// objective that it stands for. Whatever else must know about an optimizer asks its row, so adding one is a file in
// objectives/ and a row here. CGPO (2409.20370) gives no values of K, KLmax, beta or lambda: those defaults are ours.

import { z } from "zod";
import {
  codpo,
  crpg,
  crraft,
  grpo,
  type Objective,
  onlineDpo,
  type PolicyGradient,
  raft,
  reinforce,
  rloo,
  type TaskBatch,
} from "../objectives/index.js";
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
import type { CamelKeys } from "./file.js";

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

/** Options by their names in a recipe. */
type Options<S extends z.ZodRawShape> = CamelKeys<z.output<z.ZodObject<S>>>;

export interface OptimizerRow<S extends z.ZodRawShape = z.ZodRawShape> {
  /** Its options beside `name`, in snake case. */
  schema: S;
  /** The judges are constraints: verdicts change what it does. Absent: it does not see them but through judge_gate. */
  constrained?: true;
  /** It compares rewards with those of baseline responses (`Objective.calibrates`). */
  calibrates?: true;
  /** Without a reward there is nothing to learn from. */
  needsReward: boolean;
  /**
   * What it learns by. `pairs`: the pairs of a preference file (offline DPO, train/align/dpo.ts). `critic`: samples, with
   * a critic beside the policy (PPO, train/align/ppo.ts). A function: samples, by that objective.
   */
  learns: "pairs" | "critic" | ((batch: TaskBatch, options: Options<S>) => PolicyGradient);
  /** Updates of each batch. Default 1. */
  updates?: (options: Options<S>) => number;
  learnsBaselines?: (options: Options<S>) => Objective["learnsBaselines"];
}

const row = <S extends z.ZodRawShape>(given: OptimizerRow<S>): OptimizerRow<S> => given;

const overlong = () => oneOf("stop", "skip", "truncate_left").default("stop");

/** @param least generations below which there is nothing to compare a response with */
const samplingFields = (generations: number, least = 1) => ({
  /** K: completions for each prompt. */
  generations: integer({ min: least }).default(generations),
  /** B: prompts of this task in one step. */
  batch_prompts: counting().default(16),
  max_new_tokens: counting().default(256),
  /** Tokens of a prompt; absent: as many as the models' windows leave beside max_new_tokens. */
  max_prompt_length: counting().optional(),
  /** What becomes of a longer prompt: the run does not start, the prompt is left out, or it loses its beginning. */
  overlong: overlong(),
  /** The constrained optimizers assume the raw distribution: 1. */
  temperature: number({ above: 0 }).default(1),
  top_p: number({ above: 0, max: 1 }).default(1),
  top_k: integer({ min: 0 }).default(0),
});

/** What the sequence-level terms are divided by: a constant keeps the direction of eq. 12. */
const lengthNormalization = () => oneOf("none", "constant").default("constant");

/** Eq. 12 sums log-probabilities over the response; a constant divisor keeps its direction. */
const divisor = (options: { lengthNormalization: "none" | "constant"; maxNewTokens: number }): number =>
  options.lengthNormalization === "constant" ? options.maxNewTokens : 1;

const table = {
  crpg: row({
    schema: {
      ...samplingFields(4),
      /** KLmax of eq. 11, nats a response. Lenient (20) for math and code, strict (5) for chat. */
      kl_max: number({ above: 0 }).default(5),
      /** Upper clip of eq. 11's factor; absent: none, as printed. */
      kl_factor_max: number({ min: 1 }).optional(),
      /** Eq. 12 subtracts the mean of the task batch; `group` leaves one out of the prompt's own K. */
      baseline: oneOf("batch", "group").default("batch"),
      length_normalization: lengthNormalization(),
    },
    constrained: true,
    calibrates: true,
    needsReward: false,
    learns: (batch, { klMax, klFactorMax, baseline, ...options }) =>
      crpg(batch, { klMax, klFactorMax, baseline, lengthDivisor: divisor(options) }),
  }),
  crraft: row({
    schema: {
      ...samplingFields(4),
      /** KLmax of the filter before eq. 17, nats a response. */
      kl_max: number({ above: 0 }).default(5),
      /** Weight of the baseline response when no generation survives. */
      fallback_weight: number({ min: 0 }).default(0.5),
      /** Whether the baseline response must pass the KL filter too. */
      fallback_kl_test: boolean().default(false),
      length_normalization: lengthNormalization(),
    },
    constrained: true,
    calibrates: true,
    needsReward: false,
    learnsBaselines: ({ fallbackKlTest }) => (fallbackKlTest ? "both" : "policy"),
    learns: (batch, { klMax, fallbackKlTest, fallbackWeight, ...options }) =>
      crraft(batch, { klMax, fallbackKlTest, fallbackWeight, lengthDivisor: divisor(options) }),
  }),
  codpo: row({
    schema: {
      ...samplingFields(4),
      beta: number({ above: 0 }).default(0.1),
      /** Weight of the positive's length-normalised likelihood, eq. 14. */
      lambda: number({ min: 0 }).default(1),
    },
    constrained: true,
    needsReward: false,
    learns: (batch, { beta, lambda }) => codpo(batch, { beta, lambda }),
  }),
  ppo: row({
    schema: {
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
    },
    needsReward: true,
    learns: "critic",
  }),
  grpo: row({
    schema: {
      ...samplingFields(8, 2),
      beta: number({ min: 0 }).default(0),
      clip_range: number({ above: 0 }).default(0.2),
      clip_range_high: number({ above: 0 }).optional(),
      iterations: counting().default(1),
      scale_rewards: oneOf("group", "batch", "none").default("group"),
    },
    needsReward: true,
    updates: ({ iterations }) => iterations,
    learns: (batch, { beta, clipRange: epsilon, clipRangeHigh: epsilonHigh, scaleRewards }) =>
      grpo(batch, { beta, epsilon, epsilonHigh, scaleRewards }),
  }),
  rloo: row({
    schema: { ...samplingFields(4, 2), kl_coef: number({ min: 0 }).default(0.05) },
    needsReward: true,
    learns: (batch, { klCoef: beta }) => rloo(batch, { beta }),
  }),
  reinforce: row({
    schema: {
      ...samplingFields(4),
      kl_coef: number({ min: 0 }).default(0),
      /** What is subtracted from the reward: the mean of the task batch, or nothing. */
      baseline: oneOf("batch", "none").default("batch"),
      length_normalization: lengthNormalization(),
    },
    needsReward: true,
    learns: (batch, { klCoef: klCoefficient, baseline, ...options }) =>
      reinforce(batch, { klCoefficient, baseline, lengthDivisor: divisor(options) }),
  }),
  raft: row({
    schema: { ...samplingFields(4), length_normalization: lengthNormalization() },
    needsReward: true,
    learns: (batch, options) => raft(batch, { lengthDivisor: divisor(options) }),
  }),
  dpo: row({
    schema: {
      /** Preference pairs in one step. */
      batch_prompts: counting().default(16),
      beta: number({ above: 0 }).default(0.1),
      /** Tokens of prompt and completion; `overlong` says what becomes of a longer pair. */
      max_length: integer({ min: 2 }).default(1024),
      /** Tokens of the prompt alone. */
      max_prompt_length: counting().optional(),
      overlong: overlong(),
    },
    needsReward: false,
    learns: "pairs",
  }),
  online_dpo: row({
    schema: { ...samplingFields(2, 2), beta: number({ above: 0 }).default(0.1) },
    needsReward: true,
    learns: (batch, { beta }) => onlineDpo(batch, { beta }),
  }),
};

type Table = typeof table;

/** An optimizer's options as a recipe gives them, for every row. */
type OptimizerFields = {
  [N in keyof Table]: { name: N } & z.output<z.ZodObject<Table[N]["schema"]>>;
}[keyof Table];
export type OptimizerRecipe = CamelKeys<OptimizerFields>;
/** Options of an optimizer that samples from the policy. */
export type SamplingOptimizer = Extract<OptimizerRecipe, { generations: number }>;
export type PpoOptions = Extract<OptimizerRecipe, { name: "ppo" }>;
export type DpoOptions = Extract<OptimizerRecipe, { name: "dpo" }>;

/** Every optimizer that a recipe can name. */
export const optimizers: Record<string, OptimizerRow> = table as unknown as Record<string, OptimizerRow>;

/** Adds a row; recipes read from then on can name it. */
export function defineOptimizer<S extends z.ZodRawShape>(name: string, given: OptimizerRow<S>): void {
  if (Object.hasOwn(optimizers, name)) throw new Error(`there is an optimizer "${name}" already`);
  optimizers[name] = given as unknown as OptimizerRow;
}

/** The row of an optimizer that a recipe names. */
export const optimizerRow = ({ name }: { name: string }): OptimizerRow => optimizers[name]!;

/** Every key that some optimizer has, and the other names of some. */
export const optimizerKeys = (): string[] => [
  ...Object.values(optimizers).flatMap(({ schema }) => Object.keys(schema)),
  ...Object.keys(OPTIMIZER_ALIASES),
];

/** The objective that a recipe's optimizer stands for; undefined where it learns from pairs or with a critic. */
export function objectiveOf(options: OptimizerRecipe): Objective | undefined {
  const { learns, calibrates, updates, learnsBaselines } = optimizerRow(options);
  if (typeof learns !== "function") return undefined;
  const given = options as never;
  return {
    name: options.name,
    calibrates,
    updates: updates?.(given),
    learnsBaselines: learnsBaselines?.(given),
    gradient: (batch) => learns(batch, given),
  };
}

const optimizerSection = (name: string, shape: z.ZodRawShape) => {
  const hints: Record<string, string> = { ...OPTIMIZER_HINTS };
  for (const key of Object.keys(shape)) delete hints[key];
  return strictSection({ name: z.literal(name), ...shape }, { hints, aliases: OPTIMIZER_ALIASES });
};

/** The optimizer of a task, checked against the rows that there are when it is read. */
export const optimizer = z
  .unknown()
  .transform((value, context): OptimizerFields => {
    const sections = Object.entries(optimizers).map(([name, { schema }]) => optimizerSection(name, schema));
    const parsed = choice("name", sections, { assumed: "crpg", aliases: OPTIMIZER_ALIASES }).safeParse(value);
    if (parsed.success) return parsed.data as OptimizerFields;
    for (const issue of parsed.error.issues) context.issues.push({ ...issue, input: value } as never);
    return z.NEVER;
  })
  .prefault({});

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
