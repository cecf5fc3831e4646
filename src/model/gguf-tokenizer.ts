// tokenizer.json and tokenizer_config.json from the metadata of a GGUF file. llama.cpp names the splitting rule of a
// byte-level BPE by a word (`tokenizer.ggml.pre`); an unknown word is refused, because a wrong rule gives wrong ids
// that nobody sees. SentencePiece vocabularies become BPE with byte fallback, their merges ordered by score.

import { UserError } from "../base/errors.js";
import type { GgufHeader } from "./gguf.js";

type Json = Record<string, unknown>;

export interface GgufTokenizerFiles {
  tokenizer: Json;
  config: { file: Json; ids: Json };
  /** Every token that ends a turn or a text. */
  eos: number[];
}

/** llama.cpp's token types. */
export const tokenType = {
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
} as const;

const byteLevel = (useRegex: boolean): Json => ({
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: useRegex,
});
const split = (regex: string): Json => ({
  type: "Split",
  pattern: { Regex: regex },
  behavior: "Isolated",
  invert: false,
});
const sequence = (...pretokenizers: Json[]): Json => ({ type: "Sequence", pretokenizers });

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const words = (digits: string) =>
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const digitsApart = sequence({ type: "Digits", individual_digits: true }, byteLevel(true));
const threeDigits = sequence(split(words("{1,3}")), byteLevel(false));

export interface Splitting {
  preTokenizer: Json;
  normalizer?: Json;
  /** A word that is a token is that token, whatever the merges say. */
  ignoreMerges?: boolean;
  addBos?: boolean;
}

const cased = (first: string, then: string) =>
  `[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]${first}[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]${then}${contractions}?`;
