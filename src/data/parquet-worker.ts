// The process of ./parquet.ts: decodes the file of its argument, one row group in memory at a time, and sends some rows
// whenever it is asked for more.

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { ParquetNews } from "./parquet.js";
import { parquetBatches } from "./parquet-rows.js";

const send = (news: ParquetNews) =>
  new Promise<void>((resolve) => {
    process.send!(news, () => resolve());
  });

process.on("disconnect", () => process.exit());
// A decoder that loops hears of nothing: a thread ends this process where the one that asked is gone, killed say.
const guard = `
const { workerData: asker } = require("node:worker_threads");
setInterval(() => {
  try { if (process.ppid === asker && process.kill(asker, 0)) return; } catch {}
  process.kill(process.pid, "SIGKILL");
}, 500);`;
new Worker(guard, { eval: true, workerData: process.ppid }).unref();
// A decoder of the library may fail where nobody waits for it.
process.on("unhandledRejection", (error) => {
  void send({ problem: (error as Error).message }).then(() => process.exit());
});
try {
  for await (const rows of parquetBatches(process.argv[2]!)) {
    await once(process, "message");
    await send({ rows });
  }
  await send({ end: true });
} catch (error) {
  await send({ problem: error instanceof Error ? error.message : String(error) });
}
