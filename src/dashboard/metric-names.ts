// The metrics that runs write, for people: what each is called, what it is a share of, and which come first.

import type { NumberFormat } from "./numbers.js";

export interface MetricLook {
  /** With its unit. */
  title: string;
  format?: NumberFormat;
  caption?: string;
  /** Charts of one quantity have one scale. Default: the title. */
  quantity?: string;
  /**
   * In the units of each task's own reward: tasks are not compared by it, and a mean over them is of nothing.
   */
  isOfItsTask?: boolean;
}

const reward = { isOfItsTask: true } as const;
const share = { format: "percent" } as const;

/** Metrics that a reader looks for first, in this order; the others follow. */
const LOOKS: Record<string, MetricLook> = {
  true_reward: { title: "True reward", caption: "Never seen in training." },
  reward: { title: "Proxy reward", caption: "What the reward model says.", ...reward },
  calibrated_reward: { title: "Calibrated reward", caption: "Eq. 5: chance to beat the baseline response." },
  regularised_reward: {
    title: "Constraint- and KL-regularised reward",
    caption: "Eq. 11: the calibrated reward times the part of kl_max that is left; 0 where a judge objects.",
  },
  kl: { title: "KL to the reference, nats a response" },
  "constraints/satisfied_rate": { title: "Samples that satisfy every judge", ...share },
  violation_rate: { title: "Violation rate", ...share, quantity: "violations" },
  accuracy: { title: "Accuracy", ...share },
  margin: { title: "Reward margin", ...reward },
  "eval/accuracy": { title: "Accuracy on held-out pairs", ...share, quantity: "Accuracy" },
  mean_token_accuracy: {
    title: "Token accuracy",
    ...share,
    caption: "Share of the learned tokens that were the model's first choice.",
  },
  "eval/mean_token_accuracy": {
    title: "Token accuracy on held-out rows",
    ...share,
    quantity: "Token accuracy",
  },
  entropy: { title: "Entropy of the predictions, nats a token" },
  "eval/loss": { title: "Loss on held-out rows" },
};

/** Metrics of interest when something is wrong. */
const FURTHER: Record<string, MetricLook> = {
  above_kl_max_rate: { title: "Responses beyond kl_max", ...share },
  approx_kl: { title: "KL of the update, nats a token", caption: "Half the mean squared log-ratio." },
  best_reward: { title: "Reward of the best response to each prompt", ...reward },
  clip_ratio: { title: "Tokens or responses whose ratio is clipped", ...share },
  critic_grad_norm: { title: "Gradient norm of the critic" },
  epoch: { title: "Epochs" },
  failed_samples: { title: "Samples without verdict or reward" },
  fallback_rate: { title: "Prompts that learn their baseline response", ...share },
  frac_reward_zero_std: { title: "Prompts whose responses have one reward", ...share },
  grad_norm: { title: "Gradient norm" },
  kept_prompt_rate: { title: "Prompts that are learned from", ...share },
  kl_factor_above_one_rate: { title: "Responses with log-ratio below 0", ...share },
  kl_factor_zero_rate: { title: "Responses at or beyond kl_max, whose reward is 0", ...share },
  learned_samples: { title: "Sequences that entered the gradient" },
  learning_rate: { title: "Learning rate" },
  log_ratio: { title: "Mean log-ratio to the reference, nats a response" },
  loss: { title: "Loss" },
  max_reward: { title: "Highest reward of the batch", ...reward },
  mean_reward: { title: "Mean reward of the batch", ...reward },
  min_reward: { title: "Lowest reward of the batch", ...reward },
  non_score_reward: { title: "KL penalty taken off the reward" },
  num_tokens: { title: "Tokens seen, prompts included" },
  policy_loss: { title: "Loss of the policy" },
  return: { title: "Return: reward less the KL penalty", ...reward },
  rlhf_reward: { title: "Reward less the KL penalty", ...reward },
  samples: { title: "Samples" },
  satisfied_rate: { title: "Judged samples that satisfy every judge", ...share },
  tokens: { title: "Tokens learned" },
  value_clip_ratio: { title: "Values of the critic that are clipped", ...share },
  value_loss: { title: "Loss of the critic" },
  "completions/clipped_ratio": { title: "Responses cut at the token limit", ...share },
  "completions/entropy": { title: "Entropy of the sampled tokens, nats a token" },
  "completions/mean_length": { title: "Length of the responses, tokens" },
  "completions/repetition": { title: "Repeated part of the responses", ...share },
  "constraints/dropped_rate": { title: "Samples dropped: a judge or the reward failed", ...share },
  "data/skipped_rows": { title: "Rows left out for their length" },
  "data/truncated_completions": { title: "Completions cut at their end" },
  "data/truncated_prompts": { title: "Prompts cut at their beginning" },
  "eval/entropy": { title: "Entropy of the predictions on held-out rows, nats a token" },
  "eval/margin": { title: "Reward margin on held-out pairs", ...reward },
  "judges/disagreement": { title: "Samples on which judges disagree", ...share },
  "logps/chosen": { title: "Log-probability of the chosen response, nats" },
  "logps/rejected": { title: "Log-probability of the rejected response, nats" },
  "mpo/buffer": { title: "MPO: samples that wait for a round" },
  "mpo/calls": { title: "MPO: requests" },
  "mpo/completion_tokens": { title: "MPO: tokens of the replies" },
  "mpo/cost": { title: "MPO: cost, in the currency of the prices" },
  "mpo/flagged": { title: "MPO: samples that the meta reward model flagged" },
  "mpo/prompt_tokens": { title: "MPO: tokens of the requests" },
  "mpo/published": { title: "MPO: versions published" },
  "mpo/rounds": { title: "MPO: rounds so far" },
  "mpo/sampled": { title: "MPO: samples shown to the meta reward model" },
  "mpo/validation_calls": { title: "MPO: requests that tried a candidate" },
  "rewards/accuracies": { title: "Pairs whose chosen response has the higher implicit reward", ...share },
  "rewards/chosen": { title: "Implicit reward of the chosen response" },
  "rewards/margins": { title: "Margin of the implicit rewards" },
  "rewards/mean": { title: "Reward of all responses, judged or not", ...reward },
  "rewards/rejected": { title: "Implicit reward of the rejected response" },
  "rewards/spread": { title: "Disagreement of the reward models, standard deviations" },
  "rubric/calls": { title: "Rubric: requests" },
  "rubric/calls_per_response": { title: "Rubric: requests a response" },
  "rubric/completion_tokens": { title: "Rubric: tokens of the replies" },
  "rubric/cost": { title: "Rubric: cost, in the currency of the prices" },
  "rubric/failed_rate": { title: "Rubric: responses without a score", ...share },
  "rubric/gate_violation_rate": { title: "Rubric: responses that a gate item stops", ...share },
  "rubric/items": { title: "Rubric: items" },
  "rubric/max_total": { title: "Rubric: most points" },
  "rubric/prompt_tokens": { title: "Rubric: tokens of the requests" },
  "rubric/score": { title: "Rubric: share of the points", ...share },
  "rubric/version": { title: "Rubric: version" },
  "rubric/words": { title: "Rubric: words" },
  "lab/true_reward": { title: "True reward on held-out prompts" },
  "lab/true_deviation": { title: "Standard deviation of the true reward" },
  "lab/proxy_reward": { title: "Proxy reward on held-out prompts", ...reward },
  "lab/proxy_deviation": { title: "Standard deviation of the proxy reward", ...reward },
  "lab/kl": { title: "KL on held-out prompts, nats a response" },
};

