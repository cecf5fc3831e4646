// `report_to`: the tools that a run shows its figures in besides its own files.

import { z } from "zod";
import { choice, strictSection } from "./fields.js";

const tracker = choice("kind", [
  /** Event files in `tensorboard/` of the run. */
  strictSection({ kind: z.literal("tensorboard") }),
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
