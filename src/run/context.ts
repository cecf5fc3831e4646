// What surrounds a loop: whether to continue, when to stop, and whom to tell.

import { setMaxListeners } from "node:events";
import type { Metrics, Rollout } from "./metrics.js";

/** Receives what a person at the terminal wants to know. Every method may be called often; none may throw. */
export interface Reporter {
  /** One line worth keeping on the screen: what data was found, where a result was written. */
  note(line: string): void;
  /** Begins a phase of `total` steps (continuing at `done`), named for a person: "reward model 2 of 4". */
  begin(label: string, total: number, done?: number): void;
  /** `done` steps of the current phase are complete. */
  step(done: number, metrics?: Metrics): void;
  /** What the step at hand has sampled. */
  samplesTaken?(rows: readonly Rollout[]): void;
  /** The current phase is over. */
  end(): void;
}

export interface RunContext {
  reporter: Reporter;
  /** Continue the run that the output directory holds. */
  resume: boolean;
  /** Aborted by Ctrl-C: the loop drops or finishes its step, saves a checkpoint and throws InterruptedError. */
  signal?: AbortSignal;
}

/** A reporter that says nothing. */
export const silent: Reporter = { note() {}, begin() {}, step() {}, end() {} };

/** The run was interrupted after a checkpoint; the same command with --resume continues it. */
export class InterruptedError extends Error {
  override name = "InterruptedError";
}

/** Of a signal that as many may wait for as have something under way: requests, programs, judgements. */
export function patientController(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

/** What `work` is when the signal has ended it, whatever it says of that. */
export const isInterruption = (error: unknown, signal: AbortSignal | undefined): boolean =>
  signal?.aborted === true && (error === signal.reason || (error as Error | null)?.name === "AbortError");

let saving = 0;

/** While `work` runs, a first Ctrl-C waits for it: it ends by itself when the signal aborts, and saves before. */
export async function endsItself<T>(work: () => Promise<T>): Promise<T> {
  saving++;
  try {
    return await work();
  } finally {
    saving--;
  }
}

/** Whether something runs that must not be cut off in the middle. */
export const isSaving = (): boolean => saving > 0;
