// Parquet for the fuzzer. A process for every file, as the reader has it, is slow: here one process decodes one file after
// the other, and only what hangs or ends it is read again by the reader itself, which must say so in a sentence.

import { type ChildProcess, fork } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { detectFormat, recognise } from "../../src/data/format.js";
import { readRows } from "../../src/data/readers.js";
import type { DataRow } from "../../src/data/rows.js";
import type { Decoded } from "./parquet-child.js";
import { dir, type Target } from "./scratch.js";

/** Of the decoder, before it counts as hanging. */
const PATIENCE = 1;

let child: ChildProcess | undefined;

function start(): ChildProcess {
  const started = fork(join(import.meta.dirname, "parquet-child.ts"), {
    serialization: "advanced",
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    execArgv: ["--max-old-space-size=1024", "--import", import.meta.resolve("tsx")],
  });
  started.setMaxListeners(0);
  return started;
}

/** What the decoder says; undefined when it says nothing in time or ends. */
function decode(path: string): Promise<Decoded | undefined> {
  const isNew = child === undefined;
  const asked = (child ??= start());
  return new Promise((resolve) => {
    const settle = (said: Decoded | undefined) => {
      clearTimeout(timer);
      asked.removeAllListeners();
      if (!said) {
        asked.kill("SIGKILL");
        child = undefined;
      }
      resolve(said);
    };
    const timer = setTimeout(() => settle(undefined), 1000 * (PATIENCE + (isNew ? 20 : 0)));
    asked.on("message", settle);
    asked.on("disconnect", () => settle(undefined));
    asked.on("error", () => settle(undefined));
    asked.send(path);
  });
}

export const parquet: Target = {
  slots: 1,
  seeds: () => {
    const text = { name: "prompt", data: ["a", "b", "cc"], type: "STRING" as const };
    const list = { name: "n", data: [1n, 2n, 3n], type: "INT64" as const };
    return [Buffer.from(parquetWriteBuffer({ columnData: [text, list], rowGroupSize: 2 }))];
  },
  run: async (input) => {
    const path = join(dir, "x.parquet");
    writeFileSync(path, input);
    const label = "x.parquet";
    const said = await decode(path);
    if (said && "problem" in said) return;
    const rows: DataRow[] = [];
    if (said) rows.push(...said.rows.map((values, i) => ({ id: label, file: label, row: i + 1, values })));
    else for await (const row of readRows({ path, label, id: label })) rows.push(row);
    if (rows[0] && recognise(rows[0], undefined, {})) detectFormat(rows, {});
  },
};
