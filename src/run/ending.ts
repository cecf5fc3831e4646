// ending.json in a run's directory: how a process that did not come to the end of its run left it. It is there between that
// process and the next one only, so that a finished run has the same files however often it was stopped.

import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../base/atomic.js";
import { redact } from "../base/secrets.js";
import { InterruptedError } from "./context.js";

/** How a run ended before its end. */
export interface Ending {
  how: "interrupted" | "failed";
  /** The sentence that the person at the terminal saw. */
  reason: string;
}

const pathOf = (dir: string) => join(dir, "ending.json");
const LONGEST = 2000;

/** Writes down how `error` ended the run; a disk that cannot take it is no second error. */
export async function writeEnding(dir: string, error: unknown): Promise<Ending> {
  const how = error instanceof InterruptedError ? "interrupted" : "failed";
  const reason = redact(error instanceof Error ? error.message : String(error)).slice(0, LONGEST);
  const ending: Ending = { how, reason };
  await writeFileAtomic(pathOf(dir), `${JSON.stringify(ending)}\n`).catch(() => {});
  return ending;
}

/** Forgets the ending of the process before this one. */
export const clearEnding = (dir: string): Promise<void> => rm(pathOf(dir), { force: true });

/** The ending that a directory has written down, if there is one. */
export async function readEnding(dir: string): Promise<Ending | undefined> {
  try {
    const { how, reason } = JSON.parse(await readFile(pathOf(dir), "utf8")) as Partial<Ending>;
    return { how: how === "interrupted" ? "interrupted" : "failed", reason: String(reason ?? "") };
  } catch {
    return undefined;
  }
}
