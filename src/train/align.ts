// Alignment: Algorithms 1 and 2 of CGPO. Every task has its own prompts, reward model, judges, optimizer, KL bound and
// generations; the gradients of all tasks are taken at the same weights, summed with the task weights rho_l, and applied
// in one step.

import { NonFiniteError, UserError } from "../base/errors.js";
import { hash32, RandomStream } from "../base/random.js";
import { loadPrompts, PromptCursor } from "../data/index.js";
import type { PromptRow } from "../data/rows.js";
import type { Completion, Sequence } from "../engine/contract.js";
import type { LocalLanguageModel } from "../engine/local/index.js";
import { judgeBatch, type Mixture, type SampleJudgement } from "../judges/mixture.js";
import { mixtureFrom } from "../judges/registry.js";
import { type Outcome, rowsWithGradient } from "../objectives/index.js";
import type { RunContext } from "./context.js";
import type { Metrics, Rollout } from "./metrics.js";
import { openPolicy } from "./models.js";
import { checkOptimizer, type PolicyGradient, policyGradient, type TaskBatch } from "./policy-objectives.js";
import type { AlignRecipe, OptimizerRecipe, TaskRecipe } from "./recipe.js";
import { type RewardFunction, RewardModels } from "./rewards.js";
import { checkOutputDir } from "./run-directory.js";
import { nameRows, runLoop } from "./run-loop.js";
import { promptText, type TextCodec } from "./text.js";

export interface AlignResult {
  /** Directory of the aligned model (or of its adapter). */
  model: string;
}

/** An optimizer that samples from the policy. */
type SamplingOptimizer = Extract<OptimizerRecipe, { generations: number }>;

/** abar of a prompt (eq. 5). */
interface Baseline {
  /** r_pair(s, abar). */
  reward: number;
  tokens: number[];
  verdict: Outcome;
}

interface Task {
  recipe: TaskRecipe;
  optimizer: SamplingOptimizer;
  rows: readonly PromptRow[];
  cursor: PromptCursor<PromptRow>;
  /** Prompts of the step at hand. */
  batch: PromptRow[];
  /** Seeds of the samples. */
  random: RandomStream;
  reward: RewardFunction;
  mixture: Mixture;
  baselines: Map<string, Baseline>;
}

/** Seconds and tokens of each phase of a step. */
type Clock = Record<"sample" | "judge" | "reward" | "logprobs" | "backward" | "optimizer", Phase>;
interface Phase {
  seconds: number;
  tokens: number;
}

export interface ObservedModels {
  policy: LocalLanguageModel;
  reference: LocalLanguageModel;
  codec: TextCodec;
}

