// A recipe's way from disk to validation and back: YAML with line numbers, overrides, paths, and letter case.

import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { stringify } from "yaml";
import { camelCase, type Depth, renameKeys, snakeCase } from "../base/case.js";
import { UserError } from "../base/errors.js";
import { readText } from "../base/files.js";
import { parseYaml, readYaml } from "../base/yaml.js";
import { TRAINER_ALIASES } from "./aliases.js";

/** A value that wins over the recipe's: the path of the key, the value, and the flag that a person typed. */
export interface Override {
  path: readonly string[];
  value: unknown;
  flag: string;
}

/** `policy.lora.r=8` as an override; `tasks.chat.weight=2` finds the task by its name, `tasks.0.weight=2` by its place. */
export function parseOverride(assignment: string): Override {
  const equals = assignment.indexOf("=");
  const flag = `--set ${assignment}`;
  if (equals < 1) throw new UserError(`${flag}: write it as key.path=value, for example policy.lora.r=8`);
  const path = assignment
    .slice(0, equals)
    .replace(/\[(\d+)\]/g, ".$1")
    .split(".");
  return { path, value: parseValue(assignment.slice(equals + 1), flag), flag };
}

/** The value of a flag, read as YAML: numbers, true and false, lists, or text. */
export function parseValue(value: string, flag: string): unknown {
  return parseYaml(value, flag);
}

// Letter case --------------------------------------------------------------------------------------------------

/** Keys whose value is checked and read by someone else, left as written. */
const OPAQUE = new Set(["judges", "columns"]);
/** Keys whose value maps names that a person chose, so its keys are left as written. */
const NAMED = new Set(["llm"]);

type Camel<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : S;

/** `T` with camelCase keys, all the way down. */
export type CamelKeys<T> = T extends readonly (infer Item)[]
  ? CamelKeys<Item>[]
  : T extends object
    ? {
        [K in keyof T as K extends string ? Camel<K> : K]: K extends "judges" | "columns"
          ? T[K]
          : CamelKeys<T[K]>;
      }
    : T;

const depthOf = (key: string): Depth => (OPAQUE.has(key) ? "none" : NAMED.has(key) ? "below" : "all");

export const camelKeys = <T>(value: T) => renameKeys(value, camelCase, depthOf) as CamelKeys<T>;

const snakeKeys = (value: unknown) => renameKeys(value, snakeCase, depthOf);

/** A resolved recipe as YAML, in snake_case. */
export const writeDocument = (recipe: object): string =>
  stringify(snakeKeys(recipe), { aliasDuplicateObjects: false });

// Paths --------------------------------------------------------------------------------------------------------

/** Keys whose strings are files or directories, unless they name something on the Hub. */
const LOCATIONS = new Set(
  "output_dir out model models model_name_or_path inits policy reference base_model warm ensemble rubric task anchors data eval_data dataset_name prompts path chat_template module critic_model".split(
    " ",
  ),
);
/** Keys whose `model` names an entry of `llm`. */
const NAMING = new Set(["judges", "meta"]);
/** Keys that are always a path, existing or not. */
const ALWAYS_PATHS = new Set(["output_dir", "out"]);

/** A path relative to `dir`; a name that is no path and of which there is no file there is left alone (a Hub name). */
function locate(name: string, dir: string, always: boolean): string {
  if (name.startsWith("~/")) return resolve(homedir(), name.slice(2));
  const looksLikePath =
    /^\.{0,2}[/\\]|^\.{1,2}$|^[A-Za-z]:[/\\]/.test(name) || (name.includes("*") && !name.startsWith("hub:"));
  const at = resolve(dir, name);
  return always || looksLikePath || existsSync(at) ? at : name;
}

/** `isName`: a `model` in here is a name under `llm` or on a server, whatever lies beside the recipe. */
function locateAll(value: unknown, dir: string, key = "", isName = false): unknown {
  if (typeof value === "string") {
    const isLocation = LOCATIONS.has(key) && !(isName && key === "model");
    return value !== "" && isLocation ? locate(value, dir, ALWAYS_PATHS.has(key)) : value;
  }
  if (Array.isArray(value)) return value.map((item) => locateAll(item, dir, key, isName));
  if (typeof value !== "object" || value === null) return value;
  const isNamed = isName || NAMING.has(key) || "base_url" in value;
  return Object.fromEntries(
    Object.entries(value).map(([name, entry]) => [name, locateAll(entry, dir, name, isNamed)]),
  );
}

