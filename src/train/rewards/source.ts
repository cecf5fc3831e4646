// Where the reward of a task comes from: what the loop of align asks of it, and nothing about how it is made. Types only.

import type { PromptRow } from "../../data/rows.js";
import type { TokenIds } from "../../engine/contract.js";
import type { Rubric } from "../../mpo/rubric.js";
import type { RubricVersion } from "../../mpo/rubric-file.js";
import type { Metrics } from "../../run/metrics.js";
import type { TaskRollouts } from "../align/parts.js";

/** One response to score. */
export interface ScoredResponse {
  row: PromptRow;
  text: string;
  /** Prompt and response, end token included. */
  tokens: TokenIds;
  /** Of the sample: the source of whatever chance the scoring needs. */
  seed: number;
}

export interface Scores {
  /** r_pair(s, a) of every response; NaN where it could not be had. */
  rewards: Float64Array;
  /** The reward could not be had: the sample teaches nothing and enters no mean. */
  failed: readonly boolean[];
  /** Why it could not, for the person who reads that a run has ended. */
  reasons?: readonly (string | undefined)[];
  /** The response fails a gate of the reward's own: for the objectives it violates a constraint. */
  violated: readonly boolean[];
  /**
   * What else rollouts.jsonl is to say of each response. By these very objects a source knows its scores again, so that
   * scores of several calls may be joined.
   */
  notes: readonly Readonly<Record<string, unknown>>[];
}

/** What a source sees of the samples of an update after it. */
export type ScoredRollouts = Pick<
  TaskRollouts,
  "rows" | "responses" | "judgements" | "scores" | "metrics"
> & {
  completions: readonly { promptIndex: number }[];
};

/**
 * Samples of the policy, of which a step has one batch (in parts, from a source that `scoresApart`), or after them the baseline responses of their prompts; a trial
 * before the first step leaves no trace.
 */
export type ScoredAs = "samples" | "baselines" | "trial";

/** Where a task's reward comes from. */
export interface RewardSource {
  /** Tokens of prompt and response that it reads. Absent: any number. */
  readonly maxTokens?: number | undefined;
  /** `afterStep` is to see rollouts of the initial policy, as those of update 0, before the first update. */
  readonly hasPreview?: boolean;
  /** The score of a response does not depend on what else is scored with it. */
  readonly scoresApart?: boolean | undefined;
  /** What scores the responses to a prompt now. Scores of one version are comparable with each other only. */
  versionFor(row: PromptRow): string;
  /** Scores by one version; throws the signal's reason when that aborts. */
  score(responses: readonly ScoredResponse[], as: ScoredAs, signal?: AbortSignal): Promise<Scores>;
  /** Sees the rollouts of update `step` (1 for the first) and may change its version for the next. */
  afterStep(step: number, rollouts: ScoredRollouts): Promise<Metrics>;
  /** The rubric, where the reward is one or has one in it. */
  readonly rubrics?: RubricVersions | undefined;
  /** What belongs in a checkpoint. JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: every source knows the shape of its own state
  state(): any;
  // biome-ignore lint/suspicious/noExplicitAny: what `state` gave
  restore(state: any): void;
}

/** The versions of an evolving rubric, for a person who watches them. Cluster "" is the whole task. */
export interface RubricVersions {
  /** Those that score now. */
  current(): ReadonlyMap<string, Rubric>;
  /** All so far, oldest first. */
  history(cluster: string): Promise<RubricVersion[]>;
  /** Publishes the items of an earlier version as the next one, so that no version number ever means two rubrics. */
  rollBack(cluster: string, version: number): Promise<Rubric>;
}

/** r_pair(s, a) of every sequence (prompt and response tokens, end token included). */
export type RewardFunction = (sequences: readonly TokenIds[]) => Promise<Float64Array>;
