// The protocol of `reproduce mpo`: the runs that are compared, and every constant. It was fixed with development seeds
// (101, 102) before the seeds that are reported were run.

export const runNames = [
  "ppo_fixed",
  "ppo_mpo",
  "crpg_fixed",
  "crpg_mpo",
  "crpg_once",
  "crpg_expert",
] as const;
export type RunName = (typeof runNames)[number];

/** A record with an entry for every run. */
export const byRun = <T>(value: (run: RunName) => T): Record<RunName, T> =>
  Object.fromEntries(runNames.map((run) => [run, value(run)])) as Record<RunName, T>;

export const titles: Readonly<Record<RunName, string>> = {
  ppo_fixed: "PPO, fixed rubric",
  ppo_mpo: "PPO, MPO",
  crpg_fixed: "CRPG, fixed rubric",
  crpg_mpo: "CRPG, MPO",
  crpg_once: "CRPG, rubric revised once before",
  crpg_expert: "CRPG, expert's rubric",
};

export interface RunDefinition {
  optimizer: "ppo" | "crpg";
  rubric: "flawed" | "expert";
  /** k updates from one round to the next, one round before the first update (automatic prompt optimisation), or none. */
  rounds: "every" | "once" | "none";
}

export const definitions: Readonly<Record<RunName, RunDefinition>> = {
  ppo_fixed: { optimizer: "ppo", rubric: "flawed", rounds: "none" },
  ppo_mpo: { optimizer: "ppo", rubric: "flawed", rounds: "every" },
  crpg_fixed: { optimizer: "crpg", rubric: "flawed", rounds: "none" },
  crpg_mpo: { optimizer: "crpg", rubric: "flawed", rounds: "every" },
  crpg_once: { optimizer: "crpg", rubric: "flawed", rounds: "once" },
  crpg_expert: { optimizer: "crpg", rubric: "expert", rounds: "none" },
};

/** MPO and the fixed rubric, by optimizer: what the claims compare. */
export const pairs = [
  { title: "PPO", fixed: "ppo_fixed", mpo: "ppo_mpo" },
  { title: "CRPG", fixed: "crpg_fixed", mpo: "crpg_mpo" },
] as const satisfies readonly { title: string; fixed: RunName; mpo: RunName }[];

export const optimizers = [...new Set(runNames.map((run) => definitions[run].optimizer))];

/** Everything that decides how long a seed takes and how far it goes. */
export interface Settings {
  steps: number;
  batchPrompts: number;
  generations: number;
  maxNewTokens: number;
  /** Raw totals, as in the paper. */
  ppo: {
    learningRate: number;
    missingEosPenalty: number;
    klCoefficient: number;
    epochs: number;
    criticLearningRate: number;
  };
  /** Shares of the maximum, which calibration needs. One update a step, where PPO has `epochs`. */
  crpg: { learningRate: number; missingEosPenalty: number; klMax: number };
  mpo: { interval: number; samples: number };
  /** Held-out prompts: along the way (after every round), and at the end. */
  heldout: { along: number; final: number };
}

export const fullSettings: Settings = {
  steps: 48,
  batchPrompts: 12,
  generations: 4,
  maxNewTokens: 64,
  ppo: { learningRate: 4e-4, missingEosPenalty: 2, klCoefficient: 0.08, epochs: 2, criticLearningRate: 1e-3 },
  crpg: { learningRate: 6e-4, missingEosPenalty: 0.3, klMax: 100 },
  mpo: { interval: 6, samples: 16 },
  heldout: { along: 48, final: 128 },
};

export const quickSettings: Settings = {
  ...fullSettings,
  steps: 2,
  batchPrompts: 3,
  mpo: { interval: 1, samples: 4 },
  heldout: { along: 4, final: 6 },
};
