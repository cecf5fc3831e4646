// What kind of rows a data set holds: the shapes of TRL, OpenRLHF, verl, SkyRL, NeMo RL and plain task files,
// recognised by their column names and checked over every row.

import { brief } from "../base/brief.js";
import { UserError } from "../base/errors.js";
import { nearest } from "../base/suggest.js";
import { isObject } from "./readers.js";
import { type DataRow, where } from "./rows.js";

/** The part that a column plays in a row. */
export type Part =
  | "prompt"
  | "completion"
  | "answer"
  | "solution"
  | "chosen"
  | "rejected"
  | "margin"
  | "label"
  | "messages"
  | "text"
  | "context"
  | "completions";

/** The column names of each part: the usual one first, then those of other tools and data sets. */
const columnNames: Record<Part, readonly string[]> = {
  prompt: ["prompt", "question", "instruction", "problem", "input"],
  completion: ["completion", "response", "output"],
  answer: ["answer"],
  solution: ["solution"],
  chosen: ["chosen", "chosen_key"],
  rejected: ["rejected", "rejected_key"],
  margin: ["margin"],
  label: ["label"],
  messages: ["messages", "conversations"],
  text: ["text"],
  context: ["context"],
  completions: ["completions"],
};

/** Every part, as `columns` of a data source may name it. */
export const parts: readonly string[] = Object.keys(columnNames);

export type Kind =
  | "preference"
  | "ranked"
  | "labelled"
  | "completion"
  | "answered"
  | "solved"
  | "prompt"
  | "messages"
  | "text";

interface Shape {
  /** What a person calls such rows. */
  name: string;
  required: readonly Part[];
  optional?: readonly Part[];
  /** The required parts that hold prose: strings or messages. */
  prose: readonly Part[];
}

/** Every shape; where a row fits several, the first is what it is. */
const shapes: Record<Kind, Shape> = {
  preference: {
    name: "preferences",
    required: ["chosen", "rejected"],
    optional: ["prompt"],
    prose: ["chosen", "rejected"],
  },
  ranked: { name: "ranked completions", required: ["context", "completions"], prose: ["context"] },
  labelled: {
    name: "labelled completions",
    required: ["prompt", "completion", "label"],
    prose: ["prompt", "completion"],
  },
  completion: {
    name: "prompts with completions",
    required: ["prompt", "completion"],
    prose: ["prompt", "completion"],
  },
  answered: { name: "questions with answers", required: ["prompt", "answer"], prose: ["prompt"] },
  solved: { name: "problems with solutions", required: ["prompt", "solution"], prose: ["prompt"] },
  prompt: { name: "prompts", required: ["prompt"], prose: ["prompt"] },
  messages: { name: "messages", required: ["messages"], prose: ["messages"] },
  text: { name: "plain text", required: ["text"], prose: ["text"] },
};

const allKinds = Object.keys(shapes) as Kind[];

/** What a loop asks for, and the kinds of row that it can be read from, the preferred first. */
export const sources: Record<Want, readonly Kind[]> = {
  prompts: allKinds,
  completions: ["labelled", "completion", "messages", "solved", "answered", "text"],
  labels: ["labelled"],
  preferences: ["preference", "ranked"],
};

export type Want = "prompts" | "completions" | "labels" | "preferences";

const wanted: Record<Want, string> = {
  prompts: 'prompts (a "prompt" column)',
  completions: 'completions ("prompt" and "completion", "messages", or "text")',
  labels: 'labelled completions ("prompt", "completion" and a true or false "label")',
  preferences: 'preferences ("chosen" and "rejected", with or without "prompt")',
};

export interface DataFormat {
  kind: Kind;
  /** Messages for a chat template, rather than strings used as they stand. */
  conversational: boolean;
  /** The column that plays each part. */
  columns: Partial<Record<Part, string>>;
  /**
   * Where preferences keep their prompt: in a column of its own (`explicit`), only as the shared beginning of chosen
   * and rejected (`implicit`), or in both places (`repeated`).
   */
  promptIn?: "explicit" | "implicit" | "repeated";
  /** All other columns, in order of appearance. */
  extraColumns: string[];
}

export interface DetectOptions {
  /** Recognise only what this can be read from. */
  want?: Want;
  /** Column names that differ from the usual ones, for example `{ chosen: "better", rejected: "worse" }`. */
  columns?: Partial<Record<Part, string>>;
  /** Told of rows that do not fit, instead of stopping at the first. */
  onInvalid?: ((error: UserError, row: DataRow) => void) | undefined;
}

/**
 * Recognises the first row and checks that every other fits. A row that does not is a UserError that names it and
 * its columns.
 */
