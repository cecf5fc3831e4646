// The tokenizer of a model directory (tokenizer.json, tokenizer_config.json), with the ids and the text of Hugging
// Face's Rust `tokenizers`. Encoding is the work of `@huggingface/tokenizers`; where its pre-tokenizers differ from the
// Rust library, `adaptPreTokenizer` puts it right. Decoding is here: the package differs for invalid byte-fallback runs
// and for Metaspace, and searches the list of added tokens for every byte-level token.
import { createHash } from "node:crypto";
import { join } from "node:path";
import { Tokenizer as HfTokenizer } from "@huggingface/tokenizers";
import { UserError } from "../base/errors.js";
import { isObject, type Json, readJson, readJsonIfPresent } from "./json.js";

const specialNames = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
] as const;
export type SpecialName = (typeof specialNames)[number];

export interface EncodeOptions {
  /** Adds what the post-processor adds, e.g. a begin token. Default true, as in `transformers`. */
  addSpecialTokens?: boolean;
}

export interface DecodeOptions {
  /** Default false, as in `transformers`. */
  skipSpecialTokens?: boolean;
}

export class Tokenizer {
  /** The named special tokens, as chat templates see them. */
  readonly specialTokens: Readonly<Partial<Record<SpecialName, string>>>;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number | null;
  readonly unkId: number | null;
  /** One more than the largest token id. */
  readonly vocabSize: number;
  /** Ids that `skipSpecialTokens` leaves out. */
  readonly specialIds: ReadonlySet<number>;
  /** Equal for tokenizers that map every text to the same ids. */
  readonly hash: string;
  private readonly inner: HfTokenizer;
  private readonly decoder: DecodeStep | null;

  /** `json` is tokenizer.json, `config` tokenizer_config.json, `file` is named in error messages. */
  constructor(json: Json, config: Json = {}, file = "tokenizer.json") {
    const named = namedTokens(config);
    this.specialTokens = named;
    try {
      const adapted = adaptTokenizer(json, Object.values(named), file);
      this.inner = new HfTokenizer(adapted, {});
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw new UserError(`${file} is not a tokenizer that can be read: ${(error as Error).message}`);
    }
    this.decoder = createDecoder((json.decoder ?? null) as Json | null, file);
    const id = (name: SpecialName) => this.idOf(named[name] ?? "");
    this.bosId = id("bos_token");
    this.eosId = id("eos_token");
    this.padId = id("pad_token");
    this.unkId = id("unk_token");
    const added = [...this.inner.get_added_tokens_decoder()];
    this.specialIds = new Set(added.filter(([, token]) => token.special).map(([id]) => id));
    this.vocabSize = this.inner.model!.vocab.length;
    this.hash = hashTokenizer(json);
  }

  /** Reads tokenizer.json and, for the named special tokens, tokenizer_config.json or special_tokens_map.json. */
  static async load(dir: string): Promise<Tokenizer> {
    const file = join(dir, "tokenizer.json");
    const json = await readJson(
      file,
      "a model directory needs the tokenizer.json of its Hugging Face repository",
    );
    const config = await readJsonIfPresent(join(dir, "tokenizer_config.json"));
    const map = await readJsonIfPresent(join(dir, "special_tokens_map.json"));
    return new Tokenizer(json, { ...map, ...config }, file);
  }

  encode(text: string, { addSpecialTokens = true }: EncodeOptions = {}): number[] {
    return this.inner.encode(text, { add_special_tokens: addSpecialTokens }).ids;
  }

  /** Ids outside the vocabulary have no text. */
  decode(ids: Iterable<number>, { skipSpecialTokens = false }: DecodeOptions = {}): string {
    const tokens: string[] = [];
    for (const id of ids) {
      const token = this.inner.id_to_token(id);
      if (token !== undefined && !(skipSpecialTokens && this.specialIds.has(id))) tokens.push(token);
    }
    return this.decoder ? this.decoder(tokens).join("") : tokens.join(" ");
  }

