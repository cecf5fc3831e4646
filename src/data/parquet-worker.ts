// The process of ./parquet.ts: decodes the file of its argument, one row group in memory at a time, and sends some rows
// whenever it is asked for more.

import { once } from "node:events";
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import type { ParquetNews } from "./parquet.js";
import { toPlain } from "./plain.js";

/** Rows of one message. */
const ROWS = 1000;

async function* batches(path: string): AsyncGenerator<Record<string, unknown>[]> {
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

const send = (news: ParquetNews) =>
  new Promise<void>((resolve) => {
    process.send!(news, () => resolve());
  });

process.on("disconnect", () => process.exit());
// A decoder of the library may fail where nobody waits for it.
process.on("unhandledRejection", (error) => {
  void send({ problem: (error as Error).message }).then(() => process.exit());
});
try {
  for await (const rows of batches(process.argv[2]!)) {
    await once(process, "message");
    await send({ rows });
  }
  await send({ end: true });
} catch (error) {
  await send({ problem: error instanceof Error ? error.message : String(error) });
}