export function detectFormat(
  rows: readonly DataRow[],
  { want, columns = {}, onInvalid }: DetectOptions = {},
): DataFormat {
  if (rows.length === 0) throw new UserError("The data set holds no rows.");
  const kinds = want ? sources[want] : allKinds;
  const first = (onInvalid && firstOfShape(rows, kinds, columns)) ?? rows[0]!;
  const absent = Object.values(columns).find((column) => !rows.some((row) => has(row, column)));
  if (absent) {
    throw new UserError(`${where(first)}: there is no column "${absent}"; its columns are ${keys(first)}.`);
  }
  const format = recognise(first, kinds, columns);
  if (!format) throw unrecognised(first, want);
  const margin = columns.margin ?? "margin";
  if (format.kind === "preference" && rows.some((row) => has(row, margin))) format.columns.margin = margin;
  const extra = new Set<string>();
  const fitting: DataRow[] = [];
  for (const row of rows) {
    try {
      checkRow(row, first, format);
    } catch (error) {
      if (!onInvalid || !(error instanceof UserError)) throw error;
      onInvalid(error, row);
      continue;
    }
    fitting.push(row);
    for (const key of Object.keys(row.values)) extra.add(key);
  }
  for (const column of Object.values(format.columns)) extra.delete(column);
  const promptIn =
    format.promptIn === "explicit" && repeatsPrompt(fitting, format) ? "repeated" : format.promptIn;
  return { ...format, ...(promptIn && { promptIn }), extraColumns: [...extra] };
}

/** The first row that has one of the shapes: where all that is wrong is to be told, it need not be the first of all. */
const firstOfShape = (
  rows: readonly DataRow[],
  kinds: readonly Kind[],
  columns: DetectOptions["columns"],
): DataRow | undefined =>
  rows.find((row) => {
    try {
      return recognise(row, kinds, columns) !== null;
    } catch (error) {
      if (error instanceof UserError) return false;
      throw error;
    }
  });

/** The format of a single row, or null when it has none of the shapes. */
export function recognise(
  row: DataRow,
  kinds: readonly Kind[] = allKinds,
  renamed: DetectOptions["columns"] = {},
): DataFormat | null {
  for (const kind of kinds) {
    const columns = findColumns(row, kind, renamed);
    if (!columns) continue;
    if (kind === "labelled" && !isLabel(row.values[columns.label!])) continue;
    const format: DataFormat = { kind, conversational: false, columns, extraColumns: [] };
    format.conversational = isConversational(row, format);
    if (kind !== "preference") return format;
    if (isWholeConversation(row, format)) delete columns.prompt;
    return { ...format, promptIn: columns.prompt ? "explicit" : "implicit" };
  }
  return null;
}

/** One line for the person: "preferences, conversational, prompt implicit in chosen/rejected; 1,204 rows; ...". */
export function describeFormat(format: DataFormat, rowCount: number): string {
  const { kind, conversational, columns, promptIn, extraColumns } = format;
  const promptPlace = {
    explicit: null,
    implicit: "prompt implicit in chosen/rejected",
    repeated: "prompt repeated inside chosen/rejected",
  };
  const renamed = Object.entries(columns)
    .filter(([part, column]) => part !== column)
    .map(([part, column]) => `${part} from "${column}"`);
  const what = [
    shapes[kind].name,
    conversational ? "conversational" : "standard",
    promptIn && promptPlace[promptIn],
    ...renamed,
  ];
  const parts = [
    what.filter(Boolean).join(", "),
    `${rowCount.toLocaleString("en-US")} ${rowCount === 1 ? "row" : "rows"}`,
    extraColumns.length > 0 && `extra columns: ${extraColumns.join(", ")}`,
  ];
  return parts.filter(Boolean).join("; ");
}

/** Parquet gives every row every column, so null means absent. */
export function has(row: DataRow, column: string): boolean {
  return row.values[column] !== undefined && row.values[column] !== null;
}

export function isLabel(value: unknown): value is boolean | 0 | 1 {
  return value === true || value === false || value === 0 || value === 1;
}

function findColumns(
  row: DataRow,
  kind: Kind,
  renamed: DetectOptions["columns"] = {},
): DataFormat["columns"] | null {
  const { required, optional = [] } = shapes[kind];
  const columns: DataFormat["columns"] = {};
  for (const part of [...required, ...optional]) {
    const column = findColumn(row, part, renamed[part]);
    if (column) columns[part] = column;
    else if (required.includes(part)) return null;
  }
  return columns;
}

/** The column that plays `part`: the one the user named, else the usual one, else the only other that could. */
function findColumn(row: DataRow, part: Part, renamed?: string): string | null {
  if (renamed) return has(row, renamed) ? renamed : null;
  const [usual, ...others] = columnNames[part];
  if (has(row, usual!)) return usual!;
  const present = others.filter((column) => has(row, column));
  // In instruction data, "input" is what the instruction is about.
  const able = part === "prompt" && present.includes("instruction") ? without(present, "input") : present;
  if (able.length > 1) {
    throw new UserError(
      `${where(row)}: ${able.map(quote).join(" and ")} could each be the ${part}; say which with ` +
        `columns: { ${part}: ${able[0]} }.`,
    );
  }
  return able[0] ?? null;
}

