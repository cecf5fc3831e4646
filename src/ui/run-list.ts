// The runs under a directory, as their files tell of them: nothing is asked of a process, so a run may live on another
// machine's disk.

import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { basename, join, relative, resolve, sep } from "node:path";
import { UserError } from "../base/errors.js";
import { mean } from "../base/statistics.js";
import { parseYaml } from "../base/yaml.js";
import { readEnding } from "../run/ending.js";
import { finalParts } from "../run/final.js";
import { isHeld } from "../run/lock.js";
import type { MetricsRow } from "../run/metrics.js";
import { Tail } from "./tail.js";

/** `running`: a living process holds it, or, where that cannot be seen, its files have changed in the last two minutes. */
export type RunState = "running" | "finished" | "interrupted" | "failed";

/** A run as the list shows it. */
export interface RunSummary {
  /** Its directory, relative to the root, with slashes. */
  id: string;
  name: string;
  kind: string;
  state: RunState;
  /** Why it ended, where it did before its end. */
  reason?: string;
  /** Steps done. */
  step: number;
  /** Steps to do; null where the recipe counts epochs. */
  steps: number | null;
  /** Seconds to the end at the pace of the last steps; null when that is not known. */
  secondsLeft: number | null;
  /** Milliseconds since 1970 of its last sign of life. */
  changed: number;
  seed: number | null;
  /** The recipe's leaves as "tasks.chat.kl_max": "5". */
  recipe: Readonly<Record<string, string>>;
  hasRollouts: boolean;
}

/** Depth below the root at which runs are looked for: stages and seeds of experiments lie in directories of their own. */
const DEPTH = 4;

/** Directories of a run that hold no runs. */
const NOT_RUNS = new Set(["checkpoints", "final", "model", "node_modules", "rubrics"]);

/** How long a run whose process cannot be seen counts as running after its last line. */
const QUIET_MS = 120_000;

/** Every directory at or below `root` with a recipe.yaml, as paths relative to it. Links that lead out are not followed. */
export async function findRuns(root: string): Promise<string[]> {
  const found: string[] = [];
  const visit = async (dir: string, depth: number): Promise<void> => {
    const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
    if (entries.some((entry) => entry.isFile() && entry.name === "recipe.yaml"))
      found.push(relative(root, dir).split(sep).join("/") || ".");
    if (depth === 0) return;
    for (const entry of entries)
      if (entry.isDirectory() && !entry.name.startsWith(".") && !NOT_RUNS.has(entry.name))
        await visit(join(dir, entry.name), depth - 1);
  };
  await visit(root, DEPTH);
  return found.sort();
}

/** A file inside the runs directory; a UserError when a link leads out of it. */
export async function pathInside(root: string, ...parts: string[]): Promise<string> {
  const path = resolve(root, ...parts);
  const real = await realpath(path).catch(() => path);
  const realRoot = await realpath(root);
  if (real !== realRoot && !real.startsWith(realRoot + sep))
    throw new UserError(`${path} leads out of ${root}`);
  return path;
}

/** Text of a file of a run, empty where there is none. */
export async function readInside(root: string, ...parts: string[]): Promise<string> {
  return await readFile(await pathInside(root, ...parts), "utf8").catch(() => "");
}

/** The leaves of a recipe by their path. */
export function leavesOf(
  value: unknown,
  path = "",
  leaves: Record<string, string> = {},
): Record<string, string> {
  if (typeof value !== "object" || value === null) {
    leaves[path] = String(value);
    return leaves;
  }
  const isList = Array.isArray(value);
  for (const [key, inner] of Object.entries(value))
    leavesOf(inner, isList ? `${path}[${key}]` : path === "" ? key : `${path}.${key}`, leaves);
  return leaves;
}

/** Recipes by their path: a page that follows runs asks for them every second, and they are written once. */
const recipes = new Map<string, { written: number; leaves: Record<string, string> }>();

async function recipeOf(root: string, id: string): Promise<Record<string, string>> {
  const path = await pathInside(root, id, "recipe.yaml");
  const written = (await stat(path).catch(() => undefined))?.mtimeMs ?? 0;
  const known = recipes.get(path);
  if (known?.written === written) return known.leaves;
  const leaves = leavesOfText(await readInside(root, id, "recipe.yaml"), path);
  recipes.set(path, { written, leaves });
  return leaves;
}

function leavesOfText(text: string, path: string): Record<string, string> {
  try {
    return leavesOf(parseYaml(text, path) ?? {});
  } catch {
    return {};
  }
}

const kindOf = (recipe: Readonly<Record<string, string>>): string => {
  const has = (start: string) => Object.keys(recipe).some((key) => key.startsWith(start));
  if (has("stages[")) return "align in stages";
  if (has("tasks.") || has("tasks[")) return "align";
  if (has("head") || has("probe_l2")) return "reward";
  return "sft";
};

const numberOr = <T>(value: string | undefined, other: T): number | T =>
  value !== undefined && value !== "" && Number.isFinite(Number(value)) ? Number(value) : other;

/** Mean of the last twenty steps' wall clock, seconds. */
function paceOf(timings: readonly MetricsRow[]): number | undefined {
  const times = timings.slice(-20).flatMap(({ step_time: time }) => (typeof time === "number" ? [time] : []));
  return times.length === 0 ? undefined : mean(times);
}

/** What the files of one run say of it. `metrics` may be known already. */
export async function summarize(root: string, id: string): Promise<RunSummary> {
  const dir = await pathInside(root, id);
  const recipe = await recipeOf(root, id);
  const logs = await Promise.all(
    ["metrics.jsonl", "timings.jsonl", "rollouts.jsonl"].map((name) =>
      stat(join(dir, name)).catch(() => undefined),
    ),
  );
  const last = await Tail.lastRows(await pathInside(root, id, "metrics.jsonl"), 1);
  const step = typeof last.at(-1)?.step === "number" ? last.at(-1)!.step : 0;
  const changed = Math.max(0, ...logs.map((log) => log?.mtimeMs ?? 0)) || (await stat(dir)).mtimeMs;
  const steps = numberOr(recipe.steps ?? recipe.max_steps, null);
  const { state, reason } = await stateOf(dir, changed);
  const pace = paceOf(await Tail.lastRows(await pathInside(root, id, "timings.jsonl"), 20));
  return {
    id,
    name: id === "." ? basename(resolve(root)) : id,
    kind: kindOf(recipe),
    state,
    reason,
    step,
    steps,
    secondsLeft:
      state === "running" && steps !== null && pace !== undefined ? Math.max(0, steps - step) * pace : null,
    changed,
    seed: numberOr(recipe.seed, null),
    recipe,
    hasRollouts: (logs[2]?.size ?? 0) > 0,
  };
}

async function stateOf(dir: string, changed: number): Promise<{ state: RunState; reason?: string }> {
  // Not read through, as `--resume` does: a list is looked at often.
  if ((await finalParts(dir)).model) return { state: "finished" };
  const held = await isHeld(join(dir, "lock"));
  if (held === "here") return { state: "running" };
  if (held === "elsewhere" && Date.now() - changed < QUIET_MS) return { state: "running" };
  const ending = await readEnding(dir);
  if (ending) return { state: ending.how, reason: ending.reason };
  return { state: "interrupted", reason: "its process is gone and left no word" };
}
