// The tokenizer of a model directory, with the ids, positions and text of Hugging Face's Rust `tokenizers` as
// `transformers` sets it up. Its parts (normalizers, pre-tokenizers, models, ...) are in tokenization/, a file each.
import { createHash } from "node:crypto";
import { join } from "node:path";
import { UserError } from "../base/errors.js";
import { isObject, type Json, readJson, readJsonIfPresent } from "./json.js";
import { AddedVocabulary, readAddedTokens } from "./tokenization/added-tokens.js";
import { createDecoder, type Decoder } from "./tokenization/decoders.js";
import { createModel, type TokenModel } from "./tokenization/models.js";
import { createNormalizer } from "./tokenization/normalizers.js";
import { Piece } from "./tokenization/pieces.js";
import { createFrame, type Frame } from "./tokenization/post-processors.js";
import { createPreTokenizer, type PreTokenizer } from "./tokenization/pre-tokenizers.js";
import { wrong } from "./tokenization/schema.js";
import { mergeSpecialTokens, type TokenFiles } from "./tokenization/special-tokens.js";

export interface EncodeOptions {
  /** Adds what the post-processor adds, e.g. a begin token. Default true, as in `transformers`. */
  addSpecialTokens?: boolean;
}

export interface DecodeOptions {
  /** Default false, as in `transformers`. */
  skipSpecialTokens?: boolean;
}

/** Tokens with the stretch of the text that each stands for, in UTF-16 units. */
export interface Encoding {
  ids: number[];
  starts: number[];
  ends: number[];
}

export class Tokenizer {
  /** The named special tokens, as chat templates see them. */
  readonly specialTokens: Readonly<Record<string, string>>;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number | null;
  readonly unkId: number | null;
  /** One more than the largest token id. */
  readonly vocabSize: number;
  /** Ids that `skipSpecialTokens` leaves out. */
  readonly specialIds: ReadonlySet<number>;
  /** Texts that are one token whatever stands around them, special ones among them. */
  readonly addedTokens: readonly string[];
  /** Equal for tokenizers that map every text to the same ids. */
  readonly hash: string;
  /** What the post-processor puts before and after a text. */
  readonly frame: Readonly<Frame>;
  private readonly model: TokenModel;
  private readonly added: AddedVocabulary;
  private readonly preTokenizer: PreTokenizer | null;
  private readonly decoder: Decoder | null;

  /** `file` is named in error messages. */
  constructor({ json, config = {}, map, added }: TokenFiles, file = "tokenizer.json") {
    try {
      const normalizer = createNormalizer(partOf(json, "normalizer"), "normalizer");
      this.preTokenizer = createPreTokenizer(partOf(json, "pre_tokenizer"), "pre_tokenizer");
      this.model = createModel(json.model, "model");
      this.decoder = createDecoder(partOf(json, "decoder"), "decoder");
      const special = mergeSpecialTokens({ json, config, map, added });
      this.added = new AddedVocabulary(this.model, normalizer, config.split_special_tokens === true);
      this.added.add(readAddedTokens(json.added_tokens, "added_tokens"));
      this.added.add(special.toAdd);
      this.added.add(special.special);
      this.specialTokens = special.named;
      const id = (name: string) => this.idOf(special.named[name] ?? "");
      this.bosId = id("bos_token");
      this.eosId = id("eos_token");
      this.padId = id("pad_token");
      this.unkId = id("unk_token");
      // `add_bos_token` and `add_eos_token` of tokenizer_config.json count for nothing beside a tokenizer.json.
      this.frame = createFrame(partOf(json, "post_processor"), "post_processor");
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      throw new UserError(`${file}: ${error.message}`);
    }
    const ids = [...this.added.byId];
    this.specialIds = new Set(
      ids.filter(([, { content }]) => this.added.isSpecial(content)).map(([id]) => id),
    );
    this.addedTokens = ids.map(([, { content }]) => content);
    this.vocabSize = ids.reduce((most, [id]) => Math.max(most, id + 1), this.model.idCount);
    this.hash = hashTokenizer(json);
  }

