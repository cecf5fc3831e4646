// The schema of `touchstone sft`.

import { boolean, number, oneOf, section, share } from "./fields.js";
import { FOREIGN_HINTS } from "./foreign.js";
import {
  checkQuantise,
  dataSource,
  durationFields,
  model,
  TRAINER_ALIASES,
  trainedModelFields,
  trainerFields,
  withOneDuration,
} from "./trainer.js";

export const sftSchema = section(
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
    /** What becomes of a row that does not fit: TRL cuts its end, too (`truncation_mode: keep_start`). */
    overlong: oneOf("stop", "skip", "truncate_left", "truncate_right").default("truncate_right"),
    /** Train on completions and assistant turns only. */
    completion_only_loss: boolean().default(true),
  },
  { aliases: TRAINER_ALIASES, hints: FOREIGN_HINTS },
)
  .superRefine(checkQuantise)
  .transform((given) => ({
    ...withOneDuration(given),
    learning_rate: given.learning_rate ?? (given.lora ? 1e-4 : 1e-5),
  }));
