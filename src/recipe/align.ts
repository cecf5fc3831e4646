// The schema of `touchstone align`: tasks with their rewards, judges and optimizers, in one stage or several.

import { z } from "zod";
import { boolean, counting, integer, list, number, oneOf, section, share, show, text } from "./fields.js";
import { FOREIGN_HINTS } from "./foreign.js";
import { judgeGate, optimizer, optimizerKeys, optimizerRow } from "./optimizers.js";
import { reward, votes } from "./reward-source.js";
import { dataSource, model, policy, trainerFields } from "./trainer.js";

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

/**
 * What is looked at on the policy's samples and never learned from: a reward, or a judge (the share that it finds
 * satisfied). The monitor compares the reward with it.
 */
const measure = section({
  name: z.custom<string>((value) => typeof value === "string" && /^[\w.-]+$/.test(value), {
    error: ({ input }) =>
      input === undefined
        ? "is missing; give the name of the measure"
        : `must be a name of letters, digits, "-", "_" and ".", not ${show(input)}`,
  }),
  /** Measured at every k-th step. */
  every: counting().default(1),
  reward: reward.optional(),
  judge: judge.optional(),
}).superRefine(({ reward, judge }, context) => {
  const fail = (message: string, path: string[] = []) => context.addIssue({ code: "custom", path, message });
  if ((reward === undefined) === (judge === undefined)) fail("must give exactly one of reward and judge");
  const parts = reward === undefined ? [] : "sum" in reward ? reward.sum : [reward];
  if (parts.some((part) => "rubric" in part))
    fail("cannot be a rubric; a judge of the kind yes_no asks a language model", ["reward"]);
});

/** Signs of reward hacking that the monitor knows (src/monitor/signals.ts). */
export const MONITOR_SIGNALS = [
  "held_out",
  "feasible",
  "members",
  "judges",
  "kl_speed",
  "length",
  "repetition",
  "entropy",
  "failures",
] as const;

export type MonitorSignal = (typeof MONITOR_SIGNALS)[number];

/** Those that are watched unless others are named: disagreement of members and of judges warned of nothing (docs/monitor.md). */
export const DEFAULT_SIGNALS: readonly MonitorSignal[] = MONITOR_SIGNALS.filter(
  (name) => name !== "members" && name !== "judges",
);

/** The alarm for reward hacking: `false`, `true`, or how it watches and what it does. */
const monitor = z.preprocess(
  (value) => (value === true ? {} : value === false ? { signals: [] } : value),
  section({
    /** Absent: DEFAULT_SIGNALS. */
    signals: z
      .array(oneOf(...MONITOR_SIGNALS), {
        error: ({ input }) => `must be a list of signals, not ${show(input)}`,
      })
      .optional(),
    /** Steps of memory of the smoothed figures. */
    window: integer({ min: 2 }).default(10),
    /** Standard errors that a figure must move. */
    threshold: number({ above: 0 }).default(4),
    /** `note`: say it; `pause`: end at a checkpoint, to be resumed; `stop`: end here, with the model as it is. */
    action: oneOf("note", "pause", "stop").default("note"),
    /** A program and its arguments, started at each alarm with the alarm as JSON on its standard input. */
    command: list(text("a program and its arguments"), "words of a command").optional(),
    /** An address that each alarm is posted to, as JSON. */
    webhook: text("an http or https address").optional(),
  }),
);

/** Keys of optimizers, by what is said of one that stands beside `optimizer`. */
const OF_THE_OPTIMIZER = Object.fromEntries(
  optimizerKeys().map((key) => [key, `belongs to the optimizer of the task: optimizer: { ${key}: ... }`]),
);

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
    /** Looked at on every sample, and never learned from. */
    measures: z
      .array(measure, { error: ({ input }) => `must be a list of measures, not ${show(input)}` })
      .superRefine((measures, context) => {
        measures.forEach(({ name }, index) => {
          if (measures.findIndex((other) => other.name === name) !== index)
            context.addIssue({ code: "custom", path: [index, "name"], message: `"${name}" is used twice` });
        });
      })
      .optional(),
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
  {
    aliases: { dataset_name: "prompts", data: "prompts", task_weight: "weight" },
    hints: OF_THE_OPTIMIZER,
  },
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
export const served = section({
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
  /** Prompts that clients send as plain text as a user's message. Absent: as they stand, and said once. */
  apply_chat_template: boolean().optional(),
  /** Further attempts where a costly judge or a rubric failed. */
  retries: integer({ min: 0 }).default(1),
  /** For a whole request, and for one answer of one judge. */
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
  /** What rollouts.jsonl holds beside the samples: of so many samples of each task and step, every token's log-ratio. */
  rollouts: section({ tokens: integer({ min: 0 }).default(0) }).optional(),
  /** Endpoints that judges and rubrics name. */
  llm: z.record(z.string(), llmEndpoint, { error: "must map names to endpoints" }).default({}),
  serve: served.optional(),
  monitor: monitor.optional(),
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

const OF_A_TASK = "belongs to a task: tasks: [{ name: ..., prompts: ..., ";

/** What stands at the top of other recipes, and what other trainers have there. */
const ALIGN_HINTS: Record<string, string> = {
  ...FOREIGN_HINTS,
  model: "is policy of an alignment: policy: { model: ... }",
  model_name_or_path: "is policy of an alignment: policy: { model: ... }",
  base_model: "is policy of an alignment: policy: { model: ... }",
  lora: "belongs to the policy: policy: { model: ..., lora: { r: 16 } }",
  prompts: "belongs to a task: tasks: [{ name: ..., prompts: ... }]",
  data: "is the prompts of a task: tasks: [{ name: ..., prompts: ... }]",
  dataset_name: "is the prompts of a task: tasks: [{ name: ..., prompts: ... }]",
  reward: `${OF_A_TASK}reward: ... }]`,
  judges: `${OF_A_TASK}judges: [...] }]`,
  optimizer: `${OF_A_TASK}optimizer: { name: crpg } }]`,
  epochs: "has no equivalent: an alignment takes steps",
  num_train_epochs: "has no equivalent: an alignment takes steps",
  batch_size: "is batch_prompts of a task's optimizer: tasks: [{ optimizer: { batch_prompts: 16 } }]",
  per_device_train_batch_size:
    "is batch_prompts of a task's optimizer: tasks: [{ optimizer: { batch_prompts: 16 } }]",
  actor_rollout_ref: "is verl's: policy, tasks and their optimizer say the same here; docs/recipes.md",
  algorithm: "is verl's: the optimizer of a task says the same here; docs/recipes.md",
};

const ALIGN_ALIASES = { out: "output_dir", lr: "learning_rate", max_steps: "steps" };

const policyLearningRate = (given: { learning_rate?: number; policy: { lora?: unknown } }): number =>
  given.learning_rate ?? (given.policy.lora ? 1e-5 : 1e-6);

export const alignSchema = section(
  { ...alignmentFields, ...stageFields },
  { aliases: ALIGN_ALIASES, hints: ALIGN_HINTS },
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
    warmup_ratio: trainerFields.warmup_ratio,
    min_lr_ratio: trainerFields.min_lr_ratio.unwrap().optional(),
  },
  { aliases: ALIGN_ALIASES },
);
const STAGE_NAMES_TAKEN = new Set(["final", "final.manifest.json", "lock", "recipe.yaml"]);

const BELONGS_TO_STAGE = "belongs to each of the stages";

/** An alignment in stages, one after the other: a DPO warm-up, then CGPO. */
export const stagedSchema = section(
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
      ...ALIGN_HINTS,
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
