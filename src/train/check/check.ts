// `--check` of the verbs that train: whether a run of a recipe would start, and everything that stands in its way, found without
// writing a file. Models are opened and one sample of each task is sampled, judged and scored, as before a run.

import {
  inspectRecipe,
  type LoadOptions,
  type Recipe,
  type RecipeOf,
  type Verb,
} from "../../recipe/recipe.js";
import type { Finding } from "../../run/finding.js";
import { requireTrackers } from "../../trackers/follow.js";
import { checkAlign } from "./align.js";
import { Findings } from "./findings.js";
import { checkReward } from "./reward.js";
import { checkSft } from "./sft.js";

export interface CheckOptions extends Pick<LoadOptions, "overrides"> {
  /** The run would continue the one in output_dir. */
  resume: boolean;
  signal?: AbortSignal | undefined;
  /** Of `reward`: how many members train at a time. */
  jobs?: number | undefined;
  /** Told of every finding as it is made. */
  onFinding?: (finding: Finding) => void;
}

const CHECKS: {
  [V in Verb]: (recipe: RecipeOf<V>, findings: Findings, options: CheckOptions) => Promise<void>;
} = { sft: checkSft, reward: checkReward, align: checkAlign };

/** Checks a recipe; the run would start where none of the findings is a problem. */
export async function checkRun(
  verb: Verb,
  file: string | undefined,
  options: CheckOptions,
): Promise<Finding[]> {
  const findings = new Findings(options.onFinding ?? (() => {}), options.signal);
  const inspected = await findings.attempt("recipe", () => inspectRecipe(verb, file, options));
  if (!inspected) return findings.all;
  const { mistakes, remarks, recipe } = inspected;
  for (const mistake of mistakes) findings.fail("recipe", mistake);
  if (mistakes.length === 0) findings.ok("recipe", file ?? "by flags alone");
  for (const remark of remarks) findings.warn("recipe", remark.replace(/^warning: /, ""));
  if (recipe === undefined) findings.warn("recipe", "nothing else can be checked before these are mended");
  else {
    const trackers = await findings.attempt("report_to", () => requireTrackers(recipe.reportTo));
    for (const tracker of trackers ?? []) findings.ok("report_to", tracker);
    await CHECKS[verb](recipe as Recipe as never, findings, options);
  }
  return findings.all;
}