export interface AlignOptions extends RunContext {
  /** Directory that a judge module's path in the recipe starts from. Default: the working directory. */
  baseDir?: string;
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
  const rewards = new RewardModels(recipe.engine, recipe.policy.model, codec.tokenizer);
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
      const clock = newClock();
      const metrics: Record<string, number> = {};
      for (const task of tasks) {
        const result = await taskGradient(task, { policy, reference, codec, clock, context });
        for (const [key, value] of Object.entries(result.metrics))
          metrics[`tasks/${task.recipe.name}/${key}`] = value;
        run.logRollouts(result.rollouts.map((rollout) => ({ ...rollout, step: step + 1 })));
      }
      const kept = tasks.reduce(
        (sum, { recipe: { name } }) => sum + (metrics[`tasks/${name}/learned_samples`] ?? 0),
        0,
      );
      const gradNorm = kept === 0 ? 0 : (await timed(clock.optimizer, 0, () => policy.step(adam))).gradNorm;
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

async function openTask(
  recipe: TaskRecipe,
  { seed, llm }: AlignRecipe,
  rewards: RewardModels,
  codec: TextCodec,
  context: AlignOptions,
): Promise<Task> {
  const { name, optimizer } = recipe;
  if (!("generations" in optimizer)) throw new UserError(`task ${name}: ${optimizer.name} does not sample`);
  const { rows, description } = await loadPrompts(recipe.prompts.path, recipe.prompts);
  context.reporter.note(`task ${name}: ${description}`);
  return {
    recipe,
    optimizer,
    rows,
    cursor: PromptCursor.start(rows, { seed, name: `prompts of ${name}` }),
    batch: [],
    random: new RandomStream(seed, `samples of ${name}`),
    reward: await rewards.open(recipe.reward),
    mixture: await mixtureFrom(
      recipe.judges,
      { baseDir: context.baseDir ?? ".", countTokens: (text) => codec.tokenizer.encode(text).length, llm },
      { runAll: recipe.runAllJudges },
    ),
    baselines: new Map(),
  };
}

const taskState = ({ cursor, random, baselines }: Task) => ({
  cursor: cursor.state(),
  random: random.state(),
  baselines: [...baselines],
});

function restoreTask(task: Task, state: ReturnType<typeof taskState>): void {
  task.cursor = PromptCursor.restore(task.rows, state.cursor);
  task.random = RandomStream.restore(state.random);
  task.baselines = new Map(state.baselines);
}

interface Surroundings {
  policy: LocalLanguageModel;
  reference: LocalLanguageModel;
  codec: TextCodec;
  clock: Clock;
  context: AlignOptions;
}

/** Algorithm 1 for one task, without the update: the gradient is accumulated in the policy, weighted by rho_l. */
async function taskGradient(
  task: Task,
  around: Surroundings,
): Promise<{ metrics: Record<string, number>; rollouts: Rollout[] }> {
  const { policy, reference, codec, clock, context } = around;
  const { recipe, optimizer } = task;
  const rows = task.cursor.next(optimizer.batchPrompts);
  task.batch = rows;
  const prompts = rows.map((row) => codec.prompt(row.prompt));

  // Step 2: K responses to each prompt from the current policy.
  const seeds = Array.from({ length: rows.length * optimizer.generations }, () => task.random.nextSeed());
  const completions = await timed(
    clock.sample,
    (done: Completion[]) => done.reduce((sum, { tokens }) => sum + tokens.length, 0),
    () => policy.sample(prompts, { ...samplingOptions(optimizer, codec), n: optimizer.generations, seeds }),
  );
  completions.forEach(({ logprobs, promptIndex }, i) => {
    if (!logprobs.every(Number.isFinite))
      throw new NonFiniteError(
        `task ${recipe.name}: log pi of sample ${i} (prompt ${rows[promptIndex]!.id}) is not finite`,
      );
  });
  const sequences = completions.map((completion) =>
    sequenceOf(prompts[completion.promptIndex]!, completion.tokens),
  );
  const responses = completions.map(({ tokens }) => codec.decode(tokens));
  const tokens = sequences.reduce((sum, sequence) => sum + sequence.tokens.length, 0);

  // Step 3: y = AND_h J_h(s, a).
  const judged = await timed(clock.judge, 0, () =>
    judgeBatch(
      task.mixture,
      completions.map(({ promptIndex, finishReason }, i) => ({
        prompt: rows[promptIndex]!.prompt,
        response: responses[i]!,
        truncated: finishReason === "length",
        metadata: rows[promptIndex]!.metadata,
      })),
      context.signal,
    ),
  );
  const verdicts = judged.results.map(verdictOf);

  // Step 4: rewards, of the samples and of the baseline responses.
  const rewards = await timed(clock.reward, tokens, () =>
    task.reward(sequences.map((sequence) => sequence.tokens)),
  );
  completions.forEach(({ finishReason, promptIndex }, i) => {
    if (!Number.isFinite(rewards[i]!))
      throw new NonFiniteError(
        `task ${recipe.name}: the reward of sample ${i} (prompt ${rows[promptIndex]!.id}) is ${rewards[i]}`,
      );
    if (finishReason === "length") rewards[i]! -= recipe.missingEosPenalty;
  });
  const baselines = await timed(clock.reward, 0, () => baselinesOf(task, rows, prompts, around));

  // Step 5: the optimizer's coefficients; policy and reference by the same forward code.
  const logprobs = await timed(clock.logprobs, tokens, () => policy.logprobs(sequences));
  const referenceLogprobs = await timed(clock.logprobs, tokens, () => reference.logprobs(sequences));
  const batch: TaskBatch = {
    logprobs,
    referenceLogprobs,
    rewards,
    verdicts,
    promptIndex: completions.map(({ promptIndex }) => promptIndex),
    promptCount: rows.length,
    baselineRewards: baselines.map(({ reward }) => reward),
  };
  const baselineSequences = baselines.map((baseline, i) => sequenceOf(prompts[i]!, baseline.tokens));
  if (optimizer.name === "crraft")
    batch.baselines = {
      logprobs: await policy.logprobs(baselineSequences),
      referenceLogprobs: await reference.logprobs(baselineSequences),
      verdicts: baselines.map(({ verdict }) => verdict),
    };
  const result = policyGradient(batch, optimizer);
  const learned = await accumulate(recipe.weight, result, sequences, baselineSequences, around);

  const lengths = completions.map((completion) => completion.tokens.length);
  return {
    metrics: {
      ...result.metrics,
      ...judged.metrics,
      loss: result.loss,
      learned_samples: learned,
      kl: klEstimate(batch),
      "rewards/mean": mean(Array.from(rewards)),
      "completions/mean_length": mean(lengths),
      "completions/clipped_ratio": mean(
        completions.map(({ finishReason }) => Number(finishReason === "length")),
      ),
    },
    rollouts: completions.map((completion, i) => ({
      step: 0,
      task: recipe.name,
      prompt: promptText(rows[completion.promptIndex]!.prompt),
      response: responses[i]!,
      finish_reason: completion.finishReason,
      tokens: completion.tokens.length,
      reward: rewards[i]!,
      log_ratio: difference(logprobs[i]!, referenceLogprobs[i]!),
      advantage: result.g[i]!.length > 0 ? -result.g[i]![0]! : null,
      verdicts: asked(judged.results[i]!),
    })),
  };
}

const sequenceOf = (prompt: readonly number[], completion: ArrayLike<number>): Sequence => ({
  tokens: [...prompt, ...Array.from(completion)],
  promptLength: prompt.length,
});

function samplingOptions({ maxNewTokens, temperature, topK, topP }: SamplingOptimizer, codec: TextCodec) {
  return { maxNewTokens, temperature, topK, topP, stopIds: [codec.endId] };
}

function verdictOf({ feasible }: SampleJudgement): Outcome {
  if (feasible === undefined) return "failed";
  return feasible ? "satisfied" : "violated";
}

function asked({ verdicts }: SampleJudgement): Rollout["verdicts"] {
  return Object.fromEntries(
    Object.entries(verdicts).flatMap(([name, verdict]) =>
      typeof verdict === "string" ? [] : [[name, verdict]],
    ),
  );
}

/** Accumulates rho_l times the gradient of what has any; returns the number of sequences that entered. */
async function accumulate(
  rho: number,
  { g, baselineG = [] }: PolicyGradient,
  sequences: readonly Sequence[],
  baselineSequences: readonly Sequence[],
  { policy, clock }: Surroundings,
): Promise<number> {
  const chosen = [
    ...rowsWithGradient(g).map((i) => ({ sequence: sequences[i]!, g: g[i]! })),
    ...rowsWithGradient(baselineG).map((i) => ({ sequence: baselineSequences[i]!, g: baselineG[i]! })),
  ];
  if (chosen.length === 0) return 0;
  const tokens = chosen.reduce((sum, { sequence }) => sum + sequence.tokens.length, 0);
  await timed(clock.backward, tokens, () =>
    policy.backward(
      chosen.map(({ sequence }) => sequence),
      chosen.map((entry) => entry.g.map((x) => rho * x)),
    ),
  );
  return chosen.length;
}

/**
 * abar of every prompt, scored once per prompt: the data's own answer, or one sample of pi_ref drawn from a seed of the
 * prompt's own. `auto` takes the data's answer where there is one.
 */
async function baselinesOf(
  task: Task,
  rows: readonly PromptRow[],
  prompts: readonly number[][],
  { reference, codec, context }: Surroundings,
): Promise<Baseline[]> {
  const missing = rows.flatMap((row, i) =>
    task.baselines.has(row.id) || rows.findIndex(({ id }) => id === row.id) < i ? [] : [i],
  );
  if (missing.length > 0) {
    const fromData = missing.map((i) => dataBaseline(task, rows[i]!, codec));
    const toSample = missing.filter((_, k) => fromData[k] === undefined);
    const sampled = await reference.sample(
      toSample.map((i) => prompts[i]!),
      {
        ...samplingOptions(task.optimizer, codec),
        seeds: toSample.map((i) => hash32(`${task.random.seed} baseline ${task.recipe.name} ${rows[i]!.id}`)),
      },
    );
    const samples = new Map(toSample.map((i, k) => [i, sampled[k]!]));
    const tokens = missing.map((i, k) => fromData[k] ?? Array.from(samples.get(i)!.tokens));
    const rewards = await task.reward(missing.map((i, k) => [...prompts[i]!, ...tokens[k]!]));
    const { results } = await judgeBatch(
      task.mixture,
      missing.map((i, k) => ({
        prompt: rows[i]!.prompt,
        response: codec.decode(tokens[k]!),
        truncated: samples.get(i)?.finishReason === "length",
        metadata: rows[i]!.metadata,
      })),
      context.signal,
    );
    missing.forEach((i, k) => {
      // What the samples pay for a missing end, the baseline pays too: R_calib(s, abar) stays 0.5.
      const penalty = samples.get(i)?.finishReason === "length" ? task.recipe.missingEosPenalty : 0;
      const baseline = { reward: rewards[k]! - penalty, tokens: tokens[k]!, verdict: verdictOf(results[k]!) };
      task.baselines.set(rows[i]!.id, baseline);
    });
  }
  return rows.map((row) => task.baselines.get(row.id)!);
}

function dataBaseline({ recipe }: Task, row: PromptRow, codec: TextCodec): number[] | undefined {
  const { response, completion, chosen } = row.metadata;
  const answer = [response, completion, chosen].find((value) => typeof value === "string");
  if (recipe.baselineResponse === "reference") return undefined;
  if (answer === undefined) {
    if (recipe.baselineResponse === "auto") return undefined;
    throw new UserError(
      `${row.id}: baseline_response is dataset, but the row has no text in response, completion or chosen`,
    );
  }
  return [...codec.tokenizer.encode(answer as string, { addSpecialTokens: false }), codec.endId];
}

/** Mean log(pi/pi_ref) of the responses, nats (k1: unbiased, may be negative). */
function klEstimate({ logprobs, referenceLogprobs }: TaskBatch): number {
  return mean(logprobs.map((row, i) => difference(row, referenceLogprobs[i]!)));
}

function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let t = 0; t < a.length; t++) sum += a[t]! - b[t]!;
  return sum;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

