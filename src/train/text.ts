// From rows to token ids and back, the same way for every loop: strings are used as they stand, messages go through
// the model's chat template. Prompt and completion are one text, encoded together; the boundary between them is found by
// the tokens' positions, and a token that spans it belongs to the completion. A completion has one end token, the last.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../base/errors.js";
import { parseJson } from "../base/json.js";
import { openThoughtOf } from "../base/thoughts.js";
import { contentAsWritten, type Message, type Metadata, type Text } from "../data/rows.js";
import type { Sequence, TokenIds } from "../engine/contract.js";
import { type ChatMessage, ChatTemplate } from "../model/chat-template.js";
import { isObject, type Json, readJsonIfPresent } from "../model/json.js";
import { Tokenizer } from "../model/tokenizer.js";

/** What the loop of align needs of a `TextCodec`: a program may bring its own. */
export type Codec = Pick<TextCodec, "prompt" | "sequence" | "decode" | "stopIds"> &
  Partial<Pick<TextCodec, "openThought" | "closed" | "hasTemplate" | "isRendered">>;

/** What else of a row the template sees: `tools` (a list or its JSON text) and `chat_template_kwargs`. */
export type RowContext = Metadata;

/** A row as tokens. */
export interface EncodedRow extends Sequence {
  /** A token spans prompt and completion; it is the completion's first. */
  spansBoundary?: boolean;
}

/** A row as a reward model reads it: tokens, then `after`. */
export interface ScoredSequence extends Sequence {
  tokens: number[];
  after: readonly number[];
}

/** Where the reward of a conversation is read: where the template ends it, or at the end token of its last turn. */
export type RewardAt = "template_end" | "end_token";

/** The file in a reward model's directory that says so where it is not the template's end, and what it has learned from. */
export const rewardFile = "touchstone.json";

/** `trained_on` in that file. */
export const PLAIN = "plain text";

export interface CodecOptions {
  /** The end tokens that the model's configuration names, the first of which ends plain texts without a tokenizer's own. */
  endIds?: readonly number[];
  /** A file that replaces the chat template. */
  chatTemplate?: string | undefined;
  /** Default: what the directory says. */
  rewardAt?: RewardAt | undefined;
}

/** The end tokens that a config.json or generation_config.json names: one, a list, or none. */
export const endIdsIn = (file: Readonly<Record<string, unknown>> | null | undefined): number[] =>
  [file?.eos_token_id].flat().filter((id): id is number => Number.isSafeInteger(id) && (id as number) >= 0);

export class TextCodec {
  private constructor(
    private readonly dir: string,
    readonly tokenizer: Tokenizer,
    private readonly template: ChatTemplate | null,
    /** The token that ends a plain completion. */
    readonly endId: number,
    /** Tokens that end a completion when they are sampled. */
    readonly stopIds: readonly number[],
    /** What the template writes after an assistant's turn. */
    private readonly turnEnd: TurnEnd,
    readonly rewardAt: RewardAt,
    /** The reward model has learned from plain text, although it has a template: its rewards of conversations mean little. */
    readonly isTrainedOnPlain: boolean,
  ) {}

  /** Opens the tokenizer and chat template of a model directory. */
  static async open(
    dir: string,
    { endIds = [], chatTemplate, rewardAt: chosen }: CodecOptions = {},
  ): Promise<TextCodec> {
    const tokenizer = await Tokenizer.load(dir);
    const template = chatTemplate
      ? new ChatTemplate(
          { default: await readFile(chatTemplate, "utf8") },
          tokenizer.specialTokens,
          chatTemplate,
        )
      : await ChatTemplate.load(dir);
    const turnEnd = endOfTurn(template, tokenizer);
    const end = tokenizer.eosId ?? endIds[0] ?? turnEnd.id;
    if (end === undefined)
      throw new UserError(`${dir}: neither config.json nor the tokenizer names an end token (eos)`);
    const stops = [tokenizer.eosId, ...endIds, turnEnd.id].filter((id) => id !== null && id !== undefined);
    const settings = await readJsonIfPresent(join(dir, rewardFile));
    const rewardAt = chosen ?? (settings?.reward_at === "end_token" ? "end_token" : "template_end");
    const isTrainedOnPlain = settings?.trained_on === PLAIN;
    const stopIds = [...new Set(stops)];
    return new TextCodec(dir, tokenizer, template, end, stopIds, turnEnd, rewardAt, isTrainedOnPlain);
  }

