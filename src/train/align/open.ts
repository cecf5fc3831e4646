// From a recipe to the parts of an alignment: models, data, rewards and judges, all opened.

import { UserError } from "../../base/errors.js";
import { loadPreferences, loadPrompts } from "../../data/index.js";
import type { PromptRow } from "../../data/rows.js";
import type { LanguageModel } from "../../engine/contract.js";
import { checkNamedJudges } from "../../judges/applicability.js";
import type { JudgeContext } from "../../judges/kind.js";
import type { Mixture } from "../../judges/mixture.js";
import { mixtureFrom } from "../../judges/registry.js";
import type { LlmModels } from "../../llm/models.js";
import {
  type DpoOptions,
  objectiveOf,
  optimizerRow,
  type PpoOptions,
  type SamplingOptimizer,
} from "../../recipe/optimizers.js";
import type { AlignRecipe, TaskRecipe } from "../../recipe/recipe.js";
import type { RunContext } from "../../run/context.js";
import { longestTokens, memoryOfAlign, requireMemory, waysToNeedLess } from "../memory.js";
import { openCodec, openPolicy, openScalarModel, openTokenizer } from "../models.js";
import { RewardOpener } from "../rewards/open.js";
import { atRow, type TextCodec } from "../text.js";
import { fitPrompts, type Windows } from "./fit.js";
import type { AlignParts, Measure, PpoObjective, PreferenceTask, SamplingTask, TaskParts } from "./parts.js";
import { judgeRemarks, taskRemarks } from "./remarks.js";

export interface OpenContext extends Pick<RunContext, "reporter"> {
  /** Directory that a judge module's path in the recipe starts from. Default: the working directory. */
  baseDir?: string;
  /** Directory of an earlier run: its language models' replies are repeated, and no server is asked. */
  replay?: string;
}

/** Opens everything that a recipe names. Mistakes in models and data are UserErrors that say which file or row. */
export async function openAlign(recipe: AlignRecipe, context: OpenContext): Promise<AlignParts> {
  const { engine, seed } = recipe;
  const codec = await openCodec(recipe.policy.model, { ...recipe.policy, engine });
  const prompts = await openAllPrompts(recipe, context);
  const promptTokens = longestTokens([...prompts.values()].flat(), ({ id, prompt, metadata }) =>
    atRow(id, () => codec.prompt(prompt, metadata)),
  );
  if (engine.kind === "local")
    requireMemory(
      await memoryOfAlign(recipe, promptTokens),
      waysToNeedLess("align", recipe),
      context.reporter,
    );
  const { maxGradNorm } = recipe;
  const note = (sentence: string) => context.reporter.note(sentence);
  const options = { ...recipe.policy, engine, seed, codec, maxGradNorm, note };
  const { policy } = await openPolicy(recipe.policy.model, options);
  const reference = await openReference(recipe, policy);
  context.reporter.note(`responses end at ${codec.describeStops()}`);
  const critic = await openCritic(recipe, codec);
  const rewards = new RewardOpener(recipe, codec, {
    ...context,
    embed: (rows) => policy.features(rows.map(({ prompt, metadata }) => codec.prompt(prompt, metadata))),
  });
  const windows = {
    policy: policy.limits.maxTokens,
    reference: reference.limits.maxTokens,
    critic: critic?.model.limits.maxTokens,
  };
  const tasks: TaskParts[] = [];
  for (const task of recipe.tasks)
    tasks.push(
      optimizerRow(task.optimizer).learns === "pairs"
        ? await openPairs(task, context, recipe.steps)
        : await openTask(task, prompts.get(task.name)!, {
            ...{ rewards, codec, context, windows, steps: recipe.steps },
          }),
    );
  return {
    policy,
    reference,
    codec,
    tasks,
    ...(critic && { critic }),
    llm: rewards.llm,
    dispose() {
      for (const opened of [policy, reference, critic?.model, rewards]) opened?.dispose();
    },
  };
}

/** pi_ref: the policy before its first step, unless the recipe names another model. */
async function openReference(
  { reference, engine, policy: { quantise } }: AlignRecipe,
  policy: LanguageModel,
): Promise<LanguageModel> {
  if (reference === undefined) return policy.snapshot();
  if (!reference.startsWith("tinker://"))
    return (await openPolicy(reference, { engine, frozen: true, quantise })).policy;
  const { referenceOnService } = await import("../remote.js");
  return referenceOnService(policy, reference);
}

interface Opened {
  /** The tokens that each model beside the reward's reads. */
  windows: Windows;
  rewards: RewardOpener;
  codec: TextCodec;
  context: OpenContext;
  /** Of the run. */
  steps: number;
}

