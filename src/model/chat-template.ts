// Chat templates: Jinja programs that a model directory carries in chat_template.jinja or tokenizer_config.json, run by
// jinja/ with the variables that `transformers` gives them.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../base/errors.js";
import { JinjaTemplate, TemplateError } from "./jinja/index.js";
import { isMissing, isObject, type Json, readJsonIfPresent, readTextIfPresent } from "./json.js";
import { mergeSpecialTokens } from "./tokenization/special-tokens.js";

export interface ChatMessage {
  role: string;
  content?: unknown;
  /** Whatever else the template reads: `name`, `tool_calls`, `reasoning_content`, ... */
  [field: string]: unknown;
}

export interface ApplyOptions {
  /** Ends with the header of an assistant message, ready for the model to write it. Default false. */
  addGenerationPrompt?: boolean;
  /** JSON schemas of the tools that the model may call. */
  tools?: readonly Json[];
  /** Which of several templates. Default: "tool_use" when there are tools and it exists, else "default". */
  template?: string;
  /** Further variables of the template, e.g. `{ enable_thinking: false }`. */
  variables?: Readonly<Record<string, unknown>>;
}

export class ChatTemplate {
  private readonly compiled = new Map<string, JinjaTemplate>();

  /** `sources` are Jinja programs by name; `specialTokens` become variables (`bos_token`, ...). */
  constructor(
    readonly sources: Readonly<Record<string, string>>,
    private readonly specialTokens: Readonly<Record<string, string>> = {},
    private readonly dir = "the model",
  ) {}

  /** The chat templates of a model directory; null when it has none. Files win over tokenizer_config.json. */
  static async load(dir: string): Promise<ChatTemplate | null> {
    const config = (await readJsonIfPresent(join(dir, "tokenizer_config.json"))) ?? {};
    const fromFiles = await readTemplateFiles(dir);
    const sources = Object.keys(fromFiles).length > 0 ? fromFiles : templatesOf(config, dir);
    if (Object.keys(sources).length === 0) return null;
    const [json = {}, map, added] = await Promise.all(
      ["tokenizer.json", "special_tokens_map.json", "added_tokens.json"].map((file) =>
        readJsonIfPresent(join(dir, file)),
      ),
    );
    return new ChatTemplate(sources, mergeSpecialTokens({ json, config, map, added }).named, dir);
  }

  /** The text of a conversation; to be encoded without adding special tokens, for the template has written them. */
  apply(
    messages: readonly ChatMessage[],
    { addGenerationPrompt = false, tools, template, variables = {} }: ApplyOptions = {},
  ): string {
    const name = this.choose(template, tools);
    try {
      return this.compile(name).render({
        ...this.specialTokens,
        messages: messages.map(withReasoning),
        tools: tools ?? null,
        documents: null,
        add_generation_prompt: addGenerationPrompt,
        ...variables,
      });
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      throw new UserError(`the chat template of ${this.dir} does not accept the messages: ${error.message}`);
    }
  }

  private choose(name: string | undefined, tools: readonly Json[] | undefined): string {
    const chosen = name ?? (tools !== undefined && "tool_use" in this.sources ? "tool_use" : "default");
    if (!(chosen in this.sources)) {
      throw new UserError(
        `${this.dir} has no chat template "${chosen}" (it has: ${Object.keys(this.sources).join(", ")})`,
      );
    }
    return chosen;
  }

  private compile(name: string): JinjaTemplate {
    const known = this.compiled.get(name);
    if (known !== undefined) return known;
    try {
      const template = JinjaTemplate.parse(this.sources[name]!);
      this.compiled.set(name, template);
      return template;
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      throw new UserError(`the chat template of ${this.dir} cannot be read: ${error.message}`);
    }
  }
}

/** The names under which messages carry a thought; the first is the usual one. */
const reasoningFields = ["reasoning_content", "thinking", "reasoning"] as const;

/** As `transformers` hands messages over: without nulls, and a thought under each name that templates read. */
function withReasoning(message: ChatMessage): Record<string, unknown> {
  const plain = Object.fromEntries(Object.entries(message).filter(([, value]) => value !== null));
  const name = reasoningFields.find((field) => plain[field] !== undefined);
  if (name === undefined) return plain;
  const { [name]: reasoning } = plain;
  return { thinking: reasoning, ...plain, reasoning_content: reasoning };
}

/** chat_template.jinja is the default; additional_chat_templates/NAME.jinja are the named ones. */
async function readTemplateFiles(dir: string): Promise<Record<string, string>> {
  const sources: Record<string, string> = {};
  const main = await readTextIfPresent(join(dir, "chat_template.jinja"));
  if (main !== undefined) sources.default = main;
  const folder = join(dir, "additional_chat_templates");
  const files = await readdir(folder).catch((error) => {
    if (isMissing(error)) return [];
    throw error;
  });
  for (const file of files.filter((name) => name.endsWith(".jinja")).sort()) {
    sources[file.slice(0, -".jinja".length)] = (await readTextIfPresent(join(folder, file)))!;
  }
  return sources;
}

/** One template, or a list of `{ name, template }`. */
function templatesOf({ chat_template: given }: Json, dir: string): Record<string, string> {
  if (given === undefined || given === null) return {};
  if (typeof given === "string") return { default: given };
  const isEntry = (entry: unknown): entry is { name: string; template: string } =>
    isObject(entry) && typeof entry.name === "string" && typeof entry.template === "string";
  if (Array.isArray(given) && given.every(isEntry)) {
    return Object.fromEntries(given.map(({ name, template }) => [name, template]));
  }
  throw new UserError(
    `${join(dir, "tokenizer_config.json")}: chat_template must be a string or a list of { name, template }`,
  );
}
