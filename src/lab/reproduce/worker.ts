// The process of one seed (harness.ts).

import { mkdir } from "node:fs/promises";
import { writeFileAtomic } from "../../base/atomic.js";
import { serveJob } from "../../train/child.js";
import { type ExperimentName, loadExperiment, type SeedContext } from "./experiment.js";

export interface SeedJob extends Omit<SeedContext, "log" | "signal"> {
  experiment: ExperimentName;
  seed: number;
  /** Where the result goes. */
  result: string;
}

serveJob<SeedJob, string, undefined>(async ({ experiment, seed, result: path, ...job }, log, signal) => {
  const started = performance.now();
  await mkdir(job.dir, { recursive: true });
  const { runSeed } = await loadExperiment(experiment);
  const result = await runSeed(seed, { ...job, log, signal });
  const seconds = Math.round((performance.now() - started) / 1000);
  await writeFileAtomic(path, `${JSON.stringify({ seed, seconds, result })}\n`);
  return undefined;
});
