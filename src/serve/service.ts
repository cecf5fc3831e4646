// The service behind every dialect: admits samples, answers equal ones once, scores the others together, keeps to
// deadlines, counts and logs, and lets rubrics evolve.

import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../base/atomic.js";
import { makeDirectory } from "../base/files.js";
import { limiter } from "../base/requests.js";
import { didYouMean } from "../base/suggest.js";
import type { SampleJudgement } from "../judges/mixture.js";
import { errorMessage } from "../judges/verdict.js";
import type { ServeRecipe } from "../recipe/recipe.js";
import { RequestLog } from "./log.js";
import { Memo } from "./memo.js";
import { Meter } from "./meter.js";
import { PolicyService } from "./policy.js";
import { Problem } from "./problem.js";
import type { Answered, ServedResult, ServedSample } from "./sample.js";
import { type Evidence, TaskScorer } from "./scorer.js";
import type { ServedTask, ServedTasks } from "./task.js";
import { UpdateWindow, type WindowState } from "./window.js";

export interface ServiceContext {
  /** One line for the person at the terminal. */
  note(line: string): void;
}

export interface Asked {
  dialect: string;
  /** Absent: the only task, or the first. */
  task?: string | undefined;
  /** Aborts when the client has gone. */
  signal?: AbortSignal | undefined;
}

/** A task with what serves it. */
interface Running {
  task: ServedTask;
  scorer: TaskScorer;
  memo: Memo<{ result: ServedResult; evidence?: Evidence }>;
  window?: UpdateWindow;
}

interface SavedState {
  windows: Record<string, WindowState>;
}

const stateFile = (dir: string) => join(dir, "state.json");

export class RewardService {
  readonly meter = new Meter();
  readonly options: ServeRecipe;
  /** The language model of the recipe, where it is served. */
  readonly policy: PolicyService | undefined;
  private readonly running = new Map<string, Running>();
  private readonly closers: (() => void)[] = [];
  private readonly engineTurn = limiter(1);
  private waiting = 0;
  private isClosing = false;
  private saving = Promise.resolve();
  /** Samples answered in a second, lately: what Retry-After is computed from. */
  private pace = 50;

  private constructor(
    private readonly served: ServedTasks,
    private readonly log: RequestLog,
    private readonly context: ServiceContext,
  ) {
    this.options = served.options;
    this.policy = served.policy && new PolicyService(served.policy, this.engineTurn);
  }

  static async open(served: ServedTasks, context: ServiceContext): Promise<RewardService> {
    let service: RewardService | undefined;
    const log = await RequestLog.open(served.outputDir, (error) => {
      service?.meter.count("log_errors_total");
      context.note(`the log could not be written: ${errorMessage(error)}`);
    });
    service = new RewardService(served, log, context);
    service.start();
    await service.restore();
    return service;
  }

  private start(): void {
    const { retries, maxBatch, remembered } = this.options;
    const { engineTurn } = this;
    for (const task of this.served.tasks) {
      const { name } = task;
      const scorer = new TaskScorer(task, {
        retries,
        maxBatch,
        remembered,
        engineTurn,
        note: (sentence) => this.context.note(sentence),
        onBatch: (size) => this.meter.observe("batch_size", size, { task: name }),
        onRetry: (what, count) => this.meter.count("retries_total", { task: name, what }, count),
      });
      const memo = new Memo<{ result: ServedResult; evidence?: Evidence }>(
        remembered,
        ({ result }) => result.outcome !== "failed",
      );
      const window = task.reward?.rubrics && this.windowOf(task, task.reward);
      this.running.set(name, { task, scorer, memo, ...(window && { window }) });
    }
  }

  private windowOf(
    { name, window: size }: ServedTask,
    reward: NonNullable<ServedTask["reward"]>,
  ): UpdateWindow {
    return new UpdateWindow(reward, {
      size,
      onUpdate: async () => {
        this.meter.count("updates_total", { task: name });
        await this.save();
      },
      onError: (sentence) => {
        this.meter.count("round_errors_total", { task: name });
        this.context.note(`task ${name}: the rubric's round: ${sentence}`);
      },
    });
  }

  get tasks(): readonly ServedTask[] {
    return this.served.tasks;
  }

  get closing(): boolean {
    return this.isClosing;
  }

  /** The task of that name; without a name the first. */
  taskOf(name: string | undefined): ServedTask {
    return this.find(name).task;
  }

