// The directory of a run: recipe.yaml, metrics.jsonl, timings.jsonl, rollouts.jsonl and checkpoints/step-N. A run that
// was killed and resumed leaves the same bytes as one that was not (timings apart).

import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { z } from "zod";
import {
  explainDiskError,
  isTorn,
  removeDirectory,
  removeTorn,
  writeDirectoryAtomic,
  writeFileAtomic,
} from "../base/atomic.js";
import { UserError } from "../base/errors.js";
import { makeDirectory, readText } from "../base/files.js";
import { tryJson } from "../base/json.js";
import { parseYaml } from "../base/yaml.js";
import { firstDifference } from "../recipe/file.js";
import { toYaml } from "../recipe/recipe.js";
import type { RunFollower } from "./follower.js";
import { isLockFile, Lock } from "./lock.js";
import { checkManifest, writeManifest } from "./manifest.js";
import { JsonlWriter, MetricsSink, type Rollout } from "./metrics.js";

/** The logs that say the same whenever the same recipe runs, so that a checkpoint knows their length. */
const EXACT_LOGS = ["metrics", "rollouts"] as const;
const LOGS = [...EXACT_LOGS, "timings"] as const;
type LogName = (typeof LOGS)[number];

/** Bytes of each log. Wall-clock times are not of the same length twice: `timings` is cut by its steps. */
export type Offsets = Record<(typeof EXACT_LOGS)[number], number>;

/** state.json of a checkpoint. */
interface CheckpointState<State> {
  step: number;
  /** Of the logs when the checkpoint was taken. */
  offsets: Offsets;
  /** The loop's own: random streams, cursors, counters. */
  state: State;
}

export interface Checkpoint<State = unknown> extends CheckpointState<State> {
  dir: string;
}

export interface OpenRunOptions {
  /** Continue the run that the directory holds (or start it, when it holds none). Default false. */
  resume?: boolean;
}

/** Options of `saveCheckpoint`. */
export interface SaveCheckpointOptions {
  /** Newest checkpoints kept. Default 2. */
  keep?: number;
  /** Whether a run saves at this step unasked; others are kept until the next checkpoint only. Default: always. */
  isDue?: (step: number) => boolean;
  /** What the logs had at this step, when they have more by now: of a step that was dropped. Default: all they have. */
  offsets?: Offsets;
}

export class RunDirectory<State = unknown> {
  readonly metrics: MetricsSink;
  /** Told of what is written. */
  readonly followers: RunFollower[] = [];

  private constructor(
    readonly dir: string,
    /** The checkpoint to continue from; undefined: start at step 0. */
    readonly resumeFrom: Checkpoint<State> | undefined,
    private readonly logs: Record<LogName, JsonlWriter>,
    private readonly lock: Lock,
  ) {
    this.metrics = new MetricsSink(logs.metrics, logs.timings, (step, metrics) => {
      for (const follower of this.followers) follower.metrics(step, metrics);
    });
  }

