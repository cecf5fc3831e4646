// Before the first step every judge and every reward is asked about a sample, and every model that only later rounds need is
// asked for a word: a wrong key, a wrong name, a server that is down or a module that throws ends a run before it has cost
// anything. Whoever fails on one sample gets two more, for a row's own data may be at fault.

import { FailureRateError } from "../../base/errors.js";
import { RandomStream } from "../../base/random.js";
import type { PromptRow } from "../../data/rows.js";
import { mayApply } from "../../judges/applicability.js";
import type { JudgeInput, Verdict } from "../../judges/verdict.js";
import { type Judge, verdictFrom } from "../../judges/verdict.js";
import type { LlmModels } from "../../llm/models.js";
import type { TaskRecipe } from "../../recipe/recipe.js";
import type { RewardSource, ScoredResponse } from "../rewards/source.js";
import { answerIn } from "./baselines.js";
import type { AlignParts, SamplingTask } from "./parts.js";
import { promptTokens, samplingOptions } from "./passes.js";

/** What came of asking. */
export interface Trial {
  /** "task chat: judge style" */
  who: string;
  /** What it said, or why it could not. */
  said: string;
  ok: boolean;
  /** Not a failure, but worth knowing. */
  isNote?: boolean;
}

const tries = 3;
/** Of a response that is only tried. */
const trialTokens = 32;

interface TrialSample {
  row: PromptRow;
  text: string;
  tokens: readonly number[];
}

type Asking = Pick<AlignParts, "policy" | "codec"> & { seed: number; signal?: AbortSignal | undefined };

/** What of a task is tried. */
type TriedTask = Pick<SamplingTask, "name" | "prompts" | "limits" | "judges" | "reward" | "measures">;

/** Asks the judges, the reward and the measures of a task. */
export async function tryTask(task: TriedTask, asking: Asking): Promise<Trial[]> {
  const { signal } = asking;
  const samples = await samplesOf(task, task.prompts.slice(0, tries), asking);
  const trials: Trial[] = [];
  const judges = (task.judges?.members ?? []).map(({ judge }) => ({ who: `judge ${judge.name}`, judge }));
  const rewards = task.reward ? [{ who: "reward", reward: task.reward }] : [];
  for (const { name, of } of task.measures ?? []) {
    if ("score" in of) rewards.push({ who: `measure ${name}`, reward: of });
    else judges.push(...of.members.map(({ judge }) => ({ who: `measure ${name}`, judge })));
  }
  for (const { who, judge } of judges) {
    const rows = task.prompts.filter(({ metadata }) => mayApply(judge, metadata)).slice(0, tries);
    const own = rows.every((row) => samples.some((sample) => sample.row === row))
      ? samples.filter(({ row }) => rows.includes(row))
      : await samplesOf(task, rows, asking);
    trials.push(await tryJudge(`task ${task.name}: ${who}`, judge, own, asking));
  }
  for (const { who, reward } of rewards)
    trials.push(await tryReward(`task ${task.name}: ${who}`, reward, samples, signal));
  return trials;
}

/** A response to each prompt: the data's own answer, or what the policy says, from a random stream of its own. */
async function samplesOf(
  task: Pick<SamplingTask, "name" | "limits">,
  rows: readonly PromptRow[],
  { policy, codec, seed, signal }: Asking,
): Promise<TrialSample[]> {
  if (rows.length === 0) return [];
  const prompts = rows.map((row) => promptTokens(row, codec, task.limits));
  const random = new RandomStream(seed, `trial of ${task.name}`);
  const limits = { ...task.limits, maxNewTokens: Math.min(trialTokens, task.limits.maxNewTokens) };
  const completions = await policy.sample(prompts, {
    ...samplingOptions(limits),
    stopIds: codec.stopIds,
    seeds: rows.map(() => random.nextSeed()),
    ...(signal && { signal }),
  });
  return rows.map((row, i): TrialSample => {
    const given = answerIn(row);
    const { tokens } = completions[i]!;
    if (given === undefined)
      return {
        row,
        text: codec.decode(tokens),
        tokens: [...prompts[i]!, ...Array.from(tokens)],
      };
    const whole = codec.sequence(row.prompt, given, row.metadata);
    return { row, text: given, tokens: Array.from(whole.tokens) };
  });
}

