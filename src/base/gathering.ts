// Jobs of the same moment, done together: what arrives while others are worked on waits and becomes the next batch.

import { setTimeout as sleep } from "node:timers/promises";
import type { limiter } from "./requests.js";

export interface GatheringOptions {
  /** Most jobs of one call. */
  most?: number;
}

/** Without a new job in this time, a batch begins with what is there. */
const pauseMs = 1;

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
  /** Jobs of the last call: they come back together, within the time that their replies take to be read. */
  let before = 1;
  const work = async () => {
    // Requests of the same moment shall meet.
    await new Promise((resolve) => setImmediate(resolve));
    for (let seen = 0; before > 1 && waiting.length > seen && waiting.length < Math.min(before, most); ) {
      seen = waiting.length;
      await sleep(pauseMs);
    }
    const batch = waiting.splice(0, most);
    before = batch.length;
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
