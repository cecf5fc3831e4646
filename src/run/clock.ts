// Where the time of an alignment step goes: seconds and tokens of each phase.

import type { Metrics } from "./metrics.js";

export type Clock = Record<
  "sample" | "judge" | "reward" | "logprobs" | "critic" | "backward" | "optimizer",
  Phase
>;

export interface Phase {
  seconds: number;
  tokens: number;
}

export function newClock(): Clock {
  const phase = () => ({ seconds: 0, tokens: 0 });
  return {
    sample: phase(),
    judge: phase(),
    reward: phase(),
    logprobs: phase(),
    critic: phase(),
    backward: phase(),
    optimizer: phase(),
  };
}

/** Runs `work` on the clock of a phase; `tokens` is how many it handled, or how to count them in its result. */
export async function timed<T>(
  phase: Phase,
  tokens: number | ((result: T) => number),
  work: () => Promise<T>,
): Promise<T> {
  const start = performance.now();
  const result = await work();
  phase.seconds += (performance.now() - start) / 1000;
  phase.tokens += typeof tokens === "number" ? tokens : tokens(result);
  return result;
}

/**
 * Runs both at the same time. On the clock of `phase` is only what the second takes longer than the first, so that the
 * phases of a step add up to it. When one throws, the other is waited for: nothing goes on behind a step that failed.
 */
export async function sideBySide<A, B>(
  first: () => Promise<A>,
  second: () => Promise<B>,
  phase: Phase,
): Promise<[A, B]> {
  const one = first();
  const two = second();
  const both = Promise.allSettled([one, two]);
  await Promise.allSettled([one]);
  await timed(phase, 0, () => both);
  return [await one, await two];
}

export function addClock(total: Clock, step: Clock): void {
  for (const [name, { seconds, tokens }] of Object.entries(step) as [keyof Clock, Phase][]) {
    total[name].seconds += seconds;
    total[name].tokens += tokens;
  }
}

/** "sample 277, reward 350, logprobs 765, backward 327" */
export function describeRates(clock: Clock): string {
  return Object.entries(clock)
    .filter(([, { tokens }]) => tokens > 0)
    .map(([name, { seconds, tokens }]) => `${name} ${Math.round(tokens / seconds)}`)
    .join(", ");
}

/** Seconds of every phase that there was, and tokens per second of those that count tokens. */
export function rates(clock: Clock): Metrics {
  return Object.fromEntries(
    Object.entries(clock)
      .filter(([, { seconds }]) => seconds > 0)
      .flatMap(([name, { seconds, tokens }]) => [
        [`time/${name}_seconds`, seconds],
        ...(tokens > 0 ? [[`time/${name}_tokens_per_second`, tokens / seconds]] : []),
      ]),
  );
}
