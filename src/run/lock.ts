// One process at a time in a run directory: a lock file that names its holder, so that a dead holder's lock is known
// to be stale.

import { readFileSync } from "node:fs";
import { open, readFile, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { explainDiskError } from "../base/atomic.js";
import { UserError } from "../base/errors.js";
import { isAlive } from "../base/process.js";

interface Holder {
  pid: number;
  host: string;
  /** Start time of the process where the system tells it: a process id is used again, the pair is not. */
  started: string | null;
}

/** Clock ticks from boot to the start of a process (Linux), or null. */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field, the command, may hold spaces and parentheses; the start time is the 20th after it.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null;
  } catch {
    return null;
  }
}

const isStale = ({ pid, host, started }: Holder) =>
  host === hostname() && (!isAlive(pid) || (started !== null && started !== startOf(pid)));

export class Lock {
  private constructor(private readonly path: string) {}

  /** Takes the lock file at `path`, or says who holds `what`. */
  static async take(path: string, what: string): Promise<Lock> {
    const holder: Holder = { pid: process.pid, host: hostname(), started: startOf(process.pid) };
    for (let attempt = 0; ; attempt++) {
      try {
        const handle = await open(path, "wx");
        await handle.writeFile(JSON.stringify(holder));
        await handle.close();
        return new Lock(path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw explainDiskError(error, path);
      }
      const text = await readFile(path, "utf8").catch(() => "");
      const other = parseHolder(text);
      if (other && !isStale(other)) {
        throw new UserError(
          `${what} is in use by process ${other.pid} on ${other.host}; wait for it, or delete ${path} if it is gone`,
        );
      }
      if (attempt > 0) throw new UserError(`${what} is in use by another process`);
      await rm(path, { force: true });
    }
  }

  async release(): Promise<void> {
    await rm(this.path, { force: true });
  }
}

function parseHolder(text: string): Holder | undefined {
  try {
    return JSON.parse(text) as Holder;
  } catch {
    return undefined;
  }
}
