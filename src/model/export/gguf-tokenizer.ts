// The metadata that llama.cpp makes a tokenizer of (`tokenizer.ggml.*`, `tokenizer.chat_template`), from tokenizer.json:
// byte-level BPE whose splitting rule llama.cpp knows by name, and SentencePiece's BPE, whose merges become scores. What
// llama.cpp would encode otherwise is refused by name where all text is concerned, and is a note where some is.

import { UserError } from "../../base/errors.js";
import { mergesByScore, splittings, tokenType } from "../gguf-tokenizer.js";
import { isObject, type Json } from "../json.js";
import type { Tokenizer } from "../tokenizer.js";
import type { GgufEntry, GgufMetadata } from "./gguf-file.js";

export interface GgufTokenizerSource {
  /** tokenizer.json. */
  json: Json;
  tokenizer: Tokenizer;
  /** Chat templates by name. */
  templates: Readonly<Record<string, string>>;
  /** Rows of the embedding: ids beyond the tokenizer's are written as unused tokens. */
  vocabSize: number;
  /** Every token that ends a turn or a text, the tokenizer's own end first. */
  endIds: readonly number[];
  /** Named in error messages. */
  file: string;
}

export function describeTokenizer(source: GgufTokenizerSource): { metadata: GgufMetadata; notes: string[] } {
  const { json, tokenizer, file } = source;
  const model = isObject(json.model) ? json.model : {};
  if (model.type !== "BPE" || model.continuing_subword_prefix || model.end_of_word_suffix || model.dropout)
    throw new UserError(
      `${file}: llama.cpp has no tokenizer for the model "${model.type}" (only byte-level BPE and SentencePiece's BPE) of this family`,
    );
  const parts = isByteLevel(json) ? byteLevel(source, model) : sentencePiece(source, model);
  const key = (name: string) => `tokenizer.ggml.${name}`;
  const { addBos, addEos } = frameOf(source);
  const ids: Readonly<Record<string, number | null | undefined>> = {
    bos: tokenizer.bosId,
    eos: tokenizer.eosId,
    eot: source.endIds.find((id) => id !== tokenizer.eosId),
    unknown: tokenizer.unkId,
    padding: tokenizer.padId,
  };
  const metadata: Record<string, GgufEntry> = {
    ...Object.fromEntries(Object.entries(parts.entries).map(([name, entry]) => [key(name), entry])),
    ...Object.fromEntries(
      Object.entries(ids).flatMap(([name, id]) =>
        id == null ? [] : [[key(`${name}_token_id`), { u32: id }]],
      ),
    ),
    [key("add_bos_token")]: { bool: addBos },
    [key("add_eos_token")]: { bool: addEos },
    ...templateEntries(source.templates),
  };
  return { metadata, notes: [...parts.notes, ...endNotes(source), ...flagNotes(json)] };
}

interface TokenizerParts {
  entries: Record<string, GgufEntry>;
  notes: string[];
}

/** "default" is `tokenizer.chat_template`; others have a name. */
function templateEntries(templates: Readonly<Record<string, string>>): Record<string, GgufEntry> {
  const others = Object.entries(templates).filter(([name]) => name !== "default");
  return {
    ...(templates.default !== undefined && { "tokenizer.chat_template": { string: templates.default } }),
    ...(others.length > 0 && { "tokenizer.chat_templates": { strings: others.map(([name]) => name) } }),
    ...Object.fromEntries(
      others.map(([name, template]) => [`tokenizer.chat_template.${name}`, { string: template }]),
    ),
  };
}

/** What the post-processor puts around a text: the begin token, the end token, or nothing. */
function frameOf({ tokenizer, file }: GgufTokenizerSource): { addBos: boolean; addEos: boolean } {
  const { before, after } = tokenizer.frame;
  const isOnly = (ids: readonly number[], id: number | null) => ids.length === 1 && ids[0] === id;
  if (before.length > 0 && !isOnly(before, tokenizer.bosId))
    throw new UserError(
      `${file}: llama.cpp can add the begin token before a text, but not ${names(tokenizer, before)}`,
    );
  if (after.length > 0 && !isOnly(after, tokenizer.eosId))
    throw new UserError(
      `${file}: llama.cpp can add the end token after a text, but not ${names(tokenizer, after)}`,
    );
  return { addBos: before.length > 0, addEos: after.length > 0 };
}

const names = (tokenizer: Tokenizer, ids: readonly number[]): string =>
  ids.map((id) => tokenizer.tokenOf(id)).join(" ");

