// The process of one seed: takes its job from the harness, writes result.json, and tells how it goes.

import { mkdir } from "node:fs/promises";
import { writeFileAtomic } from "../../base/atomic.js";
import { UserError } from "../../base/errors.js";
import { InterruptedError } from "../../train/context.js";
import { type ExperimentName, loadExperiment, type SeedContext } from "./experiment.js";

export interface SeedJob extends Omit<SeedContext, "log" | "signal"> {
  experiment: ExperimentName;
  seed: number;
  /** Where the result goes. */
  result: string;
}

export type FromWorker =
  | { type: "log"; text: string }
  | { type: "failed"; text: string; isUserError: boolean; isInterrupt: boolean };

const tell = (message: FromWorker) => new Promise((resolve) => process.send?.(message, resolve));

async function run({ experiment, seed, result: path, ...job }: SeedJob): Promise<void> {
  const started = performance.now();
  const controller = new AbortController();
  process.on("SIGINT", () => controller.abort());
  await mkdir(job.dir, { recursive: true });
  const { runSeed } = await loadExperiment(experiment);
  const result = await runSeed(seed, {
    ...job,
    log: (text) => void tell({ type: "log", text }),
    signal: controller.signal,
  });
  const seconds = Math.round((performance.now() - started) / 1000);
  await writeFileAtomic(path, `${JSON.stringify({ seed, seconds, result })}\n`);
}

// The harness is gone: nobody waits for the result.
process.on("disconnect", () => process.exit(1));

process.once("message", (job: SeedJob) => {
  run(job).then(
    () => process.exit(0),
    async (error: Error) => {
      const isUserError = error instanceof UserError;
      const text = isUserError ? error.message : (error.stack ?? String(error));
      await tell({ type: "failed", text, isUserError, isInterrupt: error instanceof InterruptedError });
      process.exit(1);
    },
  );
});
