// The tasks of an evaluation: which file is which benchmark, and the worked examples for it.

import { existsSync } from "node:fs";
import { UserError } from "../base/errors.js";
import type { DataRow } from "../data/rows.js";
import { type Benchmark, type Item, readItem } from "./benchmark.js";
import { benchmarkOf, benchmarks } from "./benchmarks/index.js";
import { rowsOf } from "./rows.js";
import { builtInShots } from "./shots.js";

export interface EvalTask {
  /** Unique within the evaluation. */
  label: string;
  /** A file or Hub name. */
  source: string;
  benchmark: Benchmark;
  items: readonly Item[];
  /** Worked examples to choose from. */
  pool: readonly Item[];
}

/** Splits to evaluate on where a Hub name or folder does not say one. */
const splits = ["test", "validation", undefined];

async function evaluationRows(source: string, limit: number | undefined): Promise<DataRow[]> {
  let problem: unknown;
  for (const split of splits) {
    try {
      return await rowsOf(source, { limit, split });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      problem = error;
    }
  }
  throw problem;
}

/** `gsm8k=test.jsonl`, any other label before the `=`, or a source alone. */
function parseTask(text: string): { label?: string; source: string } {
  const [, label, source] = /^([\w.-]+)=(.+)$/.exec(text) ?? [];
  return label === undefined || existsSync(text) ? { source: text } : { label, source: source! };
}

/** Reads a task's rows. A label that names a benchmark is the format; otherwise the columns tell it. */
export async function loadTask(
  text: string,
  { limit, fewshot = [] }: { limit?: number; fewshot?: readonly string[] } = {},
): Promise<EvalTask> {
  const { label, source } = parseTask(text);
  const rows = await evaluationRows(source, limit);
  const named = label !== undefined && Object.hasOwn(benchmarks, label) ? benchmarks[label] : undefined;
  const benchmark = named ?? benchmarkOf(rows[0]!);
  return {
    label: label ?? benchmark.name,
    source,
    benchmark,
    items: rows.map((row) => readItem(benchmark, row)),
    pool: await poolOf(benchmark, fewshot),
  };
}

/** Worked examples: the rows of those files that are of the benchmark, or the built-in ones. */
async function poolOf(benchmark: Benchmark, files: readonly string[]): Promise<Item[]> {
  if (!benchmark.worked) return [];
  const given: Item[] = [];
  for (const file of files) {
    const rows = await rowsOf(file, { limit: 100 });
    if (benchmarkOf(rows[0]!) === benchmark) given.push(...rows.map((row) => readItem(benchmark, row)));
  }
  if (given.length > 0) return given;
  return (builtInShots[benchmark.name] ?? []).map((values, i) =>
    readItem(benchmark, {
      id: `built-in:${i + 1}`,
      file: `built-in example of ${benchmark.name}`,
      row: i + 1,
      values,
    }),
  );
}
