// Rubrics on disk, as YAML that people write and read; one file per version.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { z } from "zod";
import { writeFileAtomic } from "../base/atomic.js";
import { UserError } from "../base/errors.js";
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
  items: z.array(rubricItemSchema).min(1),
});

export function rubricToYaml({ version, parent, maxTotal, hash, items }: Rubric): string {
  return stringify({ version, parent, max_total: maxTotal, hash, items }, { lineWidth: 110 });
}

/** `source` is what error messages call the text. `limits` replaces the default size limits. */
export function rubricFromYaml(text: string, source: string, limits?: RubricLimits): Rubric {
  let data: unknown;
  try {
    data = parse(text);
  } catch (error) {
    throw new UserError(`${source} is not YAML: ${(error as Error).message.split("\n")[0]}`);
  }
  const result = rubricFile.safeParse(data);
  if (!result.success) {
    const { path, message } = result.error.issues[0]!;
    throw new UserError(`${source}: ${path.length > 0 ? `${path.join(".")}: ` : ""}${message}`);
  }
  const { version, parent, max_total, hash, items } = result.data;
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
  return rubric;
}

export async function readRubric(path: string, limits?: RubricLimits): Promise<Rubric> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch {
    throw new UserError(`the rubric ${path} cannot be read`);
  }
  return rubricFromYaml(text, path, limits);
}

export const writeRubric = (path: string, rubric: Rubric): Promise<void> =>
  writeFileAtomic(path, rubricToYaml(rubric));

const versionFile = (version: number, cluster?: string): string =>
  `${cluster === undefined ? "" : `${encodeURIComponent(cluster)}.`}v${String(version).padStart(4, "0")}.yaml`;

/** Writes a version into the directory that holds a run's rubric history; returns the path. */
export async function saveVersion(dir: string, rubric: Rubric, cluster?: string): Promise<string> {
  const path = join(dir, versionFile(rubric.version, cluster));
  await writeRubric(path, rubric);
  return path;
}

/** All versions of a run's rubric (of one cluster), oldest first. */
export async function readHistory(dir: string, cluster?: string): Promise<Rubric[]> {
  let names: string[];
  try {
    names = await readdir(dir);
  } catch {
    throw new UserError(`${dir} holds no rubric history: the directory cannot be read`);
  }
  const prefix = cluster === undefined ? "" : `${encodeURIComponent(cluster)}.`;
  const versions = names.filter(
    (name) => name.startsWith(prefix) && /^v\d{4,}\.yaml$/.test(name.slice(prefix.length)),
  );
  const rubrics = await Promise.all(versions.map((name) => readRubric(join(dir, name))));
  return rubrics.sort((a, b) => a.version - b.version);
}
