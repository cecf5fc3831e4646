// `reward:` of a task: reward models, a rubric, or a weighted sum of them.

import { z } from "zod";
import { boolean, counting, integer, list, number, oneOf, section, share, show, text } from "./fields.js";
import { quantise } from "./trainer.js";

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
  /** How the weights of reward models are kept in memory. Absent: float32. */
  quantise: quantise().optional(),
  /** A function of your own: a JavaScript or TypeScript module. */
  module: text("a JavaScript or TypeScript module").optional(),
  /** Which of its exports. Default: default. */
  export: text("the name of an export").optional(),
  /** A server of your own: the address that is asked (POST). */
  url: text("an http or https address").optional(),
  /** Environment variable with the server's key. */
  api_key_env: text("the name of an environment variable").optional(),
  /** For the answer to one batch. Default: 60. */
  timeout_seconds: number({ above: 0 }).optional(),
  /** Further requests after a failed one. Default: 4. */
  max_retries: integer({ min: 0 }).optional(),
  /** `vote`: the share of the other responses to the prompt that a response beats, mean over the members. */
  combine: oneOf("mean", "min", "uwo", "vote").optional(),
  /** Weight of the members' variance in `combine: uwo` (Coste et al.). */
  uwo_lambda: number({ min: 0 }).optional(),
  /** Each member's rewards in standard deviations from its mean over the first step's samples. */
  normalise: boolean().optional(),
};

type RubricRewardFields = z.output<z.ZodObject<typeof rubricOptions>>;

/** How the weights of reward models are kept. */
type Kept = { quantise?: z.output<ReturnType<typeof quantise>> };

/** A reward by itself. */
type SingleReward =
  | ({ warm: string } & Kept)
  | ({ model: string } & Kept)
  | ({
      models: string[];
      combine: "mean" | "min" | "uwo" | "vote";
      uwo_lambda: number;
      normalise: boolean;
    } & Kept)
  | { module: string; export: string; timeout_seconds: number }
  | { url: string; api_key_env?: string; timeout_seconds: number; max_retries: number }
  | (RubricRewardFields & { rubric: string; judge_model: string });

/** What `reward:` resolves to: exactly one source, or a weighted sum of several. */
type RewardSource = SingleReward | { sum: (SingleReward & { weight: number })[] };

type GivenReward = z.output<z.ZodObject<typeof modelFields & typeof rubricFields>>;
type Fail = (message: string, path?: string[]) => never;

export const votes = (given: RewardSource | undefined): boolean =>
  given !== undefined &&
  ("sum" in given ? given.sum.some(votes) : "combine" in given && given.combine === "vote");

/** The keys that say where a reward comes from. */
export const REWARD_SOURCES = ["warm", "model", "models", "rubric", "module", "url"] as const;

/** Keys that go with some sources only. */
const REWARD_OPTIONS = [
  { keys: ["combine", "uwo_lambda", "normalise"], sources: ["models"], rest: "models (an ensemble)" },
  { keys: ["quantise"], sources: ["warm", "model", "models"], rest: "warm, model or models" },
  { keys: ["export"], sources: ["module"], rest: "module" },
  { keys: ["api_key_env", "max_retries"], sources: ["url"], rest: "url" },
  { keys: ["timeout_seconds"], sources: ["module", "url"], rest: "module or url" },
] as const;

/** The one source that was given, without the keys of the others. */
function singleReward(given: GivenReward, known: readonly string[], fail: Fail): SingleReward {
  const sources = REWARD_SOURCES.filter((source) => given[source] !== undefined);
  if (sources.length !== 1) {
    const found = sources.length === 0 ? "" : `, not ${sources.join(" and ")}`;
    return fail(`must give exactly one of ${known.join(", ")}${found}`);
  }
  for (const { keys, sources: wanted, rest } of REWARD_OPTIONS) {
    const stray = keys.find(
      (key) => given[key] !== undefined && !wanted.some((source) => source === sources[0]),
    );
    if (stray) return fail(`only goes with ${rest}`, [stray]);
  }
  const { warm, model, models, rubric, judge_model, module, url, ...others } = given;
  const { combine = "mean", uwo_lambda = 0.1, normalise = false, ...unspecific } = others;
  const {
    export: name = "default",
    api_key_env,
    timeout_seconds = 60,
    max_retries = 4,
    quantise: storage,
    ...rest
  } = unspecific;
  const strayRubric = [judge_model === undefined ? [] : ["judge_model"], Object.keys(rest)].flat()[0];
  if (rubric === undefined && strayRubric) return fail("only goes with rubric", [strayRubric]);
  const kept = storage && { quantise: storage };
  if (warm) return { warm, ...kept };
  if (model) return { model, ...kept };
  if (models) return { models, combine, uwo_lambda, normalise, ...kept };
  if (module) return { module, export: name, timeout_seconds };
  if (url) return { url, ...(api_key_env && { api_key_env }), timeout_seconds, max_retries };
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

export const reward = section(
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
