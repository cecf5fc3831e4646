// What a user names as data (a file, a folder, a pattern, a Hub data set) to the files to read.

import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join, sep } from "node:path";
import { UserError } from "../base/errors.js";
import { globToRegExp, isGlob } from "./glob.js";
import { type HubOptions, openRepo } from "./hub.js";
import { type HubName, orLocalPath, parseHubName } from "./hub-names.js";
import { nearby } from "./nearby.js";
import type { DataFile } from "./readers.js";
import { chooseFiles, type SplitChoice } from "./splits.js";
import { standardInput } from "./stdin.js";

export interface SourceOptions extends SplitChoice {
  /** Branch, tag or commit of a Hub data set. Default "main". */
  revision?: string | undefined;
  hub?: HubOptions;
}

/** The files that `source` names, in reading order. */
export async function resolveSource(source: string, options: SourceOptions = {}): Promise<DataFile[]> {
  if (source === "-") return [await standardInput()];
  const kind = source.startsWith("hub:") ? null : await pathKind(source);
  if (kind === "file") {
    refuseChoice(source, "a file", options, ["split", "config", "revision"]);
    return [{ path: source, label: source, id: basename(source) }];
  }
  if (kind === "folder") {
    refuseChoice(source, "a folder", options, ["revision"]);
    return folderFiles(source, options);
  }
  const name = parseHubName(source);
  if (name) return hubFiles(name, options).catch(orLocalPath(source));
  if (isGlob(source)) {
    refuseChoice(source, "a pattern", options, ["split", "config", "revision"]);
    return globFiles(source);
  }
  throw new UserError(
    `There is no file or folder "${source}", and it is not a Hub name (owner/name).${await nearby(source)}`,
  );
}

/** What chooses among files is said in vain of something that has nothing to choose from. */
function refuseChoice(
  source: string,
  what: string,
  options: SourceOptions,
  keys: readonly ("split" | "config" | "revision")[],
): void {
  const key = keys.find((name) => options[name] !== undefined);
  if (key !== undefined)
    throw new UserError(
      `${key} "${options[key]}" chooses nothing: ${source} is ${what}; leave it out, or name ${key === "revision" ? "a data set of the Hub" : "the folder or data set that holds it"}.`,
    );
}

async function pathKind(path: string): Promise<"file" | "folder" | null> {
  const stats = await stat(path).catch(() => null);
  return stats ? (stats.isDirectory() ? "folder" : "file") : null;
}

async function folderFiles(folder: string, choice: SplitChoice): Promise<DataFile[]> {
  const paths = await walk(folder);
  const readme = await readFile(join(folder, "README.md"), "utf8").catch(() => null);
  return chooseFiles(folder, paths, readme, choice).map((path) => localFile(folder, path));
}

async function globFiles(pattern: string): Promise<DataFile[]> {
  const segments = pattern.replaceAll(sep, "/").split("/");
  const fixed = segments.findIndex(isGlob);
  const folder = segments.slice(0, fixed).join("/") || (pattern.startsWith("/") ? "/" : ".");
  const expression = globToRegExp(segments.slice(fixed).join("/"));
  const paths = (await pathKind(folder)) === "folder" ? await walk(folder) : [];
  const matching = paths.filter((path) => expression.test(path)).sort();
  if (matching.length === 0) throw new UserError(`No file matches "${pattern}".`);
  return matching.map((path) => localFile(folder, path));
}

/** All files below `folder`, relative to it, with `/`. */
async function walk(folder: string): Promise<string[]> {
  const paths = await readdir(folder, { recursive: true });
  return paths.map((path) => path.replaceAll(sep, "/"));
}

function localFile(folder: string, path: string): DataFile {
  const file = join(folder, path);
  return { path: file, label: file, id: path };
}

async function hubFiles(name: HubName, options: SourceOptions): Promise<DataFile[]> {
  const revision = name.revision ?? options.revision;
  const choice = { config: name.config ?? options.config, split: name.split ?? options.split };
  const repo = await openRepo(
    { type: "dataset", name: name.repo },
    { ...options.hub, ...(revision && { revision }) },
  );
  const readme = repo.paths.includes("README.md")
    ? await readFile(join(await repo.fetch(["README.md"]), "README.md"), "utf8")
    : null;
  const paths = chooseFiles(name.repo, repo.paths, readme, choice);
  const folder = await repo.fetch(paths);
  return paths.map((path) => ({ path: join(folder, path), label: `${name.repo}/${path}`, id: path }));
}
