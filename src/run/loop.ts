// The skeleton that every training loop shares: run directory, resume, schedule, checkpoints, evaluation, interruption.

import { join } from "node:path";
import { FailureRateError, NonFiniteError, UserError } from "../base/errors.js";
import type { AdamOptions, Trainable } from "../engine/contract.js";
import type { TrainerSettings } from "../recipe/recipe.js";
import { endsItself, InterruptedError, isInterruption, type RunContext } from "./context.js";
import { type Checkpoint, type Offsets, RunDirectory } from "./directory.js";
import { clearEnding, writeEnding } from "./ending.js";
import { FINAL, isFinished, saveFinal } from "./final.js";
import type { RunFollower } from "./follower.js";
import { type Metrics, type MetricsRow, readMetrics } from "./metrics.js";
import { learningRateAt } from "./schedule.js";

/** Cursors, random streams, caches: whatever a loop needs to go on as if it had not stopped. JSON. */
// biome-ignore lint/suspicious/noExplicitAny: every loop knows the shape of its own state
export type LoopState = Record<string, any>;

/** How the optimizer steps, with a settled learning rate. */
export type Trainer = TrainerSettings & { learningRate: number };

/** What a step may write beside the metrics that it returns. */
export type RunLogs = Pick<RunDirectory, "metrics" | "logRollouts">;

export interface Loop {
  /** Shown to the person: "sft", "reward model 2 of 4". */
  label: string;
  steps: number;
  trainer: Trainer;
  /** Models whose training state belongs in a checkpoint, by name. */
  models: Record<string, Trainable>;
  /** The model that the run is for; saved as `final`. */
  final: Trainable;
  /** What later steps do not change. */
  state(): LoopState;
  restore(state: LoopState): void;
  /**
   * One optimizer step; returns its metrics. `step` counts from 0. It may throw the reason of an aborted signal as long
   * as no weight has changed: the step is then as if it had not begun.
   */
  step(adam: AdamOptions, step: number, run: RunLogs): Promise<Metrics>;
  /** What the step at hand learns from, for the error that ends a run: "chats.jsonl:3, chats.jsonl:8 and 14 more". */
  batch(): string;
  /**
   * Sees a step that is done and logged. `pause` ends the run there, at a checkpoint; `stop` as if its last step were done;
   * anything else goes on.
   */
  after?(step: number): Promise<"pause" | "stop" | undefined>;
  /** Metrics of an evaluation, logged with the step before it. It may throw the reason of an aborted signal. */
  evaluate?(step: number): Promise<Metrics>;
  /** Who sees what the run writes; what it has written so far lies in `dir`. */
  follow?(dir: string): Promise<RunFollower | undefined>;
}

export interface LoopResult {
  /** Directory of the final model. */
  model: string;
  /** The last line of metrics.jsonl, whichever process wrote it. */
  last: MetricsRow;
}

/** Runs a loop to its end, or to where it is interrupted: then with a checkpoint, and by InterruptedError. */
export const runLoop = (
  outputDir: string,
  recipe: object,
  context: RunContext,
  loop: Loop,
): Promise<LoopResult> => endsItself(() => runSteps(outputDir, recipe, context, loop));

async function runSteps(
  outputDir: string,
  recipe: object,
  context: RunContext,
  loop: Loop,
): Promise<LoopResult> {
  const run = await RunDirectory.open<SavedState>(outputDir, recipe, { resume: context.resume });
  const final = run.path(FINAL);
  await clearEnding(run.dir);
  try {
    if (context.resume && (await isFinished(run.dir))) {
      context.reporter.note(`${outputDir} is finished already`);
    } else {
      run.followers.push(...(await followersOf(run.dir, loop, context)));
      await runToEnd({ run, loop, context, done: 0 });
      await saveFinal(run.dir, (dir) => loop.final.save(dir));
    }
    for (const follower of run.followers.splice(0)) await follower.end("finished");
    const log = run.path("metrics.jsonl");
    const last = (await readMetrics(log)).at(-1);
    if (last === undefined)
      throw new UserError(`${log} is empty, though the run is finished; was it edited?`);
    return { model: final, last };
  } catch (error) {
    const { how } = await writeEnding(run.dir, error);
    for (const follower of run.followers) await follower.end(how);
    throw error;
  } finally {
    context.reporter.end();
    await run.close();
  }
}

/** Who sees what is written: whom the loop names, and the person at the terminal. */
async function followersOf(dir: string, loop: Loop, { reporter }: RunContext): Promise<RunFollower[]> {
  const named = await loop.follow?.(dir);
  const shown = reporter.samplesTaken && {
    rollouts: reporter.samplesTaken.bind(reporter),
    metrics: () => {},
    end: async () => {},
  };
  return [named, shown].filter((follower) => follower !== undefined);
}

/** A loop on its way. */
interface Course {
  readonly run: RunDirectory<SavedState>;
  readonly loop: Loop;
  readonly context: RunContext;
  /** Steps that are done. */
  done: number;
  /** Metrics of the last step while its evaluation is still to come. */
  pending?: Metrics;
  /** The step of the newest checkpoint that says all there is to say of it. */
  saved?: number;
}

