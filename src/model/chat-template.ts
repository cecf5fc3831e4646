// Chat templates: Jinja programs that a model directory carries in chat_template.jinja or tokenizer_config.json, run
// with the environment that `transformers` gives them (trimmed blocks, raise_exception, strftime_now, special tokens).
// `@huggingface/jinja` ignores the characters in `strip("\\n")` and trims by JavaScript's idea of white space, so those
// calls are rewritten into functions that strip as Python does.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Template } from "@huggingface/jinja";
import { UserError } from "../base/errors.js";
import { isMissing, isObject, type Json, readJsonIfPresent, readTextIfPresent } from "./json.js";
import { namedTokens } from "./tokenizer.js";

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
  private readonly compiled = new Map<string, Template>();

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
    return Object.keys(sources).length > 0 ? new ChatTemplate(sources, namedTokens(config), dir) : null;
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
        ...pythonStrips,
        messages,
        tools: tools ?? null,
        documents: null,
        add_generation_prompt: addGenerationPrompt,
        ...variables,
      });
    } catch (error) {
      throw new UserError(
        `the chat template of ${this.dir} does not accept the messages: ${(error as Error).message}`,
      );
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

  private compile(name: string): Template {
    const known = this.compiled.get(name);
    if (known !== undefined) return known;
    const template = new Template(this.sources[name]!);
    rewriteStrips(template.parsed);
    this.compiled.set(name, template);
    return template;
  }
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

/** What `str.strip()` strips in Python; JavaScript's `\s` has U+FEFF and lacks the separators and U+0085. */
const pythonSpace = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000".concat(
  ...Array.from({ length: 11 }, (_, i) => String.fromCharCode(0x2000 + i)),
);

/** Python's `str.strip(characters)` on the chosen sides. */
function strip(text: unknown, characters: unknown, sides: { left: boolean; right: boolean }): string {
  if (typeof text !== "string") throw new Error("strip() is for strings only");
  const set = typeof characters === "string" ? characters : pythonSpace;
  const points = Array.from(text);
  let [start, end] = [0, points.length];
  if (sides.left) while (start < end && set.includes(points[start]!)) start++;
  if (sides.right) while (end > start && set.includes(points[end - 1]!)) end--;
  return points.slice(start, end).join("");
}

const both = { left: true, right: true };
/** Names that no template uses, for the calls that are rewritten. */
const pythonStrips: Record<string, (text: unknown, characters?: unknown) => string> = {
  __strip: (text, characters) => strip(text, characters, both),
  __lstrip: (text, characters) => strip(text, characters, { left: true, right: false }),
  __rstrip: (text, characters) => strip(text, characters, { left: false, right: true }),
  __trim: (value, characters) => strip(value === undefined ? "" : (value ?? "None"), characters, both),
};

type Node = { type?: string; [field: string]: unknown };

/** In the syntax tree, `x.strip(c)` becomes `__strip(x, c)` and `x | trim(c)` becomes `__trim(x, c)`. */
function rewriteStrips(node: unknown): void {
  if (node instanceof Map) {
    for (const entry of node) rewriteStrips(entry);
  } else if (Array.isArray(node)) {
    for (const child of node) rewriteStrips(child);
  } else if (isObject(node)) {
    for (const child of Object.values(node)) rewriteStrips(child);
    const call = stripCall(node);
    if (call !== undefined) {
      for (const field of Object.keys(node)) delete node[field];
      Object.assign(node, call);
    }
  }
}

function stripCall(node: Node): Node | undefined {
  const calling = (name: string, args: unknown[]): Node => ({
    type: "CallExpression",
    callee: { type: "Identifier", value: name },
    args,
  });
  if (node.type === "CallExpression") {
    const callee = node.callee as Node;
    const method =
      callee.type === "MemberExpression" && !callee.computed ? (callee.property as Node).value : undefined;
    if (method !== "strip" && method !== "lstrip" && method !== "rstrip") return undefined;
    return calling(`__${method}`, [callee.object, ...(node.args as unknown[])]);
  }
  if (node.type === "FilterExpression") {
    const filter = node.filter as Node;
    const isCall = filter.type === "CallExpression";
    if ((isCall ? (filter.callee as Node) : filter).value !== "trim") return undefined;
    return calling("__trim", [node.operand, ...(isCall ? (filter.args as unknown[]) : [])]);
  }
  return undefined;
}
