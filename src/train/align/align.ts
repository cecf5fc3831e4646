// Alignment: Algorithms 1 and 2 of CGPO (2409.20370). Every task has its own prompts, reward, judges, objective, KL bound
// and generations; the gradients of all tasks are taken at the same weights, summed with the task weights rho_l, and
// applied in one step. The sampling half of a task's step is rollout.ts.

import { join } from "node:path";
import { UserError } from "../../base/errors.js";
import { mean, mostFrequent } from "../../base/statistics.js";
import { together } from "../../base/together.js";
import type { AdamOptions, LanguageModel } from "../../engine/contract.js";
import {
  type MonitorRecipe,
  type TrackerRecipe,
  type TrainerSettings,
  trainerDefaults,
} from "../../recipe/recipe.js";
import { addClock, describeRates, newClock, rates, timed } from "../../run/clock.js";
import type { RunContext } from "../../run/context.js";
import { nameRows, type RunLogs, runLoop } from "../../run/loop.js";
import { type Metrics, type MetricsRow, type Rollout, readMetrics } from "../../run/metrics.js";
import { learningRateAt, warmupRemarks } from "../../run/schedule.js";
import { following } from "../../trackers/follow.js";
import type { Codec } from "../text.js";
import { Alarms } from "./alarms.js";
import { Critic } from "./critic.js";
import type { AlignParts, RunningTask, StepContext, TaskStep } from "./parts.js";
import { meanMetrics } from "./passes.js";
import { startTask } from "./task.js";

export interface AlignResult {
  /** Directory of the aligned model (or of its adapter). */
  model: string;
  /** What of the data was left out or cut, in sentences. */
  remarks: string[];
}

export interface ObservedModels {
  policy: LanguageModel;
  reference: LanguageModel;
  codec: Codec;
}

/** How an alignment is run. What is absent is as in a recipe. */
export interface AlignSettings extends Partial<TrainerSettings> {
  /** Directory of the run: metrics, rollouts, checkpoints, the final model. */
  outputDir: string;
  steps: number;
  /** Peak. */
  learningRate: number;
  seed?: number;
  /** The norm of every task's gradient in the metrics. */
  logTaskGradNorm?: boolean;
  /** Samples of each task and step whose tokens are logged with their log-ratios. Default: none. */
  rollouts?: { tokens: number } | undefined;
  /** The alarm for reward hacking; without signals it is off. Default: every signal, said and nothing else. */
  monitor?: Partial<MonitorRecipe>;
  /** Tools that see the figures besides the run's own files. Default: none. */
  reportTo?: readonly TrackerRecipe[] | undefined;
}

export interface AlignOptions extends RunContext {
  /** How a person is told what is running. Default "align". */
  label?: string;
  /** A run in which no step learns anything is a result like any other (an experiment), not an error. */
  allowNothingLearned?: boolean;
  /** What recipe.yaml of the run says, by which a resumed run is known. Default: the settings. */
  record?: object;
  /**
   * Looks at the policy before the first step (0) and after every step. What it returns is logged beside the step's
   * metrics and goes nowhere else.
   */
  observe?: (step: number, models: ObservedModels) => Promise<Metrics>;
}

