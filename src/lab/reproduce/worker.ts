// The process of one seed, or of a part of it (harness.ts).

import { writeFileAtomic } from "../../base/atomic.js";
import { makeDirectory } from "../../base/files.js";
import { serveJob } from "../../run/child.js";
import type { SeedContext } from "./experiment.js";
import { type ExperimentName, loadExperiment } from "./experiments.js";

export interface SeedJob extends Omit<SeedContext, "log" | "signal"> {
  experiment: ExperimentName;
  seed: number;
  /** Default: the whole seed. */
  part?: string;
  /** Where the result of the whole seed goes. */
  result: string;
  /** That its parts have taken. */
  secondsBefore: number;
}

/** Answers with the seconds it took. */
serveJob<SeedJob, string, number>(async (job, log, signal) => {
  const { experiment: name, seed, part, result: path, secondsBefore, ...rest } = job;
  const started = performance.now();
  const seconds = () => (performance.now() - started) / 1000;
  await makeDirectory(rest.dir);
  const experiment = await loadExperiment(name);
  const context = { ...rest, log, signal };
  if (part !== undefined) await experiment.runPart!(seed, part, context);
  else {
    const result = await experiment.runSeed(seed, context);
    const stored = { seed, seconds: Math.round(secondsBefore + seconds()), result };
    await writeFileAtomic(path, `${JSON.stringify(stored)}\n`);
  }
  return seconds();
});
