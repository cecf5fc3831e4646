// The models of the Rust `tokenizers` library (BPE, Unigram, WordPiece, WordLevel): one piece of text to token ids.

import { UserError } from "../../base/errors.js";
import { isObject, type Json } from "../json.js";
import { byteToken } from "./bytes.js";
import { type Part, part, type Settings, wrong } from "./schema.js";

/** A token of a piece: its id and how many UTF-16 units of the piece it stands for. */
export interface ModelToken {
  id: number;
  from: number;
  to: number;
}

export interface TokenModel {
  tokenize(text: string): ModelToken[];
  idOf(token: string): number | undefined;
  tokenOf(id: number): string | undefined;
  /** Entries of the vocabulary; the next added token gets this id. */
  size: number;
  /** One more than the largest id. */
  idCount: number;
}

export function createModel(json: unknown, place: string): TokenModel {
  if (!isObject(json)) throw wrong(place, "the settings of a model", json);
  const type = json.type ?? guessType(json);
  return part(models, { ...json, type }, { place, what: "model" });
}

/** Older files do not name the type. */
function guessType(json: Json): string | undefined {
  if (Array.isArray(json.merges)) return "BPE";
  if (Array.isArray(json.vocab)) return "Unigram";
  return "continuing_subword_prefix" in json ? "WordPiece" : "WordLevel";
}

const models: Record<string, Part<TokenModel>> = {
  BPE: bpe,
  Unigram: unigram,
  WordPiece: wordPiece,
  WordLevel: wordLevel,
};

/** Tokens of pieces that were seen before: texts repeat their words. */
function remembering(tokenize: (text: string) => ModelToken[]): (text: string) => ModelToken[] {
  const known = new Map<string, ModelToken[]>();
  return (text) => {
    if (text.length > 256) return tokenize(text);
    let tokens = known.get(text);
    if (!tokens) {
      if (known.size >= 20_000) known.clear();
      tokens = tokenize(text);
      known.set(text, tokens);
    }
    return tokens;
  };
}

function readVocabulary({ object, place }: Settings): Map<string, number> {
  const vocabulary = new Map<string, number>();
  for (const [token, id] of Object.entries(object("vocab"))) {
    if (!Number.isSafeInteger(id) || (id as number) < 0 || (id as number) > 0xffffffff)
      throw wrong(`${place}.vocab[${JSON.stringify(token.slice(0, 60))}]`, "a token id", id);
    vocabulary.set(token, id as number);
  }
  return vocabulary;
}

function lookups(vocabulary: ReadonlyMap<string, number>): Omit<TokenModel, "tokenize"> {
  const tokens = new Map<number, string>();
  let idCount = 0;
  for (const [token, id] of vocabulary) {
    tokens.set(id, token);
    idCount = Math.max(idCount, id + 1);
  }
  return {
    idOf: (token) => vocabulary.get(token),
    tokenOf: (id) => tokens.get(id),
    size: vocabulary.size,
    idCount,
  };
}

// ------------------------------------------------------------------------------------------------------------- BPE

interface Merge {
  rank: number;
  id: number;
}

/** Ids are below 2^21 in every vocabulary that fits a model. */
const pairKey = (left: number, right: number): number => left * 0x100000000 + right;

