// The directory of a run: recipe.yaml, metrics.jsonl, timings.jsonl, rollouts.jsonl and checkpoints/step-N. A run that
// was killed and resumed leaves the same bytes as one that was not (timings apart).

import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parse as parseYaml } from "yaml";
import { explainDiskError, writeDirectoryAtomic, writeFileAtomic } from "../base/atomic.js";
import { UserError } from "../base/errors.js";
import { firstDifference } from "../recipe/file.js";
import { toYaml } from "../recipe/recipe.js";
import { Lock } from "./lock.js";
import { JsonlWriter, MetricsSink, type Rollout } from "./metrics.js";

const LOGS = ["metrics", "timings", "rollouts"] as const;
type LogName = (typeof LOGS)[number];

/** state.json of a checkpoint: written last, so a checkpoint that has it is whole. */
interface CheckpointState<State> {
  step: number;
  /** Bytes of each log when the checkpoint was taken. */
  offsets: Record<LogName, number>;
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
}

export class RunDirectory<State = unknown> {
  readonly metrics: MetricsSink;

  private constructor(
    readonly dir: string,
    /** The checkpoint to continue from; undefined: start at step 0. */
    readonly resumeFrom: Checkpoint<State> | undefined,
    private readonly logs: Record<LogName, JsonlWriter>,
    private readonly lock: Lock,
  ) {
    this.metrics = new MetricsSink(logs.metrics, logs.timings);
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
      const resumeFrom = (await listCheckpoints<State>(root)).at(-1);
      const logs = openLogs(root);
      for (const name of LOGS) logs[name].truncate(resumeFrom?.offsets[name] ?? 0);
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
  }

  /**
   * Saves a checkpoint: `fill` writes weights and optimizer state into a directory, `state` is the loop's own. The
   * checkpoint appears whole or not at all; older ones beyond `keep` are removed after it is there.
   */
  async saveCheckpoint(
    step: number,
    state: State,
    fill: (dir: string) => Promise<void>,
    { keep = 2 }: SaveCheckpointOptions = {},
  ): Promise<string> {
    for (const name of LOGS) this.logs[name].flush();
    const offsets = Object.fromEntries(LOGS.map((name) => [name, this.logs[name].offset]));
    const target = this.path("checkpoints", `step-${step}`);
    const temporary = this.path("checkpoints", `tmp-step-${step}`);
    await writeDirectoryAtomic(
      target,
      async (dir) => {
        await fill(dir);
        await writeFileAtomic(join(dir, "state.json"), `${JSON.stringify({ step, offsets, state })}\n`);
      },
      { temporary },
    );
    await writeFileAtomic(this.path("checkpoints", "latest"), `step-${step}\n`);
    const all = await listCheckpoints(this.dir);
    const surplus = all.slice(0, Math.max(0, all.length - keep));
    for (const old of surplus) await rm(old.dir, { recursive: true, force: true });
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
    await mkdir(root, { recursive: true });
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

/** Refuses a directory that holds something else than the run to be continued. */
async function checkOccupant(root: string, recipe: object, resume: boolean): Promise<void> {
  const entries = (await readdir(root)).filter((name) => name !== "lock" && !isTorn(name));
  if (entries.length === 0) return;
  const saved = await readFile(join(root, "recipe.yaml"), "utf8").catch(() => undefined);
  if (saved === undefined) {
    throw new UserError(`${root} already holds other files (${entries[0]}); choose an empty output_dir`);
  }
  const difference = firstDifference(saved, toYaml(recipe), ["output_dir"]);
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

/** What a killed process was writing aside (see ../base/atomic.ts and `saveCheckpoint`). */
const isTorn = (name: string): boolean => /^tmp-step-\d+$|^\..+\.\d+\.tmp(\.old)?$/.test(name);

async function removeTorn(dir: string): Promise<void> {
  for (const name of await readdir(dir).catch(() => []))
    if (isTorn(name)) await rm(join(dir, name), { recursive: true, force: true });
}

/** The whole checkpoints of a run, oldest first. */
export async function listCheckpoints<State = unknown>(root: string): Promise<Checkpoint<State>[]> {
  const dir = join(root, "checkpoints");
  const steps = (await readdir(dir).catch(() => []))
    .map((name) => /^step-(\d+)$/.exec(name)?.[1])
    .filter((step) => step !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
  const found: Checkpoint<State>[] = [];
  for (const step of steps) {
    const at = join(dir, `step-${step}`);
    const saved = await readFile(join(at, "state.json"), "utf8")
      .then(
        (text) => JSON.parse(text) as CheckpointState<State>,
        () => undefined,
      )
      .catch(() => undefined);
    if (saved?.step === step) found.push({ ...saved, dir: at });
  }
  return found;
}

/** Whether `dir` is a run directory. */
export const isRunDirectory = (dir: string) =>
  stat(join(dir, "recipe.yaml")).then(
    (entry) => entry.isFile(),
    () => false,
  );

/** The runs that `dir` stands for: the stages that have begun of an alignment in stages, else itself. */
export async function runDirectories(dir: string): Promise<string[]> {
  const recipe = await readFile(join(dir, "recipe.yaml"), "utf8").catch(() => "");
  const { stages = [] } = (parseYaml(recipe) ?? {}) as { stages?: { name: string }[] };
  const found = await Promise.all(
    stages.map(async ({ name }) => ((await isRunDirectory(join(dir, name))) ? [join(dir, name)] : [])),
  );
  const begun = found.flat();
  return begun.length > 0 ? begun : [dir];
}