  /** The stop tokens for a person: `"<|im_end|>" (2), "</s>" (0)`. */
  describeStops(): string {
    return this.stopIds
      .map((id) => `${JSON.stringify(this.tokenizer.tokenOf(id) ?? "?")} (${id})`)
      .join(", ");
  }

  /** Whether conversations can be written. */
  get hasTemplate(): boolean {
    return this.template !== null;
  }

  /** Whether a text is a conversation that the template has written already. */
  isRendered(text: string): boolean {
    const { id, opening } = this.turnEnd;
    const end = id === undefined ? null : this.tokenizer.tokenOf(id);
    return (end !== null && text.includes(end)) || (opening !== "" && text.trimEnd().endsWith(opening));
  }

  /** The prompt as the model sees it, up to where a completion begins. */
  prompt(prompt: Text, row: RowContext = {}): number[] {
    if (typeof prompt !== "string") return this.encodeBare(this.render(prompt, true, row));
    return this.atLeastOne([...this.tokenizer.frame.before, ...this.encodeBare(prompt)]);
  }

  /** The mark with which the prompt, as the model sees it, has opened a thought already. */
  openThought(prompt: Text, row: RowContext = {}): string | undefined {
    return openThoughtOf(typeof prompt === "string" ? prompt : this.render(prompt, true, row));
  }

  /** Prompt and completion, the completion with its end token. */
  sequence(prompt: Text, completion: Text, row: RowContext = {}): EncodedRow {
    const { text, boundary, before } = this.join(prompt, completion, row);
    const { ids, starts, ends } = this.tokenizer.encodeWithOffsets(text, { addSpecialTokens: false });
    const first = ends.findIndex((end) => end > boundary);
    const tokens = this.atLeastOne([...before, ...ids]);
    const added = tokens.length - ids.length;
    const promptLength = first < 0 ? tokens.length : first + added;
    const spansBoundary = first >= 0 && starts[first]! < boundary;
    // A model predicts a token from at least one before it.
    const head = promptLength === 0 ? [this.tokenizer.bosId ?? this.endId] : [];
    const whole = [...head, ...this.ended(tokens, promptLength, typeof completion !== "string")];
    return {
      tokens: whole,
      promptLength: promptLength + head.length,
      ...(spansBoundary && { spansBoundary }),
    };
  }

  /** Prompt and completion for a reward model, which reads the last token. No boundary is needed. */
  scored(prompt: Text, completion: Text, row: RowContext = {}): number[] {
    if (typeof completion === "string") return Array.from(this.sequence(prompt, completion, row).tokens);
    const tokens = this.encodeBare(this.render([...turnsOf(prompt), ...completion], false, row));
    return this.rewardAt === "end_token" ? this.ended(tokens, 0, true) : tokens;
  }

  /** `scored` with the boundary: `tokens` up to the end token, `after` what the reward model reads beyond it. */
  scoredSequence(prompt: Text, completion: Text, row: RowContext = {}): ScoredSequence {
    const whole = this.scored(prompt, completion, row);
    const tokens = typeof completion === "string" ? whole : this.ended(whole, 0, true).slice(0, whole.length);
    return {
      tokens,
      promptLength: this.promptLength(prompt, completion, row),
      after: whole.slice(tokens.length),
    };
  }