/** Means over tasks, for the display and for single-task runs. */
function overall(tasks: readonly Task[], metrics: Readonly<Record<string, number>>): Metrics {
  const over = (key: string) => mean(tasks.map(({ recipe }) => metrics[`tasks/${recipe.name}/${key}`] ?? 0));
  return {
    reward: over("rewards/mean"),
    kl: over("kl"),
    "constraints/satisfied_rate": over("constraints/satisfied_rate"),
  };
}

function newClock(): Clock {
  const phase = () => ({ seconds: 0, tokens: 0 });
  return {
    sample: phase(),
    judge: phase(),
    reward: phase(),
    logprobs: phase(),
    backward: phase(),
    optimizer: phase(),
  };
}

async function timed<T>(
  phase: Phase,
  tokens: number | ((result: T) => number),
  work: () => Promise<T>,
): Promise<T> {
  const start = performance.now();
  const result = await work();
  phase.seconds += (performance.now() - start) / 1000;
  phase.tokens += typeof tokens === "number" ? tokens : tokens(result);
  return result;
}

function addClock(total: Clock, step: Clock): void {
  for (const [name, { seconds, tokens }] of Object.entries(step) as [keyof Clock, Phase][]) {
    total[name].seconds += seconds;
    total[name].tokens += tokens;
  }
}

/** "sample 277, reward 350, logprobs 765, backward 327" */
function describeRates(clock: Clock): string {
  return Object.entries(clock)
    .filter(([, { tokens }]) => tokens > 0)
    .map(([name, { seconds, tokens }]) => `${name} ${Math.round(tokens / seconds)}`)
    .join(", ");
}

/** Seconds of every phase, and tokens per second of those that count tokens. */
function rates(clock: Clock): Metrics {
  return Object.fromEntries(
    Object.entries(clock).flatMap(([name, { seconds, tokens }]) => [
      [`time/${name}_seconds`, seconds],
      ...(tokens > 0 ? [[`time/${name}_tokens_per_second`, tokens / seconds]] : []),
    ]),
  );
}
