import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { explainDiskError, writeDirectoryAtomic, writeFileAtomic } from "./atomic.js";
import { UserError } from "./errors.js";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "touchstone-atomic-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const diskFull = () => Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });

describe("writeFileAtomic", () => {
  it("replaces a file, makes missing directories and leaves nothing beside it", async () => {
    const path = join(dir, "deep", "a.txt");
    await writeFileAtomic(path, "one");
    await writeFileAtomic(path, "two");
    expect(await readFile(path, "utf8")).toBe("two");
    expect(await readdir(join(dir, "deep"))).toEqual(["a.txt"]);
  });

  it.runIf(existsSync("/dev/full"))("reports a full disk in one sentence", async () => {
    // /dev/full answers every write with ENOSPC.
    const error = await writeFile("/dev/full", "x").catch((caught: unknown) => caught);
    expect(explainDiskError(error, "run/a.json")).toEqual(
      new UserError("could not write run/a.json: the disk is full; what was there before is unchanged"),
    );
  });

  it("refuses a path below a file", async () => {
    await writeFile(join(dir, "file"), "x");
    await expect(writeFileAtomic(join(dir, "file", "a"), "y")).rejects.toThrow(UserError);
    expect(await readFile(join(dir, "file"), "utf8")).toBe("x");
  });
});

describe("what is no file", () => {
  it.skipIf(process.platform === "win32")(
    "is written to and stays: a pipe, and what a link leads to",
    async () => {
      const pipe = join(dir, "pipe");
      execFileSync("mkfifo", [pipe]);
      const reader = spawn("cat", [pipe]);
      let read = "";
      reader.stdout.on("data", (chunk: Buffer) => {
        read += chunk;
      });
      const ended = new Promise((resolve) => reader.on("close", resolve));
      await writeFileAtomic(pipe, "through the pipe");
      await ended;
      expect(read).toBe("through the pipe");
      expect((await lstat(pipe)).isFIFO()).toBe(true);
      await expect(writeDirectoryAtomic(pipe, async () => {})).rejects.toThrow(
        `${pipe} is a device or a pipe; give a directory`,
      );
      expect((await lstat(pipe)).isFIFO()).toBe(true);

      await writeFile(join(dir, "file"), "before");
      await symlink("file", join(dir, "link"));
      await writeFileAtomic(join(dir, "link"), "after");
      expect((await lstat(join(dir, "link"))).isSymbolicLink()).toBe(true);
      expect(await readFile(join(dir, "file"), "utf8")).toBe("after");
      expect((await readdir(dir)).sort()).toEqual(["file", "link", "pipe"]);
    },
  );
});

describe("writeDirectoryAtomic", () => {
  it("puts the new directory in place of the old one", async () => {
    const path = join(dir, "model");
    await writeDirectoryAtomic(path, (at) => writeFile(join(at, "old"), "1"));
    await writeDirectoryAtomic(path, async (at) => {
      await mkdir(join(at, "sub"));
      await writeFile(join(at, "sub", "new"), "2");
    });
    expect(await readdir(path)).toEqual(["sub"]);
    expect(await readdir(dir)).toEqual(["model"]);
  });

  it("keeps what was there when filling fails, whatever was half written", async () => {
    const path = join(dir, "model");
    await writeDirectoryAtomic(path, (at) => writeFile(join(at, "weights"), "good"));
    const failing = writeDirectoryAtomic(path, async (at) => {
      await writeFile(join(at, "weights"), "torn");
      throw diskFull();
    });
    await expect(failing).rejects.toThrow(/could not write .*model: the disk is full/);
    expect(await readFile(join(path, "weights"), "utf8")).toBe("good");
    expect(await readdir(dir)).toEqual(["model"]);
  });

  it("passes other errors through", async () => {
    const failing = writeDirectoryAtomic(join(dir, "model"), async () => {
      throw new TypeError("a bug");
    });
    await expect(failing).rejects.toThrow(TypeError);
    expect(await readdir(dir)).toEqual([]);
  });
});
