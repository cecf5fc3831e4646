// Parquet, read in a process of its own: a damaged file can make a decoder loop for ever, ask for any amount of memory or
// end the process, and none of that reaches the one that wants the rows.

import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../base/errors.js";
import { checkFile } from "../base/files.js";

/** A row group as its process sends it: at most `ROWS` rows at a time, each an object of plain values. */
export type ParquetNews = { rows: Record<string, unknown>[] } | { end: true } | { problem: string };

/** Bytes of memory that one row group may take. */
const MAX_BYTES = 2 * 2 ** 30;

/** Processor time that the next rows may take: the start of the process, and far more than any decoding needs. */
const secondsFor = (bytes: number) => 4 + bytes / 2 ** 20;

/** The rows of a Parquet file, in order. */
export async function* readParquetRows(path: string): AsyncGenerator<Record<string, unknown>> {
  const { size } = await checkFile(path);
  const isSource = import.meta.url.endsWith(".ts");
  const worker = fileURLToPath(new URL(`./parquet-worker${extname(import.meta.url)}`, import.meta.url));
  const child = fork(worker, [path], {
    serialization: "advanced",
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    execArgv: [
      `--max-old-space-size=${MAX_BYTES / 2 ** 20}`,
      ...(isSource ? ["--import", import.meta.resolve("tsx")] : []),
    ],
  });
  let why = "its process ended; the file is damaged";
  const inbox: ParquetNews[] = [];
  let wake = (): void => {};
  const put = (news: ParquetNews): void => {
    inbox.push(news);
    wake();
  };
  child.on("message", put);
  // After the last message, however the process ends.
  child.on("disconnect", () => put({ problem: why }));
  child.on("error", (error) => put({ problem: error.message }));
  const giveUp = (reason: string) => {
    why = reason;
    child.kill("SIGKILL");
  };
  const limit = secondsFor(size);
  let before = usageOf(child.pid);
  const watch = setInterval(() => {
    const { seconds, bytes } = usageOf(child.pid);
    if (seconds - before.seconds > limit && inbox.length === 0)
      giveUp(`nothing was read in ${limit.toFixed(0)} s; the file is damaged`);
    else if (bytes > MAX_BYTES)
      giveUp("a row group takes more than 2 GB; the file is damaged, or needs smaller row groups");
  }, 100);
  try {
    for (;;) {
      before = usageOf(child.pid);
      if (child.connected) child.send("next", () => {});
      while (inbox.length === 0)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      const news = inbox.shift()!;
      if ("problem" in news) throw new UserError(news.problem);
      if ("end" in news) return;
      yield* news.rows;
    }
  } finally {
    clearInterval(watch);
    child.kill("SIGKILL");
  }
}

interface Usage {
  /** Of a processor; where the system does not tell, a tenth of the time that has passed, for a machine that is busy. */
  seconds: number;
  /** Of memory that is occupied; where the system does not tell, 0. */
  bytes: number;
}

/** What a process has used (Linux). */
function usageOf(pid: number | undefined): Usage {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field, the command, may hold spaces and parentheses. Times in hundredths, memory in pages.
    const fields = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number);
    return { seconds: (fields[11]! + fields[12]!) / 100, bytes: 4096 * fields[21]! };
  } catch {
    return { seconds: performance.now() / 10_000, bytes: 0 };
  }
}