function endNotes({ tokenizer, endIds }: GgufTokenizerSource): string[] {
  const more = endIds.filter((id) => id !== tokenizer.eosId).slice(1);
  if (more.length === 0) return [];
  return [`llama.cpp may not stop at ${names(tokenizer, more)}: its files hold two end tokens`];
}

/** Flags of added tokens that llama.cpp has no place for. */
function flagNotes(json: Json): string[] {
  const added = Array.isArray(json.added_tokens) ? json.added_tokens.filter(isObject) : [];
  const flags = ["single_word", "lstrip", "rstrip"].filter((flag) =>
    added.some((token) => token[flag] === true),
  );
  return flags.length === 0 ? [] : [`llama.cpp does not know ${flags.join(", ")} of added tokens`];
}

/** Text and type of every id. SentencePiece has a type for its unknown token and for tokens of one byte. */
function tokenList(
  { tokenizer, vocabSize }: GgufTokenizerSource,
  isSentencePiece: boolean,
): { tokens: string[]; types: number[] } {
  const typeOf = (id: number, token: string): number => {
    if (id === tokenizer.unkId && (isSentencePiece || !tokenizer.isAdded(id))) return tokenType.unknown;
    if (tokenizer.isAdded(id))
      return tokenizer.specialIds.has(id) ? tokenType.control : tokenType.userDefined;
    return isSentencePiece && /^<0x[0-9A-F]{2}>$/.test(token) ? tokenType.byte : tokenType.normal;
  };
  const tokens: string[] = [];
  const types: number[] = [];
  for (let id = 0; id < Math.max(vocabSize, tokenizer.vocabSize); id++) {
    const token = tokenizer.tokenOf(id);
    tokens.push(token ?? `[PAD${id}]`);
    types.push(token === null ? tokenType.unused : typeOf(id, token));
  }
  return { tokens, types };
}

/** Merges as pairs, whichever way the file writes them. */
function mergesOf(model: Json): [string, string][] {
  const merges = Array.isArray(model.merges) ? model.merges : [];
  return merges.map((merge) =>
    Array.isArray(merge)
      ? [String(merge[0]), String(merge[1])]
      : (String(merge).split(" ") as [string, string]),
  );
}

// ------------------------------------------------------------------------------------------------------ byte-level BPE

const steps = (part: unknown, list: string): Json[] => {
  if (!isObject(part)) return [];
  const inner = part[list];
  return part.type === "Sequence" && Array.isArray(inner)
    ? inner.flatMap((step) => steps(step, list))
    : [part];
};

const isByteLevel = (json: Json): boolean =>
  steps(json.pre_tokenizer, "pretokenizers").some(({ type }) => type === "ByteLevel");

/** Rules that are written under another name. */
const synonyms = new Set(["default", "llama3", "refact", "starcoder", "smaug-bpe"]);

/** A splitting rule in a form that two of the same meaning share. */
function ruleOf(preTokenizer: unknown, normalizer: unknown, ignoreMerges: unknown): string {
  const plain = steps(preTokenizer, "pretokenizers").map(({ trim_offsets: _, ...settings }) => ({
    ...(settings.type === "ByteLevel" && { add_prefix_space: true, use_regex: true }),
    ...(settings.type === "Digits" && { individual_digits: false }),
    ...(settings.type === "Split" && { invert: false }),
    ...settings,
  }));
  const sorted = plain.map((step) => Object.entries(step).sort(([a], [b]) => (a < b ? -1 : 1)));
  const kinds = steps(normalizer, "normalizers").map(({ type }) => type);
  return JSON.stringify([sorted, kinds, ignoreMerges === true]);
}

function byteLevel(source: GgufTokenizerSource, model: Json): TokenizerParts {
  const { json, file } = source;
  const rule = ruleOf(json.pre_tokenizer, json.normalizer, model.ignore_merges);
  const known = Object.entries(splittings).filter(([name]) => !synonyms.has(name));
  const found = known.find(([, row]) => ruleOf(row.preTokenizer, row.normalizer, row.ignoreMerges) === rule);
  if (!found)
    throw new UserError(
      `${file}: llama.cpp has no name for this tokenizer's normalizer and pre_tokenizer (known: ${known.map(([name]) => name).join(", ")})`,
    );
  const { tokens, types } = tokenList(source, false);
  const kinds = steps(json.normalizer, "normalizers").map(({ type }) => type);
  return {
    entries: {
      model: { string: "gpt2" },
      pre: { string: found[0] },
      tokens: { strings: tokens },
      token_type: { i32s: types },
      merges: { strings: mergesOf(model).map((merge) => merge.join(" ")) },
    },
    notes: kinds.map((kind) => `llama.cpp does not apply the normalizer ${kind}: give it text in that form`),
  };
}