  /** Starts a run in an empty or missing directory, or continues the same recipe's run with `resume`. */
  static async open<State = unknown>(
    dir: string,
    recipe: object,
    { resume = false }: OpenRunOptions = {},
  ): Promise<RunDirectory<State>> {
    const root = resolve(dir);
    const lock = await takeDirectory(dir, recipe, { resume });
    try {
      await removeTorn(join(root, "checkpoints"));
      const resumeFrom = await newestCheckpoint<State>(root);
      const logs = openLogs(root);
      for (const name of EXACT_LOGS) logs[name].truncate(resumeFrom?.offsets[name] ?? 0);
      logs.timings.truncateAfter(resumeFrom?.step ?? -1);
      return new RunDirectory(root, resumeFrom, logs, lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** A path inside the run directory. */
  path(...parts: string[]): string {
    return join(this.dir, ...parts);
  }

  logRollouts(rollouts: readonly Rollout[]): void {
    this.logs.rollouts.append(rollouts);
    for (const follower of this.followers) follower.rollouts(rollouts);
  }

  /** How long the logs are now. */
  offsets(): Offsets {
    return { metrics: this.logs.metrics.offset, rollouts: this.logs.rollouts.offset };
  }

  /**
   * Saves a checkpoint: `fill` writes weights and optimizer state into a directory, `state` is the loop's own. The
   * checkpoint appears whole or not at all, with the digest of each of its files; older ones beyond `keep` are removed
   * after it is there.
   */
  async saveCheckpoint(
    step: number,
    state: State,
    fill: (dir: string) => Promise<void>,
    { keep = 2, isDue = () => true, offsets = this.offsets() }: SaveCheckpointOptions = {},
  ): Promise<string> {
    for (const name of LOGS) this.logs[name].flush();
    const target = this.path("checkpoints", `step-${step}`);
    await writeDirectoryAtomic(target, async (dir) => {
      await fill(dir);
      await writeFile(join(dir, "state.json"), `${JSON.stringify({ step, offsets, state })}\n`);
      await writeManifest(dir);
    });
    await writeFileAtomic(this.path("checkpoints", "latest"), `step-${step}\n`);
    const older = (await checkpointSteps(this.dir)).filter((other) => other < step);
    const kept = older.filter(isDue).slice(Math.max(0, older.filter(isDue).length - keep + 1));
    for (const old of older.filter((other) => !kept.includes(other)))
      await removeDirectory(this.path("checkpoints", `step-${old}`));
    return target;
  }

  async close(): Promise<void> {
    for (const name of LOGS) this.logs[name].close();
    await this.lock.release();
  }
}

function openLogs(root: string): Record<LogName, JsonlWriter> {
  try {
    return {
      metrics: new JsonlWriter(join(root, "metrics.jsonl")),
      timings: new JsonlWriter(join(root, "timings.jsonl")),
      rollouts: new JsonlWriter(join(root, "rollouts.jsonl")),
    };
  } catch (error) {
    throw explainDiskError(error, root);
  }
}

/** Makes `dir` this recipe's: locked, empty or the same run's, the recipe written, torn leftovers removed. */
export async function takeDirectory(
  dir: string,
  recipe: object,
  { resume = false }: OpenRunOptions = {},
): Promise<Lock> {
  const root = resolve(dir);
  try {
    await makeDirectory(root);
  } catch (error) {
    throw explainDiskError(error, dir);
  }
  const lock = await Lock.take(join(root, "lock"), dir);
  try {
    await checkOccupant(root, recipe, resume);
    await writeFileAtomic(join(root, "recipe.yaml"), toYaml(recipe));
    await removeTorn(root);
    return lock;
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** What opening `dir` would refuse because of what is there, known before models are loaded. */
export async function checkOutputDir(
  dir: string,
  recipe: object,
  { resume }: { resume: boolean },
): Promise<void> {
  const entry = await stat(dir).catch(() => undefined);
  if (entry === undefined) return;
  if (!entry.isDirectory()) throw new UserError(`${dir} is a file; output_dir must be a directory`);
  await checkOccupant(resolve(dir), recipe, resume);
}

/** Keys of a recipe that change nothing of what a run computes. */
const NO_PART = ["output_dir", "report_to"];

/** Refuses a directory that holds something else than the run to be continued. */
async function checkOccupant(root: string, recipe: object, resume: boolean): Promise<void> {
  const entries = (await readdir(root)).filter((name) => !isLockFile(name) && !isTorn(name));
  if (entries.length === 0) return;
  const saved = await readFile(join(root, "recipe.yaml"), "utf8").catch(() => undefined);
  if (saved === undefined) {
    throw new UserError(`${root} already holds other files (${entries[0]}); choose an empty output_dir`);
  }
  const difference = firstDifference(saved, toYaml(recipe), NO_PART);
  if (difference !== undefined) {
    throw new UserError(
      resume
        ? `${root} cannot be resumed: it was started with another recipe (${difference} differs); choose another output_dir`
        : `${root} already holds another run (${difference} differs); choose another output_dir`,
    );
  }
  if (!resume) {
    throw new UserError(
      `${root} already holds a run of this recipe; continue it with --resume or choose another output_dir`,
    );
  }
}

/** The steps of the checkpoints of a run, oldest first. */
export async function checkpointSteps(root: string): Promise<number[]> {
  const names = await readdir(join(root, "checkpoints")).catch((): string[] => []);
  return names
    .map((name) => /^step-(\d+)$/.exec(name)?.[1])
    .filter((step) => step !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

/** The newest checkpoint of a run, every byte of it checked; a damaged one is a UserError. */
async function newestCheckpoint<State>(root: string): Promise<Checkpoint<State> | undefined> {
  const steps = await checkpointSteps(root);
  if (steps.length === 0) return undefined;
  try {
    return await readCheckpoint<State>(root, steps.at(-1)!);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const before = steps.at(-2);
    const where = before === undefined ? "from the beginning" : `from step ${before}`;
    const dir = join(root, "checkpoints", `step-${steps.at(-1)}`);
    throw new UserError(`${error.message}; delete ${dir} to continue ${where}`, { cause: error });
  }
}

const offset = z.int().min(0);
const checkpointState = z.object({
  step: z.int().min(0),
  offsets: z.object({ metrics: offset, rollouts: offset }),
  state: z.unknown(),
});

/** A checkpoint whose files are what they were when it was saved; a UserError names the file that is not. */
export async function readCheckpoint<State = unknown>(
  root: string,
  step: number,
): Promise<Checkpoint<State>> {
  const dir = join(root, "checkpoints", `step-${step}`);
  await checkManifest(dir);
  const text = await readText(join(dir, "state.json"));
  const result = checkpointState.safeParse(tryJson(text));
  if (!result.success || result.data.step !== step)
    throw new UserError(`${join(dir, "state.json")} is not the state of a checkpoint of step ${step}`);
  return { ...(result.data as CheckpointState<State>), dir };
}

/** Whether `dir` is a run directory. */
export const isRunDirectory = (dir: string) =>
  stat(join(dir, "recipe.yaml")).then(
    (entry) => entry.isFile(),
    () => false,
  );

/** The reward models that `touchstone reward --runs` trained in `dir`, in their order. */
async function memberDirectories(dir: string): Promise<string[]> {
  const numbers = (await readdir(dir).catch((): string[] => []))
    .flatMap((name) => /^member-(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
  const found: string[] = [];
  for (const number of numbers) {
    const member = join(dir, `member-${number}`);
    if (await isRunDirectory(member)) found.push(member);
  }
  return found;
}

/** The runs that `dir` stands for: the stages that have begun of an alignment in stages, several reward models, else itself. */
export async function runDirectories(dir: string): Promise<string[]> {
  if (!(await isRunDirectory(dir))) {
    const members = await memberDirectories(dir);
    return members.length > 0 ? members : [dir];
  }
  const recipe = await readFile(join(dir, "recipe.yaml"), "utf8").catch(() => "");
  const { stages = [] } = (parseYaml(recipe, join(dir, "recipe.yaml")) ?? {}) as {
    stages?: { name: string }[];
  };
  const found = await Promise.all(
    stages.map(async ({ name }) => ((await isRunDirectory(join(dir, name))) ? [join(dir, name)] : [])),
  );
  const begun = found.flat();
  return begun.length > 0 ? begun : [dir];
}
