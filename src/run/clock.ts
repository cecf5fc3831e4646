// Where the time of an alignment step goes: seconds and tokens of each phase.

import type { Metrics } from "./metrics.js";

export type Clock = Record<
  "sample" | "judge" | "reward" | "logprobs" | "critic" | "backward" | "optimizer",
  Phase
>;

export interface Phase {
  seconds: number;
  tokens: number;
  /** Work of the phase begins; returns what ends it. */
  begin(): () => void;
}

/** When several phases are under way, the time is the first one's: judges and rewards are waited for by nobody meanwhile. */
const precedence: readonly (keyof Clock)[] = [
  "sample",
  "logprobs",
  "backward",
  "optimizer",
  "critic",
  "reward",
  "judge",
];

export function newClock(): Clock {
  let [since, phases]: [number, Phase[]] = [0, []];
  const running = new Map<Phase, number>();
  /** Books the time since the last change. */
  const settle = (): void => {
    const now = performance.now();
    const first = phases.find((phase) => running.get(phase));
    if (first) first.seconds += (now - since) / 1000;
    since = now;
  };
  const phase = (): Phase => {
    const change = (by: number): void => {
      settle();
      running.set(own, (running.get(own) ?? 0) + by);
    };
    const own: Phase = {
      seconds: 0,
      tokens: 0,
      begin() {
        change(1);
        return () => change(-1);
      },
    };
    return own;
  };
  const clock: Clock = {
    sample: phase(),
    judge: phase(),
    reward: phase(),
    logprobs: phase(),
    critic: phase(),
    backward: phase(),
    optimizer: phase(),
  };
  phases = precedence.map((name) => clock[name]);
  return clock;
}

/**
 * Runs `work` on the clock of a phase; `tokens` is how many it handled, or how to count them in its result. The phases of a
 * step add up to the time in which there was any.
 */
export async function timed<T>(
  phase: Phase,
  tokens: number | ((result: T) => number),
  work: () => Promise<T>,
): Promise<T> {
  const end = phase.begin();
  try {
    const result = await work();
    phase.tokens += typeof tokens === "number" ? tokens : tokens(result);
    return result;
  } finally {
    end();
  }
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
