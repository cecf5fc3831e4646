// The event files of run directories.

import { readdir, rm, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { writeFileAtomic } from "../base/atomic.js";
import { UserError } from "../base/errors.js";
import { makeDirectory } from "../base/files.js";
import { isRunDirectory, runDirectories } from "../run/directory.js";
import { type Rollout, readJsonl } from "../run/metrics.js";
import { tensorboardEvents } from "./tensorboard.js";

const NAME = /^events\.out\.tfevents\.\d+\.touchstone$/;

/**
 * Writes an event file for each run, in place of the one it had: into `tensorboard/` of its directory, or into a directory of
 * its name in `out`. Returns the files.
 */
export async function eventsFromRuns(given: readonly string[], out?: string): Promise<string[]> {
  const dirs = (await Promise.all(given.map(runDirectories))).flat();
  const files: string[] = [];
  for (const dir of dirs) {
    if (!(await isRunDirectory(dir)))
      throw new UserError(`${dir} is not a run directory: it has no recipe.yaml`);
    const metricsFile = join(dir, "metrics.jsonl");
    const metrics = await readJsonl(metricsFile);
    if (metrics.length === 0) throw new UserError(`${metricsFile} has no rows yet: there is nothing to show`);
    const events = tensorboardEvents(metrics, {
      end: (await stat(metricsFile)).mtimeMs / 1000,
      timings: await readJsonl(join(dir, "timings.jsonl")),
      rollouts: await readJsonl<Rollout>(join(dir, "rollouts.jsonl")),
    });
    const target = out === undefined ? join(dir, "tensorboard") : join(out, basename(resolve(dir)));
    await makeDirectory(target);
    const file = join(target, `events.out.tfevents.${Math.floor(Date.now() / 1000)}.touchstone`);
    await writeFileAtomic(file, events);
    for (const name of await readdir(target))
      if (NAME.test(name) && join(target, name) !== file) await rm(join(target, name));
    files.push(file);
  }
  return files;
}
