// manifest.json of a checkpoint: size and SHA-256 of each of its files, so that a byte that changed since is noticed
// before it changes a result. It is written last: a checkpoint that has it is whole.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../base/errors.js";
import { digestFile, filesBelow, readText } from "../base/files.js";

const NAME = "manifest.json";

const manifest = z.strictObject({
  files: z.record(z.string(), z.strictObject({ bytes: z.int().min(0), sha256: z.string().length(64) })),
});

type Manifest = z.output<typeof manifest>;

/** The only way that a manifest is written, so that any other text is a damaged one. */
const format = ({ files }: Manifest): string =>
  `${JSON.stringify({ files: Object.fromEntries(Object.entries(files).sort()) }, undefined, 1)}\n`;

/** Writes down what the files below `dir` hold. */
export async function writeManifest(dir: string): Promise<void> {
  const files: Manifest["files"] = {};
  for (const name of await filesBelow(dir)) files[name] = await digestFile(join(dir, name));
  await writeFile(join(dir, NAME), format({ files }));
}

/** Throws a UserError that names the first file that is missing, new or not what it was. */
export async function checkManifest(dir: string): Promise<void> {
  const { files } = await readManifest(dir);
  const found = (await filesBelow(dir)).filter((name) => name !== NAME);
  for (const name of new Set([...Object.keys(files), ...found])) {
    const path = join(dir, name);
    const wanted = Object.hasOwn(files, name) ? files[name] : undefined;
    if (!found.includes(name)) throw new UserError(`${path} is missing; the checkpoint is damaged`);
    if (!wanted) throw new UserError(`${path} was not there when the checkpoint was saved`);
    const { bytes, sha256 } = await digestFile(path);
    if (bytes !== wanted.bytes)
      throw new UserError(
        `${path} has ${bytes} bytes, and had ${wanted.bytes} when the checkpoint was saved`,
      );
    if (sha256 !== wanted.sha256)
      throw new UserError(
        `${path} does not hold what it held when the checkpoint was saved (its SHA-256 differs)`,
      );
  }
}

async function readManifest(dir: string): Promise<Manifest> {
  const path = join(dir, NAME);
  const text = await readText(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    throw new UserError(`${path} is missing; the checkpoint is not whole`);
  });
  const result = manifest.safeParse(parsed(text));
  if (result.success && format(result.data) === text) return result.data;
  throw new UserError(`${path} is damaged; nothing says whether the checkpoint is whole`);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
