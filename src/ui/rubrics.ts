// The rubrics of a run: every version, why it was published, and every round of the meta reward model.

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { diffRubrics, renderChange } from "../mpo/diff.js";
import { type RoundRecord, readRounds } from "../mpo/history.js";
import { historyClusters, readHistory } from "../mpo/rubric-file.js";
import { renderItem } from "../mpo/rubric-text.js";
import { pathInside } from "./run-list.js";

/** What became of one rubric of a run: of a task, or of a cluster of its prompts. */
export interface RubricTimeline {
  task: string;
  /** The empty name is the whole task. */
  cluster: string;
  /** Oldest first. */
  versions: {
    version: number;
    reason?: string;
    /** Each item as the reward model reads it. */
    items: string[];
    /** What changed since the version before: lines with + and - before them. */
    changes: string[];
  }[];
  rounds: RoundRecord[];
}

/** Every rubric of the run `id` below `root`; none where the run has none. A damaged version is a UserError. */
export async function rubricsOf(root: string, id: string): Promise<RubricTimeline[]> {
  const dir = await pathInside(root, id, "rubrics");
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
  const tasks = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const timelines = await Promise.all(
    tasks.map(async (task) => {
      const rounds = await readRounds(join(dir, task));
      return await Promise.all(
        (await historyClusters(join(dir, task))).map(async (cluster) => ({
          task: decodeURIComponent(task),
          cluster,
          versions: (await readHistory(join(dir, task), cluster)).map(({ rubric, reason }, i, all) => ({
            version: rubric.version,
            reason,
            items: rubric.items.map(renderItem),
            changes: i === 0 ? [] : diffRubrics(all[i - 1]!.rubric, rubric).flatMap(renderChange),
          })),
          rounds: rounds.filter((round) => round.cluster === cluster),
        })),
      );
    }),
  );
  return timelines.flat();
}
