// Cutting sequences into padded batches of similar length, so that memory stays bounded whatever the data.

import type { DecoderConfig } from "../../model/config.js";
import type { TokenIds } from "../contract.js";

/**
 * Groups indices of `lengths` into batches whose padded size (rows times longest) stays within `tokenBudget`; a
 * sequence that is longer than the budget has a batch of its own. Longest first, so that a lack of memory shows at
 * once. Lengths up to `border` never share a batch with lengths beyond it. Deterministic.
 */
export function bucketByLength(
  lengths: readonly number[],
  tokenBudget: number,
  { maxRows = Infinity, border = Infinity }: { maxRows?: number; border?: number } = {},
): number[][] {
  const order = lengths.map((_, i) => i).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  const batches: number[][] = [];
  let batch: number[] = [];
  let width = 0;
  for (const i of order) {
    const isFull = (batch.length + 1) * width > tokenBudget || batch.length >= maxRows;
    const crosses = width > border && lengths[i]! <= border;
    if (batch.length > 0 && (isFull || crosses)) {
      batches.push(batch);
      batch = [];
    }
    if (batch.length === 0) width = lengths[i]!;
    batch.push(i);
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}

/** Right-padded token matrix. Padding is token 0, which nothing real can see. */
export function padTokens(sequences: readonly TokenIds[], width: number): Int32Array {
  const tokens = new Int32Array(sequences.length * width);
  sequences.forEach((sequence, b) => {
    tokens.set(sequence, b * width);
  });
  return tokens;
}

/** Elements of logits that exist at a time. */
const logitsBudget = 1 << 25;

export interface TokenBudget {
  /** Padded tokens in one forward batch, where only one layer's activations are alive. */
  forward: number;
  /** Padded tokens in one backward batch, where all layers' are. */
  backward: number;
}

/** Budgets that keep the activations of a batch near `bytes`: four samples of 128 tokens behind one prompt of 256, of SmolLM2-135M. */
export function tokenBudgetFor(config: DecoderConfig, bytes = 1.75 * 2 ** 30): TokenBudget {
  const perLayer = 4 * (11 * config.hiddenSize + 6 * config.intermediateSize + 4 * config.heads * 128);
  // 1024 tokens keep the matrix units busy and most of what one layer touches in the cache; more were slower.
  const clamp = (tokens: number, most: number): number => Math.max(256, Math.min(most, Math.floor(tokens)));
  return {
    forward: clamp(bytes / perLayer, 4096),
    backward: clamp(bytes / (perLayer * config.layers), 1024),
  };
}

/** Pieces in which the logits of `n` positions are made. */
export function logitChunks({ head, vocabSize }: DecoderConfig, n: number): number {
  if (head === "scalar") return 1;
  return 2 ** Math.max(0, Math.ceil(Math.log2((n * vocabSize) / logitsBudget)));
}
