// The schema of `touchstone reward`.

import { counting, number, oneOf, oneOrMore, section } from "./fields.js";
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

/** Bradley-Terry reward models (WARM, 2401.12187, sections 2.1 and 3.1): `runs` of them from one initialisation. */
export const rewardSchema = section(
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
    /** What becomes of a pair of which a sequence does not fit; TRL leaves it out (`skip`). */
    overlong: oneOf("stop", "skip", "truncate_left").default("stop"),
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
    hints: { ...FOREIGN_HINTS, jobs: "is a flag, --jobs: how many runs train at a time changes no result" },
  },
)
  .superRefine(checkQuantise)
  .superRefine(({ engine }, context) => {
    if (engine.kind === "tinker")
      context.addIssue({
        code: "custom",
        path: ["engine", "kind"],
        message: "is for policies (sft, align): reward models train on this machine; leave engine out",
      });
  })
  .transform(withOneDuration);
