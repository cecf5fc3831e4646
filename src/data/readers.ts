// Files to rows: JSONL, JSON (both also gzipped) and Parquet, streamed.

import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { pipeline } from "node:stream";
import { createGunzip, gunzipSync } from "node:zlib";
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { UserError } from "../base/errors.js";
import type { DataRow } from "./rows.js";

export interface DataFile {
  /** Where it lies on disk. */
  path: string;
  /** How error messages name it. */
  label: string;
  /** What the ids of its rows begin with. */
  id: string;
}

type RowReader = (file: DataFile) => AsyncIterable<DataRow>;

/** One reader for each file extension, compression left aside. */
const readers: Record<string, RowReader> = {
  ".jsonl": readJsonl,
  ".ndjson": readJsonl,
  ".json": readJson,
  ".parquet": readParquet,
};

/** The extensions that `readRows` understands, longest first. */
export const dataExtensions = [
  ".jsonl.gz",
  ".ndjson.gz",
  ".json.gz",
  ".parquet",
  ".ndjson",
  ".jsonl",
  ".json",
];

export function dataExtension(path: string): string | null {
  return dataExtensions.find((extension) => path.toLowerCase().endsWith(extension)) ?? null;
}

/** Every row of one file, in order. Whatever is wrong with the file is a UserError that names it. */
export async function* readRows(file: DataFile): AsyncGenerator<DataRow> {
  const extension = dataExtension(file.path);
  if (!extension) {
    throw new UserError(`${file.label}: cannot tell its format; name it .jsonl, .json or .parquet.`);
  }
  try {
    yield* readers[extension.replace(".gz", "")]!(file);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${file.label} cannot be read: ${(error as Error).message}.`);
  }
}

async function* readJsonl(file: DataFile): AsyncGenerator<DataRow> {
  let row = 0;
  for await (const line of lines(openBytes(file.path))) {
    row++;
    const text = decodeUtf8(line, file, row);
    if (text.trim() !== "") yield parseLine(text, file, row);
  }
}

function parseLine(text: string, file: DataFile, row: number): DataRow {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${file.label}, row ${row}: not valid JSON: ${(error as Error).message}.`);
  }
  return toRow(value, file, row);
}

/**
 * An array of rows, or one object that holds them under `data` or `train`. Many `.json` files hold one row a line:
 * those are read as JSONL.
 */
async function* readJson(file: DataFile): AsyncGenerator<DataRow> {
  const bytes = await readFile(file.path);
  const text = decodeUtf8(file.path.endsWith(".gz") ? gunzipSync(bytes) : bytes, file);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (isObject(tryParse(firstLine(text)))) return yield* readJsonl(file);
    throw new UserError(`${file.label}: not valid JSON: ${(error as Error).message}.`);
  }
  const rows = Array.isArray(value) ? value : isObject(value) ? (value.data ?? value.train) : null;
  if (!Array.isArray(rows)) {
    throw new UserError(
      `${file.label}: expected an array of rows, or an object with them under "data" or "train".`,
    );
  }
  for (const [index, row] of rows.entries()) yield toRow(row, file, index + 1);
}

/** One row group in memory at a time. */
async function* readParquet(file: DataFile): AsyncGenerator<DataRow> {
  const buffer = await asyncBufferFromFile(file.path);
  const metadata = await parquetMetadataAsync(buffer);
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    const rows = await parquetReadObjects({ file: buffer, metadata, compressors, rowStart, rowEnd });
    for (const [index, row] of rows.entries()) yield toRow(toPlain(row), file, rowStart + index + 1);
    rowStart = rowEnd;
  }
}

function toRow(value: unknown, file: DataFile, row: number): DataRow {
  if (!isObject(value)) {
    throw new UserError(
      `${file.label}, row ${row}: expected an object with named columns, found ${typeName(value)}.`,
    );
  }
  return { id: `${file.id}:${row}`, file: file.label, row, values: value };
}

/**
 * Parquet values as JSON has them, since they end in JSON files: 64-bit integers become numbers (strings where a
 * number would lose digits), dates ISO strings, bytes base64.
 */
export function toPlain(value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value.toString();
  }
  if (value === undefined) return null;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<number | bigint>, toPlain);
  if (Array.isArray(value)) return value.map(toPlain);
  if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, toPlain(v)]));
  return value;
}

function openBytes(path: string): AsyncIterable<Buffer> {
  const bytes = createReadStream(path);
  // The reader that iterates sees the error; the callback only keeps it from being thrown twice.
  return path.endsWith(".gz") ? pipeline(bytes, createGunzip(), () => {}) : bytes;
}

/** Splits at line feeds only: `readline` also splits at U+2028, which JSON strings may hold. */
async function* lines(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer[] = [];
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      yield Buffer.concat([...rest, chunk.subarray(start, end)]);
      rest = [];
      start = end + 1;
    }
    rest.push(chunk.subarray(start));
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

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
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
