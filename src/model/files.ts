// Reading JSON with errors a person can act on, and writing files and directories so that they are either whole
// and new or untouched and old: write aside, fsync, rename.
import { type FileHandle, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UserError } from "../base/errors.js";

export type Json = Record<string, unknown>;

/** The JSON object in `file`; `undefined` when there is no such file. */
export async function readJsonIfPresent(file: string): Promise<Json | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${file} is not valid JSON: ${(error as Error).message}.`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new UserError(`${file} must hold a JSON object.`);
  }
  return value as Json;
}

/** The JSON object in `file`; a missing file is the user's mistake, explained by `hint`. */
export async function readJson(file: string, hint: string): Promise<Json> {
  const value = await readJsonIfPresent(file);
  if (value === undefined) throw new UserError(`${file} does not exist: ${hint}.`);
  return value;
}

/** The layout that `transformers` writes: two-space indent and a final newline. */
export function formatJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

export function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === "ENOENT" || code === "ENOTDIR";
}

/**
 * Writes `file` through `write`: a failure, a full disk included, leaves what was there before.
 * The name of the file written aside holds the process id, so that two processes never share it.
 */
export async function writeFileAtomic(
  file: string,
  write: (handle: FileHandle) => Promise<void>,
): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const aside = join(dirname(file), `.${basename(file)}.${process.pid}.tmp`);
  await untilDone(file, async () => {
    const handle = await open(aside, "w");
    try {
      await write(handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(aside, file);
  }).finally(() => rm(aside, { force: true }));
}

/**
 * Fills a directory through `fill`, then puts it in the place of `dir` by renaming. A failure leaves `dir` as it was.
 */
export async function writeDirectoryAtomic(
  dir: string,
  fill: (aside: string) => Promise<void>,
): Promise<void> {
  await mkdir(dirname(dir), { recursive: true });
  const aside = join(dirname(dir), `.${basename(dir)}.${process.pid}.tmp`);
  const old = join(dirname(dir), `.${basename(dir)}.${process.pid}.old`);
  await rm(aside, { recursive: true, force: true });
  await untilDone(dir, async () => {
    await mkdir(aside);
    await fill(aside);
    await syncDirectory(aside);
    // rename(2) replaces an empty directory only, so a full one steps aside first and comes back on failure.
    const replacing = await rename(dir, old).then(
      () => true,
      (error) => {
        if (isMissing(error)) return false;
        throw error;
      },
    );
    try {
      await rename(aside, dir);
    } catch (error) {
      if (replacing) await rename(old, dir);
      throw error;
    }
    await syncDirectory(dirname(dir));
  }).finally(() => rm(aside, { recursive: true, force: true }));
  await rm(old, { recursive: true, force: true });
}

/** Turns the errors of a full or forbidden disk into one sentence. */
async function untilDone(target: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOSPC" || code === "EDQUOT") {
      throw new UserError(
        `The disk is full: ${target} was not written, and what was there before is unchanged.`,
      );
    }
    if (code === "EACCES" || code === "EROFS" || code === "EPERM") {
      throw new UserError(`${target} cannot be written: permission denied.`);
    }
    throw error;
  }
}

/** Makes the renames inside `dir` durable. Windows cannot open a directory and needs no such call. */
async function syncDirectory(dir: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(dir, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