// Documents ----------------------------------------------------------------------------------------------------

type Path = readonly PropertyKey[];

interface Issue {
  code?: string;
  path: Path;
  message: string;
  keys?: readonly string[];
}

export interface RecipeDocument {
  /** Plain data, overrides applied, paths absolute. */
  value: unknown;
  /** The first thing that is wrong, as one sentence that says where; of keys that are not known, all. */
  explain(issues: readonly Issue[]): UserError;
  /** A sentence that says where for each thing that is wrong. */
  sentences(issues: readonly Issue[]): string[];
}

/** `tasks[1].optimizer.kl_max` */
function showPath(path: Path): string {
  let text = "";
  for (const part of path)
    text += typeof part === "number" ? `[${part}]` : `${text === "" ? "" : "."}${String(part)}`;
  return text;
}

/** Unknown keys of one mapping, each with its own line of the message. */
function oneByOne({ path, keys = [], message }: Issue): Issue[] {
  const lines = message.split("\n");
  return keys.map((key, i) => ({ path: [...path, key], message: lines[i] ?? message }));
}

const isUnknown = ({ code }: Issue): boolean => code === "unrecognized_keys";
const each = (issue: Issue): Issue[] => (isUnknown(issue) ? oneByOne(issue) : [issue]);

/** The key, or the other name that stands for it. */
const nameIn = (given: Record<PropertyKey, unknown>, key: PropertyKey): PropertyKey | undefined =>
  given[key] !== undefined
    ? key
    : Object.keys(TRAINER_ALIASES).find((name) => TRAINER_ALIASES[name] === key && given[name] !== undefined);

/** What a recipe is checked further with where one of these is missing: they change nothing that a check looks at. */
const STAND_INS: Readonly<Record<string, unknown>> = { steps: 1, name: "unnamed" };

/**
 * Takes from `value` what the issues complain of, so that the rest can be checked: unknown keys and wrong values go, and
 * defaults hold. False where that cannot be done.
 */
export function withoutMistakes(value: unknown, issues: readonly Issue[]): boolean {
  return issues.flatMap(each).every(({ path }) => {
    const key = path.at(-1);
    if (key === undefined) return false;
    let holder: unknown = value;
    for (const part of path.slice(0, -1)) holder = (holder as Record<PropertyKey, unknown> | null)?.[part];
    if (typeof holder !== "object" || holder === null) return false;
    // A task that is wrong as a whole goes as a whole, unless it is the only one.
    if (Array.isArray(holder)) return holder.length > 1 && holder.splice(Number(key), 1).length > 0;
    const given = holder as Record<PropertyKey, unknown>;
    const written = nameIn(given, key);
    if (written !== undefined) return delete given[written];
    const standIn = STAND_INS[String(key)];
    given[key] = standIn;
    return standIn !== undefined;
  });
}

const DATA_FILE = /\.(jsonl|ndjson|csv|tsv|parquet|gz)$/;

/** What somebody meant who gave something else in the place of a recipe. */
function notARecipe(file: string): string {
  if (existsSync(join(file, "config.json"))) return "; a model is given by --model, or in a recipe";
  return DATA_FILE.test(file) ? "; data are named in a recipe, or by --data of sft and reward" : "";
}

export async function readDocument(
  file: string | undefined,
  overrides: readonly Override[],
): Promise<RecipeDocument> {
  if (file === undefined) return parseDocument("", undefined, overrides);
  const yaml = await readText(file).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === "ENOENT" ? "there is no such file" : error.message;
    throw new UserError(`cannot read the recipe ${file}: ${why}${notARecipe(file)}`);
  });
  if (DATA_FILE.test(file))
    throw new UserError(`${file} holds data, where a recipe (YAML) is needed${notARecipe(file)}`);
  return parseDocument(yaml, file, overrides);
}