function bpe(settings: Settings): TokenModel {
  const { flag, raw, place } = settings;
  if (raw("dropout"))
    throw new UserError(`${place}.dropout is not supported: the ids would differ from time to time`);
  const vocabulary = readVocabulary(settings);
  const optional = (key: string): string =>
    raw(key) === undefined || raw(key) === null ? "" : settings.text(key);
  const [prefix, suffix] = [optional("continuing_subword_prefix"), optional("end_of_word_suffix")];
  const [fuses, fallsBack, ignoresMerges] = [
    flag("fuse_unk", false),
    flag("byte_fallback", false),
    flag("ignore_merges", false),
  ];
  const unknown =
    raw("unk_token") === undefined || raw("unk_token") === null ? null : settings.text("unk_token");
  const merges = readMerges(settings, vocabulary, prefix);

  const tokenize = (text: string): ModelToken[] => {
    if (ignoresMerges) {
      const whole = vocabulary.get(text);
      if (whole !== undefined) return [{ id: whole, from: 0, to: text.length }];
    }
    return mergeAll(symbolsOf(text), merges);
  };

  /** One symbol for each code point, or for each byte of one that the vocabulary lacks. */
  function symbolsOf(text: string): Symbols {
    const symbols: Symbols = { ids: [], lengths: [] };
    const add = (id: number, length: number) => {
      symbols.ids.push(id);
      symbols.lengths.push(length);
    };
    let missing: { id: number; length: number } | null = null;
    let at = 0;
    for (const point of text) {
      const isFirst = at === 0;
      at += point.length;
      const token = (isFirst ? "" : prefix) + point + (at === text.length ? suffix : "");
      const id = vocabulary.get(token);
      if (id !== undefined) {
        if (missing) add(missing.id, missing.length);
        missing = null;
        add(id, point.length);
        continue;
      }
      if (fallsBack) {
        const bytes = Array.from(Buffer.from(token, "utf8"), (byte) => vocabulary.get(byteToken(byte)));
        if (!bytes.includes(undefined)) {
          // The first byte has the span of the whole character, the others are empty at its end.
          for (const [i, byte] of bytes.entries()) add(byte!, i === 0 ? point.length : 0);
          continue;
        }
      }
      if (unknown === null) {
        // The Rust library drops such a character; its neighbours are then side by side.
        if (symbols.lengths.length > 0) symbols.lengths[symbols.lengths.length - 1]! += point.length;
        else symbols.skipped = (symbols.skipped ?? 0) + point.length;
        continue;
      }
      const unknownId = vocabulary.get(unknown);
      if (unknownId === undefined)
        throw new UserError(
          `${place}: unk_token "${unknown}" is not in the vocabulary, and "${point}" needs it`,
        );
      if (missing && fuses) missing.length += point.length;
      else {
        if (missing) add(missing.id, missing.length);
        missing = { id: unknownId, length: point.length };
      }
    }
    if (missing) add(missing.id, missing.length);
    return symbols;
  }

  return { tokenize: remembering(tokenize), ...lookups(vocabulary) };
}

function readMerges(
  { list, place }: Settings,
  vocabulary: ReadonlyMap<string, number>,
  prefix: string,
): ReadonlyMap<number, Merge> {
  const merges = new Map<number, Merge>();
  for (const [rank, { value, place: at }] of list("merges").entries()) {
    if (rank === 0 && typeof value === "string" && value.startsWith("#version")) continue;
    const parts: unknown[] = typeof value === "string" ? value.split(" ") : Array.isArray(value) ? value : [];
    const [left, right] = parts;
    if (parts.length !== 2 || typeof left !== "string" || typeof right !== "string")
      throw wrong(at, 'two tokens ("a b" or ["a", "b"])', value);
    const joined = left + right.slice(prefix.length);
    const [leftId, rightId, id] = [left, right, joined].map((token) => {
      const known = vocabulary.get(token);
      if (known === undefined)
        throw new UserError(
          `${at}: the token ${JSON.stringify(token.slice(0, 60))} is not in ${place}.vocab`,
        );
      return known;
    });
    merges.set(pairKey(leftId!, rightId!), { rank, id: id! });
  }
  return merges;
}

interface Symbols {
  ids: number[];
  /** UTF-16 units of each. */
  lengths: number[];
  /** Units before the first. */
  skipped?: number;
}

