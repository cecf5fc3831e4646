// Recipes: what a run is to do, as a person writes it (YAML, snake_case) and as the code reads it (typed, camelCase,
// every default filled in). The defaults of `align` are the recommendations of cgpo.md section 7.

import { createHash } from "node:crypto";
import { z } from "zod";
import {
  boolean,
  choice,
  integer,
  list,
  number,
  oneOf,
  oneOrMore,
  section,
  show,
  strictSection,
  text,
} from "./recipe-fields.js";
import {
  type CamelKeys,
  camelKeys,
  type Override,
  parseDocument,
  readDocument,
  writeDocument,
} from "./recipe-file.js";

const counting = () => integer({ min: 1 });
const share = () => number({ min: 0, max: 1 });
const model = () => text("a model: a Hugging Face directory or a Hub name");

const TRAINER_HINTS = {
  gradient_accumulation_steps:
    "is not needed: batch_size is the whole batch of one step, cut to fit engine.max_batch_tokens",
  report_to: "is not supported: metrics are written to metrics.jsonl in output_dir",
};

/** Rows to read: a path or Hub name, or that with the split, configuration or a limit. */
const dataSource = (what: string) =>
  z.preprocess(
    (value) => (typeof value === "string" ? { path: value } : value),
    section(
      {
        /** A JSONL, JSON or Parquet file, or the name of a data set on the Hub. */
        path: text(what),
        split: text("the name of a split").optional(),
        config: text("the name of a configuration of the data set").optional(),
        /** Branch, tag or commit of a Hub data set. */
        revision: text("a branch, tag or commit").optional(),
        /** Use the first `limit` rows only. */
        limit: counting().optional(),
        /** Columns that go by other names: `{ chosen: better, rejected: worse }`. */
        columns: z
          .record(z.string(), text("the name of a column"), { error: "must map names to columns" })
          .optional(),
        /** Leave out rows whose content is wrong instead of stopping at the first. */
        skip_invalid: boolean().default(false),
      },
      { aliases: { dataset_name: "path", name: "config", subset: "config" } },
    ),
  );

const engine = choice(
  "kind",
  [
    strictSection({
      kind: z.literal("local"),
      device: oneOf("cpu", "webgpu").default("cpu"),
      /** CPU threads; absent: every physical core. */
      threads: counting().optional(),
      /** Tokens of one micro-batch: bounds memory, never changes results. */
      max_batch_tokens: integer({ min: 64 }).default(4096),
    }),
    strictSection({
      kind: z.literal("tinker"),
      base_url: text("the address of a Tinker-compatible service"),
      /** Environment variable that holds the key. */
      api_key_env: text("the name of an environment variable").default("TINKER_API_KEY"),
    }),
  ],
  { assumed: "local" },
).prefault({});

const lora = section(
  {
    r: counting().default(16),
    /** Absent: 2 r. */
    alpha: number({ above: 0 }).optional(),
    target_modules: z
      .union([z.literal("all-linear"), z.array(text("the name of a module")).nonempty()], {
        error: 'must be "all-linear" or a list of module names such as [q_proj, v_proj]',
      })
      .default("all-linear"),
  },
  { aliases: { rank: "r", lora_r: "r", lora_alpha: "alpha" } },
).transform((given) => ({ ...given, alpha: given.alpha ?? 2 * given.r }));

/** A model to train: all weights, or LoRA when `lora` is given. */
const trainedModelFields = {
  lora: lora.optional(),
  /** Jinja chat template file; absent: the model's own. */
  chat_template: text("a chat template file").optional(),
  save_dtype: oneOf("float32", "float16", "bfloat16").default("float32"),
};

const policy = z.preprocess(
  (value) => (typeof value === "string" ? { model: value } : value),
  section(
    { model: model(), ...trainedModelFields },
    { aliases: { model_name_or_path: "model", torch_dtype: "save_dtype", dtype: "save_dtype" } },
  ),
);

/** AdamW, its schedule, and when to save: shared by every training verb. */
const trainerFields = {
  output_dir: text("the directory of the run"),
  seed: integer({ min: 0, max: 2 ** 32 - 1 }).default(0),
  engine,
  lr_scheduler_type: oneOf("constant", "linear", "cosine").default("constant"),
  /** Steps over which the learning rate rises from 0. */
  warmup_steps: integer({ min: 0 }).default(10),
  /** The share of the learning rate at which `cosine` and `linear` end. */
  min_lr_ratio: share().default(0),
  max_grad_norm: number({ min: 0 }).default(1),
  weight_decay: number({ min: 0 }).default(0),
  adam_beta1: number({ min: 0, below: 1 }).default(0.9),
  adam_beta2: number({ min: 0, below: 1 }).default(0.999),
  adam_epsilon: number({ above: 0 }).default(1e-8),
  /** A checkpoint every so many steps; 0: at the end only. */
  save_steps: integer({ min: 0 }).default(50),
  /** Newest checkpoints kept. */
  save_total_limit: counting().default(2),
  /** An evaluation every so many steps; 0: at the end only. */
  eval_steps: integer({ min: 0 }).default(0),
};

