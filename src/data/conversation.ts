// Plain text as a conversation, where a recipe or a flag asks for it (`apply_chat_template`): the prompt is what a user says,
// and what follows it the assistant's reply. Transcripts in the manner of HH-RLHF become their turns.

import type { Message, Text } from "./rows.js";

/** Every part of a row that holds prose. */
interface Prose {
  prompt: Text;
  completion?: Text;
  chosen?: Text;
  rejected?: Text;
}

/** "\n\nHuman: ...\n\nAssistant: ...\n\nAssistant:" */
const TRANSCRIPT = /^\s*Human:[\s\S]*\n\nAssistant:\s*$/;

function turnsOf(prompt: string): Message[] {
  if (!TRANSCRIPT.test(prompt)) return [{ role: "user", content: prompt }];
  const parts = `\n\n${prompt.trim()}`.split(/\n\n(Human|Assistant):/).slice(1, -2);
  return parts.flatMap((speaker, i) =>
    i % 2 === 1 ? [] : [{ role: speaker === "Human" ? "user" : "assistant", content: parts[i + 1]!.trim() }],
  );
}

const reply = (text: Text | undefined): Message[] | Text | undefined =>
  typeof text === "string" ? [{ role: "assistant", content: text.trimStart() }] : text;

/** The row with messages where it had strings. The space before a reply, which plain text needs, is no part of it. */
export function asConversation<Row extends Prose>(row: Row): Row {
  if (typeof row.prompt !== "string") return row;
  return {
    ...row,
    prompt: turnsOf(row.prompt),
    ...("completion" in row && { completion: reply(row.completion) }),
    ...("chosen" in row && { chosen: reply(row.chosen), rejected: reply(row.rejected) }),
  };
}
