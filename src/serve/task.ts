// A task as the server sees it, and how it is opened: from a recipe, or from flags.

import { basename, join } from "node:path";
import { UserError } from "../base/errors.js";
import { within } from "../base/requests.js";
import type { Metadata, PromptRow, Text } from "../data/rows.js";
import type { LanguageModel } from "../engine/contract.js";
import { createMixture, type Mixture } from "../judges/mixture.js";
import type { Judge } from "../judges/verdict.js";
import { optimizerRow, type SamplingOptimizer } from "../recipe/optimizers.js";
import {
  type AlignRecipe,
  type JudgeRecipe,
  type RewardSourceRecipe,
  type ServeRecipe,
  type StagedRecipe,
  serveDefaults,
  type TaskRecipe,
  tasksOf,
} from "../recipe/recipe.js";
import type { Reporter } from "../run/context.js";
import { openJudges, openPrompts } from "../train/align/open.js";
import type { JudgeGate, SamplingLimits } from "../train/align/parts.js";
import { openCodec, openPolicy } from "../train/models.js";
import { plainPromptRemarks } from "../train/plain-prompts.js";
import { RewardOpener, type RewardSettings } from "../train/rewards/open.js";
import type { RewardSource } from "../train/rewards/source.js";
import type { TextCodec } from "../train/text.js";
import { openMembers } from "./members.js";
import type { ServedPolicy } from "./policy.js";

/**
 * The number that a trainer learns from: the raw reward, R_cr of eq. 8, what an optimizer's `judge_gate` makes of the two,
 * or 1 and 0 where there are judges alone.
 */
export type Value = "raw" | "regularised" | "gate" | JudgeGate;

/** Where baseline responses are sampled. */
export interface Reference {
  policy: Pick<LanguageModel, "sample">;
  codec: TextCodec;
}

export interface ServedTask {
  name: string;
  rows: readonly PromptRow[];
  /** Absent: judges alone. */
  reward?: RewardSource;
  /** The reward computes in this process, so that calls of it take turns. */
  usesEngine: boolean;
  judges: Mixture;
  codec?: TextCodec;
  /** Of prompt and response, that the reward can read. */
  maxTokens?: number;
  value: Value;
  baselineResponse: NonNullable<TaskRecipe["baselineResponse"]>;
  baselineReward?: number | undefined;
  /** Absent: baselines are not sampled. */
  reference?: () => Promise<Reference>;
  limits: SamplingLimits;
  lengthPenalty?: TaskRecipe["lengthPenalty"];
  missingEosPenalty: number;
  /** Scored samples of one update of the meta reward model. */
  window: number;
  /** Clients' plain prompts are a user's messages. Absent: as they stand, and said once. */
  applyChatTemplate?: boolean | undefined;
}

export interface ServedTasks {
  tasks: readonly ServedTask[];
  options: ServeRecipe;
  /** The language model that is served beside. */
  policy?: ServedPolicy;
  /** Where the server keeps what it has to: apart from a run of the same recipe. */
  outputDir: string;
  dispose(): void;
}

export interface OpenServeContext {
  reporter: Pick<Reporter, "note" | "begin" | "step" | "end">;
  baseDir?: string;
  /** The language model of the recipe is not opened; baseline responses come from the trainer or the data. */
  noPolicy?: boolean;
  /** Where log and rubrics go. Default: `serve` in the recipe's output_dir. */
  outputDir?: string;
}

/** Opens the tasks of a recipe that sample; those that learn from given pairs have nothing to serve. */
export async function openRecipe(
  recipe: AlignRecipe | StagedRecipe,
  context: OpenServeContext,
): Promise<ServedTasks> {
  const options = recipe.serve ?? serveDefaults;
  const outputDir = context.outputDir ?? join(recipe.outputDir, "serve");
  const sampling = tasksOf(recipe).filter(({ optimizer }) => optimizerRow(optimizer).learns !== "pairs");
  if (sampling.length === 0) throw new UserError("the recipe has no task with samples to score");
  const model = recipe.policy.model;
  const codec = await openCodec(model, recipe.policy);
  const { engine } = recipe;
  const opened = lazily(async (): Promise<Reference & { policy: LanguageModel }> => {
    const named = "reference" in recipe ? recipe.reference : undefined;
    return openPolicy(named ?? model, { engine, frozen: true });
  });
  const rewards = opener({ ...recipe, outputDir }, codec, context, opened.get);
  const tasks: ServedTask[] = [];
  for (const task of sampling) {
    if (tasks.some(({ name }) => name === task.name))
      throw new UserError(`two stages have a task "${task.name}"; the server needs a name for each`);
    tasks.push(await openTask(task, { codec, rewards, options, context, reference: opened.get }));
  }
  const policy: ServedPolicy | undefined = context.noPolicy
    ? undefined
    : { name: basename(model), open: () => openPolicy(model, { ...recipe.policy, engine, frozen: true }) };
  return {
    tasks,
    options,
    ...(policy && { policy }),
    outputDir,
    dispose() {
      rewards.dispose();
      opened.dispose(({ policy }) => policy.dispose());
    },
  };
}

