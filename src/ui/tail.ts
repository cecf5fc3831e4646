// The end of a JSONL file that another process is writing.

import { open } from "node:fs/promises";
import type { MetricsRow } from "../run/metrics.js";

/** Bytes read of a file's end to find its last rows. */
const END = 256 << 10;

const parse = (line: string): MetricsRow[] => {
  try {
    return [JSON.parse(line) as MetricsRow];
  } catch {
    return [];
  }
};

/** Follows a file: `read` gives the rows that are new since it was last asked. */
export class Tail {
  private offset = 0;

  constructor(private readonly path: string) {}

  /** The new whole rows; from the beginning when the file has become shorter (a run resumed from a checkpoint). */
  async read(): Promise<{ rows: MetricsRow[]; restarted: boolean }> {
    const file = await open(this.path, "r").catch(() => undefined);
    if (!file) return { rows: [], restarted: false };
    try {
      const { size } = await file.stat();
      const restarted = size < this.offset;
      if (restarted) this.offset = 0;
      const buffer = Buffer.alloc(size - this.offset);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, this.offset);
      const end = buffer.subarray(0, bytesRead).lastIndexOf(10) + 1;
      this.offset += end;
      return { rows: buffer.toString("utf8", 0, end).split("\n").flatMap(parse), restarted };
    } finally {
      await file.close();
    }
  }

  /** The last `count` whole rows of a file, none where there is no file. */
  static async lastRows(path: string, count: number): Promise<MetricsRow[]> {
    const file = await open(path, "r").catch(() => undefined);
    if (!file) return [];
    try {
      const { size } = await file.stat();
      const start = Math.max(0, size - END);
      const buffer = Buffer.alloc(size - start);
      await file.read(buffer, 0, buffer.length, start);
      const lines = buffer.toString("utf8", 0, buffer.lastIndexOf(10) + 1).split("\n");
      return lines
        .filter((line) => line !== "")
        .slice(-count)
        .flatMap(parse);
    } finally {
      await file.close();
    }
  }
}
