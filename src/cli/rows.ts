// JSONL out: to a file that appears whole, or to stdout.

import { writeFileAtomic } from "../base/atomic.js";
import { jsonl } from "../base/jsonl.js";

export async function writeRows(rows: readonly object[], out: string | undefined): Promise<void> {
  const text = jsonl(rows);
  if (out === undefined) process.stdout.write(text);
  else await writeFileAtomic(out, text);
}
