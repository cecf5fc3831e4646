// The special and added tokens of a model directory, merged as `transformers` 5 merges them: tokenizer.json, then
// `added_tokens_decoder` of tokenizer_config.json or else special_tokens_map.json and added_tokens.json, then the named
// and the extra special tokens.

import { isObject, type Json } from "../json.js";
import { type AddedToken, readAddedToken, readAddedTokens } from "./added-tokens.js";
import { wrong } from "./schema.js";

export const namedTokens = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
] as const;

export interface TokenFiles {
  /** tokenizer.json */
  json: Json;
  /** tokenizer_config.json */
  config?: Json | undefined;
  /** special_tokens_map.json */
  map?: Json | undefined;
  /** added_tokens.json */
  added?: Json | undefined;
}

export interface SpecialTokens {
  /** By the names that chat templates know: `bos_token`, also a model's own `image_token`. */
  named: Readonly<Record<string, string>>;
  /** Tokens that the files name beside tokenizer.json, in the order in which they get ids. */
  toAdd: AddedToken[];
  /** Tokens that are special from then on. */
  special: AddedToken[];
}

type TokenLike = string | AddedToken;
const contentOf = (token: TokenLike): string => (typeof token === "string" ? token : token.content);
const specialToken = (content: string): AddedToken => ({
  content,
  singleWord: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
});

export function mergeSpecialTokens({ json, config = {}, map = {}, added = {} }: TokenFiles): SpecialTokens {
  const settings: Json = { ...config };
  moveExtra(settings);
  const fromFile = readAddedTokens(json.added_tokens, "added_tokens");
  const decoder = new Map<number, AddedToken>();
  const known = new Map<string, AddedToken>();
  const remember = (id: number, token: AddedToken) => {
    decoder.set(id, token);
    known.set(token.content, token);
  };
  if (isObject(config.added_tokens_decoder)) {
    for (const [id, token] of Object.entries(config.added_tokens_decoder)) {
      const place = `tokenizer_config.json: added_tokens_decoder.${id}`;
      if (!/^\d+$/.test(id)) throw wrong(place, "named by a token id", id);
      remember(Number(id), readAddedToken(token, place));
    }
  } else {
    mergeMap(settings, map);
    const isSpecial = new Set(
      [...namedTokens.map((name) => settings[name]), ...listOf(settings.extra_special_tokens)].map(textOf),
    );
    for (const [content, id] of Object.entries(added)) {
      if (!Number.isSafeInteger(id) || (id as number) < 0)
        throw wrong(`added_tokens.json: ${JSON.stringify(content)}`, "a token id", id);
      const special = isSpecial.has(content);
      remember(id as number, { ...specialToken(content), normalized: !special, special });
    }
    const entries = (json.added_tokens ?? []) as Json[];
    for (const [i, token] of fromFile.entries()) remember(Number(entries[i]!.id), token);
  }
  if (!isObject(settings.extra_special_tokens)) moveExtra(settings);
  const padding = isObject(json.padding) ? json.padding.pad_token : undefined;
  if (settings.pad_token === undefined && typeof padding === "string") settings.pad_token = padding;

  const named = namedOf(settings, known);
  const extra = listOf(settings.extra_special_tokens).flatMap((token) => tokenLike(token) ?? []);
  return { named: texts(named), ...additions({ fromFile, decoder, named, extra }) };
}

/** `additional_special_tokens` is the older name of `extra_special_tokens`. */
function moveExtra(settings: Json): void {
  const extra = settings.extra_special_tokens;
  const isEmpty = extra === undefined || extra === null || (Array.isArray(extra) && extra.length === 0);
  if (settings.additional_special_tokens !== undefined && isEmpty) {
    settings.extra_special_tokens = settings.additional_special_tokens;
    delete settings.additional_special_tokens;
  }
}

function mergeMap(settings: Json, map: Json): void {
  for (const [key, value] of Object.entries(map)) {
    if (key === "extra_special_tokens" && Array.isArray(value)) {
      const existing = listOf(settings.extra_special_tokens);
      settings[key] = [
        ...existing,
        ...value.filter((token) => !existing.map(textOf).includes(textOf(token))),
      ];
    } else
      settings[key] = isObject(value) && key !== "extra_special_tokens" ? { ...value, special: true } : value;
  }
}

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

const textOf = (token: unknown): string | undefined =>
  typeof token === "string"
    ? token
    : isObject(token) && typeof token.content === "string"
      ? token.content
      : undefined;

/** Special tokens are strings, or objects that carry one. */
function tokenLike(token: unknown): TokenLike | undefined {
  if (typeof token === "string") return token;
  return isObject(token) && typeof token.content === "string"
    ? readAddedToken(token, "a special token")
    : undefined;
}

function namedOf(settings: Json, known: ReadonlyMap<string, AddedToken>): Map<string, TokenLike> {
  const named = new Map<string, TokenLike>();
  for (const name of namedTokens) {
    const token = tokenLike(settings[name]);
    if (token !== undefined) named.set(name, known.get(contentOf(token)) ?? token);
  }
  const extra = isObject(settings.extra_special_tokens) ? settings.extra_special_tokens : {};
  const own = Object.entries(settings).filter(([key]) => key.endsWith("_token"));
  for (const [key, value] of [...own, ...Object.entries(extra)]) {
    const token = tokenLike(value);
    if (token !== undefined && !named.has(key)) named.set(key, token);
  }
  return named;
}

const texts = (named: ReadonlyMap<string, TokenLike>): Record<string, string> =>
  Object.fromEntries([...named].map(([name, token]) => [name, contentOf(token)]));

const sameToken = (a: AddedToken, b: AddedToken): boolean => JSON.stringify(a) === JSON.stringify(b);

function additions({
  fromFile,
  decoder,
  named,
  extra,
}: {
  fromFile: readonly AddedToken[];
  decoder: ReadonlyMap<number, AddedToken>;
  named: ReadonlyMap<string, TokenLike>;
  extra: readonly TokenLike[];
}): Pick<SpecialTokens, "toAdd" | "special"> {
  const isThere = (token: AddedToken) => fromFile.some((other) => sameToken(other, token));
  const toAdd: AddedToken[] = [...decoder]
    .sort(([a], [b]) => a - b)
    .map(([, token]) => token)
    .filter((token) => !isThere(token));
  const known = new Set([...fromFile, ...toAdd].map(({ content }) => content));
  for (const token of [...named.values(), ...extra]) {
    if (known.has(contentOf(token))) continue;
    toAdd.push(typeof token === "string" ? specialToken(token) : token);
    known.add(contentOf(token));
  }
  const names = new Set([...named.values()].map(contentOf));
  return {
    toAdd: toAdd.map((token) => (names.has(token.content) ? { ...token, special: true } : token)),
    special: [...named.values(), ...extra].map((token) =>
      typeof token === "string" ? specialToken(token) : { ...token, special: true },
    ),
  };
}