/** Aligns the policy of `parts`, which keeps what it has learned; the parts are not disposed of. */
export async function runAlign(
  parts: AlignParts,
  settings: AlignSettings,
  options: AlignOptions,
): Promise<AlignResult> {
  const { policy, reference, codec } = parts;
  const { seed = 0, outputDir, steps, rollouts: logged } = settings;
  const trainer = { ...trainerDefaults, ...settings };
  const critic = parts.critic && new Critic(parts.critic.model, parts.critic.learningRate);
  const window = Math.min(policy.limits.maxTokens, reference.limits.maxTokens);
  const tasks = parts.tasks.map((task) => startTask(task, seed, codec, window));
  const remarks = [
    ...parts.tasks.flatMap((task) => task.remarks ?? []),
    ...tasks.flatMap(({ fit }) => fit?.remarks ?? []),
  ];
  for (const remark of [...warmupRemarks(steps, trainer), ...remarks]) options.reporter.note(remark);
  const total = newClock();
  let alarms: Alarms | undefined;
  const { model } = await runLoop(outputDir, options.record ?? settings, options, {
    label: options.label ?? "align",
    steps,
    trainer,
    models: critic ? { policy, critic: critic.model } : { policy },
    final: policy,
    state: () => ({
      tasks: Object.fromEntries(tasks.map((task) => [task.name, task.state()])),
      ...(parts.llm && { llm: parts.llm.state() }),
    }),
    restore: (state) => {
      parts.llm?.restore(state.llm);
      for (const task of tasks) task.restore(state.tasks[task.name]);
    },
    batch: () => tasks.map(({ name, batch }) => `task ${name}: ${nameRows(batch())}`).join("; "),
    step: async (adam, step, run) => {
      const observe = (at: number) => options.observe?.(at, { policy, reference, codec });
      if (step === 0) {
        const before = await observe(0);
        if (before) run.metrics.log(0, before);
      }
      const clock = newClock();
      const context: StepContext = {
        policy,
        reference,
        critic,
        codec,
        clock,
        logged,
        signal: options.signal,
      };

      // Algorithm 2, lines 3 to 9: the rollouts of every task, at the same weights.
      const begun = await beginAll(tasks, step + 1, context);
      // Line 10: w <- w - lr sum_l rho_l g_l.
      const norms = await update(begun, settings, context, {
        policy: adam,
        critic: critic && {
          ...adam,
          learningRate: learningRateAt(critic.learningRate, step, steps, trainer),
        },
      });

      const { metrics, rollouts } = await finishAll(begun, run);
      alarms ??= await Alarms.begin(settings.monitor ?? {}, outputDir, options.reporter);
      alarms.observe(step + 1, metrics, rollouts);
      const observed = await observe(step + 1);
      addClock(total, clock);
      return { ...metrics, ...overall(tasks, metrics), ...rates(clock), ...norms, ...observed };
    },
    after: async () => alarms?.act(),
    follow: following(settings.reportTo, options.reporter),
  });
  if (total.sample.tokens > 0) options.reporter.note(`tokens per second: ${describeRates(total)}`);
  const empty = whatLearnedNothing(await readMetrics(join(outputDir, "metrics.jsonl")), steps, options);
  for (const line of empty) options.reporter.note(line);
  return { model, remarks: [...remarks, ...empty] };
}

/** What the step made of every task, in their order; rollouts are logged as their task is done. */
async function finishAll(
  begun: Awaited<ReturnType<typeof beginAll>>,
  run: Pick<RunLogs, "logRollouts">,
): Promise<{ metrics: Record<string, number | string | undefined>; rollouts: Rollout[] }> {
  const metrics: Record<string, number | string | undefined> = {};
  const rollouts: Rollout[] = [];
  for (const { task, step, updates } of begun) {
    const end = await step.finish();
    for (const [key, value] of Object.entries({ ...meanMetrics(updates), ...end.metrics }))
      metrics[`tasks/${task.name}/${key}`] = value;
    run.logRollouts(end.rollouts);
    rollouts.push(...end.rollouts);
  }
  return { metrics, rollouts };
}

