// The local copy of Hub repositories, in the layout that `huggingface_hub` shares between tools:
//   <cache>/models--owner--name/refs/main             the commit that a branch was at when last asked
//   <cache>/models--owner--name/blobs/<hash>          contents by hash: SHA-256 for LFS files, git's SHA-1 for others
//   <cache>/models--owner--name/snapshots/<commit>/   links to the blobs under their names
// and, of our own, `listings/<commit>.json`: which files the commit has, so that it can be used without the network.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, readFile, rename, stat, symlink } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { getHFHubCachePath, getRepoFolderName } from "@huggingface/hub";
import { writeFileAtomic } from "../base/atomic.js";
import { UserError } from "../base/errors.js";
import { makeDirectory } from "../base/files.js";
import { isAlive } from "../base/process.js";

export interface RepoId {
  type: "model" | "dataset";
  name: string;
}

/** One file of a commit. */
export interface Entry {
  path: string;
  size: number;
  /** SHA-256 of an LFS file's content; git's SHA-1 of any other. */
  hash: string;
}

export class RepoCache {
  private readonly folder: string;

  constructor(repo: RepoId, cacheDir = getHFHubCachePath()) {
    this.folder = join(cacheDir, getRepoFolderName(repo));
  }

  /** The commit that `revision` stood for when the Hub was last asked. */
  async commitOf(revision: string): Promise<string | null> {
    if (isCommit(revision)) return revision;
    const text = await readFile(this.inside("refs", revision), "utf8").catch(() => null);
    return text?.trim() ?? null;
  }

  async setCommit(revision: string, commit: string): Promise<void> {
    if (revision !== commit) await writeFileAtomic(this.inside("refs", revision), commit);
  }

  async listing(commit: string): Promise<Entry[] | null> {
    const text = await readFile(this.inside("listings", `${commit}.json`), "utf8").catch(() => null);
    const entries = text === null ? null : parsed(text);
    // One that is damaged is asked for again.
    return Array.isArray(entries) && entries.every(isEntry) ? entries : null;
  }

  async setListing(commit: string, entries: readonly Entry[]): Promise<void> {
    await writeFileAtomic(this.inside("listings", `${commit}.json`), JSON.stringify(entries));
  }

  snapshot(commit: string): string {
    return this.inside("snapshots", commit);
  }

  /** What another tool put into the snapshot folder, for want of a listing. */
  async filesInSnapshot(commit: string): Promise<string[]> {
    const paths = await readdir(this.snapshot(commit), { recursive: true }).catch(() => []);
    return paths.map((path) => path.replaceAll(sep, "/"));
  }

  blob(entry: Entry): string {
    return this.inside("blobs", entry.hash);
  }

  /** Whether the snapshot holds the file; a listed size must match. */
  async holds(commit: string, path: string, size?: number): Promise<boolean> {
    const stats = await stat(this.inside("snapshots", commit, path)).catch(() => null);
    return stats !== null && (size === undefined || stats.size === size);
  }

  /** Makes the snapshot's file stand for the blob; where links are not allowed, the blob itself moves there. */
  async link(commit: string, entry: Entry): Promise<void> {
    const pointer = this.inside("snapshots", commit, entry.path);
    const aside = `${pointer}.${process.pid}.link`;
    await makeDirectory(dirname(pointer));
    try {
      await symlink(relative(dirname(pointer), this.blob(entry)), aside);
      await rename(aside, pointer);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EPERM") throw error;
      await rename(this.blob(entry), pointer);
    }
  }

  /**
   * The file to download `entry` into. A download that a process now gone left half done is taken over, so that two
   * processes never write to one file.
   */
  async partial(entry: Entry): Promise<string> {
    const blob = this.blob(entry);
    const mine = `${blob}.${process.pid}.incomplete`;
    await makeDirectory(dirname(blob));
    for (const file of await readdir(dirname(blob))) {
      const owner = file.match(/^([0-9a-f]+)\.(\d+)\.incomplete$/);
      if (owner?.[1] !== entry.hash || isAlive(Number(owner[2]))) continue;
      // Another process may have been quicker.
      await rename(join(dirname(blob), file), mine).catch(() => {});
    }
    return mine;
  }

  private inside(...path: string[]): string {
    const full = join(this.folder, ...path);
    if (full.startsWith(this.folder + sep)) return full;
    throw new UserError(`The Hub repository names a file outside its own folder: "${path.at(-1)}".`);
  }
}

/** Whether a value says which file it is about, how long that is, and what it must hash to. */
export function isEntry(value: unknown): value is Entry {
  const { path, size, hash } = (value ?? {}) as Partial<Record<keyof Entry, unknown>>;
  const isHash = typeof hash === "string" && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash);
  return typeof path === "string" && path !== "" && Number.isSafeInteger(size) && Number(size) >= 0 && isHash;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

/** Whether the file's content has the hash and the size that the Hub lists for it. */
export async function isIntact(file: string, { size, hash }: Entry): Promise<boolean> {
  if ((await stat(file)).size !== size) return false;
  const digest = hash.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
  for await (const chunk of createReadStream(file)) digest.update(chunk as Buffer);
  return digest.digest("hex") === hash;
}
