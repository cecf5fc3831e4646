// Measuring a policy of the lab: true reward, the proxy that it was trained on, and distance from where it started.

import { hash32 } from "../base/random.js";
import { mean, standardDeviation, tInterval, winRate } from "../base/statistics.js";
import type { LanguageModel } from "../engine/contract.js";
import type { RewardFunction } from "../train/rewards/source.js";
import type { Codec } from "../train/text.js";
import { maxNewTokens } from "./world/base-model.js";
import { gold } from "./world/gold.js";
import type { PromptRow } from "./world/world.js";

/** One answer to a held-out prompt. */
export interface Answer {
  row: PromptRow;
  text: string;
  tokens: number;
  /** The true reward, in [0, 1]. */
  gold: number;
  /** The reward that the policy was trained on. */
  proxy: number;
  /** log(pi/pi_ref) of the answer, nats. */
  logRatio: number;
}

export interface EvaluateOptions {
  policy: LanguageModel;
  reference: LanguageModel;
  codec: Codec;
  proxy: RewardFunction;
  rows: readonly PromptRow[];
}

/** What a policy says to a prompt. */
export interface Said {
  text: string;
  /** Of the answer. */
  tokens: number;
  /** Tokens of prompt and answer. */
  sequence: number[];
  /** log(pi/pi_ref) of the answer, nats. */
  logRatio: number;
}

/**
 * One answer to every prompt at temperature 1. The seed belongs to the prompt, so policies that are compared answer the
 * same prompts with the same random numbers.
 */
export async function answer(
  { policy, reference, codec }: Pick<EvaluateOptions, "policy" | "reference" | "codec">,
  rows: readonly PromptRow[],
  maxNewTokens: number,
): Promise<Said[]> {
  const prompts = rows.map((row) => codec.prompt([{ role: "user", content: row.prompt }]));
  const completions = await policy.sample(prompts, {
    maxNewTokens,
    stopIds: codec.stopIds,
    seeds: rows.map(({ id }) => hash32(`evaluation ${id}`)),
  });
  const sequences = completions.map(({ tokens }, i) => ({
    tokens: [...prompts[i]!, ...tokens],
    promptLength: prompts[i]!.length,
  }));
  const [own, start] = [await policy.logprobs(sequences), await reference.logprobs(sequences)];
  return completions.map(({ tokens }, i) => ({
    text: codec.decode(tokens),
    tokens: tokens.length,
    // As the reward models read it.
    sequence: Array.from(codec.closed?.([], sequences[i]!.tokens) ?? sequences[i]!.tokens),
    logRatio: own[i]!.reduce((sum, logprob, t) => sum + logprob - start[i]![t]!, 0),
  }));
}

/** `answer`, with the true reward and the proxy of every answer. */
export async function evaluatePolicy({ proxy, rows, ...models }: EvaluateOptions): Promise<Answer[]> {
  const said = await answer(models, rows, maxNewTokens);
  const proxies = await proxy(said.map(({ sequence }) => sequence));
  return said.map(({ text, tokens, logRatio }, i) => ({
    row: rows[i]!,
    text,
    tokens,
    gold: gold(rows[i]!, text).score,
    proxy: proxies[i]!,
    logRatio,
  }));
}

/** Means over answers, per family and overall, as metrics; `lab/` marks what training never sees. */
export function labMetrics(answers: readonly Answer[]): Record<string, number> {
  const metrics: Record<string, number> = {};
  const add = (prefix: string, chosen: readonly Answer[]): void => {
    metrics[`${prefix}true_reward`] = mean(chosen.map((answer) => answer.gold));
    metrics[`${prefix}true_deviation`] = standardDeviation(chosen.map((answer) => answer.gold));
    metrics[`${prefix}proxy_reward`] = mean(chosen.map((answer) => answer.proxy));
    metrics[`${prefix}proxy_deviation`] = standardDeviation(chosen.map((answer) => answer.proxy));
    metrics[`${prefix}kl`] = mean(chosen.map((answer) => answer.logRatio));
  };
  add("lab/", answers);
  for (const family of new Set(answers.map(({ row }) => row.family)))
    add(
      `lab/${family}/`,
      answers.filter(({ row }) => row.family === family),
    );
  return metrics;
}

/** Mean true reward with its 95 % interval over prompts. */
export function goldInterval(answers: readonly Answer[]) {
  return tInterval(answers.map((answer) => answer.gold));
}

/** Share of prompts that `ours` answers better than `theirs` by the true reward, ties half, with its 95 % interval. */
export function goldWinRate(ours: readonly Answer[], theirs: readonly Answer[]) {
  return winRate(
    ours.map((answer) => answer.gold),
    theirs.map((answer) => answer.gold),
  );
}