const TRAINER_ALIASES = {
  out: "output_dir",
  lr: "learning_rate",
  max_steps: "steps",
  num_train_epochs: "epochs",
  num_epochs: "epochs",
  per_device_train_batch_size: "batch_size",
  train_batch_size: "batch_size",
  model_name_or_path: "model",
  dataset_name: "data",
  max_seq_length: "max_length",
};

/** Length of a run over fixed data: `steps` when given, else `epochs`. */
const durationFields = {
  epochs: number({ above: 0 }).default(1),
  /** Wins over `epochs`. */
  steps: counting().optional(),
  batch_size: counting().default(32),
  /** Longer rows are cut (language models) or refused (preferences). */
  max_length: integer({ min: 2 }).default(1024),
};

/** An OpenAI-compatible endpoint (`base_url`), or a checkpoint run in-process (no `base_url`). */
const llmEndpoint = section(
  {
    model: text("the name of a model"),
    base_url: text("the address of an OpenAI-compatible endpoint").optional(),
    api_key_env: text("the name of an environment variable").default("OPENAI_API_KEY"),
    concurrency: counting().default(8),
    timeout_seconds: number({ above: 0 }).default(60),
    max_retries: integer({ min: 0 }).default(4),
  },
  { aliases: { timeout: "timeout_seconds" } },
);

// The reward of a task -----------------------------------------------------------------------------------------

const metaReward = section({
  /** Name of the meta reward model under `llm`. */
  model: text("a name listed under llm"),
  /** A rubric revision every so many steps. */
  interval: counting().default(10),
  /** Rollouts that the meta reward model reads. */
  samples: counting().default(20),
});

const REWARD_SOURCES = ["warm", "model", "models", "rubric"] as const;

/** What `reward:` resolves to: exactly one source. */
type RewardSource =
  | { warm: string }
  | { model: string }
  | { models: string[]; combine: "mean" | "min" | "uwo"; uwo_lambda: number }
  | { rubric: string; judge_model: string; meta?: z.output<typeof metaReward> };

const reward = section(
  {
    /** A reward model averaged by `touchstone warm`. */
    warm: text("a reward model directory").optional(),
    /** A single reward model. */
    model: text("a reward model directory").optional(),
    /** An ensemble of predictions. */
    models: list(text("a reward model directory"), "reward model directories").optional(),
    combine: oneOf("mean", "min", "uwo").optional(),
    /** Weight of the members' variance in `combine: uwo` (Coste et al.). */
    uwo_lambda: number({ min: 0 }).optional(),
    /** A rubric scored by an LLM. */
    rubric: text("a rubric file").optional(),
    judge_model: text("a name listed under llm").optional(),
    meta: metaReward.optional(),
  },
  { aliases: { ensemble: "models" } },
).transform((given, context): RewardSource => {
  const sources = REWARD_SOURCES.filter((source) => given[source] !== undefined);
  const fail = (message: string, path: string[] = []): never => {
    context.addIssue({ code: "custom", path, message });
    return z.NEVER;
  };
  if (sources.length !== 1) {
    const found = sources.length === 0 ? "" : `, not ${sources.join(" and ")}`;
    return fail(`must give exactly one of ${REWARD_SOURCES.join(", ")}${found}`);
  }
  const stray = (["combine", "uwo_lambda"] as const).find((key) => given[key] !== undefined && !given.models);
  if (stray) return fail("only goes with models (an ensemble)", [stray]);
  const strayRubric = (["judge_model", "meta"] as const).find(
    (key) => given[key] !== undefined && !given.rubric,
  );
  if (strayRubric) return fail("only goes with rubric", [strayRubric]);
  if (given.warm) return { warm: given.warm };
  if (given.model) return { model: given.model };
  if (given.models) {
    return { models: given.models, combine: given.combine ?? "mean", uwo_lambda: given.uwo_lambda ?? 0.1 };
  }
  if (!given.judge_model) return fail("is missing; give a name listed under llm", ["judge_model"]);
  const { rubric, judge_model, meta } = given;
  return meta ? { rubric: rubric!, judge_model, meta } : { rubric: rubric!, judge_model };
});

// Judges -------------------------------------------------------------------------------------------------------

/** What `judges:` resolves to: an entry whose options the judge itself checks. */
export type JudgeRecipe = { kind?: string; module?: string; [option: string]: unknown };

