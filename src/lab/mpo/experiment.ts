// `touchstone reproduce mpo`: a flawed rubric that is hacked when it is fixed, and repaired when it may change.

import type { Experiment } from "../reproduce/experiment.js";
import { mpoReport } from "./report.js";
import { runSeed, type SeedResult } from "./seed.js";

export const mpoExperiment: Experiment<SeedResult> = {
  name: "mpo",
  // Everything comes from the seed and from the base model that the repository carries.
  prepare: async () => {},
  runSeed,
  report: mpoReport,
};
