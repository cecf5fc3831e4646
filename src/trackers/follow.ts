// The trackers of a run (`report_to`), from the run's first row to its last. What is sent is what the run has written: a tracker
// begins with the rows that are there, so that a resumed run shows each step once.

import { join } from "node:path";
import { errorMessage } from "../judges/verdict.js";
import type { TrackerRecipe } from "../recipe/recipe.js";
import type { Reporter } from "../run/context.js";
import type { RunFollower } from "../run/follower.js";
import { requireMlflow, trackMlflow } from "./mlflow.js";
import { figuresOf, SampleChoice, stepsOfRun, type TrackedStep, type Tracker } from "./steps.js";
import { trackEvents } from "./tensorboard.js";
import { trackWandb } from "./wandb.js";

interface TrackedRun {
  dir: string;
  reporter: Pick<Reporter, "note">;
}

const OPEN: {
  [K in TrackerRecipe["kind"]]: (
    settings: Extract<TrackerRecipe, { kind: K }>,
    run: TrackedRun,
  ) => Promise<Tracker>;
} = {
  tensorboard: (_, { dir }) => trackEvents(join(dir, "tensorboard"), stepsOfRun(dir)),
  mlflow: (settings, { dir, reporter }) =>
    trackMlflow(settings, { dir, steps: stepsOfRun(dir), note: (line) => reporter.note(line), isLive: true }),
  wandb: (settings, { dir }) => trackWandb(settings, { dir, steps: stepsOfRun(dir) }),
};

/** Throws a UserError where one of the tools cannot be had, before a run begins; returns what is worth knowing of them. */
export async function requireTrackers(trackers: readonly TrackerRecipe[] | undefined): Promise<string[]> {
  const found: string[] = [];
  for (const settings of trackers ?? [])
    found.push(
      settings.kind === "mlflow" ? `mlflow: ${await requireMlflow(settings)} answers` : settings.kind,
    );
  return found;
}

/** What `follow` of a loop is with these trackers. */
export const following =
  (trackers: readonly TrackerRecipe[] | undefined, reporter: Pick<Reporter, "note">) =>
  async (dir: string): Promise<RunFollower | undefined> => {
    if (trackers === undefined || trackers.length === 0) return undefined;
    const opened: { kind: string; tracker: Tracker }[] = [];
    for (const settings of trackers)
      opened.push({
        kind: settings.kind,
        tracker: await OPEN[settings.kind](settings as never, { dir, reporter }),
      });
    return new Follower(opened, reporter);
  };

class Follower implements RunFollower {
  private readonly choice = new SampleChoice();

  constructor(
    private trackers: { kind: string; tracker: Tracker }[],
    private readonly reporter: Pick<Reporter, "note">,
  ) {}

  rollouts(rows: Parameters<RunFollower["rollouts"]>[0]): void {
    for (const row of rows) this.choice.add(row);
  }

  metrics(step: number, metrics: Parameters<RunFollower["metrics"]>[1]): void {
    const tracked: TrackedStep = {
      step,
      seconds: Date.now() / 1000,
      figures: figuresOf(metrics),
      samples: this.choice.take(),
    };
    // A tool that cannot take a step, for want of disk space say, gets no more of them.
    this.trackers = this.trackers.filter(({ kind, tracker }) => {
      try {
        tracker.step(tracked);
        return true;
      } catch (error) {
        this.reporter.note(
          `warning: report_to ${kind} ended at step ${step}: ${errorMessage(error)}; touchstone report --to ${kind} makes it whole`,
        );
        return false;
      }
    });
  }

  async end(how: Parameters<RunFollower["end"]>[0]): Promise<void> {
    await Promise.all(
      this.trackers.map(({ kind, tracker }) =>
        tracker
          .end(how)
          .catch((error) => this.reporter.note(`warning: report_to ${kind}: ${errorMessage(error)}`)),
      ),
    );
    this.trackers = [];
  }
}
