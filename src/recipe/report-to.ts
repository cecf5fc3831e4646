// `report_to`: the tools that a run shows its figures in besides its own files.

import { z } from "zod";
import { choice, strictSection, text } from "./fields.js";

const tracker = choice("kind", [
  /** Event files in `tensorboard/` of the run. */
  strictSection({ kind: z.literal("tensorboard") }),
  /** A tracking server of MLflow; whom to be there is in the environment. */
  strictSection({
    kind: z.literal("mlflow"),
    /** Absent: MLFLOW_TRACKING_URI. */
    tracking_uri: text("the address of a tracking server").optional(),
    /** Absent: MLFLOW_EXPERIMENT_NAME, else touchstone. */
    experiment: text("the name of an experiment").optional(),
    /** Absent: the name of output_dir. */
    run_name: text("the name of the run").optional(),
  }),
  /** An offline run of Weights & Biases in `wandb/` of the run, for `wandb sync`. */
  strictSection({
    kind: z.literal("wandb"),
    /** Absent: WANDB_PROJECT, else touchstone. */
    project: text("the name of a project").optional(),
    /** Absent: WANDB_ENTITY, else whoever uploads the run. */
    entity: text("the name of a user or team").optional(),
    /** Absent: the name of output_dir. */
    run_name: text("the name of the run").optional(),
  }),
]);

/** One tool or several, by name or with their settings: `tensorboard, mlflow` as other trainers write it is a list, too. */
export const reportTo = z.preprocess(
  (value) => {
    if (value === "none" || value === undefined) return value === undefined ? undefined : [];
    if (typeof value === "string") return value.split(",").map((name) => name.trim());
    return Array.isArray(value) ? value : [value];
  },
  z.array(tracker).superRefine((trackers, context) => {
    trackers.forEach(({ kind }, index) => {
      if (trackers.findIndex((other) => other.kind === kind) !== index)
        context.addIssue({ code: "custom", path: [index], message: `names ${kind} twice` });
    });
  }),
);