  private find(name: string | undefined): Running {
    const names = [...this.running.keys()];
    const found = this.running.get(name ?? names[0] ?? "");
    if (found) return found;
    if (names.length === 0)
      throw new Problem("not_found", "no rewards are served here, only a language model");
    throw new Problem(
      "not_found",
      `there is no task "${name}"${didYouMean(name!, names)}; there are ${names.join(", ")}`,
    );
  }

  // Scoring ----------------------------------------------------------------------------------------------------

  /** What the recipe says of every sample, in their order. A deadline or a failure is a result of its sample alone. */
  async score(samples: readonly ServedSample[], asked: Asked): Promise<ServedResult[]> {
    const running = this.find(asked.task);
    const note = { request: randomUUID(), dialect: asked.dialect };
    return this.admitted(samples.length, async () => {
      const deadline = Date.now() + 1000 * this.options.deadlineSeconds;
      const answers = await Promise.all(
        samples.map((sample) => this.inTime(running, sample, deadline, asked.signal)),
      );
      asked.signal?.throwIfAborted();
      answers.forEach((answered, i) => {
        this.countSample(running.task.name, answered);
        this.log.add(note, samples[i]!, answered);
      });
      return answers.map(({ result }) => result);
    });
  }

  /** What the judges say, without the reward. */
  async judge(samples: readonly ServedSample[], asked: Asked): Promise<SampleJudgement[]> {
    const { scorer, task } = this.find(asked.task);
    return this.admitted(samples.length, async () => {
      const found = await Promise.all(samples.map((sample) => scorer.judge(sample)));
      for (const { verdicts } of found) this.countVerdicts(task.name, verdicts);
      return found;
    });
  }

  /** Runs `work` if there is room for so many samples. */
  private async admitted<T>(count: number, work: () => Promise<T>): Promise<T> {
    if (this.isClosing) throw new Problem("unavailable", "the server is stopping", { retryAfterSeconds: 5 });
    const { maxWaiting } = this.options;
    if (count > maxWaiting)
      throw new Problem(
        "too_large",
        `a request may hold ${maxWaiting} samples, not ${count} (serve.max_waiting)`,
      );
    if (this.waiting + count > maxWaiting) {
      this.meter.count("refused_total", {}, count);
      const retryAfterSeconds = Math.min(60, Math.max(1, Math.ceil(this.waiting / this.pace)));
      throw new Problem("busy", `${this.waiting} samples are waiting, and no more than ${maxWaiting} may`, {
        retryAfterSeconds,
      });
    }
    this.waiting += count;
    const begun = performance.now();
    try {
      return await work();
    } finally {
      this.waiting -= count;
      const now = (1000 * count) / Math.max(1, performance.now() - begun);
      this.pace = 0.9 * this.pace + 0.1 * now;
    }
  }

