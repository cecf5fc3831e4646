// The metrics that runs write, for people: what each is called, what it is a share of, and which come first.

import type { NumberFormat } from "./numbers.js";

export interface MetricLook {
  title: string;
  format?: NumberFormat;
  caption?: string;
}

/** Metrics that a reader looks for first, in this order; the others follow under their own names. */
const LOOKS: Record<string, MetricLook> = {
  true_reward: { title: "True reward", caption: "Never seen in training." },
  reward: { title: "Proxy reward", caption: "What the reward model says." },
  calibrated_reward: { title: "Calibrated reward", caption: "Eq. 5: chance to beat the baseline response." },
  regularised_reward: { title: "Constraint- and KL-regularised reward", caption: "Eq. 11." },
  kl: { title: "KL to the reference, nats a response" },
  "constraints/satisfied_rate": { title: "Samples that satisfy every judge", format: "percent" },
  violation_rate: { title: "Violation rate", format: "percent" },
  accuracy: { title: "Accuracy", format: "percent" },
  margin: { title: "Reward margin" },
  "eval/accuracy": { title: "Accuracy on held-out pairs", format: "percent" },
  mean_token_accuracy: {
    title: "Token accuracy",
    format: "percent",
    caption: "Share of the learned tokens that were the model's first choice.",
  },
  "eval/mean_token_accuracy": { title: "Token accuracy on held-out rows", format: "percent" },
  entropy: { title: "Entropy of the predictions, nats a token" },
  "eval/loss": { title: "Loss on held-out rows" },
};

/** Metrics of interest when something is wrong. */
const PLAIN_TITLES: Record<string, string> = {
  log_ratio: "Mean log-ratio to the reference, nats a response",
  loss: "Loss",
  grad_norm: "Gradient norm",
  learning_rate: "Learning rate",
  "completions/mean_length": "Length of the responses, tokens",
  epoch: "Epochs",
  num_tokens: "Tokens seen, prompts included",
  "eval/entropy": "Entropy of the predictions on held-out rows, nats a token",
  "data/skipped_rows": "Rows left out for their length",
  "data/truncated_prompts": "Prompts cut at their beginning",
  "data/truncated_completions": "Completions cut at their end",
};

export interface MetricName {
  task?: string;
  /** The name without its task. */
  metric: string;
}

/** `tasks/chat/reward` is the metric `reward` of task `chat`. */
export function parseMetric(key: string): MetricName {
  const task = /^tasks\/([^/]+)\/(.+)$/.exec(key);
  return task ? { task: task[1]!, metric: task[2]! } : { metric: key };
}

export function lookOf(metric: string): MetricLook {
  if (Object.hasOwn(LOOKS, metric)) return LOOKS[metric]!;
  const constraint = /^constraints\/(.+)\/violation_rate$/.exec(metric);
  if (constraint) return { title: `Violations: ${constraint[1]}`, format: "percent" };
  const last = metric.slice(metric.lastIndexOf("/") + 1);
  const isShare = /_rate$|accurac/.test(last) && last !== "learning_rate";
  const title = Object.hasOwn(PLAIN_TITLES, metric) ? PLAIN_TITLES[metric]! : metric;
  return { title, format: isShare ? "percent" : undefined };
}

export function rank(metric: string): number {
  const isViolation = /^constraints\/.+\/violation_rate$/.test(metric);
  const place = Object.keys(LOOKS).indexOf(isViolation ? "violation_rate" : metric);
  return place < 0 ? Number.POSITIVE_INFINITY : place;
}

/** Whether a metric is among those that a reader looks for first. */
export const isHeadline = (metric: string) => Number.isFinite(rank(metric));
