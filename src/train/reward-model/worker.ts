// The process of one reward model of several (jobs.ts).

import type { RewardRecipe } from "../../recipe/recipe.js";
import { serveJob } from "../../run/child.js";
import type { Metrics } from "../../run/metrics.js";
import { loadPairs, type Member, type MemberOptions, trainMember } from "./reward-model.js";

export interface RewardJob extends Omit<MemberOptions, "rows"> {
  recipe: RewardRecipe;
  resume: boolean;
}

/** What its reporter was told. */
export type RewardNews =
  | { event: "note"; line: string }
  | { event: "begin"; done: number }
  | { event: "step"; done: number; metrics?: Metrics };

serveJob<RewardJob, RewardNews, Member>(async ({ recipe, resume, ...options }, tell, signal) => {
  const { rows } = await loadPairs(recipe);
  const reporter = {
    note: (line: string) => tell({ event: "note", line }),
    begin: (_label: string, _total: number, done = 0) => tell({ event: "begin", done }),
    step: (done: number, metrics?: Metrics) => tell({ event: "step", done, metrics }),
    end() {},
  };
  return trainMember(recipe, { ...options, rows }, { reporter, resume, signal });
});