async function tryJudge(
  who: string,
  judge: Judge,
  samples: readonly TrialSample[],
  { codec, signal }: Asking,
): Promise<Trial> {
  if (samples.length === 0) return { who, ok: true, isNote: true, said: "applies to none of the prompts" };
  let verdict: Verdict | undefined;
  let before: string | undefined;
  for (const { row, text } of samples) {
    const openThought = codec.openThought?.(row.prompt, row.metadata);
    const { prompt, metadata } = row;
    // Not as cut off: whether it is says little about a trial, and would spare most judges the question.
    const input: JudgeInput = { prompt, response: text, openThought, truncated: false, metadata };
    verdict = await verdictFrom(judge, input, signal);
    // The same reason twice is no matter of the row.
    if (verdict?.verdict !== "failed" || verdict.reason === before) break;
    before = verdict.reason;
  }
  if (!verdict)
    return { who, ok: true, isNote: true, said: "applies to none of the prompts that were tried" };
  if (verdict.verdict === "failed") return { who, ok: false, said: verdict.reason };
  return { who, ok: true, said: `${verdict.verdict}: ${verdict.reason}` };
}

async function tryReward(
  who: string,
  reward: RewardSource,
  samples: readonly TrialSample[],
  signal: AbortSignal | undefined,
): Promise<Trial> {
  let said = "could not be had";
  for (const [seed, { row, text, tokens }] of samples.entries()) {
    const response: ScoredResponse = { row, text, tokens, seed };
    const { rewards, failed, reasons } = await reward.score([response], "trial", signal);
    if (!failed[0] && Number.isFinite(rewards[0]!))
      return { who, ok: true, said: rewards[0]!.toPrecision(4) };
    const before = said;
    said = failed[0] ? (reasons?.[0] ?? said) : `gave ${rewards[0]}, which is no number`;
    if (said === before) break;
  }
  return { who, ok: false, said };
}

/** The models that no sample is judged or scored by: of the rounds that revise rubrics. */
export async function tryMetaModels(
  tasks: readonly TaskRecipe[],
  llm: Pick<LlmModels, "open">,
  signal?: AbortSignal,
): Promise<Trial[]> {
  const names = tasks.flatMap(({ reward }) => {
    const parts = reward === undefined ? [] : "sum" in reward ? reward.sum : [reward];
    return parts.flatMap((part) => ("rubric" in part && part.meta ? [part.meta.model] : []));
  });
  const trials: Trial[] = [];
  for (const name of new Set(names)) {
    const who = `llm ${name}`;
    try {
      const { client, model } = await llm.open(name);
      const messages = [{ role: "user" as const, content: "Reply with the word ready." }];
      const { content } = await client.chat({ model, messages, maxTokens: 16, tag: "trial" }, signal);
      trials.push({ who, ok: true, said: content.trim().slice(0, 60) });
    } catch (error) {
      signal?.throwIfAborted();
      trials.push({ who, ok: false, said: error instanceof Error ? error.message : String(error) });
    }
  }
  return trials;
}

/** Ends the run with every reason, unless its tasks allow that everything fails (max_failed_rate: 1). */
export function requireTrials(trials: readonly Trial[]): void {
  const failures = trials.filter(({ ok }) => !ok).map(({ who, said }) => `${who}: ${said}`);
  if (failures.length > 0)
    throw new FailureRateError(
      `tried before the first step and failed: ${failures.join("; ")}; nothing was trained`,
    );
}

/** Every trial of an alignment's parts. */
export function tryParts(
  parts: AlignParts,
  recipe: { seed: number; tasks: readonly TaskRecipe[] },
  signal?: AbortSignal,
): Promise<Trial[]> {
  const trying = () => tryEverything(parts, recipe, signal);
  return parts.llm ? parts.llm.aside(trying) : trying();
}

async function tryEverything(
  parts: AlignParts,
  recipe: { seed: number; tasks: readonly TaskRecipe[] },
  signal?: AbortSignal,
): Promise<Trial[]> {
  const { policy, codec, tasks, llm } = parts;
  const trials: Trial[] = [];
  for (const task of tasks) {
    if ("pairs" in task) continue;
    const own = await tryTask(task, { policy, codec, seed: recipe.seed, signal });
    trials.push(...own.map((trial) => (task.maxFailedRate === 1 ? tolerated(trial) : trial)));
  }
  if (llm) trials.push(...(await tryMetaModels(recipe.tasks, llm, signal)));
  return trials;
}

/** A failure where everything may fail (max_failed_rate: 1). */
export const tolerated = (trial: Trial): Trial => (trial.ok ? trial : { ...trial, ok: true, isNote: true });
