// CSV as RFC 4180 writes it: the first record names the columns; quotes may hold commas, quotes (doubled) and line breaks;
// lines end in CRLF or LF; a byte order mark is left aside. Every value is text, except in columns that say in the header
// what they hold: `margin:number`, `label:boolean`, `messages:json`. A quote inside an unquoted value stands for itself.

import { UserError } from "../base/errors.js";
import { parseJson } from "../base/json.js";

/** A record: its values, and the line it begins at (1-based). */
interface CsvRecord {
  values: string[];
  line: number;
}

/** A data row of a CSV file; `row` does not count the header. */
export interface CsvRow {
  values: Record<string, unknown>;
  row: number;
}

/** What a column may declare to hold: the value of a text, or undefined for one that is no such value. */
const types: Record<string, { what: string; read: (text: string) => unknown }> = {
  number: { what: "a number", read: (text) => (Number.isFinite(Number(text)) ? Number(text) : undefined) },
  boolean: {
    what: "true, false, 1 or 0",
    read: (text) => ({ true: true, false: false, "1": true, "0": false })[text.toLowerCase()],
  },
  json: {
    what: "JSON",
    read: (text) => {
      try {
        return parseJson(text, { wholeFloats: true });
      } catch {
        return undefined;
      }
    },
  },
};

interface Column {
  name: string;
  type?: string;
}

export interface CsvOptions {
  /** Names the file in messages. */
  label: string;
  /** Bounds the characters of one record. */
  maxRecord: number;
  /** Told of a row that is wrong, in place of an end at the first. */
  onInvalid?: ((error: UserError) => void) | undefined;
}

/** The rows of a CSV text that comes in pieces. */
export async function* readCsv(
  pieces: AsyncIterable<string>,
  { label, maxRecord, onInvalid }: CsvOptions,
): AsyncGenerator<CsvRow> {
  let columns: Column[] | undefined;
  let row = 0;
  for await (const { values, line } of records(pieces, label, maxRecord)) {
    if (values.length === 1 && values[0] === "") continue;
    if (columns === undefined) {
      columns = header(values, label);
      continue;
    }
    const place = `${label}, row ${++row} (line ${line})`;
    let read: Record<string, unknown>;
    try {
      read = typed(values, columns, place);
    } catch (error) {
      if (!onInvalid || !(error instanceof UserError)) throw error;
      onInvalid(error);
      continue;
    }
    yield { values: read, row };
  }
}

function header(values: readonly string[], label: string): Column[] {
  const columns = values.map((value): Column => {
    const at = value.lastIndexOf(":");
    const type = at < 0 ? "" : value.slice(at + 1).trim();
    return Object.hasOwn(types, type) ? { name: value.slice(0, at).trim(), type } : { name: value.trim() };
  });
  if (values[0]!.startsWith("PK\x03\x04"))
    throw new UserError(
      `${label} is a workbook or a ZIP by another name; a workbook is read once it is saved as "CSV UTF-8".`,
    );
  for (const value of values) {
    const [, type] =
      /:\s*(int|integer|float|double|num|bool|str|string|text|list|object|array)$/i.exec(value) ?? [];
    if (type !== undefined)
      throw new UserError(
        `${label}, header: "${value.trim()}": there is no type "${type}"; a column is text, or :number, :boolean or :json.`,
      );
  }
  const names = columns.map(({ name }) => name);
  if (names.includes(""))
    throw new UserError(
      `${label}, header: column ${names.indexOf("") + 1} has no name; the first line names the columns.`,
    );
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new UserError(`${label}, header: two columns are named "${twice}".`);
  const [only] = names;
  const other = names.length === 1 ? [";", "\t"].find((separator) => only!.includes(separator)) : undefined;
  if (other !== undefined)
    throw new UserError(
      `${label}, header: the columns look separated by ${other === ";" ? "semicolons" : "tabs"}; CSV separates them by commas.`,
    );
  return columns;
}

function typed(
  values: readonly string[],
  columns: readonly Column[],
  place: string,
): Record<string, unknown> {
  if (values.length !== columns.length)
    throw new UserError(
      `${place}: has ${values.length} values, but the header names ${columns.length} columns (${columns.map(({ name }) => name).join(", ")}); ` +
        "a value with commas, quotes or line breaks stands in quotes.",
    );
  const row: Record<string, unknown> = {};
  for (const [i, { name, type }] of columns.entries()) {
    const text = values[i]!;
    if (type === undefined) {
      Object.defineProperty(row, name, { value: text, enumerable: true, writable: true, configurable: true });
      continue;
    }
    if (text.trim() === "") continue;
    const value = types[type]!.read(text.trim());
    if (value === undefined)
      throw new UserError(
        `${place}: "${name}" must be ${types[type]!.what}, as its header says, not ${JSON.stringify(text.slice(0, 60))}.`,
      );
    row[name] = value;
  }
  return row;
}

/** Where the reader is: before a value, inside one, inside quotes, or behind a quote that may have closed them. */
type State = "start" | "plain" | "quoted" | "closed";

async function* records(
  pieces: AsyncIterable<string>,
  label: string,
  maxRecord: number,
): AsyncGenerator<CsvRecord> {
  let state: State = "start";
  let values: string[] = [];
  let value = "";
  let line = 1;
  let begin = 1;
  let length = 0;
  /** A carriage return is part of the line's end, unless no line feed follows. */
  let pendingReturn = false;
  const endValue = () => {
    values.push(value);
    value = "";
    state = "start";
  };
  const endRecord = (): CsvRecord => {
    endValue();
    const record = { values, line: begin };
    values = [];
    length = 0;
    begin = line;
    return record;
  };
  for await (const piece of pieces) {
    for (const char of piece) {
      if (++length > maxRecord)
        throw new UserError(
          `${label}, line ${begin}: the row is longer than ${Math.round(maxRecord / 2 ** 20)} MB; is a closing quote missing?`,
        );
      if (char === "\n") line++;
      if (state === "quoted") {
        if (char === '"') state = "closed";
        else value += char;
        continue;
      }
      if (pendingReturn) {
        pendingReturn = false;
        if (char !== "\n") {
          if (state === "closed") throw stray(label, line, "\r");
          value += "\r";
        }
      }
      if (char === "\n") yield endRecord();
      else if (char === "\r") pendingReturn = true;
      else if (char === ",") endValue();
      else if (char === '"' && state === "start") state = "quoted";
      else if (char === '"' && state === "closed") {
        value += char;
        state = "quoted";
      } else if (state === "closed") throw stray(label, line, char);
      else {
        value += char;
        state = "plain";
      }
    }
  }
  if (state === "quoted")
    throw new UserError(`${label}, line ${begin}: a quote of this row is never closed.`);
  if (length > 0) yield endRecord();
}

const stray = (label: string, line: number, char: string) =>
  new UserError(
    `${label}, line ${line}: ${JSON.stringify(char)} follows a closing quote; a quote inside a quoted value is written twice ("").`,
  );