  /** The id of one token's exact text; null when the vocabulary lacks it. */
  idOf(token: string): number | null {
    return this.inner.token_to_id(token) ?? null;
  }
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
    private readonly tokenizer: Tokenizer,
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

/** The special tokens that tokenizer_config.json names. */
export function namedTokens(config: Json): Partial<Record<SpecialName, string>> {
  const named: Partial<Record<SpecialName, string>> = {};
  for (const name of specialNames) {
    const content = contentOf(config[name]);
    if (content !== undefined) named[name] = content;
  }
  return named;
}

/** Special tokens are strings, or objects that carry one. */
function contentOf(token: unknown): string | undefined {
  if (typeof token === "string") return token;
  return isObject(token) && typeof token.content === "string" ? token.content : undefined;
}

function adaptTokenizer(json: Json, named: readonly string[], file: string): Json {
  return {
    normalizer: null,
    post_processor: null,
    decoder: null,
    ...json,
    added_tokens: withNamedTokens(json, named),
    pre_tokenizer: adaptPreTokenizer((json.pre_tokenizer ?? null) as Json | null, file),
  };
}

/** `transformers` makes every named token an added, special one, appending those that the vocabulary lacks. */
function withNamedTokens(json: Json, named: readonly string[]): Json[] {
  const added = ((json.added_tokens ?? []) as Json[]).map((token) =>
    named.includes(token.content as string) ? { ...token, special: true } : token,
  );
  const model = json.model as { vocab: Record<string, number> };
  const known = new Set(added.map((token) => token.content));
  const missing = [...new Set(named)].filter((content) => !known.has(content));
  if (missing.length === 0 || Array.isArray(model.vocab)) return added;
  let next = 0;
  for (const id of [...Object.values(model.vocab), ...added.map(({ id }) => id as number)])
    next = Math.max(next, id + 1);
  for (const content of missing) {
    const id = Object.hasOwn(model.vocab, content) ? model.vocab[content]! : next++;
    added.push({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    });
  }
  return added;
}

/** GPT-2's pattern, which the Rust `ByteLevel` applies; its `\s` is the Unicode property, unlike JavaScript's. */
const gpt2Pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const split = (pattern: string): Json => ({
  type: "Split",
  pattern: { Regex: pattern },
  behavior: "Isolated",
  invert: false,
});

/**
 * Rewrites the pre-tokenizers whose JavaScript version splits differently from the Rust one into equivalent ones that
 * agree:
 * - `ByteLevel` with its own pattern uses JavaScript's `\s`, which has U+FEFF and lacks U+0085;
 * - `Digits` knows ASCII digits only, Rust every numeric character;
 * - `Punctuation` joins runs, Rust isolates each mark by default;
 * - `Metaspace` ignores `split` (default true: a piece begins at every replacement character) and the older
 *   `add_prefix_space`;
 * - an inverted, isolated `Split` drops what lies between the matches, Rust keeps it.
 */
function adaptPreTokenizer(config: Json | null, file: string): Json | null {
  if (config === null) return null;
  const sequence = (...pretokenizers: Json[]): Json => ({ type: "Sequence", pretokenizers });
  switch (config.type) {
    case "Sequence":
      return sequence(...(config.pretokenizers as Json[]).map((part) => adaptPreTokenizer(part, file)!));
    case "ByteLevel": {
      if (config.use_regex === false) return config;
      const bytes = { ...config, use_regex: false, add_prefix_space: false };
      // A space for a space: of `Metaspace` only the prefix remains.
      const prefix = { type: "Metaspace", replacement: " ", prepend_scheme: "always" };
      return config.add_prefix_space
        ? sequence(prefix, split(gpt2Pattern), bytes)
        : sequence(split(gpt2Pattern), bytes);
    }
    case "Digits":
      return split(config.individual_digits ? "\\p{N}" : "\\p{N}+");
    case "Punctuation":
      if ((config.behavior ?? "Isolated") !== "Isolated") return config;
      return split("[\\p{P}\\x21-\\x2F\\x3A-\\x40\\x5B-\\x60\\x7B-\\x7E]");
    case "Metaspace": {
      const { replacement = "\u2581", add_prefix_space: prefix = true, split: splits = true } = config;
      const metaspace = { ...config, prepend_scheme: config.prepend_scheme ?? (prefix ? "always" : "never") };
      return splits ? sequence(metaspace, split(`${replacement}[^${replacement}]*`)) : metaspace;
    }
    case "Split": {
      const behavior = config.behavior;
      if (behavior !== "Isolated" && behavior !== "Removed") {
        throw new UserError(`${file}: pre-tokenizer Split with behavior "${behavior}" is not supported`);
      }
      return behavior === "Isolated" ? { ...config, invert: false } : config;
    }
    default:
      return config;
  }
}

/** The inverse of GPT-2's map from bytes to printable characters. */
const byteOfCharacter = new Map<string, number>();
for (let byte = 0, next = 256; byte < 256; byte++) {
  const isPrintable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  byteOfCharacter.set(String.fromCharCode(isPrintable ? byte : next++), byte);
}

const lossyUtf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const strictUtf8 = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** One step of decoding: tokens to pieces of text. */
type DecodeStep = (tokens: string[]) => string[];

function createDecoder(config: Json | null, file: string): DecodeStep | null {
  if (config === null) return null;
  const create = decoders[config.type as string];
  if (create === undefined) throw new UserError(`${file}: decoder "${config.type}" is not supported`);
  return create(config, file);
}

const decoders: Record<string, (config: Json, file: string) => DecodeStep> = {
  ByteLevel: () => decodeByteLevel,
  ByteFallback: () => decodeByteFallback,
  Fuse: () => (tokens) => [tokens.join("")],
  Sequence: (config, file) => {
    const steps = (config.decoders as Json[]).map((step) => createDecoder(step, file)!);
    return (tokens) => steps.reduce((pieces, step) => step(pieces), tokens);
  },
  Replace: ({ pattern, content }) => {
    const { String: literal, Regex: regex } = pattern as { String?: string; Regex?: string };
    const from = regex === undefined ? literal! : new RegExp(regex, "gu");
    return (tokens) => tokens.map((token) => token.replaceAll(from, () => content as string));
  },
  Strip: ({ content, start, stop }) => {
    const inner = (token: string) => {
      let [from, to] = [0, token.length];
      while (from < Math.min(to, start as number) && token[from] === content) from++;
      while (to > from && token.length - to < (stop as number) && token[to - 1] === content) to--;
      return token.slice(from, to);
    };
    return (tokens) => tokens.map(inner);
  },
  /** The first token loses every replacement character, unless no prefix is ever added. */
  Metaspace: ({ replacement = "\u2581", prepend_scheme: scheme }) => {
    const first = scheme === "never" ? " " : "";
    return (tokens) =>
      tokens.map((token, i) => token.replaceAll(replacement as string, i === 0 ? first : " "));
  },
};

/** Decodes the bytes of all tokens together. */
function decodeByteLevel(tokens: string[]): string[] {
  const bytes: number[] = [];
  for (const token of tokens) {
    const own = Array.from(token, (character) => byteOfCharacter.get(character));
    // A token with other characters (an added one) stands for its own UTF-8 text.
    bytes.push(...(own.includes(undefined) ? Buffer.from(token, "utf8") : (own as number[])));
  }
  return [lossyUtf8.decode(Uint8Array.from(bytes))];
}

/** An invalid run of bytes becomes one replacement character for each byte. */
function decodeByteFallback(tokens: string[]): string[] {
  const out: string[] = [];
  let run: number[] = [];
  const flush = () => {
    if (run.length === 0) return;
    try {
      out.push(strictUtf8.decode(Uint8Array.from(run)));
    } catch {
      out.push(...run.map(() => "\ufffd"));
    }
    run = [];
  };
  for (const token of tokens) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
    if (byte !== undefined) {
      run.push(Number.parseInt(byte, 16));
    } else {
      flush();
      out.push(token);
    }
  }
  flush();
  return out;
}
