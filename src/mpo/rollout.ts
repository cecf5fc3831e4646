// What the meta reward model learns from: responses of the policy with their scores.

import type { RewardSample, RubricScore, Scored } from "./rubric-reward.js";

export interface ScoredRollout extends RewardSample {
  step: number;
  score: Scored;
  /** What the judges outside the rubric found, by name. */
  verdicts?: Record<string, string>;
  /** All judges outside the rubric were satisfied. */
  feasible?: boolean;
  /** Depth mode: whose rubric scored it. */
  cluster?: string;
}

export type MpoRollout = Omit<ScoredRollout, "score"> & { score: RubricScore };

/** Share of the attainable total; 0 when a gate of the rubric is failed. */
export const normalised = ({ total, maxTotal, feasible }: Scored): number =>
  feasible ? Math.max(total / maxTotal, 0) : 0;

export const words = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}']+/gu) ?? [];

/** Distinct words over words; 1 for an empty text. */
export function distinctRatio(text: string): number {
  const all = words(text);
  return all.length === 0 ? 1 : new Set(all).size / all.length;
}
