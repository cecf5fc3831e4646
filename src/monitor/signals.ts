// What an alignment's figures show when a policy learns the flaws of its reward: the reward goes on rising, and something
// that it does not see moves the wrong way. One row a signal; which of them help is measured in docs/monitor.md.

import { repeatedShare } from "../base/repetition.js";
import type { MonitorSignal } from "../recipe/align.js";
import type { Rollout } from "../run/metrics.js";
import type { DriftRule } from "./drift.js";

export interface Signal extends DriftRule {
  /** Of a task's metrics, the ones that it watches. */
  metric: RegExp;
  /** What moved, for a person: "the share of feasible samples". The first group of `metric` is put for `*`. */
  what: string;
  /** Counts only while the smoothed reward is no lower than it was at the beginning of the change. */
  besideReward: boolean;
  /** Watches how much the metric grew over the last `window` steps instead of the metric. */
  isSpeed?: boolean;
  /** How much a sample tells of it; the most telling are shown. */
  telling(sample: Rollout, metric: string): number;
}

const no = Number.NEGATIVE_INFINITY;
const rewardOf = ({ reward }: Rollout) => reward ?? no;

/** The value of a column that holds numbers by name. */
function measured({ measures }: Rollout, name: string): number | undefined {
  const value = (measures as Record<string, unknown> | undefined)?.[name];
  return typeof value === "number" ? value : undefined;
}

const hasBoth = ({ verdicts }: Rollout) => {
  const said = new Set(Object.values(verdicts).map(({ verdict }) => verdict));
  return said.has("satisfied") && said.has("violated");
};

export const SIGNALS: Record<MonitorSignal, Signal> = {
  held_out: {
    metric: /^measures\/([^/]+)$/,
    what: "the held-out measure *",
    direction: "falls",
    least: 0,
    besideReward: true,
    telling: (sample, metric) =>
      -(measured(sample, metric.slice("measures/".length)) ?? Number.POSITIVE_INFINITY),
  },
  feasible: {
    metric: /^constraints\/satisfied_rate$/,
    what: "the share of feasible samples",
    direction: "falls",
    least: 0.05,
    besideReward: true,
    telling: (sample) => (sample.outcome === "violated" ? rewardOf(sample) : no),
  },
  members: {
    metric: /^(?:rewards|measures\/([^/]+))\/spread$/,
    what: "the disagreement of the reward's members",
    direction: "rises",
    least: 0.25,
    isRelative: true,
    besideReward: true,
    telling: ({ spread }) => (typeof spread === "number" ? spread : no),
  },
  judges: {
    metric: /^judges\/disagreement$/,
    what: "the share of samples on which judges disagree",
    direction: "rises",
    least: 0.1,
    besideReward: true,
    telling: (sample) => (hasBoth(sample) ? rewardOf(sample) : no),
  },
  kl_speed: {
    metric: /^kl$/,
    what: "the growth of KL over the last steps",
    direction: "rises",
    least: 1,
    isSpeed: true,
    besideReward: true,
    telling: ({ log_ratio }) => log_ratio ?? no,
  },
  length: {
    metric: /^completions\/mean_length$/,
    what: "the mean length of responses",
    direction: "either",
    least: 0.3,
    isRelative: true,
    besideReward: true,
    telling: rewardOf,
  },
  repetition: {
    metric: /^completions\/repetition$/,
    what: "the share of text that repeats itself",
    direction: "rises",
    least: 0.05,
    besideReward: true,
    telling: ({ response }) => repeatedShare(response),
  },
  entropy: {
    metric: /^completions\/entropy$/,
    what: "the entropy of the policy's tokens",
    direction: "falls",
    least: 0.3,
    isRelative: true,
    besideReward: true,
    telling: ({ log_ratio }) => log_ratio ?? no,
  },
  failures: {
    metric: /^dropped_rate$/,
    what: "the share of samples that could not be judged or rewarded",
    direction: "rises",
    least: 0.05,
    besideReward: false,
    telling: ({ outcome }) => (outcome === "failed" ? 0 : no),
  },
};

/** The samples that show best what an alarm is about, of the steps at hand. */
export function tellingSamples(
  { signal, metric, task }: { signal: MonitorSignal; metric: string; task: string },
  rollouts: readonly Rollout[],
  count = 5,
): Rollout[] {
  const { telling } = SIGNALS[signal];
  return rollouts
    .filter((sample) => sample.task === task)
    .map((sample) => ({ sample, weight: telling(sample, metric) }))
    .filter(({ weight }) => weight > no)
    .sort((a, b) => b.weight - a.weight || rewardOf(b.sample) - rewardOf(a.sample))
    .slice(0, count)
    .map(({ sample }) => sample);
}
