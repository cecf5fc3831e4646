// What an alignment is made of once everything is open. A recipe is one way to make these parts (open.ts), a program is
// another (docs/library.md). Types only.

import type { RandomStream } from "../../base/random.js";
import type { PreferenceRow, PromptRow } from "../../data/rows.js";
import type { Completion, LanguageModel, ScalarModel, Sequence } from "../../engine/contract.js";
import type { Mixture, SampleJudgement } from "../../judges/mixture.js";
import type { LlmModels } from "../../llm/models.js";
import type { Objective, Outcome, SampleFinding, TaskBatch } from "../../objectives/index.js";
import type { TaskRecipe } from "../../recipe/recipe.js";
import type { Clock } from "../../run/clock.js";
import type { Metrics, Rollout } from "../../run/metrics.js";
import type { LengthCounts } from "../lengths.js";
import type { RewardSource, Scores } from "../rewards/source.js";
import type { Codec } from "../text.js";
import type { Critic } from "./critic.js";

export interface AlignParts {
  /** pi_w, which is trained. */
  policy: LanguageModel;
  /** pi_ref, which is not. */
  reference: LanguageModel;
  codec: Codec;
  tasks: readonly TaskParts[];
  /** V, which the tasks that learn by PPO share. */
  critic?: { model: ScalarModel; learningRate: number };
  /**
   * Language models that rewards and judges talk to: where their logs stand belongs in a checkpoint, and a trial before the run
   * is no part of it.
   */
  llm?: Pick<LlmModels, "state" | "restore" | "open" | "aside">;
  /** Lets go of what was opened for these parts. */
  dispose?(): void;
}

export type TaskParts = SamplingTask | PreferenceTask;

/** How the rows of a task fitted its limits, and what was left out and cut, in sentences. */
export interface Fit {
  lengths: LengthCounts;
  remarks: readonly string[];
}

/** How a task samples from the policy. */
export interface SamplingLimits {
  /** B: prompts of a step. */
  batchPrompts: number;
  /** K: responses to each. */
  generations: number;
  maxNewTokens: number;
  /** A longer prompt loses its beginning. Absent: none is cut. */
  maxPromptTokens?: number | undefined;
  /** Default 1, which the constrained optimizers assume. */
  temperature?: number;
  /** Default 1 (off). */
  topP?: number;
  /** Default 0 (off). */
  topK?: number;
}

/** A task that learns from samples of the policy. */
export interface SamplingTask {
  name: string;
  /** rho_l: weight of the task's gradient in the shared step. Default 1. */
  weight?: number;
  prompts: readonly PromptRow[];
  fit?: Fit;
  /** What of the task nobody looks at, in sentences. */
  remarks?: readonly string[];
  /** r_pair. Absent: 0 for every response. */
  reward?: RewardSource;
  /** y = AND_h J_h(s, a). Absent: every response is feasible. */
  judges?: Mixture;
  objective: Objective | PpoObjective;
  limits: SamplingLimits;
  /** Where abar comes from (CGPO, eq. 5). Default: the row's own answer where there is one, else a sample of pi_ref. */
  baselineResponse?: TaskRecipe["baselineResponse"];
  /**
   * The largest share of a step's samples that may have failed, for every judge and for all reasons together; a step above
   * it ends the run at a checkpoint. Default 0.2; 1 is off.
   */
  maxFailedRate?: number;
  /** The judges' part in the reward of an objective without constraints. */
  judgeGate?: JudgeGate;
  /** What is looked at on the samples and never learned from. */
  measures?: readonly Measure[];
  /** Taken off the reward of a response that does not end by itself. Default 0. */
  missingEosPenalty?: number;
  lengthPenalty?: TaskRecipe["lengthPenalty"];
}

/** A reward, or a mixture of one judge, that no gradient sees. */
export interface Measure {
  name: string;
  /** Measured at every k-th step. Default 1. */
  every?: number;
  of: RewardSource | Mixture;
}

export interface JudgeGate {
  /** A satisfied sample counts with R_calib (eq. 5), or with its raw reward. */
  calibrated: boolean;
  /** What a violating sample counts with. */
  violatedReward: number;
}

/** PPO, which learns with a critic beside the policy (ppo.ts). */
export interface PpoObjective {
  name: string;
  calibrates?: boolean;
  learnsBaselines?: undefined;
  critic: {
    klCoef: number;
    clipRange: number;
    valueClipRange: number;
    gamma: number;
    gaeLambda: number;
    ppoEpochs: number;
    miniBatches: number;
    whitenRewards: boolean;
  };
}