interface Surroundings {
  codec: TextCodec;
  rewards: RewardOpener;
  options: ServeRecipe;
  context: OpenServeContext;
  reference(): Promise<Reference>;
}

async function openTask(task: TaskRecipe, given: Surroundings): Promise<ServedTask> {
  const { codec, rewards, options, context, reference } = given;
  refuseVotes(task);
  const optimizer = task.optimizer as SamplingOptimizer;
  const { batchPrompts, generations, maxNewTokens, temperature, topP, topK } = optimizer;
  const rows = await openPrompts(task, context);
  const { applyChatTemplate } = task.prompts;
  for (const remark of plainPromptRemarks(rows, codec, { source: `task ${task.name}`, applyChatTemplate }))
    context.reporter.note(remark);
  const reward = await averaged(task.reward, rewards.outputDir, context);
  const judges = await openJudges(task, { codec, baseDir: context.baseDir, llm: rewards.llm });
  const { name } = task;
  const source = reward && (await rewards.open(reward, { name, rows, hasJudges: task.judges.length > 0 }));
  return {
    name,
    rows,
    ...(source && { reward: source }),
    ...(await windowOf(rewards)),
    usesEngine: usesEngine(reward),
    judges: served(judges, options),
    codec,
    value: taskValue(task),
    baselineResponse: task.baselineResponse,
    baselineReward: options.baselineReward,
    ...(!context.noPolicy && task.baselineResponse !== "dataset" && { reference }),
    limits: { batchPrompts, generations, maxNewTokens, temperature, topP, topK },
    lengthPenalty: task.lengthPenalty,
    missingEosPenalty: task.missingEosPenalty,
    applyChatTemplate: options.applyChatTemplate,
    window: options.window ?? batchPrompts * generations,
  };
}

/** What the task's own optimizer would learn from. */
function taskValue({ reward, judges, judgeGate, optimizer }: TaskRecipe): Value {
  if (reward === undefined) return "gate";
  if (judgeGate) return judgeGate;
  return optimizerRow(optimizer).constrained && judges.length > 0 ? "regularised" : "raw";
}

export interface FlagChoice {
  /** Of the one task. */
  name?: string;
  /** A reward model, or a directory of members that are averaged. */
  reward?: string;
  judges: readonly JudgeRecipe[];
  /** A language model to serve. */
  policy?: string;
  engine: AlignRecipe["engine"];
  outputDir: string;
  options?: Partial<ServeRecipe>;
  chatTemplate?: string;
}

/** A task from a reward model and judges alone. */
export async function openChoice(choice: FlagChoice, context: OpenServeContext): Promise<ServedTasks> {
  const { name = "default", judges, engine, outputDir } = choice;
  const options = { ...serveDefaults, ...choice.options };
  const { policy: named } = choice;
  const policy: ServedPolicy | undefined =
    named === undefined
      ? undefined
      : { name: basename(named), open: () => openPolicy(named, { ...choice, frozen: true }) };
  if (choice.reward === undefined && judges.length === 0) {
    if (!policy)
      throw new UserError("there is nothing to serve: give a recipe, --reward, --judge or --policy");
    // Opened now, so that what is wrong with it is said now.
    await policy.open().then(({ policy: opened }) => opened.dispose());
    return { tasks: [], options, policy, outputDir, dispose() {} };
  }
  const source = choice.reward === undefined ? undefined : { model: choice.reward };
  const reward = await averaged(source, outputDir, context);
  const model = reward && "model" in reward ? reward.model : undefined;
  const codec = model === undefined ? undefined : await openCodec(model, choice);
  const settings = { llm: {}, engine, seed: 0, outputDir, policy: { model: model ?? "" } };
  const rewards = opener(settings, codec, context, noReference);
  const mixture = await openJudges(
    { judges: [...judges], runAllJudges: false },
    { ...(codec && { codec }), baseDir: context.baseDir, llm: rewards.llm },
  );
  const opened = reward && (await rewards.open(reward, { name, rows: [], hasJudges: judges.length > 0 }));
  const both = reward !== undefined && judges.length > 0;
  const task: ServedTask = {
    name,
    rows: [],
    ...(opened && { reward: opened }),
    ...(await windowOf(rewards)),
    usesEngine: usesEngine(reward),
    judges: served(mixture, options),
    ...(codec && { codec }),
    value: both ? "regularised" : reward ? "raw" : "gate",
    baselineResponse: "auto",
    baselineReward: options.baselineReward ?? 0,
    limits: { batchPrompts: 1, generations: 1, maxNewTokens: 512 },
    missingEosPenalty: 0,
    applyChatTemplate: options.applyChatTemplate,
    window: options.window ?? 64,
  };
  return { tasks: [task], options, ...(policy && { policy }), outputDir, dispose: () => rewards.dispose() };
}

