// Files that somebody else made: read with bounds, so that a directory, a pipe or gigabytes in a small file's place are a
// sentence; and directories, and digests.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, readFile, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { UserError } from "./errors.js";

/** Configurations, tokenizers, recipes, rubrics: no such file is larger, and a string of Node's is at most 512 MB. */
const MAX_TEXT_BYTES = 256 * 2 ** 20;

/** Throws for what is no ordinary file, or larger than `maxBytes`; errors of the file system pass through. */
export async function checkFile(
  path: string,
  { maxBytes = Number.POSITIVE_INFINITY }: { maxBytes?: number } = {},
): Promise<{ size: number }> {
  const entry = await stat(path);
  if (entry.isDirectory()) throw new UserError(`${path} is a directory, not a file`);
  if (!entry.isFile()) throw new UserError(`${path} is a pipe, socket or device, not a file`);
  if (entry.size > maxBytes) {
    const megabytes = (bytes: number) => Math.ceil(bytes / 2 ** 20).toLocaleString("en-US");
    throw new UserError(`${path} has ${megabytes(entry.size)} MB; at most ${megabytes(maxBytes)} are read`);
  }
  return { size: entry.size };
}

/** The text of an ordinary file of bounded size; errors of the file system (no such file) pass through. */
export async function readText(path: string, { maxBytes = MAX_TEXT_BYTES } = {}): Promise<string> {
  await checkFile(path, { maxBytes });
  return readFile(path, "utf8");
}

const isDirectory = (path: string): Promise<boolean> =>
  stat(path).then(
    (entry) => entry.isDirectory(),
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );

/**
 * Makes a directory and those above it. Not by the option of `mkdir` for that, which tries for ever where the file system
 * makes no directories (/proc).
 */
export async function makeDirectory(path: string): Promise<void> {
  const missing: string[] = [];
  for (let at = resolve(path); !(await isDirectory(at)); at = dirname(at)) missing.push(at);
  for (const dir of missing.reverse()) {
    try {
      await mkdir(dir);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EEXIST" && (await isDirectory(dir))) continue;
      if (code !== "ENOENT") throw error;
      throw new UserError(`could not make the directory ${dir}: the file system does not allow it`, {
        cause: error,
      });
    }
  }
}

/** What a file holds: its size and the SHA-256 of its bytes, as hexadecimal digits. */
export interface FileDigest {
  bytes: number;
  sha256: string;
}

export async function digestFile(path: string): Promise<FileDigest> {
  const { size } = await checkFile(path);
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(chunk as Buffer);
  return { bytes: size, sha256: hash.digest("hex") };
}

/** The paths of all files below `dir`, with `/`, in alphabetical order. */
export async function filesBelow(dir: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    if (entry.isDirectory())
      found.push(...(await filesBelow(join(dir, entry.name))).map((name) => `${entry.name}/${name}`));
    else found.push(entry.name);
  }
  return found.sort();
}
