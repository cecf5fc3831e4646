// The rows that the loops see, whatever the file looked like.

/** Keeps what a row has as a message's content where that is no string: parts of text, or nothing beside tool calls. */
export const contentAsWritten: unique symbol = Symbol("content as written");

/**
 * One turn of a conversation. Further keys (`name`, `tool_calls`, ...) pass through to the chat template. A type alias,
 * because an interface could not be given where any further keys are welcome.
 */
export type Message = {
  role: string;
  content: string;
  [contentAsWritten]?: unknown;
};

/** A string is used as it stands (standard format); messages go through the chat template (conversational). */
export type Text = string | Message[];

/** A row as it was read, with the place that error messages name. */
export interface DataRow {
  /** `file:row`, unique within the data set and stable between runs. */
  id: string;
  /** The file as the user would name it. */
  file: string;
  /** 1-based; in JSONL it is the line number. */
  row: number;
  values: Record<string, unknown>;
}

/** The columns that the row's own fields did not use; they flow to judges and rewards. */
export type Metadata = Record<string, unknown>;

export interface PromptRow {
  id: string;
  prompt: Text;
  /** Holds `answer`, the reference answer, when the data set has one under any of its usual names. */
  metadata: Metadata;
}

export interface CompletionRow {
  id: string;
  /** The empty string for plain `text` rows. */
  prompt: Text;
  completion: Text;
  metadata: Metadata;
}

export interface LabelledRow extends CompletionRow {
  /** Whether the completion is a desirable one. */
  label: boolean;
}

export interface PreferenceRow {
  id: string;
  prompt: Text;
  chosen: Text;
  rejected: Text;
  /** How much better `chosen` is, where the data set says. */
  margin?: number;
  metadata: Metadata;
}

/** The place of a row, as error messages begin. */
export function where(row: DataRow): string {
  return `${row.file}, row ${row.row}`;
}

/** A prompt as one text: the messages' contents line by line. */
export function promptText(prompt: string | readonly Pick<Message, "content">[]): string {
  return typeof prompt === "string" ? prompt : prompt.map(({ content }) => content).join("\n");
}
