// Files to rows: JSONL, JSON, CSV (all three also gzipped) and Parquet, streamed.

import { createReadStream } from "node:fs";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { UserError } from "../base/errors.js";
import { checkFile } from "../base/files.js";
import { parseJson, tryJson, WholeFloat } from "../base/json.js";
import { readCsv } from "./csv.js";
import { readParquetRows } from "./parquet.js";
import type { DataRow } from "./rows.js";

/** A row of JSON, or a line of JSONL. */
const MAX_LINE_BYTES = 32 * 2 ** 20;
/** A `.json` file, unpacked: it is read whole. */
const MAX_JSON_BYTES = 256 * 2 ** 20;
/** Lists and objects inside one another in a row: nothing that is written in rows is deeper, and what is ends the stack. */
const MAX_DEPTH = 100;
/** A packed file of more than `bytes` unpacked may be at most `ratio` times its size: text packs to a fifth or so. */
const BOMB = { bytes: 4 * 2 ** 20, ratio: 100 };

export interface DataFile {
  /** Where it lies on disk. */
  path: string;
  /** How error messages name it. */
  label: string;
  /** What the ids of its rows begin with. */
  id: string;
}

/** Told of a row that is wrong, in place of an end at the first. */
export type OnInvalid = (error: UserError) => void;

type RowReader = (file: DataFile, onInvalid?: OnInvalid) => AsyncIterable<DataRow>;

/** One reader for each file extension, compression left aside. */
const readers: Record<string, RowReader> = {
  ".jsonl": readJsonl,
  ".ndjson": readJsonl,
  ".json": readJson,
  ".csv": readCsvRows,
  ".parquet": readParquet,
};

/** The extensions that `readRows` understands, longest first. */
export const dataExtensions = [
  ".jsonl.gz",
  ".ndjson.gz",
  ".json.gz",
  ".csv.gz",
  ".parquet",
  ".ndjson",
  ".jsonl",
  ".json",
  ".csv",
];

export function dataExtension(path: string): string | null {
  return dataExtensions.find((extension) => path.toLowerCase().endsWith(extension)) ?? null;
}

/** What to do with files of other kinds, by the end of their names. */
const otherKinds: readonly [ending: RegExp, advice: string][] = [
  [/\.tsv$/, "save it with commas, as .csv"],
  [/\.(xlsx?|ods|numbers)$/, 'a workbook is read once it is saved as "CSV UTF-8"'],
  [/\.(txt|md)$/, 'text is read from .jsonl, a row a line: {"text": "..."}'],
  [/\.arrow$/, "Arrow is read once it is saved as Parquet (in Python: dataset.to_parquet)"],
  [/\.(zip|tar|tgz|7z|rar|zst|xz|bz2)$/, "unpack it first (.gz is read as it is)"],
  [/\.(pkl|pickle|pt|pth|bin|npy|npz)$/, "what Python pickles is never opened: it can run code"],
  [/\.ya?ml$/, "it looks like a recipe: touchstone sft|reward|align <recipe>"],
  [/\.(safetensors|gguf)$/, "it looks like a model, which is given by --model"],
];

const instead = (path: string): string | undefined =>
  otherKinds.find(([ending]) => ending.test(path.toLowerCase()))?.[1];

