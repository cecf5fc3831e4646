// One process at a time in a run directory: a lock file that names its holder, so that a dead holder's lock is known
// to be stale. The file is written aside and linked into place, which one process alone can do, so that nobody ever sees
// a lock without its holder's name.

import { randomUUID } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { link, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { explainDiskError } from "../base/atomic.js";
import { UserError } from "../base/errors.js";
import { isAlive } from "../base/process.js";

interface Holder {
  pid: number;
  host: string;
  /** Start time of the process where the system tells it: a process id is used again, the pair is not. */
  started: string | null;
  /** Of this lock alone. */
  id: string;
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

/** The name of a file beside the lock that says who removes it. */
const guardName = /^lock(\.[\w-]+)+$/;

/** Whether a name in a directory belongs to its lock. */
export const isLockFile = (name: string): boolean => name === "lock" || guardName.test(name);

export class Lock {
  private constructor(
    private readonly path: string,
    private readonly id: string,
  ) {
    process.once("exit", this.remove);
  }

  /** Removes the file, unless a person has deleted it and another process has taken it meanwhile. */
  private readonly remove = (): void => {
    const text = existsSync(this.path) ? readFileSync(this.path, "utf8") : "";
    if (text.includes(this.id)) rmSync(this.path, { force: true });
  };

  /** Takes the lock file at `path`, or says who holds `what`. */
  static async take(path: string, what: string): Promise<Lock> {
    const me = { pid: process.pid, host: hostname(), started: startOf(process.pid), id: randomUUID() };
    // Others may be taking, or clearing away, at the same moment.
    for (let attempt = 0; attempt < 100; attempt++) {
      if (await claim(path, me)) {
        await removeDeadGuards(path);
        return new Lock(path, me.id);
      }
      const other = await holderOf(path);
      if (other === undefined) continue;
      if (other === "unreadable")
        throw new UserError(
          `${what} is in use, but its lock does not say by whom; delete ${path} if no process uses it`,
        );
      if (!isStale(other))
        throw new UserError(
          `${what} is in use by process ${other.pid} on ${other.host}; wait for it, or delete ${path} if it is gone`,
        );
      await clearAway(path, other, me);
      await delay(2 * Math.random());
    }
    throw new UserError(`${what} is in use by another process`);
  }

  async release(): Promise<void> {
    process.off("exit", this.remove);
    this.remove();
  }
}

/** Puts a file that names `holder` at `path`; false when there is one. */
async function claim(path: string, holder: Holder): Promise<boolean> {
  const text = JSON.stringify(holder);
  // Named as base/atomic.ts names what is not whole, so that it goes with the other leftovers of a killed process.
  const aside = join(dirname(path), `.${basename(path)}-${holder.id}.${process.pid}.tmp`);
  try {
    await writeFile(aside, text, { flag: "wx" });
    await link(aside, path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return false;
    if (!["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(code ?? ""))
      throw explainDiskError(error, path);
    return await claimWithoutLinks(path, text);
  } finally {
    await rm(aside, { force: true });
  }
}

/** For file systems without links. A reader may come between the two operations; it takes the lock for held. */
async function claimWithoutLinks(path: string, text: string): Promise<boolean> {
  try {
    const handle = await open(path, "wx");
    await handle.writeFile(text);
    await handle.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw explainDiskError(error, path);
  }
}

/**
 * Removes the lock that the dead process `stale` left at `path`. Between reading it and removing it another process may
 * have done so and taken its own, so only he may remove it who holds the guard that bears the stale lock's id; and he
 * looks again first.
 */
async function clearAway(path: string, stale: Holder, me: Holder): Promise<void> {
  const guard = `${path}.${stale.id}`;
  if (!(await claim(guard, me))) {
    const other = await holderOf(guard);
    if (other !== undefined && other !== "unreadable" && isStale(other)) await clearAway(guard, other, me);
    return;
  }
  try {
    const now = await holderOf(path);
    if (now !== undefined && now !== "unreadable" && now.id === stale.id) await rm(path, { force: true });
  } finally {
    await rm(guard, { force: true });
  }
}

/** The guards of processes that died in `clearAway`: what they guarded is gone. */
async function removeDeadGuards(path: string): Promise<void> {
  for (const name of await readdir(dirname(path))) {
    if (!guardName.test(name) || basename(path) !== "lock") continue;
    const holder = await holderOf(join(dirname(path), name));
    if (holder !== undefined && holder !== "unreadable" && isStale(holder))
      await rm(join(dirname(path), name), { force: true });
  }
}

/**
 * Whether a lock is held: `here` by a living process of this machine, `elsewhere` by one of another machine (which cannot be
 * asked whether it lives) or by one that does not say, undefined by none.
 */
export async function isHeld(path: string): Promise<"here" | "elsewhere" | undefined> {
  const holder = await holderOf(path);
  if (holder === undefined) return undefined;
  if (holder === "unreadable" || holder.host !== hostname()) return "elsewhere";
  return isStale(holder) ? undefined : "here";
}

/** Who holds the lock; undefined when nobody does any more. */
async function holderOf(path: string): Promise<Holder | "unreadable" | undefined> {
  try {
    const { pid, host, started, id = "old" } = JSON.parse(await readFile(path, "utf8")) as Partial<Holder>;
    if (typeof pid !== "number" || typeof host !== "string" || !/^[\w-]+$/.test(String(id)))
      return "unreadable";
    return { pid, host, started: started ?? null, id };
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? undefined : "unreadable";
  }
}