async function openTask(
  recipe: TaskRecipe,
  rows: PromptRow[],
  { rewards, codec, context, windows, steps }: Opened,
): Promise<SamplingTask> {
  const { name, weight, baselineResponse, judgeGate, missingEosPenalty, lengthPenalty, maxFailedRate } =
    recipe;
  const optimizer = recipe.optimizer as SamplingOptimizer;
  const judges = await openJudges(recipe, { codec, baseDir: context.baseDir, llm: rewards.llm }).catch(
    (error: Error) => {
      throw error instanceof UserError ? new UserError(`task ${name}: ${error.message}`) : error;
    },
  );
  checkNamedJudges(
    rows,
    judges.members.map(({ judge }) => judge),
  );
  const remarks = [
    ...taskRemarks(recipe, steps),
    ...judgeRemarks(
      recipe,
      judges.members.map(({ judge }) => judge),
      rows,
    ),
  ];
  const { batchPrompts, generations, maxNewTokens, temperature, topP, topK } = optimizer;
  const reward = await rewards.open(recipe.reward, { name, rows, hasJudges: recipe.judges.length > 0 });
  const measures = await openMeasures(recipe, rows, { rewards, codec, context });
  const { prompts, maxPromptTokens, fit } = fitPrompts(rows, {
    source: `task ${name}`,
    codec,
    optimizer,
    applyChatTemplate: recipe.prompts.applyChatTemplate,
    windows: {
      ...windows,
      "reward model": reward.maxTokens,
      ...Object.fromEntries(
        measures.flatMap(({ name, of }) => ("score" in of ? [[`measure ${name}`, of.maxTokens]] : [])),
      ),
    },
  });
  return {
    name,
    weight,
    prompts,
    fit,
    remarks,
    reward,
    judges,
    measures,
    objective: objectiveOf(optimizer) ?? ppoObjective(optimizer as PpoOptions),
    limits: { batchPrompts, generations, maxNewTokens, maxPromptTokens, temperature, topP, topK },
    baselineResponse,
    judgeGate,
    missingEosPenalty,
    lengthPenalty,
    maxFailedRate,
  };
}

/** What a task looks at and does not learn from. */
async function openMeasures(
  { name: task, measures = [] }: TaskRecipe,
  rows: readonly PromptRow[],
  { rewards, codec, context }: Pick<Opened, "rewards" | "codec" | "context">,
): Promise<Measure[]> {
  const opened: Measure[] = [];
  for (const { name, every, reward, judge } of measures) {
    const of =
      reward === undefined
        ? await mixtureFrom([judge!], judgeContext({ codec, baseDir: context.baseDir, llm: rewards.llm }))
        : await rewards.open(reward, { name: task, rows, hasJudges: false });
    opened.push({ name, every, of });
  }
  return opened;
}

/** The prompts of every task that samples. */
async function openAllPrompts(
  { tasks }: AlignRecipe,
  context: OpenContext,
): Promise<Map<string, PromptRow[]>> {
  const opened = new Map<string, PromptRow[]>();
  for (const task of tasks)
    if (optimizerRow(task.optimizer).learns !== "pairs")
      opened.set(task.name, await openPrompts(task, context));
  return opened;
}

/** The prompts of a task. */
export async function openPrompts(
  { name, prompts }: Pick<TaskRecipe, "name" | "prompts">,
  { reporter }: { reporter: Pick<OpenContext["reporter"], "note"> },
): Promise<PromptRow[]> {
  const { rows, description } = await loadPrompts(prompts.path, prompts);
  reporter.note(`task ${name}: ${description}`);
  return rows;
}

/** The judges that a task names, as one mixture. */
export const openJudges = (
  { judges, runAllJudges }: Pick<TaskRecipe, "judges" | "runAllJudges">,
  around: JudgeSurroundings,
): Promise<Mixture> => mixtureFrom(judges, judgeContext(around), { runAll: runAllJudges });

interface JudgeSurroundings {
  codec?: TextCodec | undefined;
  baseDir?: string | undefined;
  llm: LlmModels;
}

/** What the judges of a recipe find around them. */
export const judgeContext = ({ codec, baseDir = ".", llm }: JudgeSurroundings): JudgeContext => ({
  baseDir,
  llm,
  ...(codec && { countTokens: (text: string) => codec.tokenizer.encode(text).length }),
});

const ppoObjective = ({ name, ...options }: PpoOptions): PpoObjective => ({ name, critic: options });

async function openPairs(
  task: TaskRecipe,
  { reporter }: OpenContext,
  steps: number,
): Promise<PreferenceTask> {
  const { name, weight, prompts, optimizer } = task;
  const { beta, batchPrompts, maxLength, maxPromptLength, overlong } = optimizer as DpoOptions;
  const { rows, description } = await loadPreferences(prompts.path, prompts);
  reporter.note(`task ${name}: ${description}`);
  const limits = { maxLength, maxPromptLength, overlong };
  const { applyChatTemplate } = prompts;
  return {
    name,
    weight,
    pairs: rows,
    beta,
    batchPairs: batchPrompts,
    ...limits,
    applyChatTemplate,
    remarks: taskRemarks(task, steps),
  };
}

/**
 * The critic that the PPO tasks of a recipe share: the policy's own trunk with a head of zeros, so that its first values
 * are 0, or a reward model.
 */
export async function openCritic(recipe: AlignRecipe, codec: TextCodec): Promise<AlignParts["critic"]> {
  const task = recipe.tasks.find(({ optimizer }) => optimizerRow(optimizer).learns === "critic");
  if (!task) return undefined;
  const { criticModel, criticLearningRate } = task.optimizer as PpoOptions;
  const { engine, seed, policy } = recipe;
  const source = criticModel ?? policy.model;
  if (criticModel && (await openTokenizer(source)).hash !== codec.tokenizer.hash)
    throw new UserError(
      `the critic ${source} has another vocabulary than the policy ${policy.model} (their tokenizer.json differ); start it from a model with the policy's tokenizer`,
    );
  const model = await openScalarModel(source, { engine, seed, lora: policy.lora, quantise: policy.quantise });
  if (!criticModel) model.setHead(new Float64Array(model.hiddenSize));
  return { model, learningRate: criticLearningRate ?? recipe.learningRate };
}
