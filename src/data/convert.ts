// Rows as read to the rows that a loop trains on. Each function checks what it takes and names the row otherwise.

import { isDeepStrictEqual } from "node:util";
import { UserError } from "../base/errors.js";
import { type DataFormat, has, isLabel, type Part, suggestions } from "./format.js";
import { isObject, typeName } from "./readers.js";
import {
  type CompletionRow,
  contentAsWritten,
  type DataRow,
  type LabelledRow,
  type Message,
  type Metadata,
  type PreferenceRow,
  type PromptRow,
  type Text,
  where,
} from "./rows.js";

export function toPrompt(row: DataRow, format: DataFormat): PromptRow {
  const answer = referenceAnswer(row, format);
  const metadata = metadataWithout(row, format, ["prompt", "context", "text"]);
  if (answer !== undefined) metadata.answer = answer;
  // Without the prompt that they begin with: the data's own answers.
  if (format.kind === "preference" && format.promptIn !== "explicit") {
    const { chosen, rejected } = partsOf(row, format);
    metadata[format.columns.chosen!] = chosen;
    metadata[format.columns.rejected!] = rejected;
  }
  return { id: row.id, prompt: promptOf(row, format), metadata };
}

/** The parts that can be what follows a prompt. */
const completionParts = ["completion", "solution", "answer"] as const;

/**
 * Every reply of a conversation is a completion of what precedes it; all other kinds hold one completion a row. A model may
 * say nothing (`allowEmpty`), but nothing is to be learnt from that.
 */
export function toCompletions(row: DataRow, format: DataFormat, allowEmpty = false): CompletionRow[] {
  const { kind, columns } = format;
  if (kind === "messages") return repliesOf(row, format, allowEmpty);
  const part = kind === "text" ? kind : completionParts.find((candidate) => columns[candidate])!;
  const column = columns[part]!;
  const prompt = kind === "text" ? "" : promptOf(row, format);
  const completion = kind === "text" ? stringAt(row, column) : replyAt(row, column, format);
  if (!allowEmpty && isBlank(completion)) throw new UserError(`${where(row)}: "${column}" is empty.`);
  return [{ id: row.id, prompt, completion, metadata: metadataWithout(row, format, ["prompt", part]) }];
}

export function toLabelled(row: DataRow, format: DataFormat): LabelledRow {
  const column = format.columns.label!;
  const label = row.values[column];
  if (!isLabel(label)) {
    throw new UserError(`${where(row)}: "${column}" must be true or false, not ${JSON.stringify(label)}.`);
  }
  const [completion] = toCompletions(row, format);
  const metadata = metadataWithout(row, format, ["prompt", "completion", "label"]);
  return { ...completion!, label: Boolean(label), metadata };
}

export function toPreference(row: DataRow, format: DataFormat): PreferenceRow {
  const pair = format.kind === "ranked" ? rankedPair(row, format) : pairOf(row, format);
  const margin = marginOf(row, format);
  const metadata = metadataWithout(row, format, [
    "prompt",
    "chosen",
    "rejected",
    "margin",
    "context",
    "completions",
  ]);
  return { id: row.id, ...pair, ...(margin !== undefined && { margin }), metadata };
}

interface Pair {
  prompt: Text;
  chosen: Text;
  rejected: Text;
}

function pairOf(row: DataRow, format: DataFormat): Pair {
  const columns = format.columns as Record<Part, string>;
  if (isDeepStrictEqual(row.values[columns.chosen], row.values[columns.rejected])) {
    throw new UserError(
      `${where(row)}: "${columns.chosen}" and "${columns.rejected}" are the same; a preference needs two that differ.`,
    );
  }
  return partsOf(row, format);
}

function partsOf(row: DataRow, format: DataFormat): Pair {
  if (format.promptIn === "implicit") return splitSharedPrompt(row, format);
  const columns = format.columns as Record<Part, string>;
  const prompt = promptOf(row, format);
  const [chosen, rejected] = [columns.chosen, columns.rejected].map((column) => {
    const reply = replyAt(row, column, format);
    return format.promptIn === "repeated" ? reply.slice(prompt.length) : reply;
  });
  return { prompt, chosen: chosen!, rejected: rejected! };
}

/** The prompt is the longest beginning that chosen and rejected share and that leaves each of them a reply. */
function splitSharedPrompt(row: DataRow, format: DataFormat): Pair {
  const columns = format.columns as Record<Part, string>;
  const chosen = textAt(row, columns.chosen);
  const rejected = textAt(row, columns.rejected);
  if (typeof chosen !== typeof rejected) {
    throw new UserError(
      `${where(row)}: one of "${columns.chosen}" and "${columns.rejected}" is a string, one messages.`,
    );
  }
  const length =
    typeof chosen === "string"
      ? sharedPromptLength(chosen, rejected as string)
      : sharedTurns(chosen, rejected as Message[]);
  const prompt = chosen.slice(0, length);
  if (isBlank(prompt)) {
    throw new UserError(
      `${where(row)}: "${columns.chosen}" and "${columns.rejected}" share no beginning that could be the prompt; ` +
        `add a "prompt" column.${suggestions(row)}`,
    );
  }
  return {
    prompt,
    chosen: checkReply(chosen.slice(length), row, columns.chosen),
    rejected: checkReply(rejected.slice(length), row, columns.rejected),
  };
}