/** Names the steps in which no sample entered a gradient, with the most frequent cause; a run of nothing else is an error. */
function whatLearnedNothing(
  rows: readonly MetricsRow[],
  steps: number,
  { allowNothingLearned }: AlignOptions,
): string[] {
  const learned = (row: MetricsRow): boolean => {
    const counts = Object.entries(row).filter(([key]) => key.endsWith("/learned_samples"));
    return counts.length === 0 || counts.some(([, count]) => count !== 0);
  };
  const empty = rows.filter((row) => row.step > 0 && !learned(row));
  if (empty.length === 0) return [];
  const causes = empty.flatMap((row) =>
    Object.entries(row).flatMap(([key, cause]) => {
      const task = /^tasks\/([^/]+)\/nothing_learned$/.exec(key)?.[1];
      return task === undefined ? [] : [`task ${task}: ${cause}`];
    }),
  );
  const cause = mostFrequent(causes) ?? "no sample entered a gradient";
  if (empty.length === steps && !allowNothingLearned)
    throw new UserError(
      `no step learned anything: in none of ${steps} did a sample enter the gradient (${cause}), so the final model is the one it started from; rollouts.jsonl says what became of each sample`,
    );
  const named =
    empty
      .slice(0, 5)
      .map(({ step }) => step)
      .join(", ") + (empty.length > 5 ? ", ..." : "");
  return [`${empty.length} of ${steps} steps learned nothing (${named}): ${cause}`];
}

/** A task in the middle of a step. */
interface BegunTask {
  task: RunningTask;
  step: TaskStep;
  /** Metrics of the updates so far. */
  updates: Metrics[];
}

/** Begins a step of every task, side by side where the policy is elsewhere. */
async function beginAll(
  tasks: readonly RunningTask[],
  step: number,
  context: StepContext,
): Promise<readonly BegunTask[]> {
  const begin = async (task: RunningTask): Promise<BegunTask> => ({
    task,
    step: await task.begin(step, context),
    updates: [],
  });
  if (context.policy.answersSideBySide) return together(() => tasks.map(begin));
  const begun: BegunTask[] = [];
  for (const task of tasks) begun.push(await begin(task));
  return begun;
}

/**
 * The update of Algorithm 2: the gradients of all tasks at the same weights, summed with rho_l, one optimizer step. It is
 * made again while some task has a further update of its batch. Returns the mean norms of the gradients.
 */
async function update(
  begun: readonly BegunTask[],
  { logTaskGradNorm }: Pick<AlignSettings, "logTaskGradNorm">,
  { policy, critic, clock }: StepContext,
  adam: { policy: AdamOptions; critic?: AdamOptions },
): Promise<Metrics> {
  const norms: Metrics[] = [];
  const count = Math.max(1, ...begun.map(({ step }) => step.updates));
  for (let u = 0; u < count; u++) {
    let learned = 0;
    for (const { task, step, updates } of begun) {
      if (u >= step.updates) continue;
      const work = () => step.accumulate(u);
      const { result, gradNorm } =
        logTaskGradNorm && policy.measureAdded
          ? await policy.measureAdded(work)
          : { result: await work(), gradNorm: undefined };
      learned += result.learned;
      updates.push(
        gradNorm === undefined ? result.metrics : { ...result.metrics, grad_norm: gradNorm / task.weight },
      );
    }
    const step = async () => (learned === 0 ? 0 : (await policy.step(adam.policy)).gradNorm);
    norms.push({
      grad_norm: await timed(clock.optimizer, 0, step),
      ...(critic && {
        critic_grad_norm: await timed(clock.optimizer, 0, () => critic.step(adam.critic!)),
      }),
    });
  }
  return meanMetrics(norms);
}

/** Means over the tasks that have a metric, for the display and for single-task runs. */
function overall(tasks: readonly RunningTask[], metrics: Metrics): Metrics {
  const means = Object.entries({
    reward: "rewards/mean",
    kl: "kl",
    "constraints/satisfied_rate": "constraints/satisfied_rate",
    accuracy: "rewards/accuracies",
  }).flatMap(([name, key]): [string, number | undefined][] => {
    const keys = tasks.map((task) => `tasks/${task.name}/${key}`).filter((full) => full in metrics);
    const values = keys.flatMap((full) => metrics[full] ?? []).map(Number);
    return keys.length === 0 ? [] : [[name, values.length > 0 ? mean(values) : undefined]];
  });
  return Object.fromEntries(means);
}
