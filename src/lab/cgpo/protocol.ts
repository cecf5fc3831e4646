// The protocol of `reproduce cgpo`: five tasks, the runs that are compared, and every constant. It was fixed on
// development seeds (101, 1 and 2) before the seeds that are reported were run.

import { maxNewTokens } from "../world/base-model.js";
import type { FamilyName } from "../world/family.js";
import { falseRefusal, noRepeats, safeConduct } from "./judge-modules.js";

export const taskNames = ["chat", "instructions", "reasoning", "engagement", "safety"] as const;
export type TaskName = (typeof taskNames)[number];

/** A record with an entry for every task. */
export const byTask = <T>(value: (task: TaskName) => T): Record<TaskName, T> =>
  Object.fromEntries(taskNames.map((task) => [task, value(task)])) as Record<TaskName, T>;

/** The task reward models of CGPO (2409.20370, section 5.2): one for helpfulness, one for engagement, one for safety. */
export const rewardNames = ["helpfulness", "engagement", "safety", "unified"] as const;
export type RewardName = (typeof rewardNames)[number];

export interface TaskDefinition {
  title: string;
  families: readonly FamilyName[];
  reward: Exclude<RewardName, "unified">;
  judges: readonly object[];
  /** KLmax in nats, for CRPG and CRRAFT: lenient where judges are precise, strict where they are not (section 4.2). */
  klMax: number;
}

/** Style: the paper names this judge and does not describe it; ours wants no exclamation marks (code needs them). */
const style = { kind: "regex", name: "style", must_not_match: "!" };

const openEnded = [
  { kind: "refusal_regex" },
  style,
  { kind: "length", max_words: 24 },
  { module: `./${noRepeats.file}`, name: "no_repeats" },
];

/** The judges are what a user of the tool would write down without knowing the true reward. */
export const tasks: Readonly<Record<TaskName, TaskDefinition>> = {
  chat: {
    title: "Chat",
    families: ["writing"],
    reward: "helpfulness",
    judges: openEnded,
    klMax: 5,
  },
  instructions: {
    title: "Instruction following",
    families: ["instructions"],
    reward: "helpfulness",
    judges: [{ kind: "instructions" }, style],
    klMax: 10,
  },
  reasoning: {
    title: "Math and code",
    // Code first: its columns are the ones that every row has, which is what the format is told by.
    families: ["code", "arithmetic"],
    reward: "helpfulness",
    judges: [{ kind: "math" }, { kind: "code" }],
    klMax: 20,
  },
  engagement: {
    title: "Engagement",
    families: ["engagement"],
    reward: "engagement",
    judges: openEnded,
    klMax: 5,
  },
  safety: {
    title: "Harmful intent",
    families: ["safety"],
    reward: "safety",
    judges: [
      { module: `./${safeConduct.file}`, name: "safety" },
      { module: `./${falseRefusal.file}`, name: "false_refusal" },
      style,
    ],
    klMax: 5,
  },
};

/** Tasks in which a program can say what is right. */
export const verifiableTasks: readonly TaskName[] = ["instructions", "reasoning"];

export const runNames = [
  "sft",
  "warmup",
  "dpo",
  "ppo",
  "ppo_gated",
  "crpg_unjudged",
  "crpg",
  "crraft",
  "codpo",
] as const;
export type RunName = (typeof runNames)[number];

/** A record with an entry for every run. */
export const byRun = <T>(value: (run: RunName) => T): Record<RunName, T> =>
  Object.fromEntries(runNames.map((run) => [run, value(run)])) as Record<RunName, T>;

/** Runs that sample from the policy; they start from the warm-up model and have the same prompts, steps and samples. */
export const onlineRuns = ["ppo", "ppo_gated", "crpg_unjudged", "crpg", "crraft", "codpo"] as const;
export type OnlineRun = (typeof onlineRuns)[number];

export const titles: Readonly<Record<RunName, string>> = {
  sft: "SFT",
  warmup: "DPO warm-up",
  dpo: "DPO",
  ppo: "PPO, one reward model, no judges",
  ppo_gated: "PPO, judge-gated reward",
  crpg_unjudged: "CRPG, no judges",
  crpg: "CRPG",
  crraft: "CRRAFT",
  codpo: "CODPO",
};

/** Runs whose samples are judged. */
export const judgedRuns: readonly RunName[] = ["ppo_gated", "crpg", "crraft", "codpo"];
/** The constrained optimizers with judges: CGPO. */
export const cgpoRuns = ["crpg", "crraft", "codpo"] as const;

/** Which reward a run follows. */
export const rewardOf = (run: RunName): "task" | "unified" =>
  run === "ppo" || run === "ppo_gated" ? "unified" : "task";

/** Everything that decides how long a seed takes and how far it goes. */
export interface Settings {
  /** Rows of each family. */
  pairs: number;
  prompts: number;
  rewardModels: { batch: number; learningRate: number; steps: Record<RewardName, number> };
  dpo: { batch: number; learningRate: number; beta: number; warmupSteps: number; steps: number };
  online: {
    steps: number;
    /** Prompts per step. */
    prompts: Record<TaskName, number>;
    generations: number;
    learningRate: { crpg: number; crraft: number; codpo: number; ppo: number };
    ppo: { klCoefficient: number; epochs: number; miniBatches: number; criticLearningRate: number };
    codpo: { beta: number; lambda: number };
    evaluateEvery: number;
  };
  /** Held-out prompts of each family: along the way, and at the end. */
  heldout: { along: number; final: number };
}

export const fullSettings: Settings = {
  pairs: 1000,
  prompts: 500,
  rewardModels: {
    batch: 32,
    learningRate: 3e-4,
    steps: { helpfulness: 120, engagement: 40, safety: 40, unified: 160 },
  },
  dpo: { batch: 32, learningRate: 1e-4, beta: 0.1, warmupSteps: 20, steps: 100 },
  online: {
    steps: 100,
    prompts: { chat: 6, instructions: 5, reasoning: 11, engagement: 5, safety: 5 },
    generations: 4,
    // PPO makes two updates a step, each of half the length.
    learningRate: { crpg: 3e-4, crraft: 3e-4, codpo: 3e-4, ppo: 1.5e-4 },
    ppo: { klCoefficient: 0.05, epochs: 1, miniBatches: 2, criticLearningRate: 3e-4 },
    codpo: { beta: 0.1, lambda: 5 },
    evaluateEvery: 20,
  },
  heldout: { along: 16, final: 100 },
};

/** For the test: every run and every figure, too short to learn anything. */
export const quickSettings: Settings = {
  pairs: 25,
  prompts: 12,
  rewardModels: {
    batch: 8,
    learningRate: 3e-4,
    steps: { helpfulness: 2, engagement: 2, safety: 2, unified: 2 },
  },
  dpo: { batch: 4, learningRate: 1e-4, beta: 0.1, warmupSteps: 1, steps: 1 },
  online: {
    steps: 2,
    prompts: byTask(() => 2),
    generations: 2,
    learningRate: { crpg: 3e-4, crraft: 3e-4, codpo: 3e-4, ppo: 3e-4 },
    ppo: { klCoefficient: 0.05, epochs: 1, miniBatches: 1, criticLearningRate: 3e-4 },
    codpo: { beta: 0.1, lambda: 1 },
    evaluateEvery: 1,
  },
  heldout: { along: 2, final: 4 },
};

export const sampling = (task: TaskName, { online }: Settings) => ({
  generations: online.generations,
  batch_prompts: online.prompts[task],
  max_new_tokens: maxNewTokens,
});