/** Metrics that carry the name of a judge, a reward or a measure. */
const NAMED: readonly [RegExp, (name: string) => MetricLook][] = [
  [
    /^constraints\/(.+)\/violation_rate$/,
    (name) => ({ title: `Violations: ${name}`, ...share, quantity: "violations" }),
  ],
  [
    /^judges\/(.+)\/failed_rate$/,
    (name) => ({ title: `Judge that failed: ${name}`, ...share, quantity: "failures" }),
  ],
  [/^judges\/(.+)\/latency$/, (name) => ({ title: `Latency of judge ${name}, seconds` })],
  [/^rewards\/(.+)\/mean$/, (name) => ({ title: `Reward ${name}, mean`, ...reward })],
  [/^rewards\/(.+)\/std$/, (name) => ({ title: `Reward ${name}, standard deviation`, ...reward })],
  [
    /^measures\/(.+)\/spread$/,
    (name) => ({ title: `Measure ${name}: disagreement of its models`, ...reward }),
  ],
  [/^measures\/(.+)$/, (name) => ({ title: `Measure ${name}, never learned from`, ...reward })],
  [
    /^lab\/(.+)\/true_reward$/,
    (name) => ({
      title: `True reward on held-out prompts: ${name}`,
      quantity: "True reward on held-out prompts",
    }),
  ],
  [
    /^lab\/(.+)\/proxy_reward$/,
    (name) => ({
      title: `Proxy reward on held-out prompts: ${name}`,
      quantity: "Proxy reward on held-out prompts",
    }),
  ],
  [
    /^lab\/(.+)\/proxy_deviation$/,
    (name) => ({
      title: `Standard deviation of the proxy reward: ${name}`,
      quantity: "Standard deviation of the proxy reward",
    }),
  ],
  [
    /^lab\/(.+)\/kl$/,
    (name) => ({
      title: `KL on held-out prompts, nats a response: ${name}`,
      quantity: "KL on held-out prompts, nats a response",
    }),
  ],
];

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
  for (const table of [LOOKS, FURTHER]) if (Object.hasOwn(table, metric)) return table[metric]!;
  for (const [pattern, look] of NAMED) {
    const found = pattern.exec(metric);
    if (found) return look(found[1]!);
  }
  const last = metric.slice(metric.lastIndexOf("/") + 1);
  // Of somebody's own: in words, since there is no better name.
  const words = metric.replaceAll("/", ": ").replaceAll("_", " ");
  const title = words.slice(0, 1).toUpperCase() + words.slice(1);
  return /_rate$|accurac/.test(last) ? { title, ...share } : { title };
}

/**
 * The metrics of a run that are worth a chart: with a single task, its mean over the tasks would only repeat it, and with
 * several a mean of what each task has in units of its own would be of nothing.
 */
export function worthShowing(keys: readonly string[]): string[] {
  const tasksOf = new Map<string, number>();
  for (const key of keys) {
    const { task, metric } = parseMetric(key);
    if (task !== undefined) tasksOf.set(metric, (tasksOf.get(metric) ?? 0) + 1);
  }
  return keys.filter((key) => {
    const { task, metric } = parseMetric(key);
    const tasks = tasksOf.get(metric) ?? 0;
    return task !== undefined || tasks === 0 || (tasks > 1 && !lookOf(metric).isOfItsTask);
  });
}

export function rank(metric: string): number {
  const isViolation = /^constraints\/.+\/violation_rate$/.test(metric);
  const place = Object.keys(LOOKS).indexOf(isViolation ? "violation_rate" : metric);
  return place < 0 ? Number.POSITIVE_INFINITY : place;
}

/** Whether a metric is among those that a reader looks for first. */
export const isHeadline = (metric: string) => Number.isFinite(rank(metric));
