// Alignment: Algorithms 1 and 2 of CGPO. Every task has its own prompts, reward model, judges, optimizer, KL bound and
// generations; the gradients of all tasks are taken at the same weights, summed with the task weights rho_l, and applied
// in one step.

import { basename, join } from "node:path";
import { mean } from "../../base/statistics.js";
import type { AdamOptions } from "../../engine/contract.js";
import type { LocalLanguageModel } from "../../engine/local/index.js";
import type { AlignRecipe, StagedRecipe } from "../../recipe/recipe.js";
import { addClock, describeRates, newClock, rates, timed } from "../../run/clock.js";
import { checkOutputDir } from "../../run/directory.js";
import { nameRows, runLoop } from "../../run/loop.js";
import type { Metrics } from "../../run/metrics.js";
import { learningRateAt } from "../../run/schedule.js";
import { openPolicy } from "../models.js";
import { RewardSources } from "../rewards/rewards.js";
import type { TextCodec } from "../text.js";
import { Critic } from "./critic.js";
import { type Learner, openLearner, type TaskStep } from "./learner.js";
import { meanMetrics } from "./learning.js";
import { runStages } from "./stages.js";
import type { Surroundings, TaskContext } from "./task.js";

export interface AlignResult {
  /** Directory of the aligned model (or of its adapter). */
  model: string;
}

export interface ObservedModels {
  policy: LocalLanguageModel;
  reference: LocalLanguageModel;
  codec: TextCodec;
}

export interface AlignOptions extends TaskContext {
  /**
   * Looks at the policy before the first step (0) and after every step. What it returns is logged beside the step's
   * metrics and goes nowhere else.
   */
  observe?: (step: number, models: ObservedModels) => Promise<Metrics>;
}

export function runAlign(recipe: AlignRecipe | StagedRecipe, context: AlignOptions): Promise<AlignResult> {
  if (!("stages" in recipe)) return runStage(recipe, context, "align");
  return runStages(recipe, context, (stage, { replay, ...rest }, label) => {
    // The run that is replayed has a directory for each stage too.
    const part = replay === undefined ? {} : { replay: join(replay, basename(stage.outputDir)) };
    return runStage(stage, { ...rest, ...part }, label);
  });
}

async function runStage(recipe: AlignRecipe, context: AlignOptions, label: string): Promise<AlignResult> {
  await checkOutputDir(recipe.outputDir, recipe, context);
  const { policy, codec } = await openPolicy(recipe.policy.model, {
    ...recipe.policy,
    engine: recipe.engine,
    seed: recipe.seed,
  });
  // pi_ref is the policy before its first step, unless the recipe names another model.
  const reference = recipe.reference
    ? (await openPolicy(recipe.reference, { engine: recipe.engine, frozen: true })).policy
    : await policy.snapshot();
  const critic = await Critic.open(recipe, codec.tokenizer);
  const rewards = new RewardSources(recipe, codec, context);
  const tasks: Learner[] = [];
  for (const task of recipe.tasks) tasks.push(await openLearner(task, recipe, rewards, codec, context));

  const total = newClock();
  const { model } = await runLoop(recipe.outputDir, recipe, context, {
    label,
    steps: recipe.steps,
    trainer: recipe,
    models: critic ? { policy, critic: critic.model } : { policy },
    final: policy,
    state: () => ({
      tasks: Object.fromEntries(tasks.map((task) => [task.name, task.state()])),
      llm: rewards.llm.state(),
    }),
    restore: (state) => {
      rewards.llm.restore(state.llm);
      for (const task of tasks) task.restore(state.tasks[task.name]);
    },
    batch: () => tasks.map(({ name, batch }) => `task ${name}: ${nameRows(batch())}`).join("; "),
    step: async (adam, step, run) => {
      const observe = (at: number) => context.observe?.(at, { policy, reference, codec });
      if (step === 0) {
        const before = await observe(0);
        if (before) run.metrics.log(0, before);
      }
      const clock = newClock();
      const around: Surroundings = { policy, reference, critic, codec, clock, context };
      const begun: BegunTask[] = [];
      for (const task of tasks) begun.push({ task, step: await task.begin(step + 1, around), updates: [] });
      const norms = await update(begun, recipe, around, {
        policy: adam,
        critic: critic && {
          ...adam,
          learningRate: learningRateAt(critic.learningRate, step, recipe.steps, recipe),
        },
      });

      const metrics: Record<string, number | string | undefined> = {};
      for (const { task, step: taskStep, updates } of begun) {
        const end = await taskStep.finish();
        for (const [key, value] of Object.entries({ ...meanMetrics(updates), ...end.metrics }))
          metrics[`tasks/${task.name}/${key}`] = value;
        run.logRollouts(end.rollouts);
      }
      const observed = await observe(step + 1);
      addClock(total, clock);
      return { ...metrics, ...overall(tasks, metrics), ...rates(clock), ...norms, ...observed };
    },
  });
  if (total.sample.tokens > 0) context.reporter.note(`tokens per second: ${describeRates(total)}`);
  for (const opened of [policy, reference, critic, rewards]) opened?.dispose();
  return { model };
}

/** A task in the middle of a step. */
interface BegunTask {
  task: Learner;
  step: TaskStep;
  /** Metrics of the updates so far. */
  updates: Metrics[];
}

/**
 * The update of Algorithm 2: the gradients of all tasks at the same weights, summed with rho_l, one optimizer step. It is
 * made again while some task has a further update of its batch. Returns the mean norms of the gradients.
 */
async function update(
  begun: readonly BegunTask[],
  { logTaskGradNorm }: AlignRecipe,
  { policy, critic, clock }: Surroundings,
  adam: { policy: AdamOptions; critic?: AdamOptions },
): Promise<Metrics> {
  const norms: Metrics[] = [];
  const count = Math.max(1, ...begun.map(({ step }) => step.learning.updates));
  for (let u = 0; u < count; u++) {
    let learned = 0;
    for (const { task, step, updates } of begun) {
      if (u >= step.learning.updates) continue;
      const work = () => step.learning.accumulate(u);
      const { result, gradNorm } = logTaskGradNorm
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
function overall(tasks: readonly Learner[], metrics: Metrics): Metrics {
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