/** Whether any of the row's prose is a list of messages rather than a string. */
function isConversational(row: DataRow, { kind, columns }: DataFormat): boolean {
  return [...shapes[kind].prose, "prompt" as const].some((part) =>
    Array.isArray(row.values[columns[part] ?? ""]),
  );
}

/** Whether `chosen` holds the conversation from its beginning, prompt included. */
function isWholeConversation(row: DataRow, { columns }: DataFormat): boolean {
  const chosen = row.values[columns.chosen!];
  const firstTurn: unknown = Array.isArray(chosen) ? chosen[0] : null;
  return (
    isObject(firstTurn) && !["assistant", "tool", "gpt"].includes(String(firstTurn.role ?? firstTurn.from))
  );
}

/** Whether every chosen and every rejected string begins with its prompt. */
function repeatsPrompt(rows: readonly DataRow[], { columns }: DataFormat): boolean {
  return rows.every(({ values }) => {
    const prompt = values[columns.prompt!];
    return [columns.chosen!, columns.rejected!].every((column) => {
      const value = values[column];
      return typeof value === "string" && typeof prompt === "string" && value.startsWith(prompt);
    });
  });
}

function checkRow(row: DataRow, first: DataRow, format: DataFormat): void {
  const { required, name } = shapes[format.kind];
  const needed = format.promptIn === "explicit" ? [...required, "prompt" as const] : required;
  for (const part of needed) {
    const column = format.columns[part]!;
    if (has(row, column)) continue;
    const shape = `${where(first)} holds ${name} (${needed.map((p) => format.columns[p]).join(", ")})`;
    throw new UserError(
      `${where(row)}: "${column}" is missing; its columns are ${keys(row)}, but ${shape}.${suggestions(row)}`,
    );
  }
  if (isConversational(row, format) !== format.conversational) {
    const [here, there] = format.conversational ? ["strings", "messages"] : ["messages", "strings"];
    throw new UserError(
      `${where(row)}: holds ${here}, but ${where(first)} holds ${there} (columns: ${keys(row)}).`,
    );
  }
  if (format.promptIn && isWholeConversation(row, format) !== isWholeConversation(first, format)) {
    throw new UserError(
      `${where(row)}: "${format.columns.chosen}" ${isWholeConversation(row, format) ? "includes" : "leaves out"} ` +
        `the prompt, unlike ${where(first)}.`,
    );
  }
}

function unrecognised(row: DataRow, want: Want | undefined): UserError {
  const found = want && recognise(row);
  const expected = want ? `expected ${wanted[want]}` : "none of the known shapes fits";
  const holds = found ? `, but the row holds ${shapes[found.kind].name}` : "";
  return new UserError(
    `${where(row)}: ${expected}${holds}; its columns are ${keys(row)}.${suggestions(row)}${shapeHint(row)}`,
  );
}

/** What a file may be whose rows have none of the usual columns. */
function shapeHint(row: DataRow): string {
  const lists = Object.keys(row.values).filter((key) => isListOfObjects(row.values[key]));
  if (row.row === 1 && lists.length === 1 && row.file.endsWith(".json"))
    return ` If "${lists[0]}" holds the rows, call it "data".`;
  const isCsv = /\.csv(\.gz)?$/i.test(row.file);
  const known = Object.values(columnNames).flat();
  return isCsv && !Object.keys(row.values).some((key) => known.includes(key))
    ? " The first line of CSV names the columns."
    : "";
}

const isListOfObjects = (value: unknown): boolean =>
  Array.isArray(value) && value.length > 0 && value.every(isObject);

/** " Did you mean ...?" for columns that look like misspelt known ones. */
export function suggestions(row: DataRow): string {
  const known = Object.values(columnNames).flat();
  const absent = known.filter((name) => !has(row, name));
  for (const key of Object.keys(row.values).slice(0, mostShown)) {
    const meant = known.includes(key) ? null : nearest(key, absent);
    if (meant) return ` Did you mean "${meant}" where it says "${key}"?`;
  }
  return "";
}

/** Columns that an error lists, and that a slip is looked for in. */
const mostShown = 30;

function keys(row: DataRow): string {
  const present = Object.keys(row.values).filter((key) => has(row, key));
  const more = present.length > mostShown ? ` and ${present.length - mostShown} more` : "";
  return present.length > 0 ? `${brief(present.slice(0, mostShown).join(", "), 1000)}${more}` : "none";
}

function quote(text: string): string {
  return `"${text}"`;
}

function without<T>(items: readonly T[], item: T): T[] {
  return items.filter((other) => other !== item);
}
