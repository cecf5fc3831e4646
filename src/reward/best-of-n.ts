// Best-of-n: what a selector would have gained with n answers a prompt, estimated from a larger sample of them.

/** log n - (n - 1)/n, nats: KL between best-of-n and its sampler where the ranker never ties, an upper bound otherwise. */
export function bestOfNKl(n: number): number {
  return Math.log(n) - (n - 1) / n;
}

/**
 * Expected gold reward of the answer with the highest proxy reward among n drawn from the N given (without
 * replacement), without bias (Nakano et al., 2112.09332): with the answers in ascending proxy order,
 * R_n = sum_{i=n}^{N} C(i-1, n-1) / C(N, n) * gold(S_i). Ties in the proxy count their mean gold.
 */
export function bestOfN(proxy: ArrayLike<number>, gold: ArrayLike<number>, n: number): number {
  const size = proxy.length;
  if (!(Number.isInteger(n) && n >= 1 && n <= size)) {
    throw new Error(`Best-of-n of ${size} answers needs a whole n between 1 and ${size}, not ${n}.`);
  }
  const sorted = goldByProxy(proxy, gold);
  // C(i-1, n-1)/C(N, n) is n/N at i = N, and each step down multiplies it by (i - n)/(i - 1).
  let weight = n / size;
  let sum = 0;
  for (let i = size; i >= n; i--) {
    sum += weight * sorted[i - 1]!;
    weight *= (i - n) / (i - 1);
  }
  return sum;
}

export interface BestOfNPoint {
  n: number;
  /** `bestOfNKl(n)`. */
  kl: number;
  proxy: number;
  gold: number;
}

/** Proxy and gold reward of best-of-n at every given n, averaged over prompts; one row of answers for each prompt. */
export function bestOfNCurve(
  proxy: readonly ArrayLike<number>[],
  gold: readonly ArrayLike<number>[],
  ns: readonly number[],
): BestOfNPoint[] {
  const average = (n: number, rewards: readonly ArrayLike<number>[]): number =>
    proxy.reduce((sum, row, p) => sum + bestOfN(row, rewards[p]!, n), 0) / proxy.length;
  return ns.map((n) => ({ n, kl: bestOfNKl(n), proxy: average(n, proxy), gold: average(n, gold) }));
}

/** Gold rewards in ascending order of proxy, ties replaced by their mean. */
function goldByProxy(proxy: ArrayLike<number>, gold: ArrayLike<number>): Float64Array {
  const order = Array.from({ length: proxy.length }, (_, i) => i).sort((i, j) => proxy[i]! - proxy[j]!);
  const out = new Float64Array(order.length);
  for (let start = 0; start < order.length; ) {
    let end = start;
    let sum = 0;
    while (end < order.length && proxy[order[end]!] === proxy[order[start]!]) sum += gold[order[end++]!]!;
    out.fill(sum / (end - start), start, end);
    start = end;
  }
  return out;
}
