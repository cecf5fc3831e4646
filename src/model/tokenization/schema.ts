// Reads the parts of tokenizer.json ({ "type": ..., ...settings }) with errors that name the key and what is wrong.

import { UserError } from "../../base/errors.js";
import { isObject, type Json } from "../json.js";

/** The settings of a part, checked as they are read. */
export interface Settings {
  place: string;
  text(key: string, fallback?: string): string;
  flag(key: string, fallback?: boolean): boolean;
  maybeFlag(key: string): boolean | null;
  count(key: string, fallback?: number): number;
  choice<T extends string>(key: string, values: readonly T[], fallback?: T): T;
  pattern(key: string): { String?: string; Regex?: string };
  list(key: string): { value: unknown; place: string }[];
  object(key: string): Json;
  raw(key: string): unknown;
}

export type Part<T> = (settings: Settings) => T;

export const wrong = (place: string, expected: string, found: unknown): UserError =>
  new UserError(`${place} must be ${expected}, not ${shown(found)}`);

function shown(value: unknown): string {
  if (value === undefined) return "missing";
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

export function settingsOf(json: Json, place: string): Settings {
  const at = (key: string) => `${place}.${key}`;
  const read = <T>(key: string, is: (value: unknown) => value is T, expected: string, fallback?: T): T => {
    const value = json[key];
    if ((value === undefined || value === null) && fallback !== undefined) return fallback;
    if (!is(value)) throw wrong(at(key), expected, value);
    return value;
  };
  const isText = (value: unknown): value is string => typeof value === "string";
  const isFlag = (value: unknown): value is boolean => typeof value === "boolean";
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
  return {
    place,
    text: (key, fallback) => read(key, isText, "text", fallback),
    flag: (key, fallback) => read(key, isFlag, "true or false", fallback),
    maybeFlag: (key) =>
      json[key] === undefined || json[key] === null ? null : read(key, isFlag, "true, false or null"),
    count: (key, fallback) => read(key, isCount, "a whole number", fallback),
    choice: (key, values, fallback) =>
      read(
        key,
        (value): value is (typeof values)[number] => values.includes(value as (typeof values)[number]),
        `one of ${values.join(", ")}`,
        fallback,
      ),
    pattern: (key) => {
      const value = json[key];
      const pattern = isText(value) ? { String: value } : value;
      const isPattern = isObject(pattern) && (isText(pattern.String) || isText(pattern.Regex));
      if (!isPattern) throw wrong(at(key), '{ "String": text } or { "Regex": text }', value);
      return pattern as { String?: string; Regex?: string };
    },
    list: (key) => {
      const value = json[key];
      if (!Array.isArray(value)) throw wrong(at(key), "a list", value);
      return value.map((item: unknown, i) => ({ value: item, place: `${at(key)}[${i}]` }));
    },
    object: (key) => read(key, isObject, "an object"),
    raw: (key) => json[key],
  };
}

/** The part that `json.type` names in `table`. */
export function part<T>(
  table: Record<string, Part<T>>,
  json: unknown,
  { place, what }: { place: string; what: string },
): T {
  if (!isObject(json)) throw wrong(place, `the settings of a ${what}`, json);
  const { type } = json;
  if (typeof type !== "string") throw wrong(`${place}.type`, "text", type);
  if (!Object.hasOwn(table, type))
    throw new UserError(`${place}: ${what} "${type.slice(0, 60)}" is not supported`);
  return table[type]!(settingsOf(json, place));
}
