// Prompts in plain text for a model that chats: it is given them as they stand, without the template that it was made with,
// answers something, and nothing fails. Said wherever rows meet a model, unless somebody has said which of the two is meant.

import type { Text } from "../data/rows.js";
import type { TextCodec } from "./text.js";

/** `apply_chat_template` of a data source. */
export interface TemplateWish {
  applyChatTemplate?: boolean | undefined;
}

/** What to write instead, in a recipe and as a flag. */
const REMEDIES = {
  recipe:
    "apply_chat_template: true beside the path makes each a user's message, false says that plain text is meant",
  flag: "--chat makes each a user's message, --no-chat says that plain text is meant",
};

/** The same the other way round: what a reward model that learned from plain text says of conversations. */
export function plainRewardRemarks(
  rows: readonly { prompt: Text }[],
  codec: Pick<TextCodec, "isTrainedOnPlain">,
  { source, model }: { source: string; model: string },
): string[] {
  if (!codec.isTrainedOnPlain || rows.every(({ prompt }) => typeof prompt === "string")) return [];
  return [
    `warning: ${source}: the prompts are conversations, but the reward model ${model} has learned from plain text, without the chat template; train it on messages, or with apply_chat_template: true`,
  ];
}

/** Prompts that are looked at for the template's own marks. */
const LOOK = 16;

/** One sentence, or none: where the prompts are messages, or written with the template already, or the wish is known. */
export function plainPromptRemarks(
  rows: readonly { prompt: Text }[],
  codec: Partial<Pick<TextCodec, "hasTemplate" | "isRendered">>,
  {
    source,
    applyChatTemplate,
    remedy = "recipe",
  }: TemplateWish & { source: string; remedy?: keyof typeof REMEDIES },
): string[] {
  if (applyChatTemplate !== undefined || !codec.hasTemplate) return [];
  const prompts = rows.flatMap(({ prompt }) => (typeof prompt === "string" && prompt !== "" ? [prompt] : []));
  if (prompts.length === 0 || prompts.slice(0, LOOK).every((prompt) => codec.isRendered?.(prompt))) return [];
  return [
    `warning: ${source}: plain text goes to the model as it stands, without the chat template that the model has; ${REMEDIES[remedy]}`,
  ];
}
