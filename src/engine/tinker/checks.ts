// What services take without a word, refused before it is sent.

import { NonFiniteError } from "../../base/errors.js";
import { firstNonFinite } from "../../model/floats.js";
import type { Sequence, SequenceLimits, TokenIds } from "../contract.js";

/** Throws where a sequence has tokens that the model does not have, is too long, or has nothing to score. */
export function requireSequences(sequences: readonly Sequence[], limits: SequenceLimits): void {
  for (const { tokens, promptLength } of sequences) {
    requireTokens(tokens, limits);
    if (!(promptLength >= 1 && promptLength <= tokens.length))
      throw new Error(`a sequence of ${tokens.length} tokens cannot have a prompt of ${promptLength}`);
  }
}

export function requireTokens(tokens: TokenIds, { vocabSize, maxTokens }: SequenceLimits): void {
  if (tokens.length === 0) throw new Error("a sequence has no tokens");
  if (tokens.length > maxTokens)
    throw new Error(`a sequence has ${tokens.length} tokens, more than the model's ${maxTokens}`);
  for (const token of tokens)
    if (!(Number.isInteger(token) && token >= 0 && token < vocabSize))
      throw new Error(`token ${token} is not in the vocabulary of ${vocabSize} tokens`);
}

export function requireFinite(rows: readonly Float32Array[], what: string): void {
  rows.forEach((row, i) => {
    const at = firstNonFinite(row);
    if (at >= 0) throw new NonFiniteError(`${what}: number ${at} of sequence ${i} is ${row[at]}`);
  });
}
