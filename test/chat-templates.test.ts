// Real chat templates against transformers: the same text and ids of every conversation, or an error where transformers has one.
// scripts/fetch-chat-templates.sh fetches the templates; test/oracle/chat_templates.py made what is expected.

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { UserError } from "../src/base/errors.js";
import { type ChatMessage, ChatTemplate } from "../src/model/chat-template.js";
import type { Json } from "../src/model/json.js";
import { Tokenizer } from "../src/model/tokenizer.js";

const root = join(import.meta.dirname, "../.templates");
const want = JSON.parse(
  readFileSync(join(import.meta.dirname, "fixtures/formats/chat-templates.json"), "utf8"),
) as {
  tokens: Record<string, string>;
  conversations: Record<string, { messages: ChatMessage[]; options: Record<string, unknown> }>;
  templates: { name: string; digest: string; results: Record<string, [text: string, ids: string] | null> }[];
};
const digest = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 16);

/** The templates that are there, by their digests: another version of a package may bring others. */
const sources = new Map<string, string>();
if (existsSync(root))
  for (const name of readdirSync(root, { recursive: true, encoding: "utf8" }))
    if (name.endsWith(".jinja")) {
      const source = readFileSync(join(root, name), "utf8").replace(/\r\n?/g, "\n");
      sources.set(digest(source), source);
    }
const there = want.templates.filter((template) => sources.has(template.digest));
if (there.length < want.templates.length)
  console.log(
    `skipped: ${want.templates.length - there.length} of ${want.templates.length} chat templates are not there; scripts/fetch-chat-templates.sh fetches them`,
  );

describe.skipIf(there.length === 0)("chat templates of trl and axolotl", async () => {
  const tokenizer = await Tokenizer.load(join(import.meta.dirname, "../lab/model"));
  it.each(there.map((template) => [template.name, template] as const))(
    "%s",
    (_, { digest: key, results }) => {
      const found = Object.fromEntries(
        Object.entries(want.conversations).map(([name, { messages, options }]) => {
          const { add_generation_prompt: addGenerationPrompt, tools, ...variables } = options;
          const template = new ChatTemplate({ default: sources.get(key)! }, want.tokens);
          try {
            const text = template.apply(messages, {
              addGenerationPrompt: addGenerationPrompt as boolean,
              variables,
              ...(tools ? { tools: tools as Json[] } : {}),
            });
            return [name, [digest(text), digest(tokenizer.encode(text, { addSpecialTokens: false }).join())]];
          } catch (error) {
            if (!(error instanceof UserError)) throw error;
            return [name, null];
          }
        }),
      );
      expect(found).toEqual(results);
    },
  );
});
