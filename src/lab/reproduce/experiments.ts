// The experiments that `reproduce` knows.

import type { Experiment } from "./experiment.js";

// biome-ignore lint/suspicious/noExplicitAny: the harness never looks into a result
type AnyExperiment = Experiment<any>;

export type ExperimentName = "warm" | "cgpo" | "mpo";

/** Loaded when they are asked for: help must not wait for the engine. */
const EXPERIMENTS: Readonly<Record<ExperimentName, () => Promise<AnyExperiment>>> = {
  warm: async () => (await import("../warm/experiment.js")).warmExperiment,
  cgpo: async () => (await import("../cgpo/experiment.js")).cgpoExperiment,
  mpo: async () => (await import("../mpo/experiment.js")).mpoExperiment,
};

export const loadExperiment = (name: ExperimentName): Promise<AnyExperiment> => EXPERIMENTS[name]();
