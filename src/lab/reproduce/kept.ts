// Finished pieces of a seed, kept on disk so that a restart goes on after them.

import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { writeFileAtomic } from "../../base/atomic.js";

/** What `make` gives, kept in `file` for the next time. */
export async function kept<T>(file: string, make: () => Promise<T>): Promise<T> {
  if (existsSync(file)) return JSON.parse(await readFile(file, "utf8")) as T;
  const made = await make();
  await mkdir(dirname(file), { recursive: true });
  await writeFileAtomic(file, JSON.stringify(made));
  return made;
}
