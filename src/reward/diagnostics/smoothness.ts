// How much a reward jumps when one token of a response changes. WARM's remark 5 has averages smoother than their
// members, and smooth rewards give policy gradients less to exploit.

import type { RandomStream } from "../../base/random.js";
import { mean, standardDeviation } from "../../base/statistics.js";
import type { Sequence, TokenIds } from "../../engine/contract.js";
import { allRewards, type PairScores } from "./pair-scores.js";

/** The distinct tokens of the responses, their ends left out. */
export function responseTokens(responses: readonly Sequence[]): number[] {
  const seen = new Set<number>();
  for (const { tokens, promptLength } of responses)
    for (let t = promptLength; t < tokens.length - 1; t++) seen.add(tokens[t]!);
  return [...seen].sort((a, b) => a - b);
}

/**
 * The sequence with one token of its response replaced by another one of `vocabulary`. The last token, which ends the
 * response, stays; a response of nothing else gets a token before it.
 */
export function editOneToken(
  { tokens, promptLength }: Sequence,
  vocabulary: readonly number[],
  stream: RandomStream,
): TokenIds {
  const length = tokens.length - 1 - promptLength;
  const at = promptLength + (length > 0 ? stream.integer(length) : 0);
  const others = length > 0 ? vocabulary.filter((token) => token !== tokens[at]) : vocabulary;
  if (others.length === 0) return tokens;
  return Array.from(tokens).toSpliced(at, length > 0 ? 1 : 0, stream.choice(others));
}

/** mean |r(y) - r(y')| / sd(r) over all responses y of the pairs, y' being y with one token changed. */
export function editSensitivity(scores: PairScores, edited: PairScores): number {
  const [r, changed] = [allRewards(scores), allRewards(edited)];
  return mean(r.map((value, i) => Math.abs(value - changed[i]!))) / standardDeviation(r, 0);
}