  /** Reads tokenizer.json and, for special and added tokens, the files beside it. */
  static async load(dir: string): Promise<Tokenizer> {
    const file = join(dir, "tokenizer.json");
    const json = await readJson(
      file,
      "a model directory needs the tokenizer.json of its Hugging Face repository",
    );
    return new Tokenizer(
      {
        json,
        config: await readJsonIfPresent(join(dir, "tokenizer_config.json")),
        map: await readJsonIfPresent(join(dir, "special_tokens_map.json")),
        added: await readJsonIfPresent(join(dir, "added_tokens.json")),
      },
      file,
    );
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    return this.encodeWithOffsets(text, options).ids;
  }

  /** Tokens and where they are in `text`; what the post-processor adds stands for nothing, at its beginning or end. */
  encodeWithOffsets(text: string, { addSpecialTokens = true }: EncodeOptions = {}): Encoding {
    const { before, after } = addSpecialTokens ? this.frame : { before: [], after: [] };
    const encoding: Encoding = {
      ids: [...before],
      starts: before.map(() => 0),
      ends: before.map(() => 0),
    };
    for (const part of this.added.extract(text)) {
      if (part instanceof Piece) this.encodePiece(part, encoding);
      else append(encoding, part.id, part.start, part.end);
    }
    for (const id of after) append(encoding, id, text.length, text.length);
    return encoding;
  }

  private encodePiece(piece: Piece, encoding: Encoding): void {
    for (const part of this.preTokenizer ? this.preTokenizer([piece]) : [piece]) {
      if (part.text === "") continue;
      for (const { id, from, to } of this.model.tokenize(part.text))
        append(encoding, id, part.startOf(from), part.endOf(to));
    }
  }

  /** Ids outside the vocabulary have no text. */
  decode(ids: Iterable<number>, { skipSpecialTokens = false }: DecodeOptions = {}): string {
    const tokens: string[] = [];
    for (const id of ids) {
      const token = this.added.decodedOf(id);
      if (token !== undefined && !(skipSpecialTokens && this.added.isSpecial(token))) tokens.push(token);
    }
    return this.decoder ? this.decoder(tokens).join("") : tokens.join(" ");
  }

  /** The id of one token's exact text; null when the vocabulary lacks it. */
  idOf(token: string): number | null {
    return this.added.idOf(token) ?? null;
  }

  /** Whether the id is of an added token, which the text around it cannot change. */
  isAdded(id: number): boolean {
    return this.added.byId.has(id);
  }

  /** The text of one token as the vocabulary has it. */
  tokenOf(id: number): string | null {
    return this.added.tokenOf(id) ?? null;
  }
}

function append({ ids, starts, ends }: Encoding, id: number, start: number, end: number): void {
  ids.push(id);
  starts.push(start);
  ends.push(end);
}

/** A part of tokenizer.json, null where it has none. */
function partOf(json: Json, key: string): Json | null {
  const part = json[key] ?? null;
  if (part !== null && !isObject(part)) throw wrong(key, "an object or null", part);
  return part;
}

/**
 * Decodes a growing completion piece by piece, for stop strings and live display. Only the last few tokens are decoded
 * again, and a character whose bytes are still incomplete is held back.
 */
export class StreamDecoder {
  private readonly ids: number[] = [];
  /** Tokens before `start` cannot change the text after them; the text of those before `shown` has been returned. */
  private start = 0;
  private shown = 0;

  constructor(
    private readonly tokenizer: { decode(ids: number[], options?: DecodeOptions): string },
    private readonly options: DecodeOptions = {},
  ) {}

  /** The text that `id` completes; empty while it only begins a character. */
  push(id: number): string {
    this.ids.push(id);
    const before = this.tokenizer.decode(this.ids.slice(this.start, this.shown), this.options);
    const after = this.tokenizer.decode(this.ids.slice(this.start), this.options);
    if (after.endsWith("\ufffd") || after.length <= before.length) return "";
    this.start = this.shown;
    this.shown = this.ids.length;
    return after.slice(before.length);
  }
}

/** Padding and truncation are settings of a caller, not of the mapping from text to ids. */
export function hashTokenizer({ padding: _, truncation: __, ...mapping }: Json): string {
  return createHash("sha256").update(JSON.stringify(mapping)).digest("hex");
}
