// Supervised fine-tuning: the negative log-likelihood of the completion tokens.

import { emptyResult, type Logprobs, type ObjectiveResult, zerosLike } from "./objective.js";

export interface SftBatch {
  /** log pi(token | prefix) of every completion token; the prompt is conditioned on, not scored. */
  logprobs: Logprobs;
  /** 1 where a token is learned, 0 where it is only conditioned on (the user's turns in a dialogue). Default: all. */
  mask?: readonly ArrayLike<number>[];
}

export interface SftOptions {
  /** "token": every token weighs the same. "sequence": every sequence does. */
  average?: "token" | "sequence";
}

/** L = -mean over learned tokens of log pi(token | prefix). */
export function sft({ logprobs, mask }: SftBatch, { average = "token" }: SftOptions = {}): ObjectiveResult {
  const learned = (i: number, t: number): boolean => mask === undefined || mask[i]![t] !== 0;
  const lengths = logprobs.map((tokens, i) => {
    let length = 0;
    for (let t = 0; t < tokens.length; t++) length += Number(learned(i, t));
    return length;
  });
  const samples = lengths.filter((length) => length > 0).length;
  const tokenCount = lengths.reduce((sum, length) => sum + length, 0);
  if (tokenCount === 0) return emptyResult(logprobs, { tokens: 0 });

  const g = zerosLike(logprobs);
  let loss = 0;
  let nll = 0;
  logprobs.forEach((tokens, i) => {
    const weight = average === "token" ? 1 / tokenCount : 1 / (samples * lengths[i]!);
    for (let t = 0; t < tokens.length; t++) {
      if (!learned(i, t)) continue;
      loss -= weight * tokens[t]!;
      nll -= tokens[t]!;
      g[i]![t] = -weight;
    }
  });
  return {
    loss,
    g,
    metrics: { samples, tokens: tokenCount, perplexity: Math.exp(nll / tokenCount) },
  };
}
