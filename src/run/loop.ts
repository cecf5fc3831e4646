// The skeleton that every training loop shares: run directory, resume, schedule, checkpoints, evaluation, interruption.

import { access } from "node:fs/promises";
import { join } from "node:path";
import { NonFiniteError } from "../base/errors.js";
import type { AdamOptions, Trainable } from "../engine/contract.js";
import type { TrainerSettings } from "../recipe/recipe.js";
import { InterruptedError, type RunContext } from "./context.js";
import { RunDirectory } from "./directory.js";
import { type Metrics, type MetricsRow, readJsonl } from "./metrics.js";
import { learningRateAt } from "./schedule.js";

/** Cursors, random streams, caches: whatever a loop needs to go on as if it had not stopped. JSON. */
// biome-ignore lint/suspicious/noExplicitAny: every loop knows the shape of its own state
export type LoopState = Record<string, any>;

/** How the optimizer steps, with a settled learning rate. */
export type Trainer = TrainerSettings & { learningRate: number };

export interface Loop {
  /** Shown to the person: "sft", "reward model 2 of 4". */
  label: string;
  steps: number;
  trainer: Trainer;
  /** Models whose training state belongs in a checkpoint, by name. */
  models: Record<string, Trainable>;
  /** The model that the run is for; saved as `final`. */
  final: Trainable;
  state(): LoopState;
  restore(state: LoopState): void;
  /** One optimizer step; returns its metrics. `step` counts from 0. */
  step(adam: AdamOptions, step: number, run: RunDirectory<LoopState>): Promise<Metrics>;
  /** What the step at hand learns from, for the error that ends a run: "chats.jsonl:3, chats.jsonl:8 and 14 more". */
  batch(): string;
  /** Metrics of an evaluation, logged with the step before it. */
  evaluate?(step: number): Promise<Metrics>;
}

/** Whether the run in a directory is over: its final model is there. */
export const isFinished = (dir: string): Promise<boolean> =>
  access(join(dir, FINAL)).then(
    () => true,
    () => false,
  );

/** Name of the final model inside the directory of its run. */
export const FINAL = "final";

export interface LoopResult {
  /** Directory of the final model. */
  model: string;
  /** The last line of metrics.jsonl, whichever process wrote it. */
  last: MetricsRow;
}

/** Runs a loop to its end (or to where it is interrupted). */
export async function runLoop(
  outputDir: string,
  recipe: object,
  context: RunContext,
  loop: Loop,
): Promise<LoopResult> {
  const { trainer, steps } = loop;
  const run = await RunDirectory.open<LoopState>(outputDir, recipe, { resume: context.resume });
  const final = run.path(FINAL);
  const result = async (): Promise<LoopResult> => ({
    model: final,
    last: (await readJsonl(run.path("metrics.jsonl"))).at(-1)!,
  });
  try {
    if (context.resume && (await isFinished(run.dir))) {
      context.reporter.note(`${outputDir} is finished already`);
      return await result();
    }
    let done = 0;
    if (run.resumeFrom) {
      const { dir, step, state } = run.resumeFrom;
      for (const [name, model] of Object.entries(loop.models)) await model.loadState(join(dir, name));
      loop.restore(state);
      done = step;
      context.reporter.note(`continuing after step ${step}`);
    }
    const save = async (): Promise<void> => {
      const fill = async (dir: string): Promise<void> => {
        for (const [name, model] of Object.entries(loop.models)) await model.saveState(join(dir, name));
        await loop.final.save(join(dir, "model"));
      };
      await atStep(done, loop, () =>
        run.saveCheckpoint(done, loop.state(), fill, { keep: trainer.saveTotalLimit }),
      );
    };
    context.reporter.begin(loop.label, steps, done);
    while (done < steps) {
      const started = performance.now();
      const learningRate = learningRateAt(trainer.learningRate, done, steps, trainer);
      const metrics: Metrics = {
        learning_rate: learningRate,
        ...(await atStep(done + 1, loop, () => loop.step(adamOptions(trainer, learningRate), done, run))),
      };
      done++;
      const last = done === steps;
      const evaluated =
        loop.evaluate && (last || (trainer.evalSteps > 0 && done % trainer.evalSteps === 0))
          ? await loop.evaluate(done)
          : {};
      const logged = { ...metrics, ...evaluated, step_time: (performance.now() - started) / 1000 };
      run.metrics.log(done, logged);
      context.reporter.step(done, logged);
      const interrupted = context.signal?.aborted ?? false;
      if (!last && (interrupted || (trainer.saveSteps > 0 && done % trainer.saveSteps === 0))) await save();
      if (interrupted && !last) {
        throw new InterruptedError(`stopped after step ${done} of ${steps}; continue with --resume`);
      }
    }
    await save();
    await loop.final.save(final);
    return await result();
  } finally {
    context.reporter.end();
    await run.close();
  }
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
