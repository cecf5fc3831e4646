// Data sets in one call: a path, a pattern or a Hub name to checked, typed rows and a line that says what was found.

import { UserError } from "../base/errors.js";
import { asConversation } from "./conversation.js";
import { toCompletions, toLabelled, toPreference, toPrompt } from "./convert.js";
import {
  type DataFormat,
  type DetectOptions,
  describeFormat,
  detectFormat,
  recognise,
  type Want,
} from "./format.js";
import { readRows } from "./readers.js";
import type { CompletionRow, DataRow, LabelledRow, PreferenceRow, PromptRow, Text } from "./rows.js";
import { resolveSource, type SourceOptions } from "./source.js";

export { type CursorOptions, type CursorState, PromptCursor } from "./cursor.js";
export { type FlipOptions, flipLabels, goldColumns, preferencesJsonl } from "./flip.js";
export { type DataFormat, describeFormat, detectFormat } from "./format.js";
export { type DownloadProgress, type HubOptions, openRepo } from "./hub.js";
export { fetchModel, resolveModel } from "./hub-models.js";
export { type Partition, type PartitionOptions, partition } from "./partition.js";
export type * from "./rows.js";

export interface LoadOptions extends SourceOptions {
  /** Column names that differ from the usual ones, for example `{ chosen: "better", rejected: "worse" }`. */
  columns?: DetectOptions["columns"];
  /** Read no more than the first so many rows. */
  limit?: number | undefined;
  /** Leave out rows whose content is wrong, counted in the description, instead of stopping at the first. */
  skipInvalid?: boolean;
  /** Whether plain text becomes a conversation, which goes through the model's chat template. Default false. */
  applyChatTemplate?: boolean | undefined;
  /** Told of each such row, instead of stopping at the first. */
  onInvalid?: (error: UserError) => void;
}

export interface Loaded<Row, Format = DataFormat> {
  rows: Row[];
  /** One line for the person. */
  description: string;
  format: Format;
}

/** Prompts to sample from, out of any data set that holds prompts, whatever else it holds. */
export function loadPrompts(source: string, options: LoadOptions = {}): Promise<Loaded<PromptRow>> {
  return load(source, "prompts", (row, format) => [toPrompt(row, format)], options);
}

/** Completions to imitate. Of labelled completions only those labelled true. */
export function loadCompletions(source: string, options: LoadOptions = {}): Promise<Loaded<CompletionRow>> {
  return load(
    source,
    "completions",
    (row, format) =>
      format.kind === "labelled" && !toLabelled(row, format).label ? [] : toCompletions(row, format),
    options,
  );
}

/** Completions to judge: every one, whatever its label, and empty ones too. */
export function loadResponses(source: string, options: LoadOptions = {}): Promise<Loaded<CompletionRow>> {
  return load(source, "completions", (row, format) => toCompletions(row, format, true), options);
}

/** Completions each judged desirable or not. */
export function loadLabelled(source: string, options: LoadOptions = {}): Promise<Loaded<LabelledRow>> {
  return load(source, "labels", (row, format) => [toLabelled(row, format)], options);
}

/** Pairs of a better and a worse completion of one prompt. */
export function loadPreferences(source: string, options: LoadOptions = {}): Promise<Loaded<PreferenceRow>> {
  return load(source, "preferences", (row, format) => [toPreference(row, format)], options);
}

/** The preferences that rows read by `loadDataRows` hold. */
export function preferencesIn(rows: readonly DataRow[]): PreferenceRow[] {
  const format = detectFormat(rows, { want: "preferences" });
  return rows.map((row) => toPreference(row, format));
}

/** Rows as they stand, whatever their columns. */
export async function loadDataRows(source: string, options: LoadOptions = {}): Promise<DataRow[]> {
  return (await rowsAsTheyStand(source, options)).rows;
}

async function rowsAsTheyStand(source: string, options: LoadOptions): ReturnType<typeof readSource> {
  const read = await readSource(source, options);
  if (read.rows.length === 0) throw new UserError(`${source} holds no rows.`);
  return read;
}

/** Rows as they stand; `format` is null when they have none of the known shapes. */
export async function loadRows(
  source: string,
  options: LoadOptions = {},
): Promise<Loaded<DataRow, DataFormat | null>> {
  const { rows } = await rowsAsTheyStand(source, options);
  const { columns = {} } = options;
  const format = recognise(rows[0]!, undefined, columns) ? detectFormat(rows, { columns }) : null;
  const unknown = `rows of no known shape, columns: ${Object.keys(rows[0]!.values).join(", ")}; ${rows.length} rows`;
  return { rows, description: format ? describeFormat(format, rows.length) : unknown, format };
}

async function load<Row extends { prompt: Text }>(
  source: string,
  want: Want,
  convert: (row: DataRow, format: DataFormat) => Row[],
  options: LoadOptions,
): Promise<Loaded<Row>> {
  const problems: UserError[] = [];
  const { skipInvalid, onInvalid } = options;
  const tell = (error: UserError): void => {
    onInvalid?.(error);
    problems.push(error);
  };
  const listener = skipInvalid || onInvalid ? tell : undefined;
  const { rows: all, fileCount } = await readSource(source, options, listener);
  if (all.length === 0) throw problems[0] ?? new UserError(`${source} holds no rows.`);
  const count = all.length + problems.length;
  const unfit = new Set<DataRow>();
  const unfitting = (error: UserError, row: DataRow): void => {
    unfit.add(row);
    tell(error);
  };
  const format = detectFormat(all, {
    want,
    columns: options.columns ?? {},
    onInvalid: listener && unfitting,
  });
  const read = all.filter((row) => !unfit.has(row));
  const isMadeChat = options.applyChatTemplate === true && !format.conversational;
  if (isMadeChat && format.kind === "text" && want !== "prompts")
    throw new UserError(
      `${source}: apply_chat_template needs prompts with replies, and this is plain text, of which nothing says who speaks; leave it out, or give messages`,
    );
  const rows: Row[] = [];
  for (const row of read) {
    try {
      const converted = convert(row, format);
      rows.push(...(isMadeChat ? converted.map(asConversation) : converted));
    } catch (error) {
      if (!listener || !(error instanceof UserError)) throw error;
      listener(error);
    }
  }
  if (rows.length === 0 && !(options.onInvalid && problems.length > 0))
    throw problems[0] ?? new UserError(`${source} holds no ${want}.`);
  const notes = [
    describeFormat(format, count),
    isMadeChat && "prompts as user messages (apply_chat_template)",
    fileCount > 1 && `${fileCount} files`,
    rows.length + problems.length !== count && `${rows.length.toLocaleString("en-US")} ${want}`,
    problems.length > 0 && `${problems.length} left out, the first: ${problems[0]!.message}`,
  ];
  return { rows, description: notes.filter(Boolean).join("; "), format };
}

async function readSource(
  source: string,
  options: LoadOptions,
  onInvalid?: (error: UserError) => void,
): Promise<{ rows: DataRow[]; fileCount: number }> {
  const { limit = Number.POSITIVE_INFINITY } = options;
  if (!(limit > 0)) throw new UserError(`The limit on rows must be positive, not ${limit}.`);
  const files = await resolveSource(source, options);
  const rows: DataRow[] = [];
  for (const file of files) {
    if (rows.length >= limit) break;
    for await (const row of readRows(file, onInvalid)) {
      if (rows.push(row) >= limit) break;
    }
  }
  return { rows, fileCount: files.length };
}
