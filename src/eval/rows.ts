// Rows as they stand, without asking that all be of one shape: benchmarks check their own, and a prompt set that is to be
// split may hold rows of many data sets.

import { UserError } from "../base/errors.js";
import { readRows } from "../data/readers.js";
import type { DataRow } from "../data/rows.js";
import { resolveSource } from "../data/source.js";

export async function rowsOf(
  source: string,
  { limit = Number.POSITIVE_INFINITY, split }: { limit?: number; split?: string } = {},
): Promise<DataRow[]> {
  const rows: DataRow[] = [];
  for (const file of await resolveSource(source, { split })) {
    for await (const row of readRows(file)) {
      if (rows.length >= limit) return rows;
      rows.push(row);
    }
  }
  if (rows.length === 0) throw new UserError(`${source} holds no rows.`);
  return rows;
}
