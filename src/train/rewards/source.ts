// Where the reward of a task comes from: what the loop of align asks of it, and nothing about how it is made. Types only.

import type { PromptRow } from "../../data/rows.js";
import type { TokenIds } from "../../engine/contract.js";
import type { Metrics } from "../../run/metrics.js";
import type { TaskRollouts } from "../align/parts.js";

/** One response to score. */
export interface RewardInput {
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
  /** What else rollouts.jsonl is to say of each response. */
  notes: readonly Readonly<Record<string, unknown>>[];
}

/** Samples of the policy, of which a step has one batch, or after them the baseline responses of their prompts. */
export type ScoredAs = "samples" | "baselines";

/** Where a task's reward comes from. */
export interface RewardSource {
  /** `afterStep` is to see rollouts of the initial policy, as those of update 0, before the first update. */
  readonly hasPreview?: boolean;
  /** What scores the responses to a prompt now. Scores of one version are comparable with each other only. */
  versionFor(row: PromptRow): string;
  /** Scores by one version; throws the signal's reason when that aborts. */
  score(responses: readonly RewardInput[], as: ScoredAs, signal?: AbortSignal): Promise<Scores>;
  /** Sees the rollouts of update `step` (1 for the first) and may change its version for the next. */
  afterStep(step: number, rollouts: TaskRollouts): Promise<Metrics>;
  /** What belongs in a checkpoint. JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: every source knows the shape of its own state
  state(): any;
  // biome-ignore lint/suspicious/noExplicitAny: what `state` gave
  restore(state: any): void;
}

/** r_pair(s, a) of every sequence (prompt and response tokens, end token included). */
export type RewardFunction = (sequences: readonly TokenIds[]) => Promise<Float64Array>;