/** Joins the pair of the lowest rank, the leftmost of several, until none is left. */
function mergeAll({ ids, lengths, skipped = 0 }: Symbols, merges: ReadonlyMap<number, Merge>): ModelToken[] {
  const count = ids.length;
  const next = Array.from({ length: count }, (_, i) => i + 1);
  const previous = Array.from({ length: count }, (_, i) => i - 1);
  const isGone = new Uint8Array(count);
  const queue = new Heap();
  const offer = (left: number, right: number) => {
    if (left < 0 || right >= count) return;
    const merge = merges.get(pairKey(ids[left]!, ids[right]!));
    // Rank and place in one number: ranks are below 2^25, places below 2^28.
    if (merge) queue.push(merge.rank * 0x10000000 + left, merge.id);
  };
  for (let i = 0; i + 1 < count; i++) offer(i, i + 1);
  for (let top = queue.pop(); top; top = queue.pop()) {
    const left = top.key % 0x10000000;
    const right = next[left]!;
    if (isGone[left] || right >= count) continue;
    if (merges.get(pairKey(ids[left]!, ids[right]!))?.id !== top.value) continue;
    ids[left] = top.value;
    lengths[left] = lengths[left]! + lengths[right]!;
    isGone[right] = 1;
    next[left] = next[right]!;
    if (next[left]! < count) previous[next[left]!] = left;
    offer(previous[left]!, left);
    offer(left, next[left]!);
  }
  const tokens: ModelToken[] = [];
  let at = skipped;
  for (let i = 0; i < count; i++) {
    if (isGone[i]) continue;
    tokens.push({ id: ids[i]!, from: at, to: at + lengths[i]! });
    at += lengths[i]!;
  }
  return tokens;
}

/** A binary heap, the lowest key first. */
class Heap {
  private readonly keys: number[] = [];
  private readonly values: number[] = [];

  push(key: number, value: number): void {
    let at = this.keys.length;
    this.keys.push(key);
    this.values.push(value);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.keys[parent]! <= key) break;
      this.keys[at] = this.keys[parent]!;
      this.values[at] = this.values[parent]!;
      at = parent;
    }
    this.keys[at] = key;
    this.values[at] = value;
  }

  pop(): { key: number; value: number } | undefined {
    if (this.keys.length === 0) return undefined;
    const top = { key: this.keys[0]!, value: this.values[0]! };
    const [key, value] = [this.keys.pop()!, this.values.pop()!];
    const size = this.keys.length;
    if (size === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && this.keys[child + 1]! < this.keys[child]!) child++;
      if (this.keys[child]! >= key) break;
      this.keys[at] = this.keys[child]!;
      this.values[at] = this.values[child]!;
      at = child;
    }
    this.keys[at] = key;
    this.values[at] = value;
    return top;
  }
}

// --------------------------------------------------------------------------------------------------------- Unigram

/** Below the lowest score of the vocabulary, for what it lacks. */
const unknownPenalty = 10;

interface TrieNode {
  next: Map<number, TrieNode>;
  id: number;
}