  /** 1 where the template does not let prompt and reply be told apart. */
  private promptLength(prompt: Text, completion: Text, row: RowContext): number {
    try {
      return this.sequence(prompt, completion, row).promptLength;
    } catch (error) {
      if (error instanceof UserError) return 1;
      throw error;
    }
  }

  /** A sampled response to a conversation as a reward model reads it: with what the template writes after a turn. Tokens of no known prompt stay as they are. */
  closed(prompt: Text | undefined, tokens: TokenIds): TokenIds {
    const { id, after } = this.turnEnd;
    const isClosed = Array.isArray(prompt) && tokens[tokens.length - 1] === id;
    return isClosed && this.rewardAt === "template_end" ? [...Array.from(tokens), ...after] : tokens;
  }

  /** A whole text to learn from its first token on. */
  text(text: string): EncodedRow {
    const tokens = this.atLeastOne([...this.tokenizer.frame.before, ...this.encodeBare(text)]);
    return { tokens: this.ended(tokens, 1, false), promptLength: 1 };
  }

  /** The text of a completion, without special tokens. */
  decode(tokens: ArrayLike<number>): string {
    return this.tokenizer.decode(Array.from(tokens), { skipSpecialTokens: true });
  }

  /** One text, and where in it the completion begins. */
  private join(prompt: Text, completion: Text, row: RowContext) {
    if (typeof completion === "string") {
      const isPlain = typeof prompt === "string";
      const head = isPlain ? prompt : this.render(prompt, true, row);
      const before = isPlain ? this.tokenizer.frame.before : [];
      return { text: head + completion, boundary: head.length, before };
    }
    const turns = turnsOf(prompt);
    const text = this.render([...turns, ...completion], false, row);
    return { text, boundary: this.boundaryIn(text, turns, row), before: [] };
  }

  /**
   * The reply begins where the generation prompt ends. A template that begins a reply otherwise than its generation prompt
   * does (with a thought that it leaves out of the past, say) begins it after what the two share, if that has all turns.
   */
  private boundaryIn(whole: string, turns: readonly Message[], row: RowContext): number {
    const head = this.render(turns, true, row);
    if (whole.startsWith(head)) return head.length;
    let shared = 0;
    while (shared < head.length && head[shared] === whole[shared]) shared++;
    const past = turns.length > 0 ? this.render(turns, false, row) : "";
    if (head.startsWith(past) && shared >= past.length) return shared;
    throw new UserError(
      `${this.dir}: its chat template does not write a reply after the generation prompt, so replies cannot be told from prompts`,
    );
  }

  /**
   * One end token, the last: what a template writes after it (a newline, say) is no part of the reply. `isTurn`: the
   * template has written the end.
   */
  private ended(tokens: number[], from: number, isTurn: boolean): number[] {
    const ends = isTurn ? new Set([this.turnEnd.id, ...this.stopIds]) : new Set(this.stopIds);
    if (ends.has(tokens.at(-1)!) && tokens.length > from) return tokens;
    if (isTurn) {
      const last = tokens.findLastIndex((id, i) => i >= from && ends.has(id));
      // Only blanks and marks of the template may follow it; an end token inside the reply's own text is text.
      if (last >= 0 && tokens.length - last - 1 <= this.turnEnd.after.length)
        return tokens.slice(0, last + 1);
      return [...tokens, this.turnEnd.id ?? this.endId];
    }
    return [...tokens, this.endId];
  }

  private encodeBare(text: string): number[] {
    return this.tokenizer.encode(text, { addSpecialTokens: false });
  }

  private atLeastOne(tokens: number[]): number[] {
    if (tokens.length > 0) return tokens;
    return [this.tokenizer.bosId ?? this.endId];
  }

