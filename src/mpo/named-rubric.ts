// Rubrics by name: a file, a preset, or a version in the directory of a run.

import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../base/errors.js";
import { didYouMean } from "../base/suggest.js";
import { type RoundRecord, readRounds } from "./history.js";
import { type OpenedRubric, openRubric, plainTask } from "./open-rubric.js";
import { historyClusters, type RubricVersion, readHistory } from "./rubric-file.js";

export interface WhichHistory {
  /** Of the recipe; may be left out where the run has one with a rubric. */
  task?: string;
  /** Of depth mode. */
  cluster?: string;
}

export interface History {
  task: string;
  cluster: string;
  versions: RubricVersion[];
  rounds: RoundRecord[];
}

/** One of several names, or the only one there is. */
function choose(what: string, names: readonly string[], wanted: string | undefined): string {
  if (wanted !== undefined && names.includes(wanted)) return wanted;
  if (wanted !== undefined)
    throw new UserError(
      `there is no ${what} "${wanted}"${didYouMean(wanted, names)}; there are ${names.join(", ")}`,
    );
  if (names.length > 1)
    throw new UserError(`the run has several ${what}s; choose one with --${what}: ${names.join(", ")}`);
  return names[0]!;
}

const rubricsOf = (run: string) => join(run, "rubrics");

/** The versions and rounds of a run. */
export async function openHistory(run: string, { task, cluster }: WhichHistory): Promise<History> {
  const names = await readdir(rubricsOf(run)).catch(() => [] as string[]);
  if (names.length === 0)
    throw new UserError(`${run} holds no rubrics: it is not a run whose tasks are rewarded by one`);
  const chosen = choose("task", names.map(decodeURIComponent), task);
  const dir = join(rubricsOf(run), encodeURIComponent(chosen));
  const whose = choose("cluster", await historyClusters(dir), cluster);
  const rounds = (await readRounds(dir)).filter((round) => round.cluster === whose);
  return { task: chosen, cluster: whose, versions: await readHistory(dir, whose), rounds };
}

/** `essay`, `rubric.yaml`, `runs/essay` (its last version) or `runs/essay:2`. */
export async function namedRubric(name: string, which: WhichHistory): Promise<OpenedRubric> {
  const [, run = name, number] = /^(.+):(\d+)$/.exec(name) ?? [];
  if (!existsSync(rubricsOf(run))) return openRubric(name);
  const { versions } = await openHistory(run, which);
  const found =
    number === undefined ? versions.at(-1) : versions.find(({ rubric }) => rubric.version === Number(number));
  if (!found)
    throw new UserError(
      `${run} has no version ${number}; it has ${versions.map(({ rubric }) => rubric.version).join(", ")}`,
    );
  return { rubric: found.rubric, task: plainTask(found.rubric.items) };
}
