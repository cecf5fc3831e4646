// What a trainer asks about and what it gets: one response to one prompt, and everything that the recipe says of it.
// Types only.

import type { Metadata, Text } from "../data/rows.js";
import type { SampleJudgement } from "../judges/mixture.js";
import type { Outcome } from "../objectives/index.js";

export interface ServedSample {
  /** Of the prompt, where the trainer knows it. */
  id?: string | undefined;
  prompt: Text;
  response: string;
  /** The response was cut at the token limit. */
  truncated?: boolean | undefined;
  /** abar (CGPO, eq. 5), where the trainer brings its own. */
  baseline?: string | undefined;
  /** The prompt's other columns: answers, tests, instruction ids. */
  metadata: Metadata;
}

export interface ServedResult {
  task: string;
  promptId: string;
  /** `failed`: a judge, the reward or the baseline could not be had, which is neither good nor bad. */
  outcome: Outcome;
  /** The number that a trainer learns from (ServedTask.value); null when failed. */
  value: number | null;
  /** r(s, a) less what the task takes off. */
  reward: number | null;
  /** r(s, abar). */
  baselineReward: number | null;
  /** R_calib (CGPO, eq. 5). */
  calibratedReward: number | null;
  /** R_cr (CGPO, eq. 8). */
  regularisedReward: number | null;
  /** y = AND_h J_h(s, a), gates of the reward's own among them; null when a judge failed. */
  feasible: boolean | null;
  verdicts: SampleJudgement["verdicts"];
  /** Why it failed. */
  reason?: string;
  /** What else the reward says: the version of the rubric and its items, the parts of a sum. */
  notes: Readonly<Record<string, unknown>>;
}

/** What the trainer is to be told: the result, and whether an equal question had been answered before. */
export interface Answered {
  result: ServedResult;
  isRepeated: boolean;
}