  private render(messages: readonly Message[], addGenerationPrompt: boolean, row: RowContext): string {
    if (!this.template)
      throw new UserError(
        `the data are conversations, but ${this.dir} has no chat template; add chat_template.jinja or name one in the recipe (chat_template)`,
      );
    const { template } = this;
    const tools = toolsOf(row);
    const options = { addGenerationPrompt, ...(tools && { tools }), variables: variablesOf(row) };
    const joined = () =>
      template.apply(
        messages.map((message) => ({ ...message })),
        options,
      );
    if (!messages.some((message) => contentAsWritten in message)) return joined();
    try {
      const text = template.apply(messages.map(asWritten), options);
      if (!printedParts.test(text)) return text;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
    }
    return joined();
  }
}

/** A message for a template that reads parts of text, or whether there is content at all. */
function asWritten({ content, ...message }: Message): ChatMessage {
  if (!(contentAsWritten in message)) return { ...message, content };
  const { [contentAsWritten]: written, ...rest } = message;
  return written === undefined ? rest : { ...rest, content: written };
}

/** What a template that knows no parts makes of them: Python's list as text. */
const printedParts = /\[\{'(type|text)': '/;

const turnsOf = (prompt: Text): readonly Message[] => {
  if (typeof prompt !== "string") return prompt;
  return prompt === "" ? [] : [{ role: "user", content: prompt }];
};

interface TurnEnd {
  /** The token after an assistant's words, where the template writes one that is special or added. */
  id?: number;
  /** What follows it. */
  after: readonly number[];
  /** What stands between a user's words and the reply, without blanks around it. */
  opening: string;
}

/** Words that no template changes. */
const probe = "touchstone";

/** What a template writes after an assistant's words. */
function endOfTurn(template: ChatTemplate | null, tokenizer: Tokenizer): TurnEnd {
  if (!template) return { after: [], opening: "" };
  const opening = openingOf(template);
  const turns = [
    { role: "user", content: "?" },
    { role: "assistant", content: probe },
  ];
  let text: string;
  try {
    text = template.apply(turns);
  } catch {
    return { after: [], opening };
  }
  const at = text.lastIndexOf(probe);
  if (at < 0) return { after: [], opening };
  const { ids, starts } = tokenizer.encodeWithOffsets(text, { addSpecialTokens: false });
  const tail = ids.filter((_, i) => starts[i]! >= at + probe.length);
  const first = tail.findIndex((id) => tokenizer.isAdded(id) && !isByteToken(tokenizer.tokenOf(id)!));
  return first < 0 ? { after: [], opening } : { id: tail[first]!, after: tail.slice(first + 1), opening };
}

function openingOf(template: ChatTemplate): string {
  try {
    const text = template.apply([{ role: "user", content: probe }], { addGenerationPrompt: true });
    return text.slice(text.lastIndexOf(probe) + probe.length).trim();
  } catch {
    return "";
  }
}

/** Some files list the tokens of single bytes among the added ones: `<0x3C>` is `<`, which ends no turn. */
const isByteToken = (token: string): boolean => /^<0x[0-9A-F]{2}>$/.test(token);

/** The tools of a row: a list of JSON schemas, or the JSON text of one. */
function toolsOf({ tools }: RowContext): Json[] | undefined {
  if (tools === undefined || tools === null || tools === "") return undefined;
  let list: unknown = tools;
  if (typeof tools === "string") {
    try {
      list = parseJson(tools, { wholeFloats: true });
    } catch (error) {
      throw new UserError(`"tools" is text that is not JSON: ${(error as Error).message}`);
    }
  }
  if (list === null) return undefined;
  if (!Array.isArray(list) || !list.every(isObject))
    throw new UserError('"tools" must be a list of JSON schemas, or its JSON text');
  return list;
}

function variablesOf({ chat_template_kwargs: given }: RowContext): Readonly<Record<string, unknown>> {
  if (given === undefined || given === null) return {};
  if (!isObject(given)) throw new UserError('"chat_template_kwargs" must be an object');
  return given;
}

/** `work` on a row; what is wrong with it is said with the row's place. */
export function atRow<T>(id: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof UserError && !error.message.startsWith(id))
      throw new UserError(`${id}: ${error.message}`);
    throw error;
  }
}
