// The recipes of the experiment, as a user would write them: `touchstone sft` for the language models, `touchstone reward`
// for the members, `touchstone align` for the policies.

import { join } from "node:path";
import { FINAL } from "../../run/final.js";
import { pathFrom } from "../reproduce/recipe-file.js";
import { maxAnswer } from "./keys-world.js";
import type { LanguageSettings, MemberSettings, RlSettings } from "./settings.js";

/** What every recipe is written with. */
export interface RecipeContext {
  /** The directory of the recipe. */
  dir: string;
  seed: number;
  threads: number;
}

/** The model that a run leaves. */
export const finalModel = (run: string): string => join(run, FINAL);

/** The model of a checkpoint of a run. */
export const checkpointModel = (run: string, step: number): string =>
  join(run, "checkpoints", `step-${step}`, "model");

/** Padded tokens of a batch at which models this small are fastest: what they touch stays in the cache. */
const smallModelTokens = 512;

const common = ({ seed, threads }: RecipeContext) => ({
  seed,
  engine: { kind: "local", threads, max_batch_tokens: smallModelTokens },
});

/** Keeps a checkpoint at every one of `steps`, which are multiples of the distance between the last two. */
const keeping = (steps: readonly number[]) => {
  const every = steps.at(-1)! - steps.at(-2)!;
  return { save_steps: every, save_total_limit: Math.round(steps.at(-1)! / every) };
};

export function languageRecipe(
  stage: "pretraining" | "sft",
  from: string,
  settings: LanguageSettings,
  context: RecipeContext,
) {
  const { steps, batch, learningRate, minLrRatio } = settings[stage];
  return {
    ...common(context),
    output_dir: `./${stage}`,
    model: pathFrom(context.dir, from),
    data: `./${stage}.jsonl`,
    steps,
    batch_size: batch,
    learning_rate: learningRate,
    lr_scheduler_type: "cosine",
    min_lr_ratio: minLrRatio,
    warmup_steps: 50,
    weight_decay: 0.01,
    ...(stage === "sft" ? keeping(settings.sft.snapshots) : { save_steps: 500, save_total_limit: 1 }),
  };
}

/** Members that start from one initialisation: one run of `touchstone reward`. */
export interface Suite {
  /** Models that the members start from in turn; the head is probed on the last. */
  models: readonly string[];
  runs: number;
  /** Each member draws one of these. */
  learningRates: readonly number[];
  dropouts: readonly number[];
  /** `probe`: one head for all members. `model`: a random one, by the seed. */
  head: "probe" | "model";
}

export type SuiteName = "diverse" | "same" | "baklava";

/** Diverse members; members of one configuration, which differ in data order only; Baklava, from several SFT checkpoints. */
export function planSuites(
  sft: readonly string[],
  { diverse, same, baklava, learningRates, dropouts }: MemberSettings,
): Record<SuiteName, Suite> {
  const last = [sft.at(-1)!];
  const all = { learningRates, dropouts, head: "probe" } as const;
  const middle = learningRates[Math.floor((learningRates.length - 1) / 2)]!;
  return {
    diverse: { ...all, models: last, runs: diverse },
    same: { ...all, models: last, runs: same, learningRates: [middle], dropouts: dropouts.slice(0, 1) },
    baklava: { ...all, models: sft, runs: baklava },
  };
}

/** `data` is the file of preferences; the members are trained under `out`. */
export function rewardRecipe(
  { models, runs, learningRates, dropouts, head }: Suite,
  { data, out }: { data: string; out: string },
  { steps, batch, warmupSteps, probeL2, trajectory }: MemberSettings,
  context: RecipeContext,
) {
  const path = (target: string) => pathFrom(context.dir, target);
  return {
    ...common(context),
    output_dir: path(out),
    model: models.map(path),
    data: path(data),
    eval_split: 0,
    runs,
    steps,
    batch_size: batch,
    learning_rate: learningRates,
    dropout: dropouts,
    warmup_steps: warmupSteps,
    head,
    probe_l2: probeL2,
    ...keeping(trajectory),
  };
}

/** What a policy is trained on. */
export interface PolicyPlan {
  sft: string;
  /** The reward: one model, or the mean of several. */
  models: readonly string[];
  /** alpha of WARM's penalty: (1 - alpha) r / scale - alpha log(pi / pi_sft). */
  alpha: number;
  /** Standard deviation of the reward over SFT answers. */
  scale: number;
  prompts: string;
  out: string;
}

/**
 * REINFORCE with a KL penalty (WARM, 2401.12187, section 5.2; the penalty's form after RLAIF, 2309.00267). The recipe has
 * weight (r - kl_coef log(pi / pi_sft)): the same for weight = (1 - alpha) / scale and kl_coef = alpha scale / (1 - alpha),
 * so that one alpha means the same for every reward, whatever its scale.
 */
export function policyRecipe(
  { sft, models, alpha, scale, prompts, out }: PolicyPlan,
  { steps, batch, learningRate, evaluateEvery }: RlSettings,
  context: RecipeContext,
) {
  const path = (target: string) => pathFrom(context.dir, target);
  const [first, ...others] = models.map(path);
  return {
    ...common(context),
    output_dir: path(out),
    policy: path(sft),
    steps,
    learning_rate: learningRate,
    warmup_steps: 0,
    save_steps: evaluateEvery,
    save_total_limit: 1,
    tasks: [
      {
        name: "keys",
        prompts: path(prompts),
        weight: (1 - alpha) / scale,
        reward: others.length > 0 ? { models: [first, ...others], combine: "mean" } : { model: first },
        optimizer: {
          name: "reinforce",
          kl_coef: (alpha * scale) / (1 - alpha),
          baseline: "batch",
          length_normalization: "none",
          batch_prompts: batch,
          generations: 1,
          max_new_tokens: maxAnswer,
        },
      },
    ],
  };
}
