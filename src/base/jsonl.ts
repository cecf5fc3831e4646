import { formatJson } from "./json.js";

/** Rows as JSON lines, each with its newline. */
export const jsonl = (rows: readonly unknown[]): string => rows.map((row) => `${formatJson(row)}\n`).join("");
