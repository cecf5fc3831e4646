// What program and tests may say to each other across the wall. The program's side is hostile: each answer is one JSON
// text for one call, of bounded length and nesting, checked here, outside both interpreters, before the tests' side sees
// it. A test has passed only when its interpreter hands back the marker of this very run, which no program has seen.

import { randomBytes } from "node:crypto";
import { Stopped } from "./limits.js";

/** Characters of one answer. */
export const maxAnswerChars = 16 * 2 ** 20;

/** Arrays and objects of JSON inside each other: an answer's reader recurses. */
export const maxAnswerNesting = 400;

/** A text that no program can guess. */
export const newMarker = () => randomBytes(16).toString("hex");

/** Whether arrays and objects are nested no deeper than `most`, whatever else the text may be. */
export function nestsWithin(text: string, most: number): boolean {
  let depth = 0;
  let isInText = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (isInText) {
      if (code === 92) i++;
      else if (code === 34) isInText = false;
    } else if (code === 34) isInText = true;
    else if (code === 91 || code === 123) {
      if (++depth > most) return false;
    } else if (code === 93 || code === 125) depth--;
  }
  return true;
}

/** The value of an answer that the program's side gave; stops the program when it is not one JSON object within bounds. */
export function readAnswer(text: string | undefined): Record<string, unknown> {
  if (text === undefined) throw new Stopped("the program did not answer a call");
  if (text.length > maxAnswerChars)
    throw new Stopped("the program's answer is longer than the sandbox allows");
  if (!nestsWithin(text, maxAnswerNesting))
    throw new Stopped("the program's answer is nested deeper than the sandbox allows");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Stopped("the program forged an answer");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Stopped("the program forged an answer");
  return value as Record<string, unknown>;
}
