// A run in MLflow. Figures are sent beside the training, which waits for nothing: where the server is away they are kept, and
// sent when it is back. The server is asked what it has before anything is sent twice, so that a resumed run, and a request
// whose reply was lost, leave each step once.

import { readFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join, resolve } from "node:path";
import { writeFileAtomic } from "../base/atomic.js";
import { UserError } from "../base/errors.js";
import { HttpError } from "../base/http.js";
import { VERSION } from "../base/version.js";
import { recipeOf, runNameOf } from "./identity.js";
import {
  METRICS_PER_CALL,
  MlflowClient,
  type MlflowMetric,
  type MlflowSettings,
  type MlflowStatus,
  mlflowName,
} from "./mlflow-client.js";
import type { TrackedStep, Tracker } from "./steps.js";

export interface MlflowRunOptions {
  dir: string;
  /** What the run has written so far. */
  steps: AsyncIterable<TrackedStep>;
  note: (line: string) => void;
  /** Whether the run is on its way: then nothing waits for the server, and failures pass. */
  isLive: boolean;
}

/** mlflow.json of a run directory: which run of which server is this one. */
interface Known {
  tracking_uri: string;
  run_id: string;
}

/** Seconds before what a server did not take is sent again: the first pause, and the longest. */
const FIRST_PAUSE = 1;
const LONGEST_PAUSE = 60;
/** Seconds that the end of a run waits for the server, and that one which was interrupted does. */
const LAST_SECONDS = 30;
const LAST_SECONDS_INTERRUPTED = 5;

/** Goes on with the MLflow run that the directory names, or begins one. Without a server that answers, a UserError. */
export async function trackMlflow(
  settings: MlflowSettings,
  options: MlflowRunOptions,
): Promise<MlflowTracker> {
  const client = new MlflowClient(settings);
  return await orUserError(client, async () => {
    const { id, lastSteps, params } = await openRun(client, settings, options);
    const wanted = (await paramsOf(options.dir)).filter(([key]) => !params.has(key));
    await client.logParams(id, wanted);
    const tracker = new MlflowTracker(client, id, options, lastSteps);
    for await (const step of options.steps) {
      tracker.step(step);
      if (!options.isLive && tracker.left >= METRICS_PER_CALL) await tracker.sent();
    }
    return tracker;
  });
}

/** Sends what a run has written, and waits for it; returns the id of the MLflow run. */
export async function sendToMlflow(
  settings: MlflowSettings,
  options: Omit<MlflowRunOptions, "isLive">,
  how: Parameters<Tracker["end"]>[0],
): Promise<string> {
  const tracker = await trackMlflow(settings, { ...options, isLive: false });
  await orUserError(tracker.client, async () => {
    await tracker.sent();
    await tracker.end(how);
  });
  if (tracker.left > 0) throw new UserError(`${options.dir}: the tracking server has not taken all of it`);
  return tracker.runId;
}

/** Throws a UserError where no tracking server answers. */
export async function requireMlflow(settings: MlflowSettings): Promise<string> {
  const client = new MlflowClient(settings);
  await orUserError(client, () => client.check());
  return client.address;
}

async function orUserError<T>(client: MlflowClient, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    const { message, status } = error;
    const who = message.includes(client.address) ? "" : ` (${client.address})`;
    const help =
      status === 401 || status === 403
        ? "; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        : "; is it the address of an MLflow tracking server?";
    throw new UserError(`report_to: mlflow: ${message}${who}${help}`, { cause: error });
  }
}

async function openRun(
  client: MlflowClient,
  settings: MlflowSettings,
  { dir, note }: MlflowRunOptions,
): Promise<{ id: string; lastSteps: ReadonlyMap<string, number>; params: ReadonlySet<string> }> {
  const file = join(dir, "mlflow.json");
  const known = await readFile(file, "utf8").then(
    (text) => JSON.parse(text) as Partial<Known>,
    () => undefined,
  );
  if (known?.run_id !== undefined && known.tracking_uri === client.address) {
    const run = await client.run(known.run_id);
    if (run !== undefined && !run.isDeleted) {
      await client.update(known.run_id, "RUNNING");
      return { id: known.run_id, ...run };
    }
    note(`mlflow: the run ${known.run_id} is there no more; this one begins another`);
  }
  const name = settings.experiment ?? process.env.MLFLOW_EXPERIMENT_NAME ?? "touchstone";
  const id = await client.createRun(await client.experiment(name), {
    name: (await runNameOf(dir, settings.runName)).name,
    tags: tagsOf(dir),
    startSeconds: Date.now() / 1000,
  });
  const now: Known = { tracking_uri: client.address, run_id: id };
  await writeFileAtomic(file, `${JSON.stringify(now)}\n`);
  return { id, lastSteps: new Map(), params: new Set() };
}

function tagsOf(dir: string): Record<string, string> {
  const tags: Record<string, string> = {
    "mlflow.source.name": "touchstone",
    "mlflow.source.type": "LOCAL",
    "touchstone.version": VERSION,
    "touchstone.directory": resolve(dir),
  };
  try {
    tags["mlflow.user"] = userInfo().username;
  } catch {
    // A user id without a name, as in some containers.
  }
  return tags;
}

/** The recipe of a run as MLflow's flat parameters: `tasks.chat.optimizer.kl_max`. */
async function paramsOf(dir: string): Promise<[string, string][]> {
  const params = new Map<string, string>();
  const add = (value: unknown, path: readonly string[]): void => {
    if (typeof value !== "object" || value === null) {
      params.set(mlflowName(path.join(".")), String(value));
      return;
    }
    const isNamed = Array.isArray(value) && value.every((item) => typeof item?.name === "string");
    for (const [key, entry] of Object.entries(value)) add(entry, [...path, isNamed ? entry.name : key]);
  };
  for (const [key, value] of await recipeOf(dir)) add(value, [key]);
  return [...params];
}

