// The rubrics of a run on disk: every version as YAML, and every round, whatever came of it, as a line of rounds.jsonl.

import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../base/atomic.js";
import { makeDirectory } from "../base/files.js";
import type { MpoRound } from "./hook.js";
import type { Revision, RevisionReport } from "./meta-reward-model.js";
import type { Rubric } from "./rubric.js";
import { type RubricVersion, readHistory, removeVersionsAfter, saveVersion } from "./rubric-file.js";
import type { Trigger } from "./triggers.js";

/** What a round did to the rubric of one cluster; a line of rounds.jsonl. */
export interface RoundRecord extends RevisionReport {
  step: number;
  round: number;
  trigger: Trigger;
  /** The empty name is the whole task. */
  cluster: string;
  outcome: Revision["status"];
  /** The version that scores from the next update on. */
  version: number;
  reason: string;
}

/** Why a version was published, in a sentence. */
const publishedFor = ({ step, trigger }: MpoRound, { sampled, flagged }: RevisionReport): string =>
  `update ${step} (${trigger}): of ${sampled} responses ${flagged} had inflated scores`;

const roundsFile = (dir: string) => join(dir, "rounds.jsonl");

export class RubricHistory {
  private rounds: readonly RoundRecord[] = [];
  private opening: Promise<void> | undefined;

  constructor(private readonly dir: string) {}

  /** Brings the directory to the state of the run: to be called before the first score. */
  async open(current: ReadonlyMap<string, Rubric>): Promise<void> {
    await (this.opening ??= this.begin(current));
  }

  private async begin(current: ReadonlyMap<string, Rubric>): Promise<void> {
    await makeDirectory(this.dir);
    for (const [cluster, rubric] of current) {
      await removeVersionsAfter(this.dir, rubric.version, cluster);
      if (rubric.version === 0) await saveVersion(this.dir, { rubric }, cluster);
    }
    await this.writeRounds();
  }

  /** Writes down a round, and the versions that it published. Returns what it did. */
  async record(round: MpoRound, current: ReadonlyMap<string, Rubric>): Promise<RoundRecord[]> {
    const { step, trigger } = round;
    const records = round.revisions.map(({ cluster, revision }): RoundRecord => {
      const reason = revision.status === "published" ? publishedFor(round, revision.report) : revision.reason;
      const { version } = current.get(cluster)!;
      return {
        step,
        round: round.round,
        trigger,
        cluster,
        outcome: revision.status,
        version,
        reason,
        ...revision.report,
      };
    });
    for (const { cluster, outcome, reason } of records)
      if (outcome === "published")
        await saveVersion(this.dir, { rubric: current.get(cluster)!, reason }, cluster);
    this.rounds = [...this.rounds, ...records];
    await this.writeRounds();
    return records;
  }

  /** All versions (of one cluster), oldest first. */
  versions(cluster: string): Promise<RubricVersion[]> {
    return readHistory(this.dir, cluster);
  }

  /** Writes down a version that a person published. */
  async publish(cluster: string, version: RubricVersion): Promise<void> {
    await saveVersion(this.dir, version, cluster);
  }

  private async writeRounds(): Promise<void> {
    const path = roundsFile(this.dir);
    const lines = this.rounds.map((record) => `${JSON.stringify(record)}\n`);
    if (lines.length > 0) await writeFileAtomic(path, lines.join(""));
    else await rm(path, { force: true });
  }

  state(): readonly RoundRecord[] {
    return this.rounds;
  }

  restore(rounds: readonly RoundRecord[]): void {
    this.rounds = rounds;
    this.opening = undefined;
  }
}

/** The rounds of a run, oldest first; none when there is no file. */
export async function readRounds(dir: string): Promise<RoundRecord[]> {
  const text = await readFile(roundsFile(dir), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as RoundRecord);
}
