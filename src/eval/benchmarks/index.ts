// The benchmarks, and which of them a file is.

import { UserError } from "../../base/errors.js";
import { type DataRow, where } from "../../data/rows.js";
import { type Benchmark, recognises } from "../benchmark.js";
import { arc } from "./arc.js";
import { gsm8k } from "./gsm8k.js";
import { humaneval } from "./humaneval.js";
import { ifeval } from "./ifeval.js";
import { math } from "./math.js";
import { mbpp } from "./mbpp.js";
import { triviaqa } from "./triviaqa.js";
import { xstest } from "./xstest.js";

/** By name; where a row fits several, the first is what it is. */
export const benchmarks: Readonly<Record<string, Benchmark>> = {
  ifeval,
  humaneval,
  mbpp,
  triviaqa,
  arc,
  gsm8k,
  math,
  xstest,
};

/** The benchmark that the row's columns tell. */
export function benchmarkOf(row: DataRow): Benchmark {
  const found = Object.values(benchmarks).find((benchmark) => recognises(benchmark, row.values));
  if (found) return found;
  const formats = Object.values(benchmarks).map(({ name, columns }) => `${name} (${columns.join(", ")})`);
  throw new UserError(
    `${where(row)}: its columns (${Object.keys(row.values).join(", ")}) are of no benchmark that is known: ${formats.join("; ")}`,
  );
}
