// The alarms of a run that is finished, or on its way, from what it has written.

import { join } from "node:path";
import { UserError } from "../base/errors.js";
import { readText } from "../base/files.js";
import { parseYaml } from "../base/yaml.js";
import { MONITOR_SIGNALS } from "../recipe/align.js";
import { type MetricsRow, type Rollout, readMetrics, readRollouts } from "../run/metrics.js";
import { tellingSamples } from "./signals.js";
import { type Alarm, Watch, type WatchOptions } from "./watch.js";

export interface RunAlarms {
  /** Steps that have metrics. */
  steps: number;
  alarms: (Alarm & { samples: Rollout[] })[];
}

/** What the recipe.yaml of a run says of its monitor; nothing where it says nothing that can be used. */
function settingsIn(text: string, path: string): WatchOptions {
  const given = (parseYaml(text, path) as { monitor?: unknown } | null)?.monitor;
  if (given === false) return { signals: [] };
  if (typeof given !== "object" || given === null) return {};
  const { window, threshold, signals } = given as Record<string, unknown>;
  const known = Array.isArray(signals) ? MONITOR_SIGNALS.filter((name) => signals.includes(name)) : undefined;
  return {
    ...(typeof window === "number" && window >= 2 && { window }),
    ...(typeof threshold === "number" && threshold > 0 && { threshold }),
    ...(known && { signals: known }),
  };
}

/** The alarms that a run's metrics raise, oldest first; `changes` replace what its recipe says. */
export function alarmsIn(
  rows: readonly MetricsRow[],
  recipe: { text: string; path: string },
  changes: WatchOptions = {},
): Alarm[] {
  const watch = new Watch({ ...settingsIn(recipe.text, recipe.path), ...changes });
  return rows.flatMap(({ step, ...metrics }) => watch.observe(step, metrics));
}

/**
 * Every alarm of a run, oldest first, each with the samples of its step that tell most of it. A directory without metrics is
 * a UserError.
 */
export async function alarmsOfRun(dir: string, changes: WatchOptions = {}): Promise<RunAlarms> {
  const rows = await readMetrics(join(dir, "metrics.jsonl"));
  if (rows.length === 0)
    throw new UserError(`${dir} has no metrics.jsonl with a step in it; give the directory of a run`);
  const path = join(dir, "recipe.yaml");
  const alarms = alarmsIn(rows, { text: await readText(path).catch(() => ""), path }, changes);
  if (alarms.length === 0) return { steps: rows.length, alarms: [] };
  const wanted = new Set(alarms.map(({ step }) => step));
  const rollouts = (await readRollouts(join(dir, "rollouts.jsonl"))).filter(({ step }) => wanted.has(step));
  return {
    steps: rows.length,
    alarms: alarms.map((alarm) => ({
      ...alarm,
      samples: tellingSamples(
        alarm,
        rollouts.filter(({ step }) => step === alarm.step),
      ),
    })),
  };
}
