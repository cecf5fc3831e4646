import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { UserError } from "../base/errors.js";
import { type ChatMessage, ChatTemplate } from "./chat-template.js";
import type { Json } from "./json.js";
import { Tokenizer } from "./tokenizer.js";

const fixtures = fileURLToPath(new URL("../../test/fixtures/formats/", import.meta.url));
const readFixture = async (name: string) => JSON.parse(await readFile(join(fixtures, name), "utf8"));
const conversations: Record<string, ChatMessage[]> = await readFixture("conversations.json");

interface Chat {
  chat: string;
  options: { add_generation_prompt?: boolean; tools?: Json[]; [variable: string]: unknown };
  text?: string;
  ids?: number[];
  error?: string;
}

describe.each(["smollm2", "prefixed", "llama3", "mistral", "qwen"])(
  "%s agrees with transformers",
  async (name) => {
    const dir = join(fixtures, `tokenizer-${name}`);
    const chats: Chat[] = (await readFixture(`tokenizer-${name}.json`)).chats;
    const template = (await ChatTemplate.load(dir))!;
    const tokenizer = await Tokenizer.load(dir);

    it.each(chats.map((chat) => [`${chat.chat} ${Object.keys(chat.options)}`, chat] as const))(
      "%s",
      (_, chat) => {
        const { add_generation_prompt: addGenerationPrompt = false, tools, ...variables } = chat.options;
        const apply = () =>
          template.apply(conversations[chat.chat]!, {
            addGenerationPrompt,
            ...(tools && { tools }),
            variables,
          });
        if (chat.error !== undefined) {
          expect(apply).toThrow(UserError);
          return;
        }
        expect(apply()).toBe(chat.text);
        expect(tokenizer.encode(apply(), { addSpecialTokens: false })).toEqual(chat.ids);
      },
    );

    it("covers conversations that the template accepts", () => {
      expect(chats.filter(({ text }) => text !== undefined).length).toBeGreaterThan(8);
    });
  },
);

describe("where templates come from", () => {
  const message = [{ role: "user", content: "x" }];

  it("files win over tokenizer_config.json, and named ones can be asked for", async () => {
    const dir = await mkdtemp(join(tmpdir(), "touchstone-template-"));
    expect(await ChatTemplate.load(dir)).toBeNull();
    await writeFile(
      join(dir, "tokenizer_config.json"),
      '{"chat_template": "config {{ bos_token }}", "bos_token": "<b>"}',
    );
    expect((await ChatTemplate.load(dir))!.apply(message)).toBe("config <b>");
    await writeFile(join(dir, "chat_template.jinja"), "file");
    await mkdir(join(dir, "additional_chat_templates"));
    await writeFile(join(dir, "additional_chat_templates", "rag.jinja"), "rag {{ messages[0].content }}");
    const template = (await ChatTemplate.load(dir))!;
    expect(template.apply(message)).toBe("file");
    expect(template.apply(message, { template: "rag" })).toBe("rag x");
    expect(() => template.apply(message, { template: "no" })).toThrow(
      /no chat template "no" \(it has: default, rag\)/,
    );
    await rm(dir, { recursive: true });
  });

  it("says why the template refuses the messages", () => {
    const template = new ChatTemplate({ default: "{{ raise_exception('roles must alternate') }}" });
    expect(() => template.apply(message)).toThrow(/does not accept the messages: roles must alternate/);
  });

  it("refuses a malformed chat_template", async () => {
    const dir = await mkdtemp(join(tmpdir(), "touchstone-template-"));
    await writeFile(join(dir, "tokenizer_config.json"), '{"chat_template": [1]}');
    await expect(ChatTemplate.load(dir)).rejects.toThrow(/must be a string or a list/);
    await rm(dir, { recursive: true });
  });
});