/** A judge: its kind alone, its kind with options, or a module of the user's own. */
const judge = z.preprocess(
  (value) => (typeof value === "string" ? { kind: value } : value),
  z.custom<JudgeRecipe>(
    (value) => typeof value === "object" && value !== null && "kind" in value !== "module" in value,
    {
      error: ({ input }) =>
        `must be the kind of a judge, or a mapping with either kind or module, not ${show(input)}`,
    },
  ),
);

// Optimizers of a task -----------------------------------------------------------------------------------------

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

const optimizer = choice(
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
const judgeGate = section({
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

const CONSTRAINED: readonly string[] = ["crpg", "crraft", "codpo"];
const LEARNS_WITHOUT_REWARD: readonly string[] = [...CONSTRAINED, "dpo"];

// The recipes --------------------------------------------------------------------------------------------------

const task = section(
  {
    name: text("the name of the task"),
    /** rho_l: weight of the task's gradient in the shared step. */
    weight: number({ above: 0 }).default(1),
    prompts: dataSource("a file of prompts"),
    reward: reward.optional(),
    judges: z
      .array(judge, { error: ({ input }) => `must be a list of judges, not ${show(input)}` })
      .default([]),
    /** abar of eq. 5: the data's own answer (`dataset`), one sample of the reference policy (`reference`), or the first where there is one (`auto`). */
    baseline_response: oneOf("auto", "dataset", "reference").default("auto"),
    judge_gate: judgeGate.optional(),
    /** Ask every judge even after a violation, so that the violation rates cover the same samples. */
    run_all_judges: boolean().default(false),
    /** Subtracted from the reward of a response that does not end by itself. */
    missing_eos_penalty: number({ min: 0 }).default(0),
    optimizer,
  },
  { aliases: { dataset_name: "prompts", data: "prompts", task_weight: "weight" } },
).superRefine((given, context) => {
  const { optimizer, reward, judges, judge_gate } = given;
  const fail = (message: string, path: string[] = []) => context.addIssue({ code: "custom", path, message });
  if (optimizer.name !== "dpo" && reward === undefined && judges.length === 0)
    fail("has neither a reward nor judges, so nothing to optimise");
  else if (
    reward === undefined &&
    judge_gate === undefined &&
    !LEARNS_WITHOUT_REWARD.includes(optimizer.name)
  )
    fail(`has no reward, and ${optimizer.name} does not see the judges; give a reward, or judge_gate: {}`);
  if (judge_gate === undefined) return;
  if (judges.length === 0) fail("has no judges to ask", ["judge_gate"]);
  if (CONSTRAINED.includes(optimizer.name))
    fail(`is not for ${optimizer.name}, which has the judges as constraints already`, ["judge_gate"]);
  if (optimizer.name === "dpo") fail("is not for dpo, which learns from given pairs", ["judge_gate"]);
});

const alignSchema = section(
  {
    ...trainerFields,
    policy,
    /** pi_ref; absent: the policy before the first step. */
    reference: model().optional(),
    steps: counting(),
    /** Absent: 1e-6, or 1e-5 with LoRA. */
    learning_rate: number({ min: 0 }).optional(),
    tasks: list(task, "tasks"),
    /** Endpoints that judges and rubrics name. */
    llm: z.record(z.string(), llmEndpoint, { error: "must map names to endpoints" }).default({}),
  },
  { aliases: { out: "output_dir", lr: "learning_rate", max_steps: "steps" }, hints: TRAINER_HINTS },
)
  .transform((given) => ({
    ...given,
    learning_rate: given.learning_rate ?? (given.policy.lora ? 1e-5 : 1e-6),
  }))
  .superRefine(({ tasks }, context) => {
    const first = tasks.find(({ optimizer: { name } }) => name === "ppo");
    tasks.forEach(({ name, optimizer }, index) => {
      if (tasks.findIndex((other) => other.name === name) !== index)
        context.addIssue({
          code: "custom",
          path: ["tasks", index, "name"],
          message: `"${name}" is used twice`,
        });
      if (optimizer.name !== "ppo" || first?.optimizer.name !== "ppo") return;
      for (const key of ["critic_model", "critic_learning_rate"] as const)
        if (optimizer[key] !== first.optimizer[key])
          context.addIssue({
            code: "custom",
            path: ["tasks", index, "optimizer", key],
            message: `is not that of task ${first.name}; all PPO tasks share one critic, so give them the same`,
          });
    });
  });

const sftSchema = section(
  {
    ...trainerFields,
    ...durationFields,
    lr_scheduler_type: oneOf("constant", "linear", "cosine").default("cosine"),
    min_lr_ratio: share().default(0.1),
    model: model(),
    ...trainedModelFields,
    data: dataSource("a file of texts, prompt and completion, or messages"),
    eval_data: dataSource("a file of rows to evaluate on").optional(),
    /** Absent: 1e-5, or 1e-4 with LoRA. */
    learning_rate: number({ min: 0 }).optional(),
    /** Train on completions and assistant turns only. */
    completion_only_loss: boolean().default(true),
  },
  { aliases: TRAINER_ALIASES, hints: TRAINER_HINTS },
).transform((given) => ({
  ...given,
  learning_rate: given.learning_rate ?? (given.lora ? 1e-4 : 1e-5),
}));

/** Bradley-Terry reward models (warm.md section 1): `runs` of them from one initialisation. */
const rewardSchema = section(
  {
    ...trainerFields,
    ...durationFields,
    /** One model for all runs, or several to rotate through (Baklava: checkpoints of one SFT run). */
    model: oneOrMore(model(), "one model at least"),
    ...trainedModelFields,
    data: dataSource("a file of preferences (prompt, chosen, rejected)"),
    eval_data: dataSource("a file of preferences to evaluate on").optional(),
    /** Share of `data` held out for evaluation when there is no `eval_data`. */
    eval_split: number({ min: 0, below: 1 }).default(0.05),
    /** M: how many members to train; they differ in data order, and in what the lists below offer. */
    runs: counting().default(1),
    /** One value, or values that each run draws from. */
    learning_rate: oneOrMore(number({ min: 0 }), "one learning rate at least").default([1e-5]),
    dropout: oneOrMore(number({ min: 0, below: 1 }), "one dropout rate at least").default([0]),
    /** Where the score head comes from: fitted on frozen features (WARM), zeros, or the model's own. */
    head: oneOf("probe", "zero", "model").default("probe"),
    /** L2 strength of the linear probe. */
    probe_l2: number({ min: 0 }).default(1e-3),
  },
  { aliases: { ...TRAINER_ALIASES, inits: "model", members: "runs" }, hints: TRAINER_HINTS },
);

const SCHEMAS = { align: alignSchema, sft: sftSchema, reward: rewardSchema };

export type Verb = keyof typeof SCHEMAS;
export type RecipeOf<V extends Verb> = CamelKeys<z.output<(typeof SCHEMAS)[V]>>;
export type AlignRecipe = RecipeOf<"align">;
export type SftRecipe = RecipeOf<"sft">;
export type RewardRecipe = RecipeOf<"reward">;
export type Recipe = RecipeOf<Verb>;
export type TaskRecipe = AlignRecipe["tasks"][number];
export type OptimizerRecipe = TaskRecipe["optimizer"];
export type RewardSourceRecipe = NonNullable<TaskRecipe["reward"]>;
export type EngineRecipe = AlignRecipe["engine"];
export type PolicyRecipe = AlignRecipe["policy"];
export type LoraRecipe = NonNullable<PolicyRecipe["lora"]>;
export type DataSourceRecipe = TaskRecipe["prompts"];
export type LlmEndpointRecipe = AlignRecipe["llm"][string];

export interface LoadOptions {
  /** Values that win over the file's. */
  overrides?: readonly Override[];
}

/**
 * Reads the recipe of a verb from a YAML file (or from overrides alone) and fills in every default. Paths in the file
 * are relative to the file, paths in overrides to the working directory. Mistakes are UserErrors that name the file,
 * line and key.
 */
export async function loadRecipe<V extends Verb>(
  verb: V,
  file: string | undefined,
  { overrides = [] }: LoadOptions = {},
): Promise<RecipeOf<V>> {
  return resolveDocument(verb, await readDocument(file, overrides));
}

/** The recipe in a YAML text; `file` names it in messages and is what its paths are relative to. */
export function parseRecipe<V extends Verb>(
  verb: V,
  yaml: string,
  file: string,
  { overrides = [] }: LoadOptions = {},
): RecipeOf<V> {
  return resolveDocument(verb, parseDocument(yaml, file, overrides));
}

function resolveDocument<V extends Verb>(verb: V, document: ReturnType<typeof parseDocument>): RecipeOf<V> {
  const parsed = SCHEMAS[verb].safeParse(document.value);
  if (!parsed.success) throw document.explain(parsed.error.issues);
  return camelKeys(parsed.data) as RecipeOf<V>;
}

/** The resolved recipe as YAML that `parseRecipe` reads back to the same recipe. */
export function toYaml(recipe: Recipe): string {
  return writeDocument(recipe);
}

/** Identifies a recipe: two runs with the same hash do the same work. Where the results go does not count. */
export function recipeHash(recipe: Recipe): string {
  const { outputDir: _, ...work } = recipe as Recipe & { outputDir?: string };
  return createHash("sha256")
    .update(writeDocument(work, { sortMapEntries: true }))
    .digest("hex")
    .slice(0, 16);
}