/** What a person does who has other programs' JSON. */
function jsonHint(text: string): string {
  if (/^\s*[[{]\s*'/.test(text)) return " (JSON has double quotes, where Python prints single ones)";
  if (/\}\s*,\s*$/.test(text)) return " (JSON lines have no comma between them)";
  return /[:,[]\s*-?(NaN|Infinity|None|True|False)\b/.test(text)
    ? " (JSON has null, true and false, and no NaN)"
    : "";
}

/** Every row of one file, in order. Whatever is wrong with the file is a UserError that names it. */
export async function* readRows(file: DataFile, onInvalid?: OnInvalid): AsyncGenerator<DataRow> {
  const extension = dataExtension(file.path);
  if (!extension) {
    throw new UserError(
      `${file.label}: cannot tell its format; ${instead(file.path) ?? "name it .jsonl, .json, .csv or .parquet"}.`,
    );
  }
  try {
    await checkFile(file.path);
    yield* readers[extension.replace(".gz", "")]!(file, onInvalid);
  } catch (error) {
    const { message } = error as Error;
    if (error instanceof UserError && message.startsWith(file.label)) throw error;
    throw new UserError(`${file.label} cannot be read: ${message.replace(/\.$/, "")}.`);
  }
}

/** What `work` gives; a mistake of the row's is told where somebody listens. */
function rowOr<T>(onInvalid: OnInvalid | undefined, work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (!onInvalid || !(error instanceof UserError)) throw error;
    onInvalid(error);
    return undefined;
  }
}

async function* readJsonl(file: DataFile, onInvalid?: OnInvalid): AsyncGenerator<DataRow> {
  let row = 0;
  for await (const line of lines(openBytes(file.path))) {
    row++;
    if (line === undefined)
      throw new UserError(
        `${file.label}, row ${row}: the line is longer than ${MAX_LINE_BYTES / 2 ** 20} MB; a data file has one row a line.`,
      );
    const read = rowOr(onInvalid, () => {
      const text = decodeUtf8(line, file, row);
      return text.trim() === "" ? undefined : parseLine(text, file, row);
    });
    if (read) yield read;
  }
}

function parseLine(text: string, file: DataFile, row: number): DataRow {
  let value: unknown;
  try {
    value = parseJson(text, { wholeFloats: true });
  } catch (error) {
    throw new UserError(
      `${file.label}, row ${row}: not valid JSON: ${(error as Error).message}${jsonHint(text)}.`,
    );
  }
  return toRow(value, file, row);
}

/**
 * An array of rows, or one object that holds them under `data` or `train`. Many `.json` files hold one row a line:
 * those are read as JSONL.
 */
async function* readJson(file: DataFile, onInvalid?: OnInvalid): AsyncGenerator<DataRow> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of openBytes(file.path)) {
    chunks.push(chunk);
    if ((size += chunk.length) > MAX_JSON_BYTES)
      throw new UserError(
        `${file.label} has more than ${MAX_JSON_BYTES / 2 ** 20} MB of JSON; write it as JSONL, one row a line.`,
      );
  }
  const text = decodeUtf8(Buffer.concat(chunks), file);
  let value: unknown;
  try {
    value = parseJson(text, { wholeFloats: true });
  } catch (error) {
    if (isObject(tryJson(firstLine(text)))) return yield* readJsonl(file, onInvalid);
    throw new UserError(`${file.label}: not valid JSON: ${(error as Error).message}.`);
  }
  const inside = isObject(value) ? (value.data ?? value.train) : undefined;
  // An object that holds no list of rows is a row.
  const rows = Array.isArray(value)
    ? value
    : Array.isArray(inside)
      ? inside
      : isObject(value)
        ? [value]
        : null;
  if (rows === null) {
    throw new UserError(
      `${file.label}: expected an array of rows, an object with them under "data" or "train", or one row.`,
    );
  }
  for (const [index, row] of rows.entries()) {
    const read = rowOr(onInvalid, () => toRow(row, file, index + 1));
    if (read) yield read;
  }
}

async function* readCsvRows(file: DataFile, onInvalid?: OnInvalid): AsyncGenerator<DataRow> {
  const options = { label: file.label, maxRecord: MAX_LINE_BYTES, onInvalid };
  for await (const { values, row } of readCsv(decoded(file), options)) yield toRow(values, file, row);
}

/** The text of a file in pieces, without a byte order mark. */
async function* decoded(file: DataFile): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const decode = (bytes?: Buffer) => {
    try {
      return decoder.decode(bytes, { stream: bytes !== undefined });
    } catch {
      throw new UserError(`${file.label}: not valid UTF-8 text; save it as "CSV UTF-8".`);
    }
  };
  for await (const chunk of openBytes(file.path)) yield decode(chunk);
  yield decode();
}