async function windowOf(rewards: RewardOpener): Promise<{ maxTokens?: number }> {
  const maxTokens = await rewards.maxTokens();
  return maxTokens === undefined ? {} : { maxTokens };
}

const noReference = (): Promise<never> =>
  Promise.reject(new UserError("there is no language model beside the reward model"));

function opener(
  settings: RewardSettings,
  codec: TextCodec | undefined,
  { reporter }: OpenServeContext,
  reference: () => Promise<Reference & { policy: LanguageModel }>,
): RewardOpener {
  return new RewardOpener(settings, codec, {
    reporter,
    keepsReplies: false,
    embed: async (rows) => {
      const { policy, codec: own } = await reference();
      return policy.features(rows.map(({ prompt, metadata }) => own.prompt(prompt, metadata)));
    },
  });
}

/** The reward of a recipe with every directory of members replaced by their average. */
async function averaged(
  reward: RewardSourceRecipe | undefined,
  outputDir: string,
  context: OpenServeContext,
): Promise<RewardSourceRecipe | undefined> {
  if (reward === undefined) return undefined;
  const open = (dir: string) => openMembers(dir, outputDir, context.reporter);
  if ("sum" in reward) {
    const sum = [];
    for (const part of reward.sum) sum.push("warm" in part ? { ...part, warm: await open(part.warm) } : part);
    return { sum };
  }
  if ("warm" in reward) return { warm: await open(reward.warm) };
  return "model" in reward ? { model: await open(reward.model) } : reward;
}

const usesEngine = (reward: RewardSourceRecipe | undefined): boolean =>
  reward !== undefined &&
  ("sum" in reward
    ? reward.sum.some(usesEngine)
    : !("rubric" in reward || "module" in reward || "url" in reward));

function refuseVotes({ name, reward }: TaskRecipe): void {
  const parts = reward === undefined ? [] : "sum" in reward ? reward.sum : [reward];
  if (parts.some((part) => "combine" in part && part.combine === "vote"))
    throw new UserError(
      `task ${name}: combine: vote compares the responses to one prompt with each other, and a server is asked about one at a time; use mean, min or uwo`,
    );
}

/** The mixture of a server: every judge has a deadline, those in modules of one's own too, and none ends the server. */
const served = (mixture: Mixture, { judgeSeconds }: ServeRecipe): Mixture =>
  createMixture(
    mixture.members.map(({ judge, onFailed, maxFailedRate }) => ({
      judge: timely(judge, judgeSeconds),
      onFailed: onFailed === "stop" ? "drop" : onFailed,
      maxFailedRate,
    })),
    // What limits the calls of a judge is its own client or pool.
    { runAll: mixture.runAll, concurrency: 256 },
  );

const timely = (judge: Judge, seconds: number): Judge => ({
  ...judge,
  judge: (input, signal) => within(seconds, () => judge.judge(input, signal), signal),
});

/** Opens something when it is first needed. */
function lazily<T>(open: () => Promise<T>): { get(): Promise<T>; dispose(by: (value: T) => void): void } {
  let value: Promise<T> | undefined;
  return {
    get: () => (value ??= open()),
    dispose: (by) => void value?.then(by, () => {}),
  };
}

/** Finds the row of the task's data that a prompt is, by its id or its text. */
export function rowFinder(rows: readonly PromptRow[]) {
  const keyOf = (prompt: Text) => (typeof prompt === "string" ? prompt : JSON.stringify(prompt));
  const byId = new Map(rows.map((row) => [row.id, row]));
  const byPrompt = new Map(rows.map((row) => [keyOf(row.prompt), row]));
  return (id: string | undefined, prompt: Text): PromptRow | undefined =>
    (id !== undefined && byId.get(id)) || byPrompt.get(keyOf(prompt));
}

/** Columns of a known row, and what the request says otherwise. */
export const merged = (known: Metadata | undefined, given: Metadata): Metadata => ({ ...known, ...given });