async function runToEnd(course: Course): Promise<void> {
  const { run, loop, context } = course;
  const { trainer, steps } = loop;
  if (run.resumeFrom) {
    await restore(course, run.resumeFrom);
    context.reporter.note(`continuing after step ${course.done}`);
  }
  context.reporter.begin(loop.label, steps, course.done);
  while (course.done < steps || course.pending) {
    const started = performance.now();
    if (!course.pending) {
      const learningRate = learningRateAt(trainer.learningRate, course.done, steps, trainer);
      const step = () => loop.step(adamOptions(trainer, learningRate), course.done, run);
      const metrics = await unlessInterrupted(course, () => atStep(course.done + 1, loop, step));
      course.pending = { learning_rate: learningRate, ...metrics };
      course.done++;
    }
    const { done } = course;
    const isDue = trainer.evalSteps > 0 && done % trainer.evalSteps === 0;
    const { evaluate } = loop;
    const evaluated =
      evaluate && (isDue || done === steps) ? await unlessInterrupted(course, () => evaluate(done)) : {};
    const logged = { ...course.pending, ...evaluated, step_time: (performance.now() - started) / 1000 };
    course.pending = undefined;
    run.metrics.log(done, logged);
    context.reporter.step(done, logged);
    const ending = await loop.after?.(done);
    if (ending === "stop" && done < steps) {
      context.reporter.note(`ended after step ${done} of ${steps}, with the model as it is`);
      return;
    }
    const isPaused = ending === "pause" && done < steps;
    if (isSaved(loop, done) || isPaused) await save(course, { state: loop.state() });
    if (isPaused) throw new InterruptedError(`paused after step ${done} of ${steps}; continue with --resume`);
  }
}

/** Whether an undisturbed run has a checkpoint of this step. */
const isSaved = ({ steps, trainer: { saveSteps } }: Loop, step: number): boolean =>
  step === steps || (saveSteps > 0 && step % saveSteps === 0);

/** What a checkpoint is about: the loop's state, and what the logs had, when they have more by now. */
interface Moment {
  state: LoopState;
  offsets?: Offsets;
}

async function save(course: Course, { state, offsets }: Moment): Promise<void> {
  const { run, loop, done, pending } = course;
  if (course.saved === done) return;
  const fill = async (dir: string): Promise<void> => {
    for (const [name, model] of Object.entries(loop.models)) await model.saveState(join(dir, name));
    await loop.final.save(join(dir, "model"));
  };
  const saved: SavedState = { loop: state, ...(pending && { pending: withNulls(pending) }) };
  const options = {
    keep: loop.trainer.saveTotalLimit,
    isDue: (step: number) => isSaved(loop, step),
    offsets,
  };
  await atStep(done, loop, () => run.saveCheckpoint(done, saved, fill, options));
  if (!pending) course.saved = done;
}

/** Runs `work`; where the signal or too many failures have ended it, saves what was before it and ends the loop. */
async function unlessInterrupted<T>(course: Course, work: () => Promise<T>): Promise<T> {
  const { run, loop, context, done } = course;
  const before = { state: loop.state(), offsets: run.offsets() };
  try {
    context.signal?.throwIfAborted();
    return await work();
  } catch (error) {
    if (error instanceof FailureRateError) {
      if (done > 0) await save(course, before);
      const end =
        done === 0
          ? "nothing was trained"
          : `the run ended at a checkpoint after step ${done} of ${loop.steps}; mend it and continue with --resume`;
      throw new FailureRateError(`${error.message}; ${end}`, { cause: error });
    }
    if (!isInterruption(error, context.signal)) throw error;
    // Without a step the beginning is as good as a checkpoint.
    if (done > 0) await save(course, before);
    throw new InterruptedError(
      done === 0
        ? `stopped before the first of ${loop.steps} steps was done; start it with --resume`
        : `stopped after step ${done} of ${loop.steps}; continue with --resume`,
    );
  }
}

/** What a checkpoint holds of a loop. */
interface SavedState {
  loop: LoopState;
  /** Metrics of the checkpoint's step, when it was interrupted before its evaluation was done. */
  pending?: Record<string, number | string | null>;
}

/** Metrics as JSON has them: one without a value is null. */
const withNulls = (metrics: Metrics) =>
  Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, value ?? null]));

/** Puts the loop where the checkpoint was taken. */
async function restore(course: Course, { dir, step, state }: Checkpoint<SavedState>): Promise<void> {
  const { loop } = course;
  for (const [name, model] of Object.entries(loop.models)) await model.loadState(join(dir, name));
  try {
    loop.restore(state.loop);
    const pending = state.pending && Object.entries(state.pending);
    course.pending =
      pending && Object.fromEntries(pending.map(([name, value]) => [name, value ?? undefined]));
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(
      `${join(dir, "state.json")} does not fit this run (${(error as Error).message}); was it saved by another version?`,
      { cause: error },
    );
  }
  course.done = step;
  if (!course.pending) course.saved = step;
}

function adamOptions(trainer: Trainer, learningRate: number): AdamOptions {
  return {
    learningRate,
    beta1: trainer.adamBeta1,
    beta2: trainer.adamBeta2,
    epsilon: trainer.adamEpsilon,
    weightDecay: trainer.weightDecay,
    maxGradNorm: trainer.maxGradNorm,
  };
}

/** A number that is not finite stops the run; the message gains step and batch, and the last checkpoint stays as it is. */
async function atStep<T>(step: number, loop: Loop, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof NonFiniteError)) throw error;
    throw new NonFiniteError(`step ${step} (${loop.batch()}): ${error.message}`);
  }
}

/** The first few rows by name, and how many more there are. */
export function nameRows(rows: readonly { id: string }[]): string {
  const shown = rows.slice(0, 3).map(({ id }) => id);
  return shown.join(", ") + (rows.length > shown.length ? ` and ${rows.length - shown.length} more` : "");
}
