// The manifest of a checkpoint or of a final model: size and SHA-256 of each of its files, so that a byte that changed
// since is noticed before it changes a result. It is written last: what has it is whole. A checkpoint's lies in it, as
// manifest.json; a final model is a Hugging Face directory without it, and its manifest lies beside it.

import { basename, join, relative } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "../base/atomic.js";
import { UserError } from "../base/errors.js";
import { digestFile, filesBelow, readText } from "../base/files.js";
import { tryJson } from "../base/json.js";

const NAME = "manifest.json";

const manifest = z.strictObject({
  files: z.record(z.string(), z.strictObject({ bytes: z.int().min(0), sha256: z.string().length(64) })),
});

type Manifest = z.output<typeof manifest>;

/** The only way that a manifest is written, so that any other text is a damaged one. */
const format = ({ files }: Manifest): string =>
  `${JSON.stringify({ files: Object.fromEntries(Object.entries(files).sort()) }, undefined, 1)}\n`;

/** Writes down in `manifestPath` what the files below `dir` hold. */
export async function writeManifest(dir: string, manifestPath = join(dir, NAME)): Promise<void> {
  const files: Manifest["files"] = {};
  for (const name of await filesBelow(dir)) files[name] = await digestFile(join(dir, name));
  await writeFileAtomic(manifestPath, format({ files }));
}

/** Throws a UserError that names the first file that is missing, new or not what it was. */
export async function checkManifest(dir: string, manifestPath = join(dir, NAME)): Promise<void> {
  const { files } = await readManifest(manifestPath);
  const found = (await filesBelow(dir)).filter((name) => name !== relative(dir, manifestPath));
  const what = `${basename(dir)} was saved`;
  for (const name of new Set([...Object.keys(files), ...found])) {
    const path = join(dir, name);
    const wanted = Object.hasOwn(files, name) ? files[name] : undefined;
    if (!found.includes(name)) throw new UserError(`${path} is missing; ${basename(dir)} is damaged`);
    if (!wanted) throw new UserError(`${path} was not there when ${what}`);
    const { bytes, sha256 } = await digestFile(path);
    if (bytes !== wanted.bytes)
      throw new UserError(`${path} has ${bytes} bytes, and had ${wanted.bytes} when ${what}`);
    if (sha256 !== wanted.sha256)
      throw new UserError(`${path} does not hold what it held when ${what} (its SHA-256 differs)`);
  }
}

async function readManifest(path: string): Promise<Manifest> {
  const text = await readText(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    throw new UserError(
      `${path} is missing, so nothing says whether its files are what was saved (an earlier version of Touchstone wrote none)`,
    );
  });
  const result = manifest.safeParse(tryJson(text));
  if (result.success && format(result.data) === text) return result.data;
  throw new UserError(`${path} is damaged, so nothing says whether its files are what was saved`);
}