/** The splitting rule of o200k (GPT-4o, Phi-4-mini). */
const casedWords = `${cased("*", "+")}|${cased("+", "*")}|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

/** By `tokenizer.ggml.pre`. */
export const splittings: Readonly<Record<string, Splitting>> = {
  default: { preTokenizer: byteLevel(true) },
  "gpt-2": { preTokenizer: byteLevel(true) },
  smollm: { preTokenizer: digitsApart },
  refact: { preTokenizer: digitsApart },
  starcoder: { preTokenizer: digitsApart },
  "llama-bpe": { preTokenizer: threeDigits, ignoreMerges: true, addBos: true },
  llama3: { preTokenizer: threeDigits, ignoreMerges: true, addBos: true },
  "smaug-bpe": { preTokenizer: threeDigits },
  dbrx: { preTokenizer: threeDigits },
  "gpt-4o": { preTokenizer: sequence(split(casedWords), byteLevel(false)) },
  qwen2: { preTokenizer: sequence(split(words("")), byteLevel(false)), normalizer: { type: "NFC" } },
};

export function ggufTokenizer(header: GgufHeader): GgufTokenizerFiles {
  const key = (name: string) => `tokenizer.ggml.${name}`;
  const kind = header.string(key("model"));
  const tokens = header.array(key("tokens"), "string");
  if (kind === undefined || !tokens)
    throw new UserError(`${header.file} holds no tokenizer (metadata "${key("model")}", "${key("tokens")}")`);
  const types = header.array(key("token_type"), "number") ?? [];
  const model = { gpt2: byteLevelBpe, llama: sentencePiece }[kind];
  if (!model)
    throw new UserError(
      `${header.file}: tokenizer "${kind}" is not supported (gpt2, llama: BPE and SentencePiece)`,
    );
  const id = (name: string): number | undefined => {
    const value = header.number(key(`${name}_token_id`));
    return value !== undefined && value >= 0 && value < tokens.length ? value : undefined;
  };
  const [bos, eos, pad, unk] = [id("bos"), id("eos"), id("padding"), id("unknown")];
  const isSpecial = (i: number) =>
    types[i] === tokenType.control || (kind === "llama" && types[i] === tokenType.unknown);
  const added = tokens.flatMap((content, i) =>
    isSpecial(i) || types[i] === tokenType.userDefined
      ? [
          {
            id: i,
            content,
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
            special: isSpecial(i),
          },
        ]
      : [],
  );
  const parts = model(header, tokens, types);
  const addBos = (header.boolean(key("add_bos_token")) ?? parts.addBos) && bos !== undefined;
  const addEos = (header.boolean(key("add_eos_token")) ?? false) && eos !== undefined;
  const around = [...(addBos ? [bos] : []), ...(addEos ? [eos] : [])] as number[];
  const template = (special: number): Json => ({ SpecialToken: { id: tokens[special], type_id: 0 } });
  const postProcessor =
    around.length === 0
      ? parts.postProcessor
      : {
          type: "TemplateProcessing",
          single: [
            ...(addBos ? [template(bos!)] : []),
            { Sequence: { id: "A", type_id: 0 } },
            ...(addEos ? [template(eos!)] : []),
          ],
          pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 0 } }],
          special_tokens: Object.fromEntries(
            around.map((i) => [tokens[i]!, { id: tokens[i], ids: [i], tokens: [tokens[i]] }]),
          ),
        };
  const chatTemplate = header.string("tokenizer.chat_template");
  const named = { bos_token: bos, eos_token: eos, pad_token: pad, unk_token: unk };
  const ends = [eos, id("eot"), id("eom")].filter((end) => end !== undefined);
  return {
    tokenizer: {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: added,
      normalizer: parts.normalizer,
      pre_tokenizer: parts.preTokenizer,
      post_processor: postProcessor,
      decoder: parts.decoder,
      model: parts.model,
    },
    config: {
      file: {
        tokenizer_class: "PreTrainedTokenizerFast",
        clean_up_tokenization_spaces: false,
        ...Object.fromEntries(
          Object.entries(named).flatMap(([name, i]) => (i === undefined ? [] : [[name, tokens[i]]])),
        ),
        ...(chatTemplate !== undefined && { chat_template: chatTemplate }),
      },
      ids: {
        bos_token_id: bos ?? null,
        eos_token_id: eos ?? null,
        pad_token_id: pad ?? null,
      },
    },
    eos: [...new Set(ends)],
  };
}

interface TokenizerParts {
  model: Json;
  normalizer: Json | null;
  preTokenizer: Json | null;
  postProcessor: Json | null;
  decoder: Json;
  addBos: boolean;
}

const bpe = { type: "BPE", dropout: null, continuing_subword_prefix: null, end_of_word_suffix: null };

/** The first id of every token; a vocabulary repeats none but unused ones. */
function vocabulary(tokens: readonly string[]): Record<string, number> {
  const vocab = new Map<string, number>();
  tokens.forEach((token, i) => {
    if (!vocab.has(token)) vocab.set(token, i);
  });
  return Object.fromEntries(vocab);
}

function byteLevelBpe(header: GgufHeader, tokens: readonly string[]): TokenizerParts {
  const pre = header.string("tokenizer.ggml.pre") ?? "default";
  const splitting = Object.hasOwn(splittings, pre) ? splittings[pre]! : undefined;
  if (!splitting)
    throw new UserError(
      `${header.file}: the splitting rule "${pre}" of its tokenizer is not known (${Object.keys(splittings).join(", ")})`,
    );
  const merges = header.array("tokenizer.ggml.merges", "string");
  if (!merges)
    throw new UserError(`${header.file} lacks the merges of its tokenizer ("tokenizer.ggml.merges")`);
  const whole = { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true };
  return {
    model: {
      ...bpe,
      unk_token: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: splitting.ignoreMerges ?? false,
      vocab: vocabulary(tokens),
      merges: merges.map((merge) => merge.split(" ")),
    },
    normalizer: splitting.normalizer ?? null,
    preTokenizer: splitting.preTokenizer,
    postProcessor: whole,
    decoder: whole,
    addBos: splitting.addBos ?? false,
  };
}

/** Every pair of tokens that makes a token, the likelier token first, as SentencePiece merges them. */
export function mergesByScore(tokens: readonly string[], scores: readonly number[]): [string, string][] {
  const ids = new Map(tokens.map((token, i) => [token, i]));
  const merges: { pair: [string, string]; score: number; left: number; right: number }[] = [];
  tokens.forEach((token, i) => {
    const letters = Array.from(token);
    let prefix = "";
    for (const letter of letters.slice(0, -1)) {
      prefix += letter;
      const rest = token.slice(prefix.length);
      const [left, right] = [ids.get(prefix), ids.get(rest)];
      if (left !== undefined && right !== undefined)
        merges.push({ pair: [prefix, rest], score: scores[i]!, left, right });
    }
  });
  return merges
    .sort((a, b) => b.score - a.score || a.left - b.left || a.right - b.right)
    .map(({ pair }) => pair);
}

function sentencePiece(
  header: GgufHeader,
  tokens: readonly string[],
  types: readonly number[],
): TokenizerParts {
  const scores = header.array("tokenizer.ggml.scores", "number");
  if (!scores || scores.length !== tokens.length)
    throw new UserError(`${header.file} lacks the scores of its tokenizer ("tokenizer.ggml.scores")`);
  const addSpace = header.boolean("tokenizer.ggml.add_space_prefix") ?? true;
  const unknown = types.indexOf(tokenType.unknown);
  const space = { type: "Replace", pattern: { String: " " }, content: "▁" };
  const strip = { type: "Strip", content: " ", start: 1, stop: 0 };
  return {
    model: {
      ...bpe,
      unk_token: unknown < 0 ? null : tokens[unknown],
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: vocabulary(tokens),
      merges: mergesByScore(tokens, scores),
    },
    normalizer: addSpace
      ? { type: "Sequence", normalizers: [{ type: "Prepend", prepend: "▁" }, space] }
      : space,
    preTokenizer: null,
    postProcessor: null,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        ...(addSpace ? [strip] : []),
      ],
    },
    addBos: true,
  };
}
