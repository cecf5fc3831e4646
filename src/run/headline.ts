// The metrics that a person looks for first, in a few words.

import { percent } from "../base/percent.js";
import type { Metrics } from "./metrics.js";

/** What a person looks for first; a metric of a task is shown under the task's name. */
const SHOWN = [
  "true_reward",
  "reward",
  "eval/accuracy",
  "accuracy",
  "kl",
  "log_ratio",
  "satisfied_rate",
  "constraints/satisfied_rate",
  "eval/loss",
  "loss",
  "mean_token_accuracy",
  "entropy",
];

/** Up to `count` of the metrics that matter most, as "reward 1.2". */
export function headline(metrics: Metrics, count: number): string[] {
  const general = (key: string) => key.replace(/^tasks\/[^/]+\//, "");
  const place = (key: string) => SHOWN.indexOf(general(key));
  // A mean over the tasks says it for all of them.
  const isCovered = (key: string) => general(key) !== key && general(key) in metrics;
  const shown = Object.entries(metrics)
    .filter((entry): entry is [string, number] => typeof entry[1] === "number")
    .filter(([key]) => place(key) >= 0 && !isCovered(key))
    .sort(([a], [b]) => place(a) - place(b))
    .slice(0, count)
    .map(([key, value]) => {
      const name = key
        .replace(/^tasks\/([^/]+)\//, "$1 ")
        .replace("constraints/", "")
        .replace("_rate", "");
      return `${name} ${value.toPrecision(3)}`;
    });
  return [...shown, ...droppedIn(metrics)];
}

/** "dropped 12 %: judge style: ..." for every task that dropped samples. */
const droppedIn = (metrics: Metrics): string[] =>
  Object.entries(metrics).flatMap(([key, rate]) => {
    const task = /^tasks\/([^/]+)\/dropped_rate$/.exec(key)?.[1];
    if (task === undefined || typeof rate !== "number" || rate === 0) return [];
    const reason = String(metrics[`tasks/${task}/dropped_reason`] ?? "").slice(0, 60);
    return [`${task} dropped ${percent(rate, 0)}${reason && `: ${reason}`}`];
  });
