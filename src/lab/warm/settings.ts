// The protocol's numbers, at full size and at the size of a quick check.

import type { WorldSize } from "./keys-world.js";

export interface LmTraining {
  texts: number;
  steps: number;
  batch: number;
  learningRate: number;
  /** Cosine decay to this share of the peak. */
  minLrRatio: number;
}

export interface LanguageSettings {
  hidden: number;
  layers: number;
  heads: number;
  pretraining: LmTraining;
  /** Snapshots are steps of the run at one distance, ascending; the last is the SFT model. */
  sft: LmTraining & { snapshots: readonly number[] };
}

export interface PreferenceSettings {
  /** Training pairs, of which `flipShare` have the wrong label; every prompt has `pairsPerPrompt` of them. */
  train: number;
  pairsPerPrompt: number;
  flipShare: number;
  /** Clean pairs of the training distribution. */
  validation: number;
  /** Clean pairs of the shifted distribution, to rank members by. */
  select: number;
  /** The same, to report. */
  ood: number;
  /** The shifted pool holds the best of so many answers by the true reward. */
  goldBestOf: number;
}

export interface MemberSettings {
  steps: number;
  /** Pairs of a step. */
  batch: number;
  warmupSteps: number;
  probeL2: number;
  /** Each member of the diverse and the Baklava suite draws one of these. */
  learningRates: readonly number[];
  dropouts: readonly number[];
  /** Members of the suites: diverse; one configuration; Baklava (fine-tunings of several SFT checkpoints). */
  diverse: number;
  same: number;
  baklava: number;
  /** Steps of the first diverse member whose checkpoints the moving averages take; the last is the run's. */
  trajectory: readonly number[];
}

export interface BestOfNSettings {
  prompts: number;
  answers: number;
}

export interface RlSettings {
  steps: number;
  /** Samples of a step, one for a prompt. */
  batch: number;
  learningRate: number;
  evaluateEvery: number;
  evaluationPrompts: number;
  /** SFT answers whose rewards set the scale of every arm. */
  scaleSamples: number;
  /** Which arms run at which KL strength. */
  arms: readonly { alpha: number; arms: readonly RlArm[] }[];
}

/** `single-k` is the member of rank k by accuracy on D_select, from 1; the others take the best M. */
export type RlArm = `single-${number}` | `warm-${number}` | `ens-${number}`;

export interface WarmSettings {
  world: WorldSize;
  language: LanguageSettings;
  preferences: PreferenceSettings;
  members: MemberSettings;
  /** The averages and ensembles of the best M members. */
  averages: readonly number[];
  /** The M of the claims. */
  main: number;
  /** lambda of UWO under best-of-N. */
  uncertaintyWeight: number;
  bestOfN: BestOfNSettings;
  rl: RlSettings;
  /** Points on the path between two members: shares of the second. */
  path: readonly number[];
  /** Whether the controls of linear mode connectivity are run, once for all seeds. */
  controls: boolean;
}

export const fullSettings: WarmSettings = {
  world: { content: 20, flair: 2, keys: 3, successors: 4 },
  language: {
    hidden: 64,
    layers: 2,
    heads: 4,
    pretraining: { texts: 40_000, steps: 5500, batch: 128, learningRate: 1.5e-3, minLrRatio: 0.1 },
    sft: {
      texts: 4000,
      steps: 600,
      batch: 64,
      learningRate: 3e-4,
      minLrRatio: 0.1,
      snapshots: [300, 450, 600],
    },
  },
  preferences: {
    train: 3000,
    pairsPerPrompt: 1,
    flipShare: 0.25,
    validation: 1000,
    select: 500,
    ood: 1000,
    goldBestOf: 32,
  },
  members: {
    steps: 300,
    batch: 64,
    warmupSteps: 30,
    probeL2: 1e-3,
    learningRates: [2e-4, 4e-4, 6e-4],
    dropouts: [0.05, 0.1],
    diverse: 10,
    same: 2,
    baklava: 6,
    trajectory: [180, 240, 300],
  },
  averages: [1, 2, 4, 6, 10],
  main: 6,
  uncertaintyWeight: 0.5,
  bestOfN: { prompts: 160, answers: 256 },
  rl: {
    steps: 500,
    batch: 64,
    learningRate: 1e-4,
    evaluateEvery: 50,
    evaluationPrompts: 512,
    scaleSamples: 1024,
    arms: [
      { alpha: 0.003, arms: ["single-1", "single-3", "single-5", "warm-2", "warm-6", "warm-10", "ens-6"] },
      { alpha: 0.03, arms: ["single-1", "single-3", "single-5", "warm-6", "ens-6"] },
    ],
  },
  path: Array.from({ length: 11 }, (_, i) => i / 10),
  controls: true,
};

/**
 * A larger world: twice the words, four keys, three times the language model, twice the preference data. Fewer members,
 * half the RL steps at one KL strength, half the answers of best-of-N and no controls, so that a seed takes no longer.
 */
export const largeSettings: WarmSettings = {
  ...fullSettings,
  world: { content: 40, flair: 4, keys: 4, successors: 4 },
  language: {
    hidden: 96,
    layers: 3,
    heads: 3,
    pretraining: { texts: 80_000, steps: 6500, batch: 128, learningRate: 1.5e-3, minLrRatio: 0.1 },
    sft: { ...fullSettings.language.sft, texts: 8000 },
  },
  preferences: { ...fullSettings.preferences, train: 6000 },
  members: { ...fullSettings.members, diverse: 6, baklava: 3 },
  averages: [1, 2, 4, 6],
  bestOfN: { prompts: 160, answers: 128 },
  rl: {
    ...fullSettings.rl,
    steps: 250,
    arms: [{ alpha: 0.003, arms: ["single-1", "single-3", "warm-6", "ens-6"] }],
  },
  controls: false,
};

/** Small enough for a minute on one thread: everything runs, nothing is learned well. */
export const quickSettings: WarmSettings = {
  ...fullSettings,
  language: {
    ...fullSettings.language,
    hidden: 32,
    heads: 2,
    pretraining: {
      ...fullSettings.language.pretraining,
      texts: 2000,
      steps: 60,
      batch: 32,
      learningRate: 4e-3,
    },
    sft: { ...fullSettings.language.sft, texts: 300, steps: 12, batch: 16, snapshots: [6, 12] },
  },
  preferences: {
    train: 120,
    pairsPerPrompt: 2,
    flipShare: 0.25,
    validation: 60,
    select: 40,
    ood: 60,
    goldBestOf: 4,
  },
  members: {
    ...fullSettings.members,
    steps: 12,
    batch: 16,
    warmupSteps: 2,
    diverse: 4,
    same: 2,
    baklava: 2,
    trajectory: [6, 12],
  },
  averages: [1, 2, 4],
  main: 4,
  bestOfN: { prompts: 8, answers: 16 },
  rl: {
    ...fullSettings.rl,
    steps: 2,
    batch: 8,
    evaluateEvery: 1,
    evaluationPrompts: 16,
    scaleSamples: 64,
    arms: [
      { alpha: 0.003, arms: ["single-1", "single-2", "warm-4", "ens-4"] },
      { alpha: 0.03, arms: ["single-1", "warm-4", "ens-4"] },
    ],
  },
  path: [0, 0.5, 1],
};
