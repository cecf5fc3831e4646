// Runs that are there, finished or on their way, for the tools of `report_to`.

import { basename, join, resolve } from "node:path";
import { UserError } from "../base/errors.js";
import { isRunDirectory, runDirectories } from "../run/directory.js";
import { readMetrics } from "../run/metrics.js";
import { stepsOfRun } from "./steps.js";
import { writeEvents } from "./tensorboard.js";

/** The run directories that these stand for, each with something to show. */
async function runsToShow(given: readonly string[]): Promise<string[]> {
  const dirs = (await Promise.all(given.map(runDirectories))).flat();
  for (const dir of dirs) {
    if (!(await isRunDirectory(dir)))
      throw new UserError(`${dir} is not a run directory: it has no recipe.yaml`);
    const metrics = join(dir, "metrics.jsonl");
    if ((await readMetrics(metrics)).length === 0)
      throw new UserError(`${metrics} has no rows yet: there is nothing to show`);
  }
  return dirs;
}

/**
 * Writes an event file for each run, in place of the one it had: into `tensorboard/` of its directory, or into a directory of
 * its name in `out`. Returns the files.
 */
export async function eventsFromRuns(given: readonly string[], out?: string): Promise<string[]> {
  const files: string[] = [];
  for (const dir of await runsToShow(given)) {
    const target = out === undefined ? join(dir, "tensorboard") : join(out, basename(resolve(dir)));
    files.push(await writeEvents(target, stepsOfRun(dir)));
  }
  return files;
}