/** Ends a prompt in the transcripts of the HH-RLHF data sets. */
const assistantMarker = "\n\nAssistant:";

/**
 * Length of the prompt that two strings share: up to the last assistant marker where the shared part has one, else up
 * to the last boundary between words, so that no token straddles prompt and completion. A space before the
 * completions belongs to them.
 */
export function sharedPromptLength(a: string, b: string): number {
  let length = 0;
  while (length < Math.min(a.length, b.length) && a[length] === b[length]) length++;
  const shared = a.slice(0, length);
  const marker = shared.lastIndexOf(assistantMarker);
  if (marker !== -1) return marker + assistantMarker.length;
  const atEnd = length === a.length || length === b.length;
  if (atEnd || isInsideWord(a, length) || isInsideWord(b, length))
    return Math.max(0, shared.search(/\s\S*$/));
  return shared.endsWith(" ") ? length - 1 : length;
}

/** Whether position `index` lies between two letters or digits, or within a surrogate pair. */
function isInsideWord(text: string, index: number): boolean {
  const [before, after] = [text.slice(Math.max(0, index - 2), index), text.slice(index, index + 2)];
  return /[\p{L}\p{N}\p{M}\ud800-\udbff]$/u.test(before) && /^[\p{L}\p{N}\p{M}\udc00-\udfff]/u.test(after);
}

function sharedTurns(a: Message[], b: Message[]): number {
  const limit = Math.min(a.length, b.length) - 1;
  let count = 0;
  while (count < limit && isDeepStrictEqual(a[count], b[count])) count++;
  return count;
}

/** NeMo RL: of several completions, the lowest rank is chosen and the highest rejected. */
function rankedPair(row: DataRow, format: DataFormat): Pair {
  const column = format.columns.completions!;
  const value = row.values[column];
  const completions: unknown[] = Array.isArray(value) ? value : [];
  const ranked = completions.map((item) => {
    if (isObject(item) && typeof item.rank === "number") return { rank: item.rank, value: item.completion };
    throw new UserError(`${where(row)}: each of "${column}" must be { rank: number, completion: ... }.`);
  });
  ranked.sort((a, b) => a.rank - b.rank);
  const [best, worst] = [ranked.at(0), ranked.at(-1)];
  if (!best || !worst || best.rank === worst.rank) {
    throw new UserError(`${where(row)}: "${column}" must hold at least two completions of different rank.`);
  }
  if (isDeepStrictEqual(best.value, worst.value)) {
    throw new UserError(`${where(row)}: the best and the worst of "${column}" are the same.`);
  }
  const [chosen, rejected] = [best, worst].map((item) =>
    reply(item.value, row, `${column}.completion`, format),
  );
  return { prompt: promptOf(row, format), chosen: chosen!, rejected: rejected! };
}

function marginOf(row: DataRow, { columns }: DataFormat): number | undefined {
  if (!columns.margin || !has(row, columns.margin)) return undefined;
  const margin = row.values[columns.margin];
  if (typeof margin === "number" && Number.isFinite(margin)) return margin;
  throw new UserError(`${where(row)}: "${columns.margin}" must be a number, not ${typeName(margin)}.`);
}

function repliesOf(row: DataRow, format: DataFormat, allowEmpty: boolean): CompletionRow[] {
  const column = format.columns.messages!;
  const messages = messagesAt(row, column);
  const metadata = metadataWithout(row, format, ["messages"]);
  const turns = messages.map((message, index) => ({ message, index }));
  const replies = turns.filter(({ message, index }) => message.role === "assistant" && index > 0);
  if (replies.length === 0)
    throw new UserError(`${where(row)}: "${column}" holds no assistant reply to anything.`);
  return replies.map(({ message, index }, turn) => {
    if (!allowEmpty && isBlank([message]))
      throw new UserError(`${where(row)}: message ${index + 1} of "${column}" is empty.`);
    const id = replies.length === 1 ? row.id : `${row.id}#${turn + 1}`;
    return { id, prompt: messages.slice(0, index), completion: [message], metadata };
  });
}

function promptOf(row: DataRow, format: DataFormat): Text {
  const { kind, columns, conversational } = format;
  if (format.promptIn === "implicit") return splitSharedPrompt(row, format).prompt;
  const column = (columns.prompt ?? columns.context ?? columns.messages ?? columns.text)!;
  let prompt = textAt(row, column);
  if (kind === "messages") prompt = withoutLastReplies(prompt as Message[]);
  if (typeof prompt === "string") prompt += instructionInput(row, format);
  if (isBlank(prompt)) throw new UserError(`${where(row)}: the prompt ("${column}") is empty.`);
  return conversational && typeof prompt === "string" ? [{ role: "user", content: prompt }] : prompt;
}

