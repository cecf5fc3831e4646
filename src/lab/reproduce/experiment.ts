// What an experiment is to the harness: something to make once, something to run for each seed, and a page and a JSON
// document made of all results.

import type { Report } from "../../dashboard/report.js";

/** What an experiment is run with. */
export interface SharedContext {
  /** Made by `prepare`, read by every seed; kept over restarts. */
  sharedDir: string;
  /** CPU threads of this process. */
  threads: number;
  /** A miniature of the experiment, to see that it runs; its figures mean nothing. */
  quick: boolean;
  /** Settings of the experiment's own, from the command line. */
  options: Readonly<Record<string, string>>;
  /** One line for the person at the terminal. */
  log(message: string): void;
  signal?: AbortSignal;
}

export interface SeedContext extends SharedContext {
  /** The seed's own directory, kept over restarts: what is finished in it need not be done again. */
  dir: string;
}

export interface SeedResult<R> {
  seed: number;
  result: R;
}

export interface Findings {
  /** For scripts: every figure with its interval, every claim with its verdict. */
  json: unknown;
  /** For people, in the order of the paper's figures. */
  report: Report;
  /** A few lines for the terminal. */
  summary: string;
}

/** A piece of a seed's work that may run in a process of its own, beside others. */
export interface Part {
  name: string;
  /** The parts of the same seed that must be finished first. */
  after?: readonly string[];
}

/** `R` is plain JSON: it is written to disk and read back. */
export interface Experiment<R> {
  name: string;
  /** Makes what all seeds share; does nothing when it is there. */
  prepare(context: SharedContext): Promise<void>;
  /** What can be done ahead of `runSeed`, which then makes only what is missing. Default: nothing. */
  parts?(context: Pick<SharedContext, "quick" | "options">): readonly Part[];
  /** Leaves what the part makes in the seed's directory. */
  runPart?(seed: number, part: string, context: SeedContext): Promise<void>;
  runSeed(seed: number, context: SeedContext): Promise<R>;
  report(results: readonly SeedResult<R>[], context: { sharedDir: string }): Findings;
}