function unigram({ list, flag, raw, place }: Settings): TokenModel {
  const tokens: string[] = [];
  const scores: number[] = [];
  const ids = new Map<string, number>();
  const root: TrieNode = { next: new Map(), id: -1 };
  for (const [id, { value, place: at }] of list("vocab").entries()) {
    const [token, score] = Array.isArray(value) ? (value as unknown[]) : [];
    if (typeof token !== "string" || typeof score !== "number") throw wrong(at, "[token, score]", value);
    tokens.push(token);
    scores.push(score);
    ids.set(token, id);
  }
  for (const [token, id] of ids) {
    let node = root;
    for (let i = 0; i < token.length; i++) {
      const unit = token.charCodeAt(i);
      let child = node.next.get(unit);
      if (!child) node.next.set(unit, (child = { next: new Map(), id: -1 }));
      node = child;
    }
    node.id = id;
  }
  const unknownId = raw("unk_id") ?? null;
  if (unknownId !== null && !(Number.isSafeInteger(unknownId) && tokens[unknownId as number] !== undefined))
    throw wrong(`${place}.unk_id`, "the id of a token, or null", unknownId);
  const unknown = unknownId as number | null;
  const fallsBack = flag("byte_fallback", false);
  const lowest = scores.reduce((least, score) => Math.min(least, score), Number.POSITIVE_INFINITY);

  /** Viterbi: the pieces of the highest score. */
  const bestPieces = (text: string): { from: number; to: number }[] => {
    const size = text.length;
    const best = new Float64Array(size + 1);
    const from = new Int32Array(size + 1).fill(-1);
    const isUnknown = new Uint8Array(size + 1);
    const reach = (start: number, end: number, score: number, missing: 0 | 1) => {
      if (from[end] !== -1 && score <= best[end]!) return;
      best[end] = score;
      from[end] = start;
      isUnknown[end] = missing;
    };
    for (let start = 0; start < size; ) {
      const width = text.codePointAt(start)! > 0xffff ? 2 : 1;
      const sofar = best[start]!;
      let hasSingle = false;
      let node: TrieNode | undefined = root;
      for (let end = start; end < size; ) {
        node = node.next.get(text.charCodeAt(end++));
        if (!node) break;
        if (node.id < 0) continue;
        reach(start, end, scores[node.id]! + sofar, node.id === unknown ? 1 : 0);
        if (end - start === width) hasSingle = true;
      }
      if (!hasSingle) {
        if (unknown === null)
          throw new UserError(
            `${place} has no unk_id, and the vocabulary lacks ${JSON.stringify(text.slice(start, start + width))}`,
          );
        reach(start, start + width, lowest - unknownPenalty + sofar, 1);
      }
      start += width;
    }
    const pieces: { from: number; to: number }[] = [];
    let joined: { from: number; to: number } | null = null;
    for (let end = size; end > 0; end = from[end]!) {
      const start = from[end]!;
      // Unknown pieces side by side are one.
      if (isUnknown[end] && joined) joined.from = start;
      else {
        const piece = { from: start, to: end };
        pieces.push(piece);
        joined = isUnknown[end] ? piece : null;
      }
    }
    return pieces.reverse();
  };

  const tokenize = (text: string): ModelToken[] =>
    bestPieces(text).flatMap(({ from, to }): ModelToken[] => {
      const piece = text.slice(from, to);
      const id = ids.get(piece);
      if (id !== undefined) return [{ id, from, to }];
      if (fallsBack) {
        const bytes = Array.from(Buffer.from(piece, "utf8"), (byte) => ids.get(byteToken(byte)));
        if (!bytes.includes(undefined)) return bytes.map((byte) => ({ id: byte!, from, to }));
      }
      if (unknown === null)
        throw new UserError(`${place} has no unk_id, and the vocabulary lacks ${JSON.stringify(piece)}`);
      return [{ id: unknown, from, to }];
    });

  return {
    tokenize: remembering(tokenize),
    idOf: (token) => ids.get(token),
    tokenOf: (id) => tokens[id],
    size: tokens.length,
    idCount: tokens.length,
  };
}

// ------------------------------------------------------------------------------------------- WordPiece, WordLevel

function wordPiece(settings: Settings): TokenModel {
  const { text: setting, count, place } = settings;
  const vocabulary = readVocabulary(settings);
  const unknown = setting("unk_token", "[UNK]");
  const prefix = setting("continuing_subword_prefix", "##");
  const most = count("max_input_chars_per_word", 100);
  const unknownToken = (text: string): ModelToken[] => {
    const id = vocabulary.get(unknown);
    if (id === undefined)
      throw new UserError(
        `${place}: unk_token "${unknown}" is not in the vocabulary, and ${JSON.stringify(text)} needs it`,
      );
    return [{ id, from: 0, to: text.length }];
  };
  const tokenize = (text: string): ModelToken[] => {
    const points = Array.from(text);
    if (points.length > most) return unknownToken(text);
    const tokens: ModelToken[] = [];
    for (let from = 0; from < text.length; ) {
      let to = text.length;
      let id: number | undefined;
      while (from < to) {
        id = vocabulary.get((from > 0 ? prefix : "") + text.slice(from, to));
        if (id !== undefined) break;
        to -= isLowSurrogate(text.charCodeAt(to - 1)) && to - from > 1 ? 2 : 1;
      }
      if (id === undefined) return unknownToken(text);
      tokens.push({ id, from, to });
      from = to;
    }
    return tokens;
  };
  return { tokenize: remembering(tokenize), ...lookups(vocabulary) };
}

const isLowSurrogate = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff;

function wordLevel(settings: Settings): TokenModel {
  const vocabulary = readVocabulary(settings);
  const unknown = settings.text("unk_token", "<unk>");
  const tokenize = (text: string): ModelToken[] => {
    const id = vocabulary.get(text) ?? vocabulary.get(unknown);
    if (id === undefined)
      throw new UserError(
        `${settings.place}: unk_token "${unknown}" is not in the vocabulary, and ${JSON.stringify(text.slice(0, 60))} needs it`,
      );
    return [{ id, from: 0, to: text.length }];
  };
  return { tokenize, ...lookups(vocabulary) };
}
