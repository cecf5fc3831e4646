// Which files of a folder or a Hub data set make up the split that is wanted: as the `configs` of its README.md say,
// else by the names of the files, the way the `datasets` library reads them.

import { UserError } from "../base/errors.js";
import { parseYaml } from "../base/yaml.js";
import { globToRegExp } from "./glob.js";
import { dataExtension, isObject } from "./readers.js";

export interface SplitChoice {
  /** The configuration ("subset") of a data set that has several. */
  config?: string | undefined;
  /** Default "train", or the only split there is. */
  split?: string | undefined;
}

/**
 * The data files of the wanted split, sorted.
 * @param name how error messages name the folder or data set
 * @param paths relative to its root, with `/`
 * @param readme the text of its README.md
 */
export function chooseFiles(
  name: string,
  paths: readonly string[],
  readme: string | null,
  { config, split }: SplitChoice,
): string[] {
  const files = paths.filter(isDataFile).sort();
  if (files.length === 0) throw noDataFiles(name, paths);
  const splits = declaredSplits(name, files, readme, config) ?? splitsByName(name, files, config);
  const wanted = split ?? (splits.size === 1 ? [...splits.keys()][0]! : "train");
  const chosen = splits.get(wanted) ?? splits.get(usualName(wanted));
  if (chosen) return chosen;
  throw new UserError(`${name} has no split "${wanted}"; it has ${[...splits.keys()].join(", ")}.`);
}

/** JSON files that describe a data set rather than being one. */
const descriptions = new Set([
  ...["dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"],
  // A model's.
  ...["config.json", "generation_config.json", "adapter_config.json", "model.safetensors.index.json"],
  ...[
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
  ],
]);

function isDataFile(path: string): boolean {
  const segments = path.split("/");
  const hidden = segments.some((segment) => segment.startsWith("."));
  return !hidden && dataExtension(path) !== null && !descriptions.has(segments.at(-1)!);
}

function noDataFiles(name: string, paths: readonly string[]): UserError {
  if (paths.includes("config.json") && paths.includes("tokenizer.json"))
    return new UserError(`${name} is a model, where rows are needed; a model is given by --model.`);
  const other = paths.find((path) => /\.(py|arrow|tsv|txt|xlsx|zip|tar|gz|zst)$/.test(path));
  const hint = other?.endsWith(".py")
    ? " (it is built by a script; its revision refs/convert/parquet usually holds Parquet files)"
    : other
      ? ` (it holds ${other})`
      : "";
  return new UserError(`${name} holds no .jsonl, .json, .csv or .parquet files${hint}.`);
}

/** The splits of the wanted configuration in the README's front matter; null when it declares no data files. */
function declaredSplits(
  name: string,
  files: readonly string[],
  readme: string | null,
  wanted: string | undefined,
): Map<string, string[]> | null {
  const configs = frontMatterConfigs(readme);
  if (configs.length === 0) return null;
  const names = configs.map((config) => String(config.config_name ?? "default"));
  const index = wanted ? names.indexOf(wanted) : defaultConfig(configs, names);
  if (index === -1) {
    const problem = wanted ? `has no configuration "${wanted}"` : "has several configurations";
    throw new UserError(`${name} ${problem}; choose one of ${names.join(", ")}.`);
  }
  const config = configs[index]!;
  const folder = typeof config.data_dir === "string" ? config.data_dir : null;
  if (config.data_files === undefined) return folder ? splitsByName(name, files, folder) : null;
  const splits = new Map<string, string[]>();
  for (const [split, patterns] of dataFilePatterns(config.data_files)) {
    const expressions = patterns.map((pattern) => globToRegExp(folder ? `${folder}/${pattern}` : pattern));
    splits.set(
      split,
      files.filter((file) => expressions.some((expression) => expression.test(file))),
    );
  }
  return new Map([...splits].filter(([, chosen]) => chosen.length > 0));
}

function frontMatterConfigs(readme: string | null): Record<string, unknown>[] {
  const block = readme?.match(/^---\r?\n([\s\S]*?)\r?\n---/)?.[1];
  if (!block) return [];
  const card = parseYaml(block, "the front matter of README.md");
  return isObject(card) && Array.isArray(card.configs) ? card.configs.filter(isObject) : [];
}

function defaultConfig(configs: readonly Record<string, unknown>[], names: readonly string[]): number {
  if (configs.length === 1) return 0;
  const marked = configs.findIndex((config) => config.default === true);
  return marked !== -1 ? marked : names.indexOf("default");
}

/** `data_files` is one pattern, a list of them, a list of `{ split, path }`, or a mapping of split to patterns. */
function dataFilePatterns(dataFiles: unknown): [string, string[]][] {
  const list = (value: unknown) => (Array.isArray(value) ? value : [value]).map(String);
  if (isObject(dataFiles)) return Object.entries(dataFiles).map(([split, value]) => [split, list(value)]);
  const entries = Array.isArray(dataFiles) ? dataFiles : [dataFiles];
  if (!entries.every(isObject)) return [["train", list(dataFiles)]];
  return entries.map((entry) => [String(entry.split ?? "train"), list(entry.path)]);
}

/** Splits that the file names tell; files without a split's name are "train" if no file has one, else left out. */
function splitsByName(
  name: string,
  files: readonly string[],
  folder: string | undefined,
): Map<string, string[]> {
  const inFolder = folder ? files.filter((file) => file.startsWith(`${folder}/`)) : files;
  if (inFolder.length === 0) throw new UserError(`${name} has no data files in a folder "${folder}".`);
  const splits = new Map<string, string[]>();
  for (const file of inFolder) {
    const split = splitOf(file);
    if (split) splits.set(split, [...(splits.get(split) ?? []), file]);
  }
  return splits.size > 0 ? splits : new Map([["train", [...inFolder]]]);
}

const usualNames: Record<string, string> = {
  training: "train",
  valid: "validation",
  val: "validation",
  dev: "validation",
  testing: "test",
  eval: "test",
  evaluation: "test",
};

function usualName(split: string): string {
  return usualNames[split] ?? split;
}

/** The split that a path names: `x-00000-of-00004.parquet`, `x/0000.parquet`, or a usual split's name as a word. */
export function splitOf(path: string): string | null {
  const shard = path.match(/(?:^|\/)([\w.]+)-\d{5}-of-\d{5}[^/]*$/) ?? path.match(/([^/]+)\/\d+\.parquet$/);
  if (shard) return usualName(shard[1]!);
  const word =
    /(?:^|[-_. \d])(train|training|validation|valid|val|dev|testing|test|evaluation|eval)(?=[-_. \d]|$)/;
  for (const segment of path.split("/").reverse()) {
    const match = segment.toLowerCase().match(word);
    if (match) return usualName(match[1]!);
  }
  return null;
}
