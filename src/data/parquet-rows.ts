// The rows of a Parquet file, decoded one row group at a time. A damaged file may make this loop for ever, ask for any
// amount of memory or fail where nobody waits: ./parquet.ts has it done in a process of its own.

import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { toPlain } from "./plain.js";

/** Rows of one batch, at most. */
const ROWS = 1000;

/** The rows as objects of plain values, in order. */
export async function* parquetBatches(path: string): AsyncGenerator<Record<string, unknown>[]> {
  const file = await asyncBufferFromFile(path);
  const metadata = await parquetMetadataAsync(file);
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    const rows = await parquetReadObjects({ file, metadata, compressors, rowStart, rowEnd });
    if (rows.length !== rowEnd - rowStart)
      throw new Error(`${rows.length} rows were found where ${rowEnd - rowStart} are announced`);
    for (let i = 0; i < rows.length; i += ROWS)
      yield rows.slice(i, i + ROWS).map((row) => toPlain(row) as Record<string, unknown>);
    rowStart = rowEnd;
  }
}
