import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { unpackedLibrary } from "./ort-library.js";

const content = Buffer.from("a library ".repeat(1000));

/** A package with one packed library, and two places to unpack it to. */
function fakePackage(sha256 = createHash("sha256").update(content).digest("hex")) {
  const root = mkdtempSync(join(tmpdir(), "touchstone-runtime-"));
  const dir = join(root, "runtime");
  mkdirSync(join(dir, "linux-x64"), { recursive: true });
  const name = "libonnxruntime.so.1";
  writeFileSync(join(dir, "linux-x64", `${name}.br`), brotliCompressSync(content));
  const platforms = { "linux-x64": [{ name, bytes: content.length, sha256 }] };
  writeFileSync(join(dir, "manifest.json"), JSON.stringify({ version: "1.2.3", platforms }));
  return { dir, cache: join(root, "cache"), blocked: join(dir, "manifest.json", "below") };
}

test("The library of this platform is unpacked into the cache once, with nothing left beside it", () => {
  const { dir, cache } = fakePackage();
  const path = unpackedLibrary(dir, "linux-x64", [cache, dir]);
  expect(readFileSync(path).equals(content)).toBe(true);
  expect(path.startsWith(cache)).toBe(true);
  expect(readdirSync(dirname(path))).toEqual(["libonnxruntime.so.1"]);
  // What somebody else put there is replaced.
  writeFileSync(path, Buffer.alloc(content.length));
  chmodSync(path, 0o777);
  expect(readFileSync(unpackedLibrary(dir, "linux-x64", [cache, dir])).equals(content)).toBe(true);
  // Found there, not unpacked again: the packed one is no longer needed.
  writeFileSync(join(dir, "linux-x64", "libonnxruntime.so.1.br"), "");
  expect(unpackedLibrary(dir, "linux-x64", [cache, dir])).toBe(path);
});

test("Where there is no cache it goes into the package; where neither can be written to, both reasons are told", () => {
  const { dir, blocked } = fakePackage();
  expect(unpackedLibrary(dir, "linux-x64", [blocked, dir]).startsWith(dir)).toBe(true);
  const empty = fakePackage();
  expect(() => unpackedLibrary(empty.dir, "linux-x64", [blocked, blocked])).toThrow(
    /could not be unpacked: .*;/,
  );
});

test("A damaged package and a platform that is not served are sentences", () => {
  const { dir, cache } = fakePackage("0".repeat(64));
  expect(() => unpackedLibrary(dir, "linux-x64", [cache, dir])).toThrow("is damaged");
  expect(() => unpackedLibrary(dir, "darwin-x64", [cache, dir])).toThrow("does not run on darwin-x64");
});
