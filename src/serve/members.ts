// WARM at the start of a server: a directory whose subdirectories are reward models is averaged into one.

import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { averageCheckpoints } from "../reward/average.js";
import type { Reporter } from "../run/context.js";

const isModel = (dir: string): boolean =>
  existsSync(join(dir, "config.json")) || existsSync(join(dir, "adapter_config.json"));

/** The members in a directory, in the order of their names; none where it is a model itself, a file or a Hub name. */
async function membersIn(dir: string): Promise<string[]> {
  if (isModel(dir) || !existsSync(dir)) return [];
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isDirectory() && isModel(join(dir, entry.name)))
    .map(({ name }) => join(dir, name))
    .sort();
}

/** The reward model to open: `dir`, or where it holds members their average, which is written under `outputDir`. */
export async function openMembers(
  dir: string,
  outputDir: string,
  { note }: Pick<Reporter, "note">,
): Promise<string> {
  const members = await membersIn(dir);
  if (members.length === 0) return dir;
  const out = join(outputDir, "warm", encodeURIComponent(dir));
  await averageCheckpoints({ members: members.map((member) => ({ dir: member })), out });
  note(`${dir}: the weights of ${members.length} reward models averaged into ${out}`);
  return out;
}
