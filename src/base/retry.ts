// The one loop of further attempts: pauses double with jitter, and a server that asks for a pause (Retry-After) gets it.

import { setTimeout as delay } from "node:timers/promises";

export interface RetryOptions {
  /** Further attempts after a failed one. */
  retries: number;
  /** First pause before a retry; doubles each time, with jitter. */
  backoffSeconds: number;
  /** Upper bound on any pause, a server's Retry-After included. */
  maxPauseSeconds?: number;
  /** Sleeps; tests give their own. */
  pause?: (seconds: number, signal?: AbortSignal) => Promise<void>;
  signal?: AbortSignal | undefined;
}

/** What is known of a failed attempt: whether another may succeed, and after how many seconds the server wants it. */
export interface Failure {
  isTransient: boolean;
  retryAfterSeconds?: number | undefined;
}

const sleep = async (seconds: number, signal?: AbortSignal): Promise<void> => {
  await delay(seconds * 1000, undefined, signal ? { signal } : {});
};

/** The first result of `attempt`, or its last error. `failureOf` judges an error; an abort ends everything. */
export async function retrying<T>(
  attempt: () => Promise<T>,
  failureOf: (error: unknown) => Failure,
  { retries, backoffSeconds, maxPauseSeconds = 60, pause = sleep, signal }: RetryOptions,
): Promise<T> {
  for (let failures = 0; ; failures++) {
    signal?.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      signal?.throwIfAborted();
      const { isTransient, retryAfterSeconds } = failureOf(error);
      if (!isTransient || failures >= retries) throw error;
      const backoff = backoffSeconds * 2 ** failures * (0.5 + Math.random() / 2);
      await pause(Math.min(retryAfterSeconds ?? backoff, maxPauseSeconds), signal);
    }
  }
}
