// Jobs of the same moment, done together: what arrives while others are worked on waits and becomes the next batch.

import type { limiter } from "./requests.js";

export interface GatheringOptions {
  /** Most jobs of one call. */
  most?: number;
}

interface Waiting<Job, Result> {
  job: Job;
  resolve(result: Result): void;
  reject(error: unknown): void;
}

/** Hands the jobs that gather until their turn comes to one call of `handle`, whose results are in their order. */
export function gathering<Job, Result>(
  turn: ReturnType<typeof limiter>,
  handle: (jobs: Job[]) => Promise<Result[]>,
  { most = Number.POSITIVE_INFINITY }: GatheringOptions = {},
): (job: Job) => Promise<Result> {
  const waiting: Waiting<Job, Result>[] = [];
  let isScheduled = false;
  const work = async () => {
    // Requests of the same moment shall meet.
    await new Promise((resolve) => setImmediate(resolve));
    const batch = waiting.splice(0, most);
    isScheduled = false;
    if (waiting.length > 0) schedule();
    try {
      const results = await handle(batch.map(({ job }) => job));
      batch.forEach(({ resolve }, i) => {
        resolve(results[i]!);
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  };
  const schedule = () => {
    if (isScheduled) return;
    isScheduled = true;
    void turn(work);
  };
  return (job) =>
    new Promise((resolve, reject) => {
      waiting.push({ job, resolve, reject });
      schedule();
    });
}
