// Files and directories that appear whole or not at all: written aside, flushed to disk, then renamed.

import { rmSync } from "node:fs";
import { type FileHandle, lstat, open, readdir, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { UserError } from "./errors.js";
import { makeDirectory } from "./files.js";
import { flushDirectory, flushFile } from "./platform.js";
import { isAlive } from "./process.js";

const MEANING: Record<string, string> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only",
  EACCES: "permission was denied",
  EPERM: "permission was denied",
  ENOTDIR: "a part of the path is a file, not a directory",
  EEXIST: "a part of the path is a file, not a directory",
  EISDIR: "it is a directory, not a file",
  ELOOP: "symbolic links lead in a circle",
  ENAMETOOLONG: "the name is longer than the file system allows",
  EIO: "the disk gives an error",
  EMFILE: "too many files are open",
  ENFILE: "too many files are open",
  EFBIG: "the file would be larger than the file system allows",
};

/** Calls that write nothing. */
const looking = new Set(["stat", "lstat", "read", "scandir", "opendir", "readlink", "realpath", "access"]);

/** What a disk error means, for a person; undefined for any other. */
export function diskProblem(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code === undefined ? undefined : MEANING[code];
}

/** Turns a disk error into one sentence about `path`; anything else is returned as it is. */
export function explainDiskError(error: unknown, path: string): unknown {
  const meaning = diskProblem(error);
  if (meaning === undefined) return error;
  const { syscall = "", code } = error as NodeJS.ErrnoException;
  // The directory of an output is looked at too, and found to be a file.
  if (looking.has(syscall) && code !== "ENOTDIR")
    return new UserError(`could not read ${path}: ${meaning}`, { cause: error });
  return new UserError(`could not write ${path}: ${meaning}; what was there before is unchanged`, {
    cause: error,
  });
}

async function flushTree(dir: string): Promise<void> {
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) await flushTree(path);
    else if (entry.isFile()) await flushFile(path);
  }
  await flushDirectory(dir);
}

/** What is being written aside: a process that ends in the middle takes it along, unless it is killed. */
const unfinished = new Set<string>();
process.once("exit", () => {
  for (const path of unfinished) rmSync(path, { recursive: true, force: true });
});

/** The name under which `path` is written before it is whole. */
const aside = (path: string) => join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);

type Content = string | Uint8Array | ((handle: FileHandle) => Promise<void>);

const writeInto = (handle: FileHandle, data: Content): Promise<void> =>
  typeof data === "function" ? data(handle) : handle.writeFile(data);

/** Whether something is there that is neither a file nor a directory: a device, a pipe, a socket. */
async function isSpecial(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && !found.isFile() && !found.isDirectory();
}

/**
 * Writes a whole file, given whole or written part by part, or leaves what was there. What a link leads to is written, and
 * the link stays; a device or a pipe (/dev/null, /dev/stdout) is written to and never replaced.
 */
export async function writeFileAtomic(path: string, data: Content): Promise<void> {
  const named = resolve(path);
  if (await isSpecial(named)) return writeSpecial(named, data);
  const target = await realpath(named).catch(() => named);
  const temporary = aside(target);
  unfinished.add(temporary);
  try {
    await makeDirectory(dirname(target));
    await removeTorn(dirname(target), basename(target));
    const handle = await open(temporary, "w");
    try {
      await writeInto(handle, data);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, target);
    await flushDirectory(dirname(target));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw explainDiskError(error, path);
  } finally {
    unfinished.delete(temporary);
  }
}

async function writeSpecial(path: string, data: Content): Promise<void> {
  try {
    const handle = await open(path, "w");
    await writeInto(handle, data).finally(() => handle.close());
  } catch (error) {
    throw explainDiskError(error, path);
  }
}

export interface WriteDirectoryOptions {
  /** Where the directory is filled before it is renamed. Default: a hidden sibling of `path`. */
  temporary?: string;
}

/**
 * Lets `fill` write into a directory aside, then puts it in place of `path`. When `fill` fails, the directory aside is
 * removed and whatever was at `path` stays.
 */
export async function writeDirectoryAtomic(
  path: string,
  fill: (dir: string) => Promise<void>,
  { temporary = aside(resolve(path)) }: WriteDirectoryOptions = {},
): Promise<void> {
  const target = resolve(path);
  if (await isSpecial(target)) throw new UserError(`${path} is a device or a pipe; give a directory`);
  const replaced = `${aside(target)}${REPLACED}`;
  unfinished.add(temporary);
  try {
    await removeTorn(dirname(target), basename(target));
    await rm(temporary, { recursive: true, force: true });
    await makeDirectory(temporary);
    await fill(temporary);
    await flushTree(temporary);
    const occupied = await lstat(target).then(
      () => true,
      () => false,
    );
    if (occupied) await rename(target, replaced);
    await rename(temporary, target).catch(async (error: unknown) => {
      if (occupied) await rename(replaced, target);
      throw error;
    });
    await flushDirectory(dirname(target));
    if (occupied) await rm(replaced, { recursive: true, force: true });
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw explainDiskError(error, path);
  } finally {
    unfinished.delete(temporary);
  }
}

/** Removes a directory so that a kill leaves all of it or none: by another name first, which `removeTorn` knows. */
export async function removeDirectory(path: string): Promise<void> {
  const going = aside(resolve(path));
  await rename(path, going);
  await rm(going, { recursive: true, force: true });
}

/** End of the name of what `writeDirectoryAtomic` replaces. */
const REPLACED = ".old";

const tornName = /^\.(.+)\.(\d+)\.tmp(\.old)?$/;

/** Whether a name is one that this file gives to what is not whole. */
export const isTorn = (name: string): boolean => tornName.test(name);

/**
 * Cleans up in `dir` after processes that were killed: what they were about to put at `only` (default: anywhere), unless
 * they live. What such a process was about to replace, when nothing is in its place yet, is put back.
 */
export async function removeTorn(dir: string, only?: string): Promise<void> {
  const names = await readdir(dir).catch((): string[] => []);
  for (const name of names) {
    const [, target, pid, replaced] = tornName.exec(name) ?? [];
    if (target === undefined || (only !== undefined && (target !== only || isAlive(Number(pid))))) continue;
    const isOrphan = replaced !== undefined && !names.includes(target);
    if (isOrphan) await rename(join(dir, name), join(dir, target));
    else await rm(join(dir, name), { recursive: true, force: true });
  }
}
