// Where ONNX Runtime's library lies. The published package carries it for every platform that is served, compressed
// (scripts/pack-runtime.js), and unpacks the one of this machine when it is first needed: no script runs when it is
// installed, no host is asked, and what other platforms use takes 35 MB instead of 250. In the repository the library is
// `onnxruntime-node`'s.

import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync } from "node:zlib";
import { UserError } from "../base/errors.js";
import { cacheDirectory } from "../base/platform.js";

/** A library as it is unpacked. */
interface PackedFile {
  name: string;
  bytes: number;
  sha256: string;
}

interface Manifest {
  /** Of ONNX Runtime. */
  version: string;
  /** By `platform-arch`. */
  platforms: Record<string, PackedFile[]>;
}

const LIBRARY = /^(lib)?onnxruntime(\.so\.\d+|\.\d+\.dylib|\.dll)$/;

/** The package's own directory of packed libraries; this file is two folders below its root, compiled or not. */
const packed = () => join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), "runtime");

/** The path of the library for this machine. */
export function ortLibrary(): string {
  const platform = `${process.platform}-${process.arch}`;
  const dir = packed();
  return existsSync(join(dir, "manifest.json"))
    ? unpackedLibrary(dir, platform, [join(cacheDirectory(), "touchstone"), dir])
    : repositoryLibrary(platform);
}

const notServed = (platform: string) =>
  new UserError(
    `Touchstone does not run on ${platform}: it needs Linux (x64, arm64), macOS on Apple silicon or Windows (x64), ` +
      "for which there are libraries of ONNX Runtime",
  );

function repositoryLibrary(platform: string): string {
  const root = dirname(createRequire(import.meta.url).resolve("onnxruntime-node/package.json"));
  const dir = join(root, "bin", "napi-v6", ...platform.split("-"));
  const file = existsSync(dir) ? readdirSync(dir).find((name) => LIBRARY.test(name)) : undefined;
  if (file === undefined) throw notServed(platform);
  return join(dir, file);
}

/**
 * The library of `platform` out of the packed ones in `dir`, below the first of `places` that has it or can be written to:
 * the user's cache, or where there is none, the package itself.
 */
export function unpackedLibrary(dir: string, platform: string, places: readonly string[]): string {
  const { version, platforms } = JSON.parse(readFileSync(join(dir, "manifest.json"), "utf8")) as Manifest;
  const files = platforms[platform];
  const main = files?.find(({ name }) => LIBRARY.test(name));
  if (!files || !main) throw notServed(platform);
  const problems: string[] = [];
  for (const place of places) {
    // The digest is part of the name: another build of the same version has another.
    const target = join(place, `onnxruntime-${version}-${platform}-${main.sha256.slice(0, 8)}`);
    try {
      for (const file of files) unpack(join(dir, platform, `${file.name}.br`), file, target);
      return join(target, main.name);
    } catch (error) {
      problems.push((error as Error).message);
    }
  }
  throw new UserError(`ONNX Runtime's library could not be unpacked: ${problems.join("; ")}`);
}

/** Writes one library whole or not at all, unless it is there: many processes may come at once. */
function unpack(source: string, file: PackedFile, target: string): void {
  const path = join(target, file.name);
  if (holds(path, file)) return;
  mkdirSync(target, { recursive: true, mode: 0o755 });
  const content = brotliDecompressSync(readFileSync(source));
  if (digest(content) !== file.sha256) throw new Error(`${source} is damaged; install the package again`);
  const aside = `${path}.${process.pid}.tmp`;
  try {
    const handle = openSync(aside, "w", 0o755);
    try {
      for (let at = 0; at < content.length; ) at += writeSync(handle, content, at);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(aside, path);
  } catch (error) {
    rmSync(aside, { force: true });
    // Another process was faster, and the system does not replace a library in use.
    if (!holds(path, file)) throw error;
  }
}

const digest = (content: Uint8Array): string => createHash("sha256").update(content).digest("hex");

/** Whether the library is there. One that somebody else could have written is read for that: it will be run. */
function holds(path: string, { bytes, sha256 }: PackedFile): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.size !== bytes) return false;
  const isOwn =
    process.getuid === undefined || (found.uid === process.getuid() && (found.mode & 0o022) === 0);
  return isOwn || digest(readFileSync(path)) === sha256;
}
