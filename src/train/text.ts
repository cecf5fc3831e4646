// From rows to token ids and back, the same way for every loop: strings are used as they stand, messages go through
// the model's chat template, and a completion ends with the model's end token.

import { readFile } from "node:fs/promises";
import { UserError } from "../base/errors.js";
import { openThoughtOf } from "../base/thoughts.js";
import type { Message, Text } from "../data/rows.js";
import type { Sequence } from "../engine/contract.js";
import { ChatTemplate } from "../model/chat-template.js";
import { Tokenizer } from "../model/tokenizer.js";

/** What the loop of align needs of a `TextCodec`: a program may bring its own. */
export type Codec = Pick<TextCodec, "prompt" | "sequence" | "decode" | "stopIds"> &
  Partial<Pick<TextCodec, "openThought">>;

export class TextCodec {
  private constructor(
    private readonly dir: string,
    readonly tokenizer: Tokenizer,
    private readonly template: ChatTemplate | null,
    /** The token that ends a completion. */
    readonly endId: number,
  ) {}

  /**
   * Opens the tokenizer and chat template of a model directory. `chatTemplate` names a file that replaces the template;
   * `fallbackEndId` ends completions where the tokenizer names no end token.
   */
  static async open(
    dir: string,
    { fallbackEndId, chatTemplate }: { fallbackEndId?: number; chatTemplate?: string } = {},
  ): Promise<TextCodec> {
    const tokenizer = await Tokenizer.load(dir);
    const template = chatTemplate
      ? new ChatTemplate(
          { default: await readFile(chatTemplate, "utf8") },
          tokenizer.specialTokens,
          chatTemplate,
        )
      : await ChatTemplate.load(dir);
    const end = tokenizer.eosId ?? fallbackEndId;
    if (end === undefined)
      throw new UserError(`${dir}: neither config.json nor the tokenizer names an end token (eos)`);
    return new TextCodec(dir, tokenizer, template, end);
  }

  /** Tokens that end a completion when they are sampled. */
  get stopIds(): readonly number[] {
    return [this.endId];
  }

  /** Whether conversations can be written. */
  get hasTemplate(): boolean {
    return this.template !== null;
  }

  /** The prompt as the model sees it, up to where a completion begins. */
  prompt(prompt: Text): number[] {
    if (typeof prompt === "string") return this.atLeastOne(this.tokenizer.encode(prompt));
    const text = this.render(prompt, true);
    return this.tokenizer.encode(text, { addSpecialTokens: false });
  }

  /** The mark with which the prompt, as the model sees it, has opened a thought already. */
  openThought(prompt: Text): string | undefined {
    return openThoughtOf(typeof prompt === "string" ? prompt : this.render(prompt, true));
  }

  /** Prompt and completion, the completion with its end token. */
  sequence(prompt: Text, completion: Text): Sequence {
    if (typeof completion === "string") {
      const head = this.prompt(prompt);
      return this.join(head, this.tokenizer.encode(completion, { addSpecialTokens: false }));
    }
    const turns = typeof prompt === "string" ? [] : prompt;
    const head = this.render(turns, true);
    const whole = this.render([...turns, ...completion], false);
    if (!whole.startsWith(head))
      throw new UserError(
        `${this.dir}: its chat template does not write a reply after the generation prompt, so replies cannot be told from prompts`,
      );
    const tail = this.tokenizer.encode(whole.slice(head.length), { addSpecialTokens: false });
    // What a template writes after the end token (a newline, say) is not part of the reply.
    const end = tail.lastIndexOf(this.endId);
    const reply = end >= 0 ? tail.slice(0, end) : tail;
    return this.join(this.tokenizer.encode(head, { addSpecialTokens: false }), reply);
  }

  /** A whole text to learn from its first token on. */
  text(text: string): Sequence {
    const tokens = [...this.atLeastOne(this.tokenizer.encode(text)), this.endId];
    return { tokens, promptLength: 1 };
  }

  /** The text of a completion, without special tokens. */
  decode(tokens: ArrayLike<number>): string {
    return this.tokenizer.decode(Array.from(tokens), { skipSpecialTokens: true });
  }

  private join(prompt: number[], completion: number[]): Sequence {
    return { tokens: [...prompt, ...completion, this.endId], promptLength: prompt.length };
  }

  private atLeastOne(tokens: number[]): number[] {
    if (tokens.length > 0) return tokens;
    return [this.tokenizer.bosId ?? this.endId];
  }

  private render(messages: readonly Message[], addGenerationPrompt: boolean): string {
    if (!this.template)
      throw new UserError(
        `the data are conversations, but ${this.dir} has no chat template; add chat_template.jinja or name one in the recipe (chat_template)`,
      );
    return this.template.apply(
      messages.map((message) => ({ ...message })),
      { addGenerationPrompt },
    );
  }
}

/** The last user turn or the plain prompt, for logs. */
export function promptText(prompt: Text): string {
  return typeof prompt === "string" ? prompt : prompt.map(({ content }) => content).join("\n");
}
