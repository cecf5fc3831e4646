// Rubrics on disk, as YAML that people write and read; one file per version.

import "../base/zod-words.js";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { z } from "zod";
import { writeFileAtomic } from "../base/atomic.js";
import { UserError } from "../base/errors.js";
import { makeDirectory } from "../base/files.js";
import { parseYaml } from "../base/yaml.js";
import { createRubric, type Rubric, type RubricItem, type RubricLimits } from "./rubric.js";

const level = z.strictObject({
  points: z.number(),
  low: z.number().optional(),
  text: z.string(),
  example: z.string().optional(),
});

export const rubricItemSchema = z.strictObject({
  name: z.string().min(1),
  kind: z.enum(["grade", "deduct", "gate"]).default("grade"),
  description: z.string().optional(),
  levels: z.array(level).min(1),
});

/** Version, parent, sum and hash may be missing in a file that a person wrote. */
const rubricFile = z.strictObject({
  version: z.int().min(0).default(0),
  parent: z.string().nullable().default(null),
  max_total: z.number().optional(),
  hash: z.string().optional(),
  /** Why this version replaced its parent. */
  reason: z.string().optional(),
  items: z.array(rubricItemSchema).min(1),
});

export function rubricToYaml({ version, parent, maxTotal, hash, items }: Rubric, reason?: string): string {
  const file = {
    version,
    parent,
    max_total: maxTotal,
    hash,
    ...(reason === undefined ? {} : { reason }),
    items,
  };
  return stringify(file, { lineWidth: 110 });
}

/** A version of a rubric, and why it replaced its parent. */
export interface RubricVersion {
  rubric: Rubric;
  reason?: string;
}

/** `source` is what error messages call the text. `limits` replaces the default size limits. */
export const rubricFromYaml = (text: string, source: string, limits?: RubricLimits): Rubric =>
  versionFromYaml(text, source, limits).rubric;

function versionFromYaml(text: string, source: string, limits?: RubricLimits): RubricVersion {
  const data = parseYaml(text, source);
  const result = rubricFile.safeParse(data);
  if (!result.success) {
    const { path, message } = result.error.issues[0]!;
    throw new UserError(`${source}: ${path.length > 0 ? `${path.join(".")}: ` : ""}${message}`);
  }
  const { version, parent, max_total, hash, reason, items } = result.data;
  let rubric: Rubric;
  try {
    rubric = createRubric(items as RubricItem[], { version, parent, ...(limits ? { limits } : {}) });
  } catch (error) {
    throw new UserError(`${source}: ${(error as Error).message}`);
  }
  if (max_total !== undefined && max_total !== rubric.maxTotal)
    throw new UserError(
      `${source}: max_total is ${max_total}, but the grade items add up to ${rubric.maxTotal}`,
    );
  if (hash !== undefined && hash !== rubric.hash)
    throw new UserError(
      `${source}: the hash does not fit the items; after editing a rubric by hand, delete its hash line`,
    );
  return { rubric, ...(reason === undefined ? {} : { reason }) };
}

export const readRubric = async (path: string, limits?: RubricLimits): Promise<Rubric> =>
  rubricFromYaml(await readText(path), path, limits);

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch {
    throw new UserError(`the rubric ${path} cannot be read`);
  }
}

/** A cluster's name as a part of file names. */
const prefixOf = (cluster: string): string => (cluster === "" ? "" : `${encodeURIComponent(cluster)}.`);

const versionPath = (dir: string, version: number, cluster: string): string =>
  join(dir, `${prefixOf(cluster)}v${String(version).padStart(4, "0")}.yaml`);

/** Writes a version (of one cluster) into the directory that holds a run's rubric history; returns the path. */
export async function saveVersion(
  dir: string,
  { rubric, reason }: RubricVersion,
  cluster = "",
): Promise<string> {
  const path = versionPath(dir, rubric.version, cluster);
  await makeDirectory(dir);
  await writeFileAtomic(path, rubricToYaml(rubric, reason));
  return path;
}

/** Removes the versions after `version`: an interrupted run had published them after its checkpoint. */
export async function removeVersionsAfter(dir: string, version: number, cluster = ""): Promise<void> {
  for (const { rubric } of await readHistory(dir, cluster))
    if (rubric.version > version) await rm(versionPath(dir, rubric.version, cluster));
}

/** All versions of a run's rubric (of one cluster), oldest first. */
export async function readHistory(dir: string, cluster = ""): Promise<RubricVersion[]> {
  const versions = (await versionFiles(dir)).filter((file) => file.cluster === cluster);
  const read = versions.map(async ({ path }) => versionFromYaml(await readText(path), path));
  return (await Promise.all(read)).sort((a, b) => a.rubric.version - b.rubric.version);
}

/** The clusters of a run's rubric history; the empty name is the whole task. */
export const historyClusters = async (dir: string): Promise<string[]> =>
  [...new Set((await versionFiles(dir)).map(({ cluster }) => cluster))].sort();

async function versionFiles(dir: string): Promise<{ path: string; cluster: string }[]> {
  let names: string[];
  try {
    names = await readdir(dir);
  } catch {
    throw new UserError(`${dir} holds no rubric history: the directory cannot be read`);
  }
  return names.flatMap((name) => {
    const match = /^(?:(.+)\.)?v\d{4,}\.yaml$/.exec(name);
    return match ? [{ path: join(dir, name), cluster: decodeURIComponent(match[1] ?? "") }] : [];
  });
}
