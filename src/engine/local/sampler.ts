// Choosing the next token of one row from its distribution.

import { hash32, uniformAt } from "../../base/random.js";

export interface SamplingOptions {
  temperature: number;
  topK: number;
  topP: number;
}

export interface Choice {
  token: number;
  /** log of the probability with which the token was drawn (after top-k and top-p). */
  samplingLogprob: number;
}

const stream = hash32("sample");

/** Index of the first largest element of row `row`. */
export function argmax(values: Float32Array, row: number, width: number): number {
  const start = row * width;
  let best = start;
  for (let i = start + 1; i < start + width; i++) if (values[i]! > values[best]!) best = i;
  return best - start;
}

/**
 * Draws from row `row` of `probabilities` [rows, width] by the inverse distribution function. The draw is a pure
 * function of (seed, position), so a completion does not depend on what else is in the batch.
 */
export function draw(
  probabilities: Float32Array,
  row: number,
  width: number,
  { topK, topP }: SamplingOptions,
  seed: number,
  position: number,
): Choice {
  const start = row * width;
  const u = uniformAt(seed, stream, position);
  const floor = topK > 0 || topP < 1 ? cutOff(probabilities.subarray(start, start + width), topK, topP) : 0;
  let total = 0;
  for (let i = start; i < start + width; i++) if (probabilities[i]! >= floor) total += probabilities[i]!;
  const target = u * total;
  let cumulative = 0;
  let token = -1;
  for (let i = start; i < start + width; i++) {
    const p = probabilities[i]!;
    if (p < floor || p === 0) continue;
    token = i - start;
    cumulative += p;
    if (cumulative > target) break;
  }
  return { token, samplingLogprob: Math.log(probabilities[start + token]! / total) };
}

/**
 * The smallest probability that survives top-k (the k most likely) and then top-p (the fewest most likely whose
 * renormalised mass reaches p). Ties at the cut survive together.
 */
export function cutOff(probabilities: Float32Array, topK: number, topP: number): number {
  const candidates = mostLikely(probabilities, topK, topP);
  const kept = topK > 0 ? Math.min(topK, candidates.length) : candidates.length;
  if (topP >= 1) return candidates[kept - 1]!;
  let mass = 1;
  if (topK > 0) {
    mass = 0;
    for (let i = 0; i < kept; i++) mass += candidates[i]!;
  }
  let cumulative = 0;
  for (let i = 0; i < kept; i++) {
    cumulative += candidates[i]!;
    if (cumulative >= topP * mass) return candidates[i]!;
  }
  return candidates[kept - 1]!;
}

/**
 * The most likely probabilities in descending order, at least as many as the cut can need: sorting a whole
 * vocabulary for every token would cost more than the model, so values are first counted by binary exponent.
 */
function mostLikely(probabilities: Float32Array, topK: number, topP: number): Float32Array {
  const bits = new Uint32Array(probabilities.buffer, probabilities.byteOffset, probabilities.length);
  const counts = new Uint32Array(256);
  const masses = new Float64Array(256);
  for (let i = 0; i < bits.length; i++) {
    const exponent = bits[i]! >>> 23;
    counts[exponent]!++;
    masses[exponent]! += probabilities[i]!;
  }
  let count = 0;
  let mass = 0;
  let lowest = 255;
  for (; lowest > 0; lowest--) {
    count += counts[lowest]!;
    mass += masses[lowest]!;
    if (topK > 0 ? count >= topK : mass >= topP + 1e-6) break;
  }
  return probabilities
    .filter((_, i) => bits[i]! >>> 23 >= lowest)
    .sort()
    .reverse();
}