// ------------------------------------------------------------------------------------------------------ SentencePiece

const space = "▁";

/** Whether a space stands before the text, from the normalizer and pre-tokenizer; undefined where they do something else. */
function spacePrefix(json: Json): { addsPrefix: boolean; note?: string } | undefined {
  const normalizers = steps(json.normalizer, "normalizers");
  const pre = steps(json.pre_tokenizer, "pretokenizers");
  const isReplace = (step: Json | undefined) =>
    step?.type === "Replace" &&
    isObject(step.pattern) &&
    step.pattern.String === " " &&
    step.content === space;
  const isPrepend = (step: Json | undefined) => step?.type === "Prepend" && step.prepend === space;
  const isNoSplit = (step: Json | undefined) =>
    step?.type === "Split" &&
    isObject(step.pattern) &&
    step.pattern.String === " " &&
    step.behavior === "MergedWithPrevious";
  if (pre.length === 0 || (pre.length === 1 && isNoSplit(pre[0]))) {
    if (normalizers.length === 1 && isReplace(normalizers[0])) return { addsPrefix: false };
    if (normalizers.length === 2 && isPrepend(normalizers[0]) && isReplace(normalizers[1]))
      return { addsPrefix: true };
    return undefined;
  }
  const [metaspace] = pre;
  if (normalizers.length > 0 || pre.length > 1 || metaspace?.type !== "Metaspace") return undefined;
  if (metaspace.replacement !== space || metaspace.split !== false) return undefined;
  const scheme = metaspace.prepend_scheme ?? "always";
  return {
    addsPrefix: scheme !== "never",
    ...(scheme === "first" && {
      note: "llama.cpp puts a space before every text that follows a special token, where this tokenizer does so at the very beginning only",
    }),
  };
}

function sentencePiece(source: GgufTokenizerSource, model: Json): TokenizerParts {
  const { json, file } = source;
  const prefix = spacePrefix(json);
  if (!prefix)
    throw new UserError(
      `${file}: llama.cpp's SentencePiece tokenizer has no place for this normalizer and pre_tokenizer`,
    );
  if (model.byte_fallback !== true)
    throw new UserError(
      `${file}: llama.cpp's SentencePiece tokenizer always falls back to bytes, this one does not`,
    );
  const { tokens, types } = tokenList(source, true);
  const { scores, missing } = scoresOf(tokens, types, mergesOf(model), file);
  return {
    entries: {
      model: { string: "llama" },
      pre: { string: "default" },
      tokens: { strings: tokens },
      scores: { f32s: scores },
      token_type: { i32s: types },
      add_space_prefix: { bool: prefix.addsPrefix },
    },
    notes: [
      ...(prefix.note ? [prefix.note] : []),
      ...(missing > 0
        ? [`llama.cpp merges ${missing} pairs of tokens that this tokenizer does not merge`]
        : []),
    ],
  };
}

/**
 * Scores under which merging the likeliest pair first takes the merges in their order: minus the place of a token among
 * those that merges make. Two tokens whose merges alternate have no such scores.
 */
function scoresOf(
  tokens: readonly string[],
  types: readonly number[],
  merges: readonly [string, string][],
  file: string,
): { scores: number[]; missing: number } {
  const places = new Map<string, number>();
  let last = "";
  for (const [left, right] of merges) {
    const made = left + right;
    if (made === last) continue;
    if (places.has(made))
      throw new UserError(
        `${file}: its merges do not follow one score a token, so that llama.cpp cannot have them`,
      );
    places.set(made, places.size);
    last = made;
  }
  const isMerged = (i: number) => types[i] === tokenType.normal || types[i] === tokenType.userDefined;
  const scores = tokens.map((token, i) => (isMerged(i) ? -(places.get(token) ?? places.size) : 0));
  const all = mergesByScore(
    tokens.map((token, i) => (isMerged(i) ? token : "")),
    scores,
  );
  const own = new Set(merges.map((merge) => merge.join(" ")));
  return { scores, missing: all.filter((merge) => !own.has(merge.join(" "))).length };
}
