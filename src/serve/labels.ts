// What trainers put into the one label that their protocol has: a reference answer, or JSON with everything that the
// judges need, the task among it.

import type { Metadata } from "../data/rows.js";

export interface Label {
  task?: string;
  id?: string;
  metadata: Metadata;
}

/** Unwraps a label: an object, the JSON text of one, or the reference answer. */
export function labelOf(label: unknown): Label {
  const value = typeof label === "string" ? parsed(label) : label;
  if (value === undefined || value === null || value === "") return { metadata: {} };
  if (typeof value !== "object" || Array.isArray(value)) return { metadata: { answer: value } };
  const { task, id, ...metadata } = value as Metadata;
  return {
    ...(typeof task === "string" && { task }),
    ...((typeof id === "string" || typeof id === "number") && { id: String(id) }),
    metadata,
  };
}

/** An object in JSON; any other text is the answer as it stands. */
function parsed(text: string): unknown {
  if (!text.trimStart().startsWith("{")) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
