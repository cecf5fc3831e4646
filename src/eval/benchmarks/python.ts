// Running a Python program against a row's own tests, in the sandbox of the code judge.

import { fencedBlocks } from "../../base/fences.js";
import { pythonProgram } from "../../judges/rules/python-tests.js";
import { pythonPool } from "../../judges/sandbox/pool.js";
import type { Answer } from "../benchmark.js";

const limits = { fuel: 15_000, memoryMb: 64, outputChars: 100_000, seconds: 10 };

const names = new Set(["", "py", "python", "python3"]);

/** The first closed block of Python in a reply. */
export const programIn = (reply: string) =>
  fencedBlocks(reply).find(({ language }) => names.has(language))?.body;

/** 1 where `source` passes every test of the row, 0 where it does not or there is no program. */
export async function passes(
  source: string | undefined,
  row: Readonly<Record<string, unknown>>,
  { text, truncated }: Answer,
): Promise<number> {
  if (source === undefined) return 0;
  const input = { prompt: "", response: text, truncated, metadata: row };
  const { passed } = await pythonPool.run(pythonProgram(source, input, "unit_tests"), limits);
  return passed ? 1 : 0;
}
