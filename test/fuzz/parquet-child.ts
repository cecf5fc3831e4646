// Decodes one Parquet file after the other, for ./parquet.ts: a path comes in, its rows or what is wrong with it go out.

import { parquetBatches } from "../../src/data/parquet-rows.js";

export type Decoded = { rows: Record<string, unknown>[] } | { problem: string };

// The decoder may fail where nobody waits for it.
process.on("unhandledRejection", () => {});
process.on("disconnect", () => process.exit());
process.on("message", async (path: string) => {
  const rows: Record<string, unknown>[] = [];
  try {
    for await (const batch of parquetBatches(path)) rows.push(...batch);
    process.send!({ rows } satisfies Decoded);
  } catch (error) {
    process.send!({ problem: String(error) } satisfies Decoded);
  }
});