  private async inTime(
    running: Running,
    sample: ServedSample,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<Answered> {
    const { deadlineSeconds } = this.options;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<Answered>((resolve) => {
      timer = setTimeout(() => {
        const reason = `there was no result within ${deadlineSeconds} s`;
        resolve({ result: failedResult(running, sample, reason), isRepeated: false });
      }, deadline - Date.now());
    });
    try {
      return await Promise.race([this.answer(running, sample, signal), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  private async answer(
    { scorer, memo, window }: Running,
    sample: ServedSample,
    signal: AbortSignal | undefined,
  ): Promise<Answered> {
    const row = scorer.rowOf(sample);
    const question = [sample.response, sample.truncated, sample.baseline, row, scorer.versionFor(row)];
    const key = createHash("sha256").update(JSON.stringify(question)).digest("base64");
    signal?.throwIfAborted();
    const { value, isKnown } = memo.get(key, async () => {
      let evidence: Evidence | undefined;
      const result = await scorer.score(sample, (found) => {
        evidence = found;
      });
      return { result, ...(evidence && window && { evidence }) };
    });
    const { result, evidence } = await value;
    if (evidence && window) window.push(evidence);
    return { result, isRepeated: isKnown };
  }

  private countSample(task: string, { result, isRepeated }: Answered): void {
    this.meter.count("samples_total", { task, outcome: result.outcome });
    if (isRepeated) this.meter.count("repeated_total", { task });
    if (result.reason !== undefined)
      this.meter.count("failures_total", { task, what: /^\w+/.exec(result.reason)?.[0] ?? "other" });
    this.countVerdicts(task, result.verdicts);
  }

  private countVerdicts(task: string, verdicts: SampleJudgement["verdicts"]): void {
    for (const [judge, said] of Object.entries(verdicts))
      if (typeof said === "object")
        this.meter.count("verdicts_total", { task, judge, verdict: said.verdict });
  }

  // Rubrics ----------------------------------------------------------------------------------------------------

  private rubricsOf(name: string | undefined) {
    const { task, window } = this.find(name);
    const rubrics = task.reward?.rubrics;
    if (!rubrics || !window)
      throw new Problem("not_found", `task ${task.name} has no rubric; its reward is something else`);
    return { task, rubrics, window };
  }

  rubricStatus(name: string | undefined) {
    const { task, rubrics, window } = this.rubricsOf(name);
    return {
      task: task.name,
      frozen: window.frozen,
      updates: window.updates,
      window: { samples: window.waiting, size: task.window },
      rubrics: [...rubrics.current()].map(([cluster, rubric]) => ({ cluster, ...rubric })),
    };
  }

  async rubricHistory(name: string | undefined, cluster: string) {
    const { task, rubrics } = this.rubricsOf(name);
    const versions = await rubrics.history(cluster);
    return {
      task: task.name,
      cluster,
      versions: versions.map(({ rubric, reason }) => ({
        ...rubric,
        ...(reason !== undefined && { reason }),
      })),
    };
  }

  async rollBack(name: string | undefined, cluster: string, version: number) {
    const { rubrics, window } = this.rubricsOf(name);
    await window.settled();
    try {
      await rubrics.rollBack(cluster, version);
    } catch (error) {
      throw new Problem("not_found", errorMessage(error));
    }
    await this.save();
    return this.rubricStatus(name);
  }

  async freeze(name: string | undefined, isFrozen: boolean) {
    this.rubricsOf(name).window.freeze(isFrozen);
    await this.save();
    return this.rubricStatus(name);
  }

  // State ------------------------------------------------------------------------------------------------------

  /** Writes down where the rubrics stand; one write at a time. */
  private save(): Promise<void> {
    this.saving = this.saving.then(async () => {
      const windows: Record<string, WindowState> = {};
      for (const [name, { window }] of this.running) if (window) windows[name] = window.state();
      if (Object.keys(windows).length === 0) return;
      await makeDirectory(this.served.outputDir);
      await writeFileAtomic(stateFile(this.served.outputDir), `${JSON.stringify({ windows })}\n`);
    });
    return this.saving;
  }

  private async restore(): Promise<void> {
    const path = stateFile(this.served.outputDir);
    if (!existsSync(path)) return;
    const { windows } = JSON.parse(await readFile(path, "utf8")) as SavedState;
    for (const [name, state] of Object.entries(windows)) {
      const window = this.running.get(name)?.window;
      if (!window) continue;
      window.restore(state);
      this.context.note(`task ${name}: the rubric goes on after update ${state.update}, from ${path}`);
    }
  }

  health() {
    return {
      status: this.isClosing ? "stopping" : "ok",
      tasks: [...this.running.keys()],
      waiting: this.waiting,
    };
  }

  metricsText(): string {
    this.meter.set("waiting", this.waiting);
    for (const [task, { memo, task: served }] of this.running) {
      this.meter.set("remembered", memo.count, { task });
      for (const [cluster, { version }] of served.reward?.rubrics?.current() ?? [])
        this.meter.set("rubric_version", version, { task, cluster });
    }
    return this.meter.text();
  }

  /** Is called when the server stops, for connections that do not end by themselves. */
  onClose(close: () => void): void {
    this.closers.push(close);
  }

  /** Refuses what is new and ends when what runs has ended. */
  async close(): Promise<void> {
    this.isClosing = true;
    while (this.waiting > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    for (const { window } of this.running.values()) await window?.settled();
    await this.save();
    for (const close of this.closers) close();
    this.log.close();
    this.policy?.dispose();
    this.served.dispose();
  }
}

const failedResult = ({ scorer, task }: Running, sample: ServedSample, reason: string): ServedResult => ({
  task: task.name,
  promptId: scorer.rowOf(sample).id,
  outcome: "failed",
  value: null,
  reward: null,
  baselineReward: null,
  calibratedReward: null,
  regularisedReward: null,
  feasible: null,
  verdicts: {},
  reason: `deadline: ${reason}`,
  notes: {},
});
