// JSON files of model directories, read with errors that a person can act on.
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
  if (value === undefined) throw new UserError(`${file} does not exist: ${hint}`);
  return value;
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
