// Added tokens: found in the text before the model sees it, as the Rust library's `AddedVocabulary` finds them, with
// `single_word`, `lstrip`, `rstrip` and `normalized`.

import { UserError } from "../../base/errors.js";
import { isObject } from "../json.js";
import type { TokenModel } from "./models.js";
import type { Normalizer } from "./normalizers.js";
import { Piece } from "./pieces.js";
import { wrong } from "./schema.js";
import { unassigned } from "./unicode-versions.js";

export interface AddedToken {
  content: string;
  singleWord: boolean;
  lstrip: boolean;
  rstrip: boolean;
  /** Looked for in the text as the normalizers leave it, rather than as it came. */
  normalized: boolean;
  special: boolean;
}

/** An entry of `added_tokens` or `added_tokens_decoder`. */
export function readAddedToken(value: unknown, place: string): AddedToken {
  if (!isObject(value)) throw wrong(place, "a token ({ content, special, ... })", value);
  if (typeof value.content !== "string") throw wrong(`${place}.content`, "text", value.content);
  const flag = (key: string, fallback: boolean): boolean => {
    const given = value[key] ?? fallback;
    if (typeof given !== "boolean") throw wrong(`${place}.${key}`, "true or false", given);
    return given;
  };
  const special = flag("special", false);
  return {
    content: value.content,
    singleWord: flag("single_word", false),
    lstrip: flag("lstrip", false),
    rstrip: flag("rstrip", false),
    normalized: flag("normalized", !special),
    special,
  };
}

const isSame = (a: AddedToken, b: AddedToken): boolean =>
  (Object.keys(a) as (keyof AddedToken)[]).every((key) => a[key] === b[key]);

/** A piece of text, or a token found in it with the stretch of the original that it stands for. */
export type Found = Piece | { id: number; start: number; end: number };

interface TrieNode {
  next: Map<number, TrieNode>;
  id: number;
}

export class AddedVocabulary {
  private readonly ids = new Map<string, number>();
  readonly byId = new Map<number, AddedToken>();
  private readonly byContent = new Map<string, AddedToken>();
  private readonly shown = new Map<number, string>();
  private readonly special = new Set<string>();
  private raw: TrieNode = { next: new Map(), id: -1 };
  private normalized: TrieNode = { next: new Map(), id: -1 };

  constructor(
    private readonly model: TokenModel,
    private readonly normalizer: Normalizer | null,
    /** Special tokens are text like any other (`split_special_tokens`). */
    private readonly splitsSpecial: boolean,
  ) {}

  /** Those that the vocabulary lacks get the next ids; one that is there already takes the new flags. */
  add(tokens: readonly AddedToken[]): void {
    for (const token of tokens) if (token.special && token.content !== "") this.special.add(token.content);
    const { size } = this.model;
    const largest = this.byId.size > 0 ? Math.max(...this.byId.keys()) : -1;
    let next = largest >= size || (largest >= 0 && size === 0) ? largest + 1 : size;
    for (const token of tokens) {
      const known = this.byContent.get(token.content);
      if (token.content === "" || (known && isSame(known, token))) continue;
      const id = this.idOf(token.content) ?? next++;
      this.ids.set(token.content, id);
      this.byId.set(id, token);
      this.byContent.set(token.content, token);
    }
    this.refresh();
  }

  idOf(token: string): number | undefined {
    return this.ids.get(token) ?? this.model.idOf(token);
  }
  tokenOf(id: number): string | undefined {
    return this.byId.get(id)?.content ?? this.model.tokenOf(id);
  }
  /** As decoding shows a token: one that is looked for in normalized text is shown as the normalizer leaves it. */
  decodedOf(id: number): string | undefined {
    return this.shown.get(id) ?? this.model.tokenOf(id);
  }
  isSpecial(token: string): boolean {
    return this.special.has(token);
  }

  private refresh(): void {
    this.raw = { next: new Map(), id: -1 };
    this.normalized = { next: new Map(), id: -1 };
    for (const [id, { content, normalized }] of this.byId) {
      const found = normalized && this.normalizer ? this.normalizer(new Piece(content, 0)).text : content;
      insert(normalized ? this.normalized : this.raw, found, id);
      // A token that was normalized and is no longer is shown as it was, as the library does.
      if (normalized || !this.shown.has(id)) this.shown.set(id, found);
    }
  }

  /** The text between the tokens, normalized, and the tokens. */
  extract(text: string): Found[] {
    return this.split(new Piece(text, 0), this.raw).flatMap((part): Found[] => {
      if (!(part instanceof Piece)) return [part];
      const normal = this.normalizer ? this.normalizer(part) : part;
      return this.split(normal, this.normalized);
    });
  }

  private split(piece: Piece, trie: TrieNode): Found[] {
    const { text } = piece;
    if (text === "") return [];
    if (trie.next.size === 0) return [piece];
    const parts: Found[] = [];
    let done = 0;
    for (let at = 0; at < text.length; ) {
      const match = longestMatch(trie, text, at);
      if (!match) {
        at++;
        continue;
      }
      let [start, stop] = [at, match.end];
      at = stop;
      const token = this.byId.get(match.id)!;
      if (this.splitsSpecial && this.special.has(token.content)) continue;
      if (token.singleWord && (endsWithWord(text.slice(0, start)) || startsWithWord(text.slice(stop))))
        continue;
      if (token.lstrip) start = Math.max(spacesBefore(text, start), done);
      if (token.rstrip) stop = spacesAfter(text, stop);
      if (done < start) parts.push(piece.slice(done, start));
      parts.push({ id: match.id, start: piece.startOf(start), end: piece.endOf(stop) });
      done = stop;
    }
    if (done < text.length) parts.push(piece.slice(done, text.length));
    return parts;
  }
}

function insert(root: TrieNode, text: string, id: number): void {
  let node = root;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    let child = node.next.get(unit);
    if (!child) node.next.set(unit, (child = { next: new Map(), id: -1 }));
    node = child;
  }
  if (text !== "") node.id = id;
}

function longestMatch(root: TrieNode, text: string, from: number): { id: number; end: number } | null {
  let node: TrieNode | undefined = root;
  let match: { id: number; end: number } | null = null;
  for (let at = from; at < text.length; at++) {
    node = node.next.get(text.charCodeAt(at));
    if (!node) break;
    if (node.id >= 0) match = { id: node.id, end: at + 1 };
  }
  return match;
}

const word = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200c\\u200d]";
const atStart = new RegExp(`^${word}`, "u");
const oneWord = new RegExp(`^${word}$`, "u");
const startsWithWord = (text: string): boolean =>
  atStart.test(text) && !unassigned(String.fromCodePoint(text.codePointAt(0)!));

function endsWithWord(text: string): boolean {
  const unit = text.charCodeAt(text.length - 1);
  const last = unit >= 0xdc00 && unit <= 0xdfff ? text.slice(-2) : text.slice(-1);
  return oneWord.test(last) && !unassigned(last);
}

const space = /\p{White_Space}/u;
function spacesBefore(text: string, index: number): number {
  let at = index;
  while (at > 0 && space.test(text[at - 1]!)) at--;
  return at;
}
function spacesAfter(text: string, index: number): number {
  let at = index;
  while (at < text.length && space.test(text[at]!)) at++;
  return at;
}

/** The list `added_tokens` of tokenizer.json. */
export function readAddedTokens(value: unknown, place: string): AddedToken[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new UserError(`${place} must be a list`);
  return value.map((entry: unknown, i) => readAddedToken(entry, `${place}[${i}]`));
}
