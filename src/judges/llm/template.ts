// Prompts of LLM judges are YAML files that a user can copy and edit. Texts from outside are put into a prompt between
// marks that carry the text's own hash, so that a response cannot end its frame and speak in the judge's voice.

import "../../base/zod-words.js";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { UserError } from "../../base/errors.js";
import { formatJson } from "../../base/json.js";
import { parseYaml } from "../../base/yaml.js";
import { withoutControlTokens } from "../../llm/control-tokens.js";
import type { Message } from "../../llm/types.js";
import { errorMessage, type JudgeInput } from "../verdict.js";

/** The words between which the judge model decides. */
export interface Labels {
  satisfied: string;
  violated: string;
}

const label = z.string().regex(/^\w+$/, "must be one word");

const templateFile = z.strictObject({
  version: z.string().min(1),
  /** Metadata columns without which the judge does not apply. */
  needs: z.array(z.string().min(1)).default([]),
  labels: z
    .strictObject({ satisfied: label, violated: label })
    .refine((labels) => !sameWord(labels.satisfied, labels.violated), "must be two different words"),
  /** Tokens asked for when the label tokens' probabilities decide; the first that is not blank counts. */
  answer_tokens: z.number().int().min(1).max(8).default(1),
  messages: z
    .array(z.strictObject({ role: z.enum(["system", "user", "assistant"]), content: z.string().min(1) }))
    .min(1)
    .refine((messages) => messages.at(-1)!.role === "user", "must end with the user's")
    .refine(
      (messages) => messages.some(({ content }) => content.includes("{{response}}")),
      "lack {{response}}",
    ),
});

export interface Template {
  /** The file's version and the hash of what it says. */
  version: string;
  needs: readonly string[];
  labels: Labels;
  answerTokens: number;
  messages: readonly Message[];
}

export const hash = (text: string, length: number) =>
  createHash("sha256").update(text).digest("hex").slice(0, length);

export const sameWord = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();

/** Path of a prompt that ships with the package, beside this file (the build copies it). */
export const shippedPrompt = (name: string) =>
  fileURLToPath(new URL(`./prompts/${name}.yaml`, import.meta.url));

export function readTemplate(path: string): Template {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UserError(`the judge's prompt ${path} cannot be read: ${errorMessage(error)}`);
  }
  const result = templateFile.safeParse(parseYaml(text, `the judge's prompt ${path}`));
  if (!result.success) {
    const { path: key, message } = result.error.issues[0]!;
    throw new UserError(`the judge's prompt ${path}, "${key.join(".")}": ${message}`);
  }
  const { version, needs, labels, answer_tokens: answerTokens, messages } = result.data;
  return { version: `${version}-${hash(text, 8)}`, needs, labels, answerTokens, messages };
}

/** Text from outside, between marks that it cannot contain. */
function framed(name: string, text: string): string {
  const mark = `${name} ${hash(text, 16)}`;
  return `<<<${mark}\n${withoutControlTokens(text)}\n${mark}>>>`;
}

function conversation(prompt: JudgeInput["prompt"]): string {
  if (typeof prompt === "string") return prompt;
  if (prompt.length === 1) return prompt[0]!.content;
  return prompt.map(({ role, content }) => `${role}: ${content}`).join("\n\n");
}

function columnText(value: unknown): string {
  if (Array.isArray(value)) return value.map(columnText).join("\n");
  return typeof value === "string" ? value : formatJson(value);
}

/** The template's messages for one sample. `variables` come from the recipe and are trusted. */
export function render(
  { messages }: Template,
  { prompt, response, metadata }: JudgeInput,
  variables: Readonly<Record<string, string>>,
): Message[] {
  const textFor = (name: string) => {
    if (Object.hasOwn(variables, name)) return variables[name]!;
    if (name === "response") return framed(name, response);
    if (name === "prompt") return framed(name, conversation(prompt));
    const column = Object.hasOwn(metadata, name) ? metadata[name] : undefined;
    if (column === undefined || column === null)
      throw new Error(`the judge's prompt needs the column "${name}"`);
    return framed(name, columnText(column));
  };
  const fill = (text: string) => text.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name: string) => textFor(name));
  return messages.map(({ role, content }) => ({ role, content: fill(content) }));
}
