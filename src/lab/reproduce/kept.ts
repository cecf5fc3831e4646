// Finished pieces of a seed, kept on disk so that a restart goes on after them.

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { writeFileAtomic } from "../../base/atomic.js";
import { makeDirectory } from "../../base/files.js";

/** What `make` gives, kept in `file` for the next time. */
export async function kept<T>(file: string, make: () => Promise<T>): Promise<T> {
  if (existsSync(file)) return JSON.parse(await readFile(file, "utf8")) as T;
  const made = await make();
  await makeDirectory(dirname(file));
  await writeFileAtomic(file, JSON.stringify(made));
  return made;
}
