// Recipes: what a run is to do, as a person writes it (YAML, snake_case) and as the code reads it (typed, camelCase,
// every default filled in).

import { z } from "zod";
import {
  boolean,
  choice,
  counting,
  integer,
  list,
  number,
  oneOf,
  oneOrMore,
  section,
  share,
  show,
  strictSection,
  text,
} from "./fields.js";
import {
  type CamelKeys,
  camelKeys,
  type Override,
  parseDocument,
  readDocument,
  writeDocument,
} from "./file.js";
import { judgeGate, type OptimizerRecipe, optimizer, optimizerRow } from "./optimizers.js";

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

/** AdamW, its schedule and when to save, as `trainerFields` describes them. */
export type TrainerSettings = Omit<
  CamelKeys<z.output<z.ZodObject<typeof trainerFields>>>,
  "outputDir" | "seed" | "engine"
>;

/** What a recipe that says nothing about them has. */
export const trainerDefaults: TrainerSettings = (() => {
  const { output_dir: _, seed: __, engine: ___, ...fields } = trainerFields;
  return camelKeys(z.object(fields).parse({}));
})();

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
    /** Absent: OPENAI_API_KEY for OpenAI's own service, none for any other. */
    api_key_env: text("the name of an environment variable").optional(),
    concurrency: counting().default(8),
    timeout_seconds: number({ above: 0 }).default(60),
    max_retries: integer({ min: 0 }).default(4),
    /** Pause before the first retry; doubles each time, with jitter. */
    retry_seconds: number({ min: 0 }).default(0.5),
    /** Of a decoded reply; a larger one is a failure. */
    max_reply_bytes: counting().default(1_000_000),
    /** What judges and rubrics may use in the whole run; a used-up budget ends it. */
    budget: section({
      calls: counting().optional(),
      tokens: counting().optional(),
      /** In the currency of `prices`. */
      cost: number({ above: 0 }).optional(),
    }).optional(),
    /** Of a million tokens, for the cost in the metrics. */
    prices: section({ prompt: number({ min: 0 }), completion: number({ min: 0 }) }).optional(),
  },
  { aliases: { timeout: "timeout_seconds" } },
);

// The reward of a task -----------------------------------------------------------------------------------------

/** When the rubric may be revised out of turn; an absent threshold is off. */
const triggers = section({
  /** Mean normalised score above this. */
  saturation: share().optional(),
  /** Standard deviation of the normalised scores below this. */
  min_deviation: number({ above: 0 }).optional(),
  /** Mean length of the responses above this multiple of its mean since the last round, or below its inverse. */
  length_factor: number({ above: 1 }).optional(),
  /** KL above this multiple of its mean since the last round. */
  kl_factor: number({ above: 1 }).optional(),
  /** Share of prompts whose responses all have the same score above this. */
  zero_deviation_groups: share().optional(),
});

/** The meta reward model and its rounds. What is absent is as the task says (train/rewards/rubric.ts), else as the library. */
const metaReward = section(
  {
    model: text("a name listed under llm"),
    /** k: a round after every k-th update, `never`, or `once` before the first (automatic prompt optimisation). */
    interval: z
      .preprocess(
        (value) => (value === "never" ? Number.POSITIVE_INFINITY : value),
        z.custom<number | "once">(
          (value) =>
            value === "once" ||
            value === Number.POSITIVE_INFINITY ||
            (Number.isSafeInteger(value) && (value as number) > 0),
          { error: ({ input }) => `must be a whole number of at least 1, never or once, not ${show(input)}` },
        ),
      )
      .optional(),
    /** n: rollouts that it reads in a round. */
    samples: counting().optional(),
    /** `depth`: a rubric for each cluster of prompts (cluster_column), revised from samples of each third of its scores. */
    mode: oneOf("breadth", "depth").optional(),
    per_tertile: counting().optional(),
    sampling: oneOf("uniform", "suspicious-half").optional(),
    refinement: oneOf("count-first", "single-shot").optional(),
    /** What it sees of a sample besides instruction, response and total. */
    shows: z
      .array(oneOf("maximum", "items", "judges", "reference"), {
        error: ({ input }) => `must be a list, not ${show(input)}`,
      })
      .optional(),
    merge_overflow: oneOf("hierarchical", "truncate").optional(),
    max_tokens: counting().optional(),
    triggers: triggers.optional(),
    /** Fewest updates from a round to a triggered one. */
    cooldown: counting().optional(),
    /** No more rounds after so many in a row left the rubric unchanged. */
    stop_after_unchanged: counting().optional(),
    /** JSONL of prompt, good and bad: pairs that a new version must still order rightly. */
    anchors: text("a file of anchor pairs").optional(),
    /** Samples that were called inflated must score lower under a new version. */
    flagged_score_lower: boolean().optional(),
    /** No run of so many words may be copied from a sample; .inf is off. */
    copied_words: z
      .custom<number>((value) => typeof value === "number" && value >= 1, {
        error: ({ input }) => `must be a number of at least 1, not ${show(input)}`,
      })
      .optional(),
    /** A person allows the gates of the rubric to be changed; otherwise they may only be joined by new ones. */
    allow_looser_gates: boolean().optional(),
  },
  { aliases: { k: "interval", n: "samples" } },
);

