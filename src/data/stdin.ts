// `-`: the rows that another program writes to the standard input, kept in a temporary file, since a reader may come twice.

import { createWriteStream, rmSync } from "node:fs";
import { mkdtemp, open, rename } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { UserError } from "../base/errors.js";
import type { DataFile } from "./readers.js";

let kept: Promise<DataFile> | undefined;

/** The standard input as a file, read whole at the first call. */
export function standardInput(): Promise<DataFile> {
  kept ??= keep(process.stdin);
  return kept;
}

/** What a stream holds, in a file whose name says its format; the file goes with the process. */
export async function keep(stream: Readable): Promise<DataFile> {
  const dir = await mkdtemp(join(tmpdir(), "touchstone-stdin-"));
  process.once("exit", () => rmSync(dir, { recursive: true, force: true }));
  const raw = join(dir, "rows");
  await pipeline(stream, createWriteStream(raw, { mode: 0o600 }));
  const path = `${raw}${await formatOf(raw)}`;
  await rename(raw, path);
  return { path, label: "standard input", id: "stdin" };
}

/** The extension for what a file begins with. */
async function formatOf(path: string): Promise<string> {
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
    const head = buffer.subarray(0, bytesRead);
    if (head.subarray(0, 4).toString("latin1") === "PAR1") return ".parquet";
    if (head[0] === 0x1f && head[1] === 0x8b)
      throw new UserError(
        "standard input is packed with gzip; unpack it first: gunzip -c file | touchstone ...",
      );
    const text = head
      .toString("utf8")
      .replace(/^\ufeff/, "")
      .trimStart();
    if (text.startsWith("[")) return ".json";
    // A row of JSONL is closed on its line; the first line of an indented object is not.
    if (text.startsWith("{")) return /^\{\s*\n/.test(text) ? ".json" : ".jsonl";
    return ".csv";
  } finally {
    await file.close();
  }
}
