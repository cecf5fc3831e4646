// JSON files of model directories, read with errors that a person can act on.

import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { UserError } from "../base/errors.js";
import { readText } from "../base/files.js";
import { ggufFile } from "./gguf-model.js";

export type Json = Record<string, unknown>;

/** The text of `file`; `undefined` when there is no such file. A GGUF file is a directory whose files it describes. */
export async function readTextIfPresent(file: string): Promise<string | undefined> {
  try {
    return await readText(file);
  } catch (error) {
    if (isMissing(error)) return ggufFile(file);
    throw error;
  }
}

/** The JSON object in `file`; `undefined` when there is no such file. */
export async function readJsonIfPresent(file: string): Promise<Json | undefined> {
  const text = await readTextIfPresent(file);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${file} is not valid JSON: ${(error as Error).message}`);
  }
  if (!isObject(value)) throw new UserError(`${file} must hold a JSON object`);
  return value;
}

/** The JSON object in `file`; a missing file is the user's mistake, explained by `hint`. */
export async function readJson(file: string, hint: string): Promise<Json> {
  const value = await readJsonIfPresent(file);
  if (value === undefined) throw new UserError(`${file} does not exist: ${elsewhere(file) ?? hint}`);
  return value;
}

/** Where the model is that a person meant who named a directory above or beside it. */
function elsewhere(file: string): string | undefined {
  const [dir, name] = [dirname(file), basename(file)];
  if (name === "tokenizer.json" && existsSync(join(dir, "tokenizer.model")))
    return "tokenizer.model alone (SentencePiece) is not read; AutoTokenizer.from_pretrained(dir).save_pretrained(dir) of transformers writes it";
  if (!/^(config|adapter_config)\.json$/.test(name)) return undefined;
  for (const below of ["final", "model"])
    if (["config.json", "adapter_config.json"].some((one) => existsSync(join(dir, below, one))))
      return `the model is in ${join(dir, below)}`;
  return existsSync(join(dir, "recipe.yaml"))
    ? `${dir} is a run without a final model; go on with --resume, or name a model of its checkpoints`
    : undefined;
}

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The layout that `transformers` writes: two-space indent and a final newline. */
export function formatJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

export function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === "ENOENT" || code === "ENOTDIR";
}