const rubricFields = {
  /** A rubric file, a task file, or the name of a preset (essay, summary, ethics, mathematics). */
  rubric: text("a rubric file or the name of a preset").optional(),
  judge_model: text("a name listed under llm").optional(),
  /** A task file or preset whose description and personas go with the rubric; absent: those that come with it. */
  task: text("a task file or the name of a preset").optional(),
  scoring: oneOf("one-reply", "item-reply", "dialogue", "plan").optional(),
  /** `normalised`: total / maximum; `raw`: the paper's, which grows with the rubric. */
  scale: oneOf("normalised", "raw").optional(),
  out_of_range: oneOf("fail", "clamp").optional(),
  show_reference: boolean().optional(),
  /** Share of the prompts of an update that are checked against the reference answer instead of scored. */
  answer_check: share().optional(),
  attempts: counting().optional(),
  max_tokens: counting().optional(),
  /** Depth mode: the column that names the cluster of a prompt. */
  cluster_column: text("a column of the prompts").optional(),
  /** Depth mode: clusters to find by k-means over the policy's hidden states, in each value of cluster_column if given. */
  clusters: counting().optional(),
  /** The paper's settings where our defaults differ: dialogue, raw totals, uniform samples, formal checks only. */
  faithful: boolean().optional(),
  meta: metaReward.optional(),
};

const { rubric: _, ...rubricOptions } = rubricFields;

const modelFields = {
  /** A reward model averaged by `touchstone warm`. */
  warm: text("a reward model directory").optional(),
  /** A single reward model. */
  model: text("a reward model directory").optional(),
  /** An ensemble of predictions. */
  models: list(text("a reward model directory"), "reward model directories").optional(),
  /** `vote`: the share of the other responses to the prompt that a response beats, mean over the members. */
  combine: oneOf("mean", "min", "uwo", "vote").optional(),
  /** Weight of the members' variance in `combine: uwo` (Coste et al.). */
  uwo_lambda: number({ min: 0 }).optional(),
  /** Each member's rewards in standard deviations from its mean over the first step's samples. */
  normalise: boolean().optional(),
};

type RubricRewardFields = z.output<z.ZodObject<typeof rubricOptions>>;

/** A reward by itself. */
type SingleReward =
  | { warm: string }
  | { model: string }
  | { models: string[]; combine: "mean" | "min" | "uwo" | "vote"; uwo_lambda: number; normalise: boolean }
  | (RubricRewardFields & { rubric: string; judge_model: string });

/** What `reward:` resolves to: exactly one source, or a weighted sum of several. */
type RewardSource = SingleReward | { sum: (SingleReward & { weight: number })[] };

type GivenReward = z.output<z.ZodObject<typeof modelFields & typeof rubricFields>>;
type Fail = (message: string, path?: string[]) => never;

const votes = (given: RewardSource | undefined): boolean =>
  given !== undefined &&
  ("sum" in given ? given.sum.some(votes) : "combine" in given && given.combine === "vote");

/** The keys that say where a reward comes from. */
export const REWARD_SOURCES = ["warm", "model", "models", "rubric"] as const;

