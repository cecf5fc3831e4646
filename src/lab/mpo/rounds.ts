// What the rounds of a run did, and what they cost, read from what the run left on disk.

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { type RoundRecord, readRounds } from "../../mpo/history.js";
import type { RubricItem } from "../../mpo/rubric.js";
import { readHistory } from "../../mpo/rubric-file.js";
import type { RunName } from "./protocol.js";
import { metaLog, rubricsDir } from "./recipes.js";

export interface Version {
  version: number;
  /** Why it was published; the first has no reason. */
  reason?: string;
  maxTotal: number;
  items: readonly RubricItem[];
}

export interface Round
  extends Pick<RoundRecord, "step" | "outcome" | "version" | "reason" | "sampled" | "flagged"> {
  /** Requests to the meta reward model. */
  calls: number;
  /**
   * sum_i (2 + N_i) + sum_j (1 + N_j) over refinements i and merges j of N items each, because the items are asked for one
   * by one after their number (MPO, 2504.20157, section 2.3).
   */
  expectedCalls: number;
}

interface LogEntry {
  tag?: string;
  reply?: { content: string };
}

export async function readVersions(dir: string, run: RunName): Promise<Version[]> {
  const history = await readHistory(rubricsDir(dir, run));
  return history.map(({ rubric: { version, maxTotal, items }, reason }) => ({
    version,
    maxTotal,
    items,
    ...(reason !== undefined && { reason }),
  }));
}

export async function readRoundsWithCalls(dir: string, run: RunName): Promise<Round[]> {
  const records = await readRounds(rubricsDir(dir, run));
  const log = metaLog(dir, run);
  const lines = existsSync(log)
    ? (await readFile(log, "utf8")).split("\n").filter((line) => line !== "")
    : [];
  const entries = lines.map((line) => JSON.parse(line) as LogEntry);
  return records.map(({ step, outcome, version, reason, sampled, flagged }) => {
    const own = entries.filter(({ tag }) => tag?.startsWith(`update ${step},`));
    return {
      step,
      outcome,
      version,
      reason,
      sampled,
      flagged,
      calls: own.length,
      expectedCalls: expected(own),
    };
  });
}

/** From the numbers of items that the model announced: each refinement and each merge writes as many. */
function expected(entries: readonly LogEntry[]): number {
  const announced = (what: RegExp) =>
    entries
      .filter(({ tag = "" }) => what.test(tag))
      .map(({ reply }) => Number(/\d+/.exec(reply?.content ?? "")?.[0] ?? 0));
  const refinements = announced(/refinement, count$/);
  const merges = announced(/merge [\d.]+, count$/);
  return [...refinements.map((n) => 2 + n), ...merges.map((n) => 1 + n)].reduce((sum, n) => sum + n, 0);
}
