import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { cacheDirectory, endingSignals, flushDirectory, flushFile, ownGroup } from "./platform.js";

/** A file system as Windows': what was opened for reading, and every directory, refuses to be flushed. */
function windows(directories: readonly string[] = []) {
  const flushed: string[] = [];
  const openFile = async (path: string, flags: string) => {
    if (directories.includes(path)) throw Object.assign(new Error("EISDIR"), { code: "EISDIR" });
    return {
      sync: async () => {
        if (flags === "r") throw Object.assign(new Error("EPERM"), { code: "EPERM" });
        flushed.push(path);
      },
      close: async () => {},
    };
  };
  return { flushed, options: { platform: "win32", openFile } as const };
}

test("On Windows a file is opened for writing to be flushed, and a directory is left alone", async () => {
  const { flushed, options } = windows(["dir"]);
  await flushFile("file", options);
  await flushDirectory("dir", options);
  expect(flushed).toEqual(["file"]);
  await expect(flushFile("file", { ...options, platform: "linux" })).rejects.toThrow("EPERM");
  await expect(flushDirectory("dir", { ...options, platform: "linux" })).rejects.toThrow("EISDIR");
});

test.skipIf(process.platform === "win32")("Elsewhere both are flushed, read-only files too", async () => {
  const dir = await mkdtemp(join(tmpdir(), "touchstone-flush-"));
  await writeFile(join(dir, "file"), "x", { mode: 0o444 });
  await flushFile(join(dir, "file"));
  await flushDirectory(dir);
});

test("Ctrl-Break is a signal of Windows only, and a process of its own group would have a window there", () => {
  expect(endingSignals("win32")).toContain("SIGBREAK");
  expect(endingSignals("linux")).not.toContain("SIGBREAK");
  expect([ownGroup("win32"), ownGroup("darwin")]).toEqual([{ detached: false }, { detached: true }]);
});

test("The cache of a user", () => {
  expect(cacheDirectory("win32", { LOCALAPPDATA: "C:\\cache" })).toBe("C:\\cache");
  expect(cacheDirectory("linux", { XDG_CACHE_HOME: "/c" })).toBe("/c");
  expect(cacheDirectory("linux", {})).toMatch(/\.cache$/);
  expect(cacheDirectory("darwin", {})).toMatch(/Library\/Caches$/);
});