/** The one source that was given, without the keys of the others. */
function singleReward(given: GivenReward, known: readonly string[], fail: Fail): SingleReward {
  const sources = REWARD_SOURCES.filter((source) => given[source] !== undefined);
  if (sources.length !== 1) {
    const found = sources.length === 0 ? "" : `, not ${sources.join(" and ")}`;
    return fail(`must give exactly one of ${known.join(", ")}${found}`);
  }
  const stray = (["combine", "uwo_lambda", "normalise"] as const).find(
    (key) => given[key] !== undefined && !given.models,
  );
  if (stray) return fail("only goes with models (an ensemble)", [stray]);
  const { warm, model, models, rubric, judge_model, ...others } = given;
  const { combine = "mean", uwo_lambda = 0.1, normalise = false, ...rest } = others;
  const strayRubric = [judge_model === undefined ? [] : ["judge_model"], Object.keys(rest)].flat()[0];
  if (rubric === undefined && strayRubric) return fail("only goes with rubric", [strayRubric]);
  if (warm) return { warm };
  if (model) return { model };
  if (models) return { models, combine, uwo_lambda, normalise };
  if (!judge_model) return fail("is missing; give a name listed under llm", ["judge_model"]);
  return { ...rest, rubric: rubric!, judge_model };
}

const failIn =
  (context: z.RefinementCtx): Fail =>
  (message, path = []) => {
    context.addIssue({ code: "custom", path, message });
    return z.NEVER;
  };

const REWARD_ALIASES = { ensemble: "models" };

const weightedReward = section(
  { ...modelFields, ...rubricFields, weight: number({ above: 0 }).default(1) },
  { aliases: REWARD_ALIASES },
).transform(({ weight, ...given }, context) => ({
  ...singleReward(given, REWARD_SOURCES, failIn(context)),
  weight,
}));

const reward = section(
  {
    ...modelFields,
    ...rubricFields,
    /** Several rewards, each brought to one scale and weighted (train/rewards/sum.ts). */
    sum: list(weightedReward, "rewards").optional(),
  },
  { aliases: REWARD_ALIASES },
).transform(({ sum, ...given }, context): RewardSource => {
  const fail = failIn(context);
  if (sum === undefined) return singleReward(given, [...REWARD_SOURCES, "sum"], fail);
  const [stray] = Object.keys(given);
  if (stray !== undefined) return fail("belongs to one of the rewards in sum", [stray]);
  if (sum.filter((part) => "rubric" in part).length > 1)
    return fail("has two rubrics; put the items of both into one", ["sum"]);
  return { sum };
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
    /**
     * A step of which a larger share of samples could not be judged or rewarded, by one judge or by all together, ends the
     * run at a checkpoint; 1: never.
     */
    max_failed_rate: share().default(0.2),
    /** Subtracted from the reward of a response that does not end by itself. */
    missing_eos_penalty: number({ min: 0 }).default(0),
    /** Subtracted from the reward: per_token for every token of the response beyond free_tokens. */
    length_penalty: section({
      per_token: number({ min: 0 }),
      free_tokens: integer({ min: 0 }).default(0),
    }).optional(),
    optimizer,
  },
  { aliases: { dataset_name: "prompts", data: "prompts", task_weight: "weight" } },
).superRefine((given, context) => {
  const { optimizer, reward, judges, judge_gate } = given;
  const fail = (message: string, path: string[] = []) => context.addIssue({ code: "custom", path, message });
  const { constrained, needsReward, learns } = optimizerRow(optimizer);
  if (learns !== "pairs" && reward === undefined && judges.length === 0)
    fail("has neither a reward nor judges, so nothing to optimise");
  else if (reward === undefined && judge_gate === undefined && needsReward)
    fail(`has no reward, and ${optimizer.name} does not see the judges; give a reward, or judge_gate: {}`);
  if (votes(reward) && "generations" in optimizer && optimizer.generations < 2)
    fail("compares the responses to one prompt: give the optimizer 2 generations at least", [
      "reward",
      "combine",
    ]);
  if (judge_gate === undefined) return;
  if (judges.length === 0) fail("has no judges to ask", ["judge_gate"]);
  if (constrained)
    fail(`is not for ${optimizer.name}, which has the judges as constraints already`, ["judge_gate"]);
  if (learns === "pairs") fail(`is not for ${optimizer.name}, which learns from given pairs`, ["judge_gate"]);
});

