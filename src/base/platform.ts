// What differs between operating systems. Nothing else in the house asks which one it is on, but for names of libraries.
//
// Windows (from the documentation of Node and of Win32; not tried on such a machine):
// - FlushFileBuffers needs a handle that may write, so a file is opened for that to be flushed, and a directory cannot be:
//   NTFS keeps the order of its names in a journal of its own.
// - There are no signals between processes: `kill` ends the other at once, whatever its name. Who is to stop by itself is
//   told by a message instead (run/child.ts). A terminal sends SIGINT (Ctrl-C), SIGBREAK (Ctrl-Break) and SIGHUP (closed:
//   the process has some seconds).
// - A process that is started detached gets a console window of its own.

import { type FileHandle, open } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

const isWindows = (platform: NodeJS.Platform) => platform === "win32";

/** For tests: another platform, and another way to open files. */
export interface FlushOptions {
  platform?: NodeJS.Platform;
  openFile?: (path: string, flags: string) => Promise<Pick<FileHandle, "sync" | "close">>;
}

/** Flushes a file's contents to disk, so that a rename after it can be trusted. */
export async function flushFile(
  path: string,
  { platform = process.platform, openFile = open }: FlushOptions = {},
): Promise<void> {
  const handle = await openFile(path, isWindows(platform) ? "r+" : "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Flushes the names that a directory holds, where an operating system offers that. */
export async function flushDirectory(path: string, options: FlushOptions = {}): Promise<void> {
  if (!isWindows(options.platform ?? process.platform)) await flushFile(path, options);
}

/** What a terminal or a supervisor sends to a process that is to end. */
export const endingSignals = (platform: NodeJS.Platform = process.platform): NodeJS.Signals[] =>
  isWindows(platform) ? ["SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"] : ["SIGINT", "SIGTERM", "SIGHUP"];

/** How to start a process that Ctrl-C does not reach by itself, where groups of processes can be had without a window. */
export const ownGroup = (platform: NodeJS.Platform = process.platform): { detached: boolean } => ({
  detached: !isWindows(platform),
});

/** Where this user's programs keep what they can make again. */
export function cacheDirectory(
  platform: NodeJS.Platform = process.platform,
  env: NodeJS.ProcessEnv = process.env,
): string {
  if (isWindows(platform) && env.LOCALAPPDATA) return env.LOCALAPPDATA;
  if (platform === "darwin") return join(homedir(), "Library", "Caches");
  return env.XDG_CACHE_HOME || join(homedir(), ".cache");
}
