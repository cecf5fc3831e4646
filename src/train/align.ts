// Alignment: Algorithms 1 and 2 of CGPO. Every task has its own prompts, reward model, judges, optimizer, KL bound and
// generations; the gradients of all tasks are taken at the same weights, summed with the task weights rho_l, and applied
// in one step.

import type { LocalLanguageModel } from "../engine/local/index.js";
import {
  openTask,
  restoreTask,
  type Surroundings,
  type Task,
  type TaskContext,
  taskState,
} from "./align-task.js";
import { addClock, describeRates, newClock, rates, timed } from "./clock.js";
import type { Metrics } from "./metrics.js";
import { openPolicy } from "./models.js";
import { checkOptimizer } from "./policy-objectives.js";
import type { AlignRecipe } from "./recipe.js";
import { RewardSources } from "./rewards.js";
import { rollOut, rolloutRows } from "./rollout.js";
import { checkOutputDir } from "./run-directory.js";
import { nameRows, runLoop } from "./run-loop.js";
import type { TextCodec } from "./text.js";
import { accumulateTask } from "./update.js";

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

export async function runAlign(recipe: AlignRecipe, context: AlignOptions): Promise<AlignResult> {
  for (const { optimizer } of recipe.tasks) checkOptimizer(optimizer.name);
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
  const rewards = new RewardSources(recipe, codec.tokenizer);
  const tasks: Task[] = [];
  for (const task of recipe.tasks) tasks.push(await openTask(task, recipe, rewards, codec, context));

  const total = newClock();
  const { model } = await runLoop(recipe.outputDir, recipe, context, {
    label: "align",
    steps: recipe.steps,
    trainer: recipe,
    models: { policy },
    final: policy,
    state: () => ({ tasks: Object.fromEntries(tasks.map((task) => [task.recipe.name, taskState(task)])) }),
    restore: (state) => {
      for (const task of tasks) restoreTask(task, state.tasks[task.recipe.name]);
    },
    batch: () => tasks.map(({ recipe: { name }, batch }) => `task ${name}: ${nameRows(batch)}`).join("; "),
    step: async (adam, step, run) => {
      const observe = (at: number) => context.observe?.(at, { policy, reference, codec });
      if (step === 0) {
        const before = await observe(0);
        if (before) run.metrics.log(0, before);
      }
      const around: Surroundings = { policy, reference, codec, clock: newClock(), context };
      const metrics: Record<string, number | string | undefined> = {};
      let learned = 0;
      for (const task of tasks) {
        const { name } = task.recipe;
        const rollouts = await rollOut(task, around);
        const update = await accumulateTask(task, rollouts, around);
        learned += update.learned;
        const after = await task.reward.afterStep(step + 1, rollouts, context.signal);
        for (const [key, value] of Object.entries({ ...update.metrics, ...rollouts.metrics, ...after }))
          metrics[`tasks/${name}/${key}`] = value;
        run.logRollouts(rolloutRows(name, step + 1, rollouts, update.advantages));
      }
      const { clock } = around;
      const gradNorm =
        learned === 0 ? 0 : (await timed(clock.optimizer, 0, () => policy.step(adam))).gradNorm;
      const observed = await observe(step + 1);
      addClock(total, clock);
      return { ...metrics, ...overall(tasks, metrics), ...rates(clock), grad_norm: gradNorm, ...observed };
    },
  });
  if (total.sample.tokens > 0) context.reporter.note(`tokens per second: ${describeRates(total)}`);
  policy.dispose();
  reference.dispose();
  rewards.dispose();
  return { model };
}

/** Means over tasks, for the display and for single-task runs. */
function overall(tasks: readonly Task[], metrics: Metrics): Metrics {
  const over = (key: string) => {
    const values = tasks.flatMap(({ recipe }) => metrics[`tasks/${recipe.name}/${key}`] ?? []).map(Number);
    return values.length > 0 ? values.reduce((sum, value) => sum + value, 0) / values.length : undefined;
  };
  return {
    reward: over("rewards/mean"),
    kl: over("kl"),
    "constraints/satisfied_rate": over("constraints/satisfied_rate"),
  };
}