/** How `touchstone serve` answers other trainers with the rewards of a recipe. */
const served = section({
  /**
   * What a sample gets whose judge or reward failed: what each protocol has for it (`own`: null, a mask, 503), 503 in all
   * of them (`unavailable`), or a number that you answer for.
   */
  on_failed: z
    .union([z.enum(["own", "unavailable"]), z.number()], {
      error: ({ input }) => `must be own, unavailable or a number, not ${show(input)}`,
    })
    .default("own"),
  /** r(s, abar) where no baseline response is to be had. */
  baseline_reward: number().optional(),
  /** Further attempts where a costly judge or a rubric failed. */
  retries: integer({ min: 0 }).default(1),
  /** For a whole request, and for one answer of one costly judge. */
  deadline_seconds: number({ above: 0 }).default(120),
  judge_seconds: number({ above: 0 }).default(60),
  /** Samples under way or waiting; beyond it requests are refused with 429. */
  max_waiting: counting().default(4096),
  /** Samples of one call to a reward model. */
  max_batch: counting().default(256),
  /** Answers remembered. */
  remembered: integer({ min: 0 }).default(20_000),
  /** Scored samples that count as one update for the meta reward model. Absent: batch_prompts x generations. */
  window: counting().optional(),
});

/** What all stages of an alignment share. */
const alignmentFields = {
  ...trainerFields,
  policy,
  /** Absent: 1e-6, or 1e-5 with LoRA. */
  learning_rate: number({ min: 0 }).optional(),
  /** The norm of every task's gradient in the metrics; with several tasks it costs a copy of the gradient each. */
  log_task_grad_norm: boolean().default(false),
  /** Endpoints that judges and rubrics name. */
  llm: z.record(z.string(), llmEndpoint, { error: "must map names to endpoints" }).default({}),
  serve: served.optional(),
};

type PpoFields = { critic_model?: string; critic_learning_rate?: number };

const stageFields = {
  /** pi_ref; absent: the policy before the first step. */
  reference: model().optional(),
  steps: counting(),
  tasks: list(task, "tasks").superRefine((tasks, context) => {
    const fail = (path: PropertyKey[], message: string) =>
      context.addIssue({ code: "custom", path, message });
    const withCritic = tasks.flatMap(({ name, optimizer }, index) =>
      optimizerRow(optimizer).learns === "critic" ? [{ name, index, optimizer: optimizer as PpoFields }] : [],
    );
    tasks.forEach(({ name }, index) => {
      if (tasks.findIndex((other) => other.name === name) !== index)
        fail([index, "name"], `"${name}" is used twice`);
    });
    const [first, ...others] = withCritic;
    for (const { index, optimizer } of others)
      for (const key of ["critic_model", "critic_learning_rate"] as const)
        if (optimizer[key] !== first!.optimizer[key])
          fail(
            [index, "optimizer", key],
            `is not that of task ${first!.name}; all PPO tasks share one critic, so give them the same`,
          );
  }),
};

const ALIGN_ALIASES = { out: "output_dir", lr: "learning_rate", max_steps: "steps" };

const policyLearningRate = (given: { learning_rate?: number; policy: { lora?: unknown } }): number =>
  given.learning_rate ?? (given.policy.lora ? 1e-5 : 1e-6);

const alignSchema = section(
  { ...alignmentFields, ...stageFields },
  { aliases: ALIGN_ALIASES, hints: TRAINER_HINTS },
).transform((given) => ({ ...given, learning_rate: policyLearningRate(given) }));

/** A stage: its own tasks, steps and schedule. The policy is the one before it, and so is pi_ref. */
const stage = section(
  {
    /** The stage's directory inside output_dir. */
    name: z.custom<string>(
      (value) => typeof value === "string" && /^\w[\w.-]*$/.test(value) && !STAGE_NAMES_TAKEN.has(value),
      {
        error: ({ input }) =>
          input === undefined
            ? "is missing; give the name of the stage"
            : `must be a name of letters, digits, "-", "_" and ".", and not ${[...STAGE_NAMES_TAKEN].join(" or ")}: it becomes a directory`,
      },
    ),
    ...stageFields,
    learning_rate: number({ min: 0 }).optional(),
    lr_scheduler_type: trainerFields.lr_scheduler_type.unwrap().optional(),
    warmup_steps: trainerFields.warmup_steps.unwrap().optional(),
    min_lr_ratio: trainerFields.min_lr_ratio.unwrap().optional(),
  },
  { aliases: ALIGN_ALIASES },
);
const STAGE_NAMES_TAKEN = new Set(["final", "lock", "recipe.yaml"]);

const BELONGS_TO_STAGE = "belongs to each of the stages";