async function* readParquet(file: DataFile): AsyncGenerator<DataRow> {
  let row = 0;
  for await (const values of readParquetRows(file.path)) yield toRow(values, file, ++row);
}

function toRow(value: unknown, file: DataFile, row: number): DataRow {
  if (!isObject(value)) {
    throw new UserError(
      `${file.label}, row ${row}: expected an object with named columns, found ${typeName(value)}.`,
    );
  }
  if (!isShallow(value, MAX_DEPTH))
    throw new UserError(
      `${file.label}, row ${row}: lists and objects are nested more than ${MAX_DEPTH} deep.`,
    );
  return { id: `${file.id}:${row}`, file: file.label, row, values: plainColumns(value) };
}

/** The columns that a chat template may print, where `1.0` is not `1`. */
const templateColumns: ReadonlySet<string> = new Set([
  ...["messages", "conversations", "prompt", "completion", "chosen", "rejected"],
  ...["tools", "chat_template_kwargs"],
]);

/** All other columns as judges and rewards expect them: floats are numbers. */
function plainColumns(row: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(row);
  if (!entries.some(([key, value]) => !templateColumns.has(key) && hasWholeFloat(value))) return row;
  return Object.fromEntries(
    entries.map(([key, value]) => [key, templateColumns.has(key) ? value : withoutWholeFloats(value)]),
  );
}

function hasWholeFloat(value: unknown): boolean {
  if (value instanceof WholeFloat) return true;
  return typeof value === "object" && value !== null && Object.values(value).some(hasWholeFloat);
}

function withoutWholeFloats(value: unknown): unknown {
  if (value instanceof WholeFloat) return value.valueOf();
  if (Array.isArray(value)) return value.map(withoutWholeFloats);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withoutWholeFloats(item)]));
}

function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  if (depth === 0) return false;
  for (const entry of Array.isArray(value) ? value : Object.values(value))
    if (!isShallow(entry, depth - 1)) return false;
  return true;
}

function openBytes(path: string): AsyncIterable<Buffer> {
  const bytes = createReadStream(path);
  if (!path.toLowerCase().endsWith(".gz")) return bytes;
  // The reader that iterates sees the error; the callback only keeps it from being thrown twice.
  return unpacked(
    pipeline(bytes, createGunzip(), () => {}),
    () => bytes.bytesRead,
  );
}

/** What a packed stream holds, until that is out of all proportion to what was read of it. */
async function* unpacked(chunks: AsyncIterable<Buffer>, packed: () => number): AsyncGenerator<Buffer> {
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > BOMB.bytes && size > BOMB.ratio * packed())
      throw new Error(
        `it unpacks to more than ${BOMB.ratio} times its size; unpack it first if that is meant`,
      );
    yield chunk;
  }
}

/** Splits at line feeds only: `readline` also splits at U+2028, which JSON strings may hold. A line that is too long is undefined, and the last. */
async function* lines(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer | undefined> {
  let rest: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      yield Buffer.concat([...rest, chunk.subarray(start, end)]);
      rest = [];
      length = 0;
      start = end + 1;
    }
    rest.push(chunk.subarray(start));
    if ((length += chunk.length - start) > MAX_LINE_BYTES) return yield undefined;
  }
  yield Buffer.concat(rest);
}

/** Drops a byte order mark; refuses bytes that are not UTF-8 rather than training on replacement characters. */
function decodeUtf8(bytes: Uint8Array, file: DataFile, row?: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new UserError(`${file.label}${row ? `, row ${row}` : ""}: not valid UTF-8 text.`);
  }
}

function firstLine(text: string): string {
  return text.trimStart().split("\n", 1)[0]!;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What a person calls the type of a JSON value. */
export function typeName(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  return (
    { string: "a string", number: "a number", boolean: "a boolean" }[typeof value as string] ?? "an object"
  );
}
