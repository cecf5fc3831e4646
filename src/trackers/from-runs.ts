// Runs that are there, finished or on their way, for the tools of `report_to`.

import { basename, join, resolve } from "node:path";
import { UserError } from "../base/errors.js";
import { readText } from "../base/files.js";
import { parseYaml } from "../base/yaml.js";
import { camelKeys } from "../recipe/file.js";
import { isRunDirectory, runDirectories } from "../run/directory.js";
import { readEnding } from "../run/ending.js";
import { finalParts } from "../run/final.js";
import { readMetrics } from "../run/metrics.js";
import { sendToMlflow } from "./mlflow.js";
import type { MlflowSettings } from "./mlflow-client.js";
import { stepsOfRun } from "./steps.js";
import { writeEvents } from "./tensorboard.js";
import { trackWandb } from "./wandb.js";

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

/** How a run ended; `running`: it has not, or nobody was there to write it down. */
async function howEnded(dir: string): Promise<"finished" | "interrupted" | "failed" | "running"> {
  const { model, manifest } = await finalParts(dir);
  return model && manifest ? "finished" : ((await readEnding(dir))?.how ?? "running");
}

/** What the recipe of a run says of a tool. */
async function settingsIn(dir: string, kind: string): Promise<object> {
  const file = join(dir, "recipe.yaml");
  const { report_to: given = [] } = (parseYaml(await readText(file), file) ?? {}) as {
    report_to?: { kind: string }[];
  };
  return camelKeys(given.find((tracker) => tracker.kind === kind) ?? {});
}

/** Sends each run to MLflow: what its MLflow run has not yet, or a new one. Returns the ids of the MLflow runs. */
export async function runsToMlflow(
  given: readonly string[],
  changes: MlflowSettings,
  note: (line: string) => void,
): Promise<{ run: string; id: string }[]> {
  const sent: { run: string; id: string }[] = [];
  for (const dir of await runsToShow(given)) {
    const settings = { ...(await settingsIn(dir, "mlflow")), ...changes };
    const options = { dir: resolve(dir), steps: stepsOfRun(dir), note };
    sent.push({ run: dir, id: await sendToMlflow(settings, options, await howEnded(dir)) });
  }
  return sent;
}

/** Writes each run as an offline run, in place of the one it had: into `wandb/` of its directory, or into `out`. Returns the files. */
export async function runsToWandb(given: readonly string[], out?: string): Promise<string[]> {
  const files: string[] = [];
  for (const dir of await runsToShow(given)) {
    const target = out === undefined ? undefined : join(out, basename(resolve(dir)));
    const tracker = await trackWandb(await settingsIn(dir, "wandb"), {
      dir: resolve(dir),
      steps: stepsOfRun(dir),
      ...(target !== undefined && { target }),
    });
    await tracker.end(await howEnded(dir));
    files.push(tracker.file);
  }
  return files;
}