/** An alignment in stages, one after the other: a DPO warm-up, then CGPO. */
const stagedSchema = section(
  {
    ...alignmentFields,
    stages: list(stage, "stages").superRefine((stages, context) => {
      stages.forEach(({ name }, index) => {
        if (stages.findIndex((other) => other.name === name) !== index)
          context.addIssue({ code: "custom", path: [index, "name"], message: `"${name}" is used twice` });
      });
    }),
  },
  {
    aliases: { out: "output_dir", lr: "learning_rate" },
    hints: {
      ...TRAINER_HINTS,
      steps: `${BELONGS_TO_STAGE}: --set stages.<name>.steps=20`,
      tasks: BELONGS_TO_STAGE,
      reference: BELONGS_TO_STAGE,
    },
  },
).transform((given) => ({
  ...given,
  stages: given.stages.map((one) => ({
    ...one,
    learning_rate: one.learning_rate ?? policyLearningRate(given),
  })),
}));

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

/** Bradley-Terry reward models (WARM, 2401.12187, sections 2.1 and 3.1): `runs` of them from one initialisation. */
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
    /** Share of the training labels that is turned round on purpose, the same ones for all runs; `train.jsonl` says which. */
    flip_labels: number({ min: 0, below: 1 }).default(0),
    /** M: how many members to train; they differ in data order, and in what the lists below offer. */
    runs: counting().default(1),
    /** One value, or values that each run draws from. */
    learning_rate: oneOrMore(number({ min: 0 }), "one learning rate at least").default([1e-5]),
    dropout: oneOrMore(number({ min: 0, below: 1 }), "one dropout rate at least").default([0]),
    /** Where the score head comes from: fitted on frozen features (WARM), zeros, or the model's own. */
    head: oneOf("probe", "zero", "model").default("probe"),
    /** Where the reward of a conversation is read: where the chat template ends it, as TRL trains it, or at its last end token. */
    reward_at: oneOf("template_end", "end_token").default("template_end"),
    /** L2 strength of the linear probe. */
    probe_l2: number({ min: 0 }).default(1e-3),
  },
  {
    aliases: { ...TRAINER_ALIASES, inits: "model", members: "runs" },
    hints: { ...TRAINER_HINTS, jobs: "is a flag, --jobs: how many runs train at a time changes no result" },
  },
);

const SCHEMAS = { align: alignSchema, sft: sftSchema, reward: rewardSchema };

type Resolved<S extends z.ZodType> = CamelKeys<z.output<S>>;

export type Verb = keyof typeof SCHEMAS;
/** An alignment of one stage. */
export type AlignRecipe = Resolved<typeof alignSchema>;
export type StagedRecipe = Resolved<typeof stagedSchema>;
export type RecipeOf<V extends Verb> = V extends "align"
  ? AlignRecipe | StagedRecipe
  : Resolved<(typeof SCHEMAS)[V]>;
export type SftRecipe = RecipeOf<"sft">;
export type RewardRecipe = RecipeOf<"reward">;
export type Recipe = RecipeOf<Verb>;
export type TaskRecipe = AlignRecipe["tasks"][number];
export type { OptimizerRecipe };
export type RewardSourceRecipe = NonNullable<TaskRecipe["reward"]>;
export type SingleRewardRecipe = Exclude<RewardSourceRecipe, { sum: unknown }>;
export type EnsembleRecipe = Extract<SingleRewardRecipe, { models: string[] }>;
export type RubricRewardRecipe = Extract<SingleRewardRecipe, { rubric: string }>;
export type MetaRewardRecipe = NonNullable<RubricRewardRecipe["meta"]>;
export type EngineRecipe = AlignRecipe["engine"];
export type PolicyRecipe = AlignRecipe["policy"];
export type LoraRecipe = NonNullable<PolicyRecipe["lora"]>;

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
  const staged = verb === "align" && Object.hasOwn(document.value as object, "stages");
  const parsed = (staged ? stagedSchema : SCHEMAS[verb]).safeParse(document.value);
  if (!parsed.success) throw document.explain(parsed.error.issues);
  return camelKeys(parsed.data) as RecipeOf<V>;
}

export type ServeRecipe = NonNullable<AlignRecipe["serve"]>;

/** What a recipe without a `serve:` section has. */
export const serveDefaults = camelKeys(served.parse({})) as ServeRecipe;

/** The tasks of an alignment, of all its stages. */
export const tasksOf = (recipe: AlignRecipe | StagedRecipe): TaskRecipe[] =>
  "stages" in recipe ? recipe.stages.flatMap(({ tasks }) => tasks) : recipe.tasks;

/** The resolved recipe as YAML that `parseRecipe` reads back to the same recipe. */
export function toYaml(recipe: object): string {
  return writeDocument(recipe);
}
