// `touchstone reproduce cgpo`: CGPO's three optimizers against PPO, DPO and an ablation without judges, on five tasks.

import type { Experiment } from "../reproduce/experiment.js";
import { cgpoReport } from "./report.js";
import { cgpoParts, runPart, runSeed, type SeedResult } from "./seed.js";

export const cgpoExperiment: Experiment<SeedResult> = {
  name: "cgpo",
  // Everything comes from the seed and from the base model that the repository carries.
  prepare: async () => {},
  parts: cgpoParts,
  runPart,
  runSeed,
  report: cgpoReport,
};
