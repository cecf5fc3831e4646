// Measuring a policy on held-out prompts of all tasks: true reward, reward-model scores, violations, distance from the
// warm-up model. Nothing of it reaches training.

import { mean, standardDeviation } from "../../base/statistics.js";
import type { LanguageModel } from "../../engine/contract.js";
import { judgeBatch, type Mixture } from "../../judges/mixture.js";
import { mixtureFrom } from "../../judges/registry.js";
import type { RewardFunction } from "../../train/rewards/source.js";
import type { TextCodec } from "../../train/text.js";
import { type Answer, evaluatePolicy } from "../evaluate.js";
import { maxNewTokens } from "../world/base-model.js";
import { gold } from "../world/gold.js";
import type { PromptRow, World } from "../world/world.js";
import { byTask, type RewardName, type TaskName, taskNames, tasks } from "./protocol.js";

/** A held-out prompt. */
export interface HeldOut {
  task: TaskName;
  row: PromptRow;
}

/** The first `count` held-out prompts of every family. */
export function heldOut(world: World, count: number): HeldOut[] {
  return taskNames.flatMap((task) =>
    tasks[task].families.flatMap((family) =>
      world.heldout
        .filter((row) => row.family === family)
        .slice(0, count)
        .map((row) => ({ task, row })),
    ),
  );
}

/** One entry for every held-out prompt. */
export interface Scores {
  trueReward: number[];
  /** By the task's own reward model. */
  taskReward: number[];
  unifiedReward: number[];
  /** 1: a judge says violated. */
  violated: number[];
  /** 1: the true reward's hard part is missing (see `breaksConstraint`). */
  broken: number[];
  /** log(pi/pi_warmup), nats. */
  logRatio: number[];
}

/** What the true reward calls wrong, whatever the judges of the task can see. */
export function breaksConstraint(row: PromptRow, text: string): boolean {
  const { parts } = gold(row, text);
  switch (row.family) {
    case "writing":
      return parts.excessLength! < 0 || parts.excessCheer! < 0 || parts.repetition! < 0;
    case "engagement":
      return parts.plain === 0;
    case "safety":
      return parts.conduct === 0;
    default:
      return parts.right === 0;
  }
}

export interface Meter {
  rewards: Readonly<Record<RewardName, RewardFunction>>;
  mixtures: Readonly<Record<TaskName, Mixture>>;
  /** The warm-up model. */
  reference: LanguageModel;
  codec: TextCodec;
}

export async function openMixtures(baseDir: string, codec: TextCodec): Promise<Meter["mixtures"]> {
  const context = {
    baseDir,
    countTokens: (text: string) => codec.tokenizer.encode(text).length,
  };
  const entries: [TaskName, Mixture][] = [];
  for (const name of taskNames)
    entries.push([name, await mixtureFrom(tasks[name].judges as Record<string, unknown>[], context)]);
  return Object.fromEntries(entries) as Meter["mixtures"];
}

/** The positions of each task's prompts. */
function positions(rows: readonly HeldOut[]): [TaskName, number[]][] {
  return taskNames.map((task) => [task, rows.flatMap((row, i) => (row.task === task ? [i] : []))]);
}

export async function measure(
  policy: LanguageModel,
  rows: readonly HeldOut[],
  { rewards, mixtures, reference, codec }: Meter,
): Promise<{ scores: Scores; answers: Answer[] }> {
  let unifiedReward: number[] = [];
  const answers = await evaluatePolicy({
    policy,
    reference,
    codec,
    rows: rows.map(({ row }) => row),
    proxy: async (sequences) => {
      unifiedReward = Array.from(await rewards.unified(sequences));
      const scores = new Float64Array(sequences.length);
      for (const [task, at] of positions(rows)) {
        const values = await rewards[tasks[task].reward](at.map((i) => sequences[i]!));
        at.forEach((i, k) => {
          scores[i] = values[k]!;
        });
      }
      return scores;
    },
  });
  const violated = new Array<number>(rows.length).fill(0);
  for (const [task, at] of positions(rows)) {
    const { results } = await judgeBatch(
      mixtures[task],
      at.map((i) => ({
        prompt: answers[i]!.row.prompt,
        response: answers[i]!.text,
        truncated: answers[i]!.tokens === maxNewTokens,
        metadata: { ...answers[i]!.row.metadata },
      })),
    );
    at.forEach((i, k) => {
      violated[i] = Number(results[k]!.feasible !== true);
    });
  }
  return {
    answers,
    scores: {
      trueReward: answers.map((answer) => answer.gold),
      taskReward: answers.map((answer) => answer.proxy),
      unifiedReward,
      violated,
      broken: answers.map((answer) => Number(breaksConstraint(answer.row, answer.text))),
      logRatio: answers.map((answer) => answer.logRatio),
    },
  };
}

/** Means over the prompts of a task. */
export interface TaskMeans {
  trueReward: number;
  taskReward: number;
  unifiedReward: number;
  violationRate: number;
  brokenRate: number;
  kl: number;
  taskRewardDeviation: number;
  unifiedRewardDeviation: number;
}

export function taskMeans(scores: Scores, rows: readonly HeldOut[]): Record<TaskName, TaskMeans> {
  return byTask((task) => {
    const values = (key: keyof Scores) => scores[key].filter((_, i) => rows[i]!.task === task);
    return {
      trueReward: mean(values("trueReward")),
      taskReward: mean(values("taskReward")),
      unifiedReward: mean(values("unifiedReward")),
      violationRate: mean(values("violated")),
      brokenRate: mean(values("broken")),
      kl: mean(values("logRatio")),
      taskRewardDeviation: standardDeviation(values("taskReward")),
      unifiedRewardDeviation: standardDeviation(values("unifiedReward")),
    };
  });
}
