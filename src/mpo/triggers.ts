// Signs that the policy has learned the rubric's weakness, so that a round need not wait for its turn. MPO's
// rounds come at fixed intervals; these triggers are ours.

import { mean, type RunningState, RunningStatistics, standardDeviation } from "../base/statistics.js";
import { normalised, type ScoredRollout, words } from "./rollout.js";

/** An absent threshold is off. */
export interface TriggerOptions {
  /** Mean normalised score above this. */
  saturation?: number;
  /** Standard deviation of the normalised scores below this. */
  minDeviation?: number;
  /** Mean response length above this multiple of its mean since the last round, or below its inverse. */
  lengthFactor?: number;
  /** KL above this multiple of its mean since the last round. */
  klFactor?: number;
  /** Share of prompts whose responses all have the same score above this. */
  zeroDeviationGroups?: number;
}

export type Trigger =
  | "interval"
  | "saturation"
  | "score-deviation"
  | "response-length"
  | "kl"
  | "zero-deviation-groups";

/** What a step is compared with. JSON-serialisable. */
export interface TriggerBaseline {
  length: RunningState;
  kl: RunningState;
}

/** A jump is measured against at least this many steps. */
const minSteps = 3;

export const emptyBaseline = (): TriggerBaseline => ({
  length: new RunningStatistics().state(),
  kl: new RunningStatistics().state(),
});

export interface StepSigns {
  meanScore: number;
  deviation: number;
  length: number;
  kl: number | undefined;
  zeroDeviationGroups: number;
}

export function stepSigns(rollouts: readonly ScoredRollout[], kl?: number): StepSigns {
  const scores = rollouts.map(({ score }) => normalised(score));
  const groups = new Map<string, number[]>();
  for (const [i, { promptId }] of rollouts.entries()) {
    groups.set(promptId, [...(groups.get(promptId) ?? []), scores[i]!]);
  }
  const several = [...groups.values()].filter((group) => group.length > 1);
  const flat = several.filter((group) => group.every((score) => score === group[0]));
  return {
    meanScore: mean(scores),
    deviation: scores.length > 1 ? standardDeviation(scores) : Number.POSITIVE_INFINITY,
    length: mean(rollouts.map(({ response }) => words(response).length)),
    kl,
    zeroDeviationGroups: several.length === 0 ? 0 : flat.length / several.length,
  };
}

export function addToBaseline({ length, kl }: TriggerBaseline, signs: StepSigns): TriggerBaseline {
  const lengths = new RunningStatistics(length);
  lengths.push(signs.length);
  const kls = new RunningStatistics(kl);
  if (signs.kl !== undefined) kls.push(signs.kl);
  return { length: lengths.state(), kl: kls.state() };
}

/** The first trigger that a step sets off, or undefined. */
export function firedTrigger(
  options: TriggerOptions,
  signs: StepSigns,
  { length, kl }: TriggerBaseline,
): Trigger | undefined {
  const {
    saturation = Infinity,
    minDeviation = -Infinity,
    lengthFactor = Infinity,
    klFactor = Infinity,
    zeroDeviationGroups = Infinity,
  } = options;
  if (signs.meanScore > saturation) return "saturation";
  if (signs.deviation < minDeviation) return "score-deviation";
  const jump = signs.length / length.mean;
  if (length.count >= minSteps && (jump > lengthFactor || jump < 1 / lengthFactor)) return "response-length";
  if (kl.count >= minSteps && signs.kl !== undefined && signs.kl > klFactor * kl.mean) return "kl";
  if (signs.zeroDeviationGroups > zeroDeviationGroups) return "zero-deviation-groups";
  return undefined;
}
