// What the recipes of all verbs that train share: models, data, engine, optimizer and its schedule, when to save.

import { z } from "zod";
import { didYouMean } from "../base/suggest.js";
import { parts } from "../data/format.js";
import { reductions } from "../engine/tinker/reduction.js";

export { TRAINER_ALIASES } from "./aliases.js";

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
import { type CamelKeys, camelKeys } from "./file.js";
import { reportTo } from "./report-to.js";

export const model = () => text("a model: a Hugging Face directory or a Hub name");

/** Rows to read: a path or Hub name, or that with the split, configuration or a limit. */
export const dataSource = (what: string) =>
  z.preprocess(
    (value, context) => {
      if (Array.isArray(value)) {
        context.addIssue({
          code: "custom",
          message: "is one source: give several files as a folder or a pattern, such as data/*.jsonl",
        });
        return z.NEVER;
      }
      return typeof value === "string" ? { path: value } : value;
    },
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
          .superRefine((given, context) => {
            for (const part of Object.keys(given))
              if (!parts.includes(part))
                context.addIssue({
                  code: "custom",
                  path: [part],
                  message: `is no part of a row${didYouMean(part, parts)}; there are ${parts.join(", ")}, each of which names a column`,
                });
          })
          .optional(),
        /** Leave out rows whose content is wrong instead of stopping at the first. */
        skip_invalid: boolean().default(false),
        /** Plain prompts as user messages, through the chat template. Absent: as they stand, with a warning where there is a template. */
        apply_chat_template: boolean().optional(),
      },
      {
        aliases: { dataset_name: "path", name: "config", subset: "config" },
        what: `${what}, or the Hub name of a data set`,
      },
    ),
  );

export const engine = choice(
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
      /** Up to, not including, /api/v1. */
      base_url: text("the address of a service that speaks the Tinker protocol"),
      /** The model's name on the service. Absent: policy.model. */
      base_model: text("the name of a model on the service").optional(),
      /** Environment variable that holds the key. Absent: no key is sent. */
      api_key_env: text("the name of an environment variable").optional(),
      /** How the service reduces the losses of a step's tokens; `probe` measures it before the first step. */
      loss_reduction: oneOf("probe", ...reductions).default("probe"),
      /** How long one result may take. */
      timeout_seconds: number({ above: 0 }).default(3600),
      /** Sampling and scoring requests under way. */
      concurrency: counting().default(256),
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

/** Weights that do not train, in memory: 16-bit floats, or blocks of 32 with a scale (as Q8_0 and Q4_0 of GGUF). */
export const quantise = () => oneOf("float16", "bfloat16", "8bit", "4bit");

/** A model to train: all weights, or LoRA when `lora` is given. */
export const trainedModelFields = {
  lora: lora.optional(),
  /** Jinja chat template file; absent: the model's own. */
  chat_template: text("a chat template file").optional(),
  save_dtype: oneOf("float32", "float16", "bfloat16").default("float32"),
  /** How the weights under an adapter (and of pi_ref) are kept in memory. Absent: float32. */
  quantise: quantise().optional(),
};

/** Quantised weights do not train. */
export function checkQuantise(
  { lora, quantise }: { lora?: unknown; quantise?: unknown },
  context: z.RefinementCtx,
): void {
  if (quantise === undefined || lora !== undefined) return;
  const message = "goes with lora: quantised weights do not train, an adapter on them does";
  context.addIssue({ code: "custom", path: ["quantise"], message });
}

export const policy = z.preprocess(
  (value) => (typeof value === "string" ? { model: value } : value),
  section(
    { model: model(), ...trainedModelFields },
    { aliases: { model_name_or_path: "model", torch_dtype: "save_dtype", dtype: "save_dtype" } },
  ).superRefine(checkQuantise),
);

/** AdamW, its schedule, and when to save: shared by every training verb. */
export const trainerFields = {
  output_dir: text("the directory of the run"),
  seed: integer({ min: 0, max: 2 ** 32 - 1 }).default(0),
  engine,
  lr_scheduler_type: oneOf("constant", "linear", "cosine").default("constant"),
  /** Steps over which the learning rate rises from 0. */
  warmup_steps: integer({ min: 0 }).default(10),
  /** The same as a share of all steps, rounded up; wins over `warmup_steps` where it is above 0. */
  warmup_ratio: share().optional(),
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
  report_to: reportTo.optional(),
};

/** AdamW, its schedule and when to save, as `trainerFields` describes them. */
export type TrainerSettings = Omit<
  CamelKeys<z.output<z.ZodObject<typeof trainerFields>>>,
  "outputDir" | "seed" | "engine" | "reportTo"
>;

/** What a recipe that says nothing about them has. */
export const trainerDefaults: TrainerSettings = (() => {
  const { output_dir: _, seed: __, engine: ___, report_to: ____, ...fields } = trainerFields;
  return camelKeys(z.object(fields).parse({}));
})();

/** A run of a number of steps has no epochs: its saved recipe says one of the two. */
export const withOneDuration = <T extends { epochs: number; steps?: number | undefined }>({
  epochs,
  ...given
}: T): Omit<T, "epochs"> & { epochs?: number } => (given.steps === undefined ? { ...given, epochs } : given);

/** Length of a run over fixed data: `steps` when given, else `epochs`. */
export const durationFields = {
  epochs: number({ above: 0 }).default(1),
  /** Wins over `epochs`. */
  steps: counting().optional(),
  batch_size: counting().default(32),
  /** Tokens of a row; `overlong` says what becomes of a longer one. */
  max_length: integer({ min: 2 }).default(1024),
  /** Tokens of the prompt alone. */
  max_prompt_length: counting().optional(),
};