/** A task that learns from pairs of a better and a worse completion (offline DPO, dpo.ts). */
export interface PreferenceTask {
  name: string;
  weight?: number;
  pairs: readonly PreferenceRow[];
  beta: number;
  /** Pairs of a step. */
  batchPairs: number;
  /** Tokens of prompt and completion. */
  maxLength: number;
  /** Tokens of the prompt alone. */
  maxPromptLength?: number | undefined;
  /** What becomes of a pair of which a sequence does not fit. Default: the run does not start. */
  overlong?: "stop" | "skip" | "truncate_left";
  /** What the recipe says of plain prompts. */
  applyChatTemplate?: boolean | undefined;
  /** What of the task nobody looks at, in sentences. */
  remarks?: readonly string[];
}

/** A task that samples, with every default filled in. */
export interface SampledTask extends SamplingTask {
  weight: number;
  reward: RewardSource;
  judges: Mixture;
  measures: readonly Measure[];
  /** Rewards are compared with those of abar (eq. 5). */
  calibrates: boolean;
  missingEosPenalty: number;
  maxFailedRate: number;
  baselineResponse: NonNullable<SamplingTask["baselineResponse"]>;
  /** Seeds of the samples. */
  random: RandomStream;
  /** abar of every prompt that has come up, by its id. */
  baselines: Map<string, Baseline>;
  /** The next B prompts. */
  nextPrompts(): readonly PromptRow[];
}

/** What a step of a task works with. */
export interface StepContext {
  policy: LanguageModel;
  reference: LanguageModel;
  /** Where a task learns by PPO. */
  critic?: Critic;
  codec: Codec;
  clock: Clock;
  /** What goes to rollouts.jsonl beside the samples: the tokens of so many of each task and step. */
  logged?: { tokens: number } | undefined;
  signal?: AbortSignal;
}

/** A task as the loop sees it: what it does in a step, and what of it belongs in a checkpoint. */
export interface RunningTask {
  name: string;
  /** rho_l. */
  weight: number;
  fit?: Fit | undefined;
  /** Rows of the step at hand. */
  batch(): readonly { id: string }[];
  /** Begins step `step` (1 for the first) at the weights as they are now. */
  begin(step: number, context: StepContext): Promise<TaskStep>;
  /** JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: every task knows the shape of its own state
  state(): any;
  // biome-ignore lint/suspicious/noExplicitAny: what `state` gave
  restore(state: any): void;
}

export interface TaskStep {
  /** Updates of the policy that the task takes part in. */
  updates: number;
  /** Accumulates rho_l g_l of update `update` (from 0) at the weights as they are then. */
  accumulate(update: number): Promise<Update>;
  /** After the last update: what else there is to say about the step. */
  finish(): Promise<{ metrics: Metrics; rollouts: Rollout[] }>;
}

/** Learning from samples. */
export interface SampleLearning extends Pick<TaskStep, "updates" | "accumulate"> {
  /** What the first update made of each sample. */
  findings(): readonly SampleFinding[];
  /** Columns of rollouts.jsonl of its own. */
  columns?: readonly Readonly<Record<string, unknown>>[];
}

export interface Update {
  metrics: Metrics;
  /** Sequences that entered the gradient; 0 leaves the policy as it is. */
  learned: number;
}

/** abar of a prompt (eq. 5). */
export interface Baseline {
  tokens: number[];
  isCutOff: boolean;
  /** What the judges say; absent until they have, in the step that takes it. */
  judged?: Outcome;
  /** Absent while no version of the reward has scored it. */
  score?: BaselineScore;
}

export interface BaselineScore {
  /** r_pair(s, abar). */
  reward: number;
  /** abar fails a gate of the reward's own. */
  isViolated: boolean;
  /** Of the reward (`RewardSource.versionFor`). */
  version: string;
}

/** What a task's policy said in one step, and all that is known of it. Arrays have one entry per completion. */
export interface TaskRollouts {
  rows: readonly PromptRow[];
  completions: readonly Completion[];
  sequences: readonly Sequence[];
  responses: readonly string[];
  judgements: readonly SampleJudgement[];
  scores: Scores;
  /** Of the judges and of the reward, before the update. */
  metrics: Metrics;
  batch: TaskBatch;
  /** abar, one for each prompt where the task calibrates its rewards. */
  baselineSequences: readonly Sequence[];
}
