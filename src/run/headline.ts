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

const general = (key: string) => key.replace(/^tasks\/[^/]+\//, "");

/** The metrics that matter, the first ones most, by names for a person; those that a mean over the tasks stands for come last. */
export function mainFigures(metrics: Metrics): { name: string; value: number; isCovered: boolean }[] {
  const place = (key: string) => SHOWN.indexOf(general(key));
  return Object.entries(metrics)
    .filter((entry): entry is [string, number] => typeof entry[1] === "number" && place(entry[0]) >= 0)
    .sort(([a], [b]) => place(a) - place(b))
    .map(([key, value]) => ({
      name: key
        .replace(/^tasks\/([^/]+)\//, "$1 ")
        .replace("constraints/", "")
        .replace("_rate", ""),
      value,
      isCovered: general(key) !== key && general(key) in metrics,
    }))
    .sort((a, b) => Number(a.isCovered) - Number(b.isCovered));
}

/** Up to `count` of the metrics that matter most, as "reward 1.2". */
export function headline(metrics: Metrics, count: number): string[] {
  const shown = mainFigures(metrics)
    .filter(({ isCovered }) => !isCovered)
    .slice(0, count)
    .map(({ name, value }) => `${name} ${value.toPrecision(3)}`);
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