function withoutLastReplies(messages: Message[]): Message[] {
  const last = messages.findLastIndex((message) => message.role !== "assistant");
  return messages.slice(0, last + 1);
}

/** Instruction data keeps what an instruction is about in a column "input", often empty. */
function instructionInput(row: DataRow, { columns }: DataFormat): string {
  if (columns.prompt !== "instruction" || !has(row, "input")) return "";
  const input = stringAt(row, "input");
  return input.trim() === "" ? "" : `\n\n${input}`;
}

/** The reference answer, wherever GSM8K, MATH, verl or SkyRL rows keep it. */
function referenceAnswer({ values }: DataRow, { columns }: DataFormat): unknown {
  const column = columns.answer ?? columns.solution;
  const nested = [values.reward_model, values.reward_spec].find(isObject);
  return (
    (column && values[column]) ?? values.answer ?? values.ground_truth ?? nested?.ground_truth ?? undefined
  );
}

function metadataWithout(row: DataRow, { columns }: DataFormat, parts: readonly Part[]): Metadata {
  const metadata = { ...row.values };
  for (const part of parts) {
    const column = columns[part];
    if (column) delete metadata[column];
    if (part === "prompt" && column === "instruction") delete metadata.input;
  }
  return metadata;
}

function replyAt(row: DataRow, column: string, format: DataFormat): Text {
  return reply(row.values[column], row, column, format);
}

function reply(value: unknown, row: DataRow, column: string, { conversational }: DataFormat): Text {
  const text = toText(value, row, column);
  if (typeof text === "string" && conversational) return [{ role: "assistant", content: text }];
  return checkReply(text, row, column);
}

function checkReply(text: Text, row: DataRow, column: string): Text {
  if (typeof text === "string" || text[0]?.role === "assistant") return text;
  throw new UserError(
    `${where(row)}: after the prompt, "${column}" must go on with an assistant message, not ` +
      `${text[0] ? `one of role "${text[0].role}"` : "end"}.`,
  );
}

function textAt(row: DataRow, column: string): Text {
  return toText(row.values[column], row, column);
}

function toText(value: unknown, row: DataRow, column: string): Text {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map((item, index) => toMessage(item, index, row, column));
  throw new UserError(
    `${where(row)}: "${column}" must be a string or a list of messages, not ${typeName(value)}.`,
  );
}

function messagesAt(row: DataRow, column: string): Message[] {
  const text = textAt(row, column);
  if (typeof text !== "string") return text;
  const isCsv = /\.csv(\.gz)?$/i.test(row.file) && text.trimStart().startsWith("[");
  const hint = isCsv ? `; where its header says "${column}:json" it is read as one` : "";
  throw new UserError(`${where(row)}: "${column}" must be a list of messages, not a string${hint}.`);
}

function stringAt(row: DataRow, column: string): string {
  const value = row.values[column];
  if (typeof value === "string") return value;
  throw new UserError(`${where(row)}: "${column}" must be a string, not ${typeName(value)}.`);
}

/** The speakers of ShareGPT rows (`{ from, value }`) under the names that chat templates know. */
const shareGptRoles: Record<string, string> = {
  human: "user",
  gpt: "assistant",
  system: "system",
  tool: "tool",
};

function toMessage(value: unknown, index: number, row: DataRow, column: string): Message {
  const place = `${where(row)}: message ${index + 1} of "${column}"`;
  if (!isObject(value)) throw new UserError(`${place} must be { role, content }, not ${typeName(value)}.`);
  const { from, value: said, ...message } = withoutNulls(value);
  const role = message.role ?? shareGptRoles[String(from)] ?? from;
  if (typeof role !== "string") throw new UserError(`${place} has no "role".`);
  const written = message.content ?? said;
  const content = contentOf(written, place, message.tool_calls !== undefined);
  return { ...message, role, content, ...(typeof written !== "string" && { [contentAsWritten]: written }) };
}

function contentOf(content: unknown, place: string, callsTools: boolean): string {
  if (typeof content === "string") return content;
  if (content === undefined && callsTools) return "";
  if (Array.isArray(content)) {
    return content
      .map((part) => {
        if (isObject(part) && typeof part.text === "string") return part.text;
        throw new UserError(`${place} holds content that is not text; only text can be trained on.`);
      })
      .join("");
  }
  throw new UserError(`${place} must have "content" that is a string, not ${typeName(content)}.`);
}

function withoutNulls(value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== null));
}

function isBlank(text: Text): boolean {
  if (typeof text === "string") return text.trim() === "";
  return text.every((message) => message.content.trim() === "" && !("tool_calls" in message));
}