const STATUS: Record<Parameters<Tracker["end"]>[0], MlflowStatus> = {
  finished: "FINISHED",
  interrupted: "KILLED",
  failed: "FAILED",
  running: "RUNNING",
};

export class MlflowTracker implements Tracker {
  private waiting: MlflowMetric[] = [];
  /** While metrics are on their way. */
  private sending: Promise<void> | undefined;
  /** Whether the server may have more than is known. */
  private isUncertain = false;
  /** Since the last success. */
  private failures = 0;
  private lastFailure = "";
  private allFailures = 0;
  /** Metrics that the server refused, and why. */
  private readonly refused: { count: number; why: string } = { count: 0, why: "" };
  /** Whether the next failure is the last word. */
  private isLast = false;
  /** What ended the sending, where nobody waits for a server to come back. */
  private error: Error | undefined;
  private readonly giveUp = new AbortController();
  private wake = (): void => {};

  constructor(
    readonly client: MlflowClient,
    readonly runId: string,
    private readonly options: Pick<MlflowRunOptions, "dir" | "note" | "isLive">,
    private lastSteps: ReadonlyMap<string, number>,
  ) {}

  /** Figures that the server did not take. */
  get left(): number {
    return this.waiting.length + this.refused.count;
  }

  step({ step, seconds, figures }: TrackedStep): void {
    if (this.error) return;
    const timestamp = Math.round(1000 * seconds);
    const metrics = figures.map(([name, value]) => ({ key: mlflowName(name), value, timestamp, step }));
    this.waiting.push(...metrics.filter((metric) => this.isNew(metric)));
    this.sending ??= this.send().finally(() => {
      this.sending = undefined;
    });
  }

  /** Waits until nothing is on its way; throws what a run that is over could not be sent for. */
  async sent(): Promise<void> {
    await this.sending;
    if (this.error) throw this.error;
  }

  async end(how: Parameters<Tracker["end"]>[0]): Promise<void> {
    const seconds = how === "interrupted" ? LAST_SECONDS_INTERRUPTED : LAST_SECONDS;
    const timer = setTimeout(
      () => this.giveUp.abort(new Error("it did not answer in time")),
      1000 * (this.options.isLive ? seconds : LONGEST_PAUSE),
    );
    this.isLast = true;
    this.wake();
    await this.sending;
    const isUpdated = await this.client.update(this.runId, STATUS[how], this.giveUp.signal).then(
      () => true,
      (error: Error) => {
        this.lastFailure = error.message;
        return false;
      },
    );
    clearTimeout(timer);
    this.tellEnd(isUpdated);
  }

  private isNew({ key, step }: MlflowMetric): boolean {
    return step > (this.lastSteps.get(key) ?? Number.NEGATIVE_INFINITY);
  }

  /** Sends what is waiting; before the end as long as it takes, at the end until the first failure. */
  private async send(): Promise<void> {
    while (this.waiting.length > 0) {
      const { isLast } = this;
      try {
        await this.sendBatch();
      } catch (error) {
        if (!this.options.isLive) this.error = error as Error;
        this.failed(error as Error);
        if (this.error || isLast || this.giveUp.signal.aborted) return;
        await this.pause(Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (this.failures - 1)));
      }
    }
  }

  private async sendBatch(): Promise<void> {
    const { signal } = this.giveUp;
    if (this.isUncertain) {
      this.lastSteps = (await this.client.run(this.runId, signal))?.lastSteps ?? new Map();
      this.waiting = this.waiting.filter((metric) => this.isNew(metric));
      this.isUncertain = false;
    }
    const batch = this.waiting.slice(0, METRICS_PER_CALL);
    if (batch.length === 0) return;
    try {
      await this.client.logMetrics(this.runId, batch, signal);
    } catch (error) {
      const { status, message } = error as HttpError;
      // What it will never take is not sent again and again.
      if (status !== 400 && status !== 413) throw error;
      this.refused.count += batch.length;
      this.refused.why = message;
    }
    this.waiting.splice(0, batch.length);
    if (this.failures > 0) this.options.note("mlflow: the server answers again");
    this.failures = 0;
  }

  private failed(error: Error): void {
    this.isUncertain ||= !(error as HttpError).isUnsent;
    this.lastFailure = error.message;
    this.failures++;
    this.allFailures++;
    if (this.failures === 1 && this.options.isLive)
      this.options.note(`mlflow: ${error.message}; the run goes on, and its figures are kept and sent later`);
  }

  private pause(seconds: number): Promise<void> {
    if (this.isLast) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, 1000 * seconds);
      timer.unref();
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  private tellEnd(isUpdated: boolean): void {
    const { refused, waiting, allFailures, lastFailure, options } = this;
    const stepsLeft = new Set(waiting.map(({ step }) => step)).size;
    const again = `touchstone report ${options.dir} --to mlflow sends what is missing`;
    if (stepsLeft > 0)
      options.note(`warning: mlflow: figures of ${stepsLeft} steps were not sent (${lastFailure}); ${again}`);
    else if (!isUpdated)
      options.note(
        `warning: mlflow: the server was not told that the run has ended (${lastFailure}); ${again}`,
      );
    else if (allFailures > 0)
      options.note(
        `mlflow: all figures were sent; the server failed to take them ${allFailures} times before`,
      );
    if (refused.count > 0)
      options.note(`warning: mlflow: the server refused ${refused.count} figures: ${refused.why}`);
  }
}
