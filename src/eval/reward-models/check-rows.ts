// Files of reward benchmarks, told by their columns: what there is to score, and what to make of the scores.

import { UserError } from "../../base/errors.js";
import { preferencesIn } from "../../data/index.js";
import type { DataRow, Message, Metadata, PreferenceRow, Text } from "../../data/rows.js";
import { where } from "../../data/rows.js";
import type { ScoredChoice } from "../../reward/reward-bench-2.js";

/** Responses to one prompt. */
export interface Candidates {
  id: string;
  prompt: Text;
  responses: readonly Text[];
  metadata: Metadata;
}

export interface JudgeBenchRow extends Candidates {
  source: string;
  label: "A>B" | "B>A";
}

export type CheckData =
  | { benchmark: "reward_bench"; rows: readonly Candidates[]; subsets: readonly string[] }
  | {
      benchmark: "reward_bench_2";
      rows: readonly Candidates[];
      choices: readonly Omit<ScoredChoice, "rewards">[];
    }
  | { benchmark: "rm_bench"; rows: readonly Candidates[]; domains: readonly string[] }
  | { benchmark: "judge_bench"; rows: readonly JudgeBenchRow[] };

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === "string");

const has = ({ values }: DataRow, ...columns: string[]) => columns.every((column) => column in values);

/** The benchmark is that of the first row. */
export function readCheckRows(rows: readonly DataRow[]): CheckData {
  const first = rows[0]!;
  if (has(first, "response_A", "response_B")) return judgeBenchRows(rows);
  if (!isTexts(first.values.chosen) || !isTexts(first.values.rejected)) return rewardBenchRows(rows);
  return has(first, "subset") ? rewardBench2Rows(rows) : rmBenchRows(rows);
}

function rewardBenchRows(rows: readonly DataRow[]): CheckData {
  const pairs = preferencesIn(rows);
  return {
    benchmark: "reward_bench",
    rows: pairs.map(({ id, prompt, chosen, rejected, metadata }) => ({
      id,
      prompt,
      responses: [chosen, rejected],
      metadata,
    })),
    subsets: pairs.map(subsetOf),
  };
}

function subsetOf({ id, metadata }: PreferenceRow): string {
  const { subset } = metadata;
  if (typeof subset === "string") return subset;
  throw new UserError(
    `${id}: "subset" must name the subset of the pair; check reads RewardBench's columns prompt, chosen, rejected, subset`,
  );
}

const problem = (row: DataRow, sentence: string) => new UserError(`${where(row)}: ${sentence}`);

function text(row: DataRow, column: string): string {
  const value = row.values[column];
  if (typeof value === "string") return value;
  throw problem(row, `"${column}" must be a text`);
}

/** Prompt and responses of a row whose columns `chosen` and `rejected` are lists of texts. */
function listed(row: DataRow): Candidates & { chosen: readonly string[]; rejected: readonly string[] } {
  const { chosen, rejected } = row.values;
  for (const [column, value] of Object.entries({ chosen, rejected }))
    if (!isTexts(value)) throw problem(row, `"${column}" must be a list of texts, as in the first row`);
  const [right, wrong] = [chosen as string[], rejected as string[]];
  return {
    id: row.id,
    prompt: text(row, "prompt"),
    responses: [...right, ...wrong],
    metadata: {},
    chosen: right,
    rejected: wrong,
  };
}

function rewardBench2Rows(rows: readonly DataRow[]): CheckData {
  const read = rows.map((row) => {
    const own = listed(row);
    const { num_correct: correct = own.chosen.length, id } = row.values;
    if (Number(correct) !== own.chosen.length)
      throw problem(row, `"num_correct" is ${correct}, but "chosen" holds ${own.chosen.length} texts`);
    const choice = { id: String(id ?? row.id), subset: text(row, "subset"), correct: own.chosen.length };
    if (choice.subset.toLowerCase() === "ties") checkTies(row, choice);
    return { own, choice };
  });
  return {
    benchmark: "reward_bench_2",
    rows: read.map(({ own }) => own),
    choices: read.map(({ choice }) => choice),
  };
}

function checkTies(row: DataRow, { id, correct }: Omit<ScoredChoice, "rewards">): void {
  const kind = /^(ref|tied):\d+$/.exec(id)?.[1];
  if (kind === undefined)
    throw problem(row, `"id" is ${JSON.stringify(id)}; in the subset Ties it must be ref:N or tied:N`);
  if (kind === "tied" && correct < 2)
    throw problem(row, `${id} has one chosen text; a tied question has at least two`);
}

function rmBenchRows(rows: readonly DataRow[]): CheckData {
  const read = rows.map((row) => {
    const own = listed(row);
    if (own.chosen.length !== 3 || own.rejected.length !== 3)
      throw problem(
        row,
        `"chosen" and "rejected" hold ${own.chosen.length} and ${own.rejected.length} texts; RM-Bench has three styles of each` +
          ' (RewardBench 2 has a column "subset")',
      );
    return own;
  });
  const domains = rows.map((row) => (has(row, "domain") ? text(row, "domain") : "all"));
  return { benchmark: "rm_bench", rows: read, domains };
}

function judgeBenchRows(rows: readonly DataRow[]): CheckData {
  return {
    benchmark: "judge_bench",
    rows: rows.map((row) => {
      const { label } = row.values;
      if (label !== "A>B" && label !== "B>A")
        throw problem(row, `"label" must be "A>B" or "B>A", not ${JSON.stringify(label)}`);
      return {
        id: row.id,
        prompt: text(row, "question"),
        responses: [text(row, "response_A"), text(row, "response_B")],
        metadata: {},
        source: has(row, "source") ? text(row, "source") : "all",
        label,
      };
    }),
  };
}

/** A string is one turn, as RewardBench has it. */
const turn = (value: Text, role: string): Message[] =>
  typeof value === "string" ? [{ role, content: value }] : value;

export const asConversation = ({ prompt, responses, ...row }: Candidates): Candidates => ({
  ...row,
  prompt: turn(prompt, "user"),
  responses: responses.map((response) => turn(response, "assistant")),
});