export function parseDocument(
  yaml: string,
  file: string | undefined,
  overrides: readonly Override[],
): RecipeDocument {
  const document = readYaml(yaml, file ?? "recipe");
  const written = document.value ?? {};
  if (typeof written !== "object" || Array.isArray(written)) {
    throw new UserError(`${file}: a recipe is a mapping (key: value)`);
  }
  const value = locateAll(written, file === undefined ? process.cwd() : dirname(resolve(file))) as object;
  takeAnswered(value as Record<string, unknown>, overrides);
  const applied = overrides.map((override) => ({ ...override, at: applyOverride(value, override) }));

  const where = (path: Path): string => {
    const override = applied.find(({ at }) =>
      at.every((part, index) => String(part) === String(path[index])),
    );
    if (override) return override.flag;
    if (file === undefined) return "recipe";
    for (let depth = path.length; depth > 0; depth--) {
      const line = document.lineOf(path.slice(0, depth));
      if (line !== undefined) return `${file}:${line}`;
    }
    return file;
  };

  /** As it is written, where a key goes by another name. */
  const asWritten = ([key, ...rest]: Path): Path =>
    key === undefined ? [] : [nameIn(value as Record<PropertyKey, unknown>, key) ?? key, ...rest];
  const sentence = ({ path: canonical, message }: Issue): string => {
    const path = asWritten(canonical);
    return `${where(path)}: ${path.length === 0 ? "the recipe" : showPath(path)} ${message}`;
  };

  return {
    value,
    sentences: (issues) => issues.flatMap(each).map(sentence),
    explain: (issues) => {
      const strangers = issues.filter(isUnknown).flatMap(oneByOne);
      const told = strangers.length > 0 ? strangers : issues.slice(0, 1);
      const sentences = told.map(sentence);
      const [only] = sentences;
      if (sentences.length === 1) return new UserError(only!);
      return new UserError(
        `${sentences.length} keys are not known:\n${sentences.map((one) => `  ${one}`).join("\n")}`,
      );
    },
  };
}

/** Two ways to say how long a run is: a flag for the one answers what the file says by the other. */
const LENGTHS = [
  ["steps", "max_steps"],
  ["epochs", "num_train_epochs", "num_epochs"],
];

function takeAnswered(value: Record<string, unknown>, overrides: readonly Override[]): void {
  const said = LENGTHS.map((names) =>
    overrides.some(({ path }) => path.length === 1 && names.includes(path[0]!)),
  );
  // Said by flags for both: a remark tells which of them holds.
  if (said.every(Boolean)) return;
  LENGTHS.forEach((names, i) => {
    if (said[1 - i]) for (const name of names) delete value[name];
  });
}

/** Writes the override into `root`, making mappings on the way; returns the path that it took. */
function applyOverride(root: object, { path, value, flag }: Override): PropertyKey[] {
  const taken: PropertyKey[] = [];
  let at = root as Record<string, unknown>;
  path.forEach((part, depth) => {
    const key = Array.isArray(at) ? indexIn(at, part, flag) : part;
    if (key === "__proto__") throw new UserError(`${flag}: ${key} is no key of a recipe`);
    taken.push(key);
    if (depth === path.length - 1) {
      at[key] = locateAll(value, process.cwd(), String(part));
      return;
    }
    const next = Object.hasOwn(at, key) ? at[key] : undefined;
    if (typeof next === "object" && next !== null) at = next as Record<string, unknown>;
    else at = at[key] = shorthand(key, next);
  });
  return taken;
}

/** The mapping that a shorthand string stands for, so that an override can add to it. */
function shorthand(key: string, given: unknown): Record<string, unknown> {
  if (typeof given !== "string") return {};
  if (key === "policy" || key === "model") return { model: given };
  if (key === "optimizer") return { name: given };
  return { path: given };
}

function indexIn(items: unknown[], part: string, flag: string): string {
  const index = /^\d+$/.test(part)
    ? Number(part)
    : items.findIndex((item) => (item as { name?: unknown } | null)?.name === part);
  if (index < 0 || index >= items.length) {
    const names = items.map((item, at) => (item as { name?: unknown } | null)?.name ?? at);
    throw new UserError(`${flag}: there is no item "${part}"; there are ${names.join(", ")}`);
  }
  return String(index);
}

/** The first key whose values differ between two recipes in YAML, `ignored` top-level keys apart. */
export function firstDifference(a: string, b: string, ignored: readonly string[]): string | undefined {
  const differs = (x: unknown, y: unknown, path: Path): Path | undefined => {
    if (typeof x !== "object" || typeof y !== "object" || x === null || y === null) {
      return Object.is(x, y) ? undefined : path;
    }
    for (const key of new Set([...Object.keys(x), ...Object.keys(y)])) {
      if (path.length === 0 && ignored.includes(key)) continue;
      const part = Array.isArray(x) ? Number(key) : key;
      const found = differs((x as never)[key], (y as never)[key], [...path, part]);
      if (found) return found;
    }
    return undefined;
  };
  const found = differs(parseYaml(a, "recipe.yaml"), parseYaml(b, "the recipe"), []);
  return found && showPath(found);
}
