// Rows out: JSONL to a file that appears whole, or to stdout; with --json one document that has them or says where they are.

import { statSync } from "node:fs";
import { writeFileAtomic } from "../base/atomic.js";
import { UserError } from "../base/errors.js";
import { formatJson } from "../base/json.js";
import { jsonl } from "../base/jsonl.js";

/** Before anything is computed: rows go to a file that can be written, and not over those that they come from. */
export function checkOut(out: string | undefined, data: string | undefined): void {
  const to = out === undefined ? undefined : statSync(out, { throwIfNoEntry: false });
  if (to?.isDirectory()) throw new UserError(`--out ${out} is a directory; name a file`);
  const from = data === undefined ? undefined : statSync(data, { throwIfNoEntry: false });
  if (to && from && to.ino === from.ino && to.dev === from.dev)
    throw new UserError(`--out ${out} is the file that the rows are read from; name another`);
}

export async function writeRows(
  rows: readonly object[],
  out: string | undefined,
  { json = false }: { json?: boolean } = {},
): Promise<void> {
  const text = jsonl(rows);
  if (out !== undefined) await writeFileAtomic(out, text);
  else if (!json) process.stdout.write(text);
  if (json)
    process.stdout.write(
      `${formatJson({ count: rows.length, ...(out === undefined ? { rows } : { out }) })}\n`,
    );
}
