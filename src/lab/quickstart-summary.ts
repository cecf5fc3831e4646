// The quickstart's result in short: lines for a person, an object for a script.

import { percent } from "../base/percent.js";
import type { Interval } from "../base/statistics.js";
import type { PolicyOutcome, QuickstartResult } from "./quickstart.js";

const interval = ({ estimate, low, high }: Interval): string =>
  `${estimate.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`;

/** First and last evaluation of a metric along a run. */
function ends({ metrics }: PolicyOutcome, key: string): { first: number; last: number } {
  const values = metrics.map((row) => row[key]).filter((value) => typeof value === "number");
  return { first: values[0]!, last: values.at(-1)! };
}

export function summarise(result: QuickstartResult): { json: object; lines: string[] } {
  const policy = (outcome: PolicyOutcome) => ({
    model: outcome.model,
    true_reward: outcome.trueReward,
    true_reward_along: ends(outcome, "lab/true_reward"),
    proxy_reward_along: ends(outcome, "lab/proxy_reward"),
    kl: ends(outcome, "lab/kl").last,
  });
  const line = (name: string, outcome: PolicyOutcome): string => {
    const proxy = ends(outcome, "lab/proxy_reward");
    return `${name.padEnd(44)} true reward ${interval(outcome.trueReward)}, proxy ${proxy.first.toFixed(2)} -> ${proxy.last.toFixed(2)}, KL ${ends(outcome, "lab/kl").last.toFixed(1)}`;
  };
  return {
    json: {
      seed: result.seed,
      seconds: Math.round(result.seconds),
      report: result.report,
      start: { true_reward: result.start.trueReward },
      plain: policy(result.plain),
      touchstone: policy(result.touchstone),
      reward_models: result.rewardModels,
      win_rates: result.winRates.map(({ ours, theirs, winRate }) => ({ ours, theirs, win_rate: winRate })),
    },
    lines: [
      `${"start".padEnd(44)} true reward ${interval(result.start.trueReward)}`,
      line("plain policy gradient, one reward model", result.plain),
      line("CRPG + WARM + judges", result.touchstone),
      ...result.winRates.map(
        ({ ours, theirs, winRate: { estimate, low, high } }) =>
          `${ours} against ${theirs}: wins ${percent(estimate)} (${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)})`,
      ),
      `report: ${result.report}`,
    ],
  };
}
