// Rows out: JSONL to a file that appears whole, or to stdout; with --json one document that has them or says where they are.

import { writeFileAtomic } from "../base/atomic.js";
import { formatJson } from "../base/json.js";
import { jsonl } from "../base/jsonl.js";

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
