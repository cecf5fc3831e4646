// The pre-tokenizers of the Rust `tokenizers` library: a piece of text to the pieces that the model sees one by one.

import { UserError } from "../../base/errors.js";
import type { Json } from "../json.js";
import { toByteCharacters } from "./normalizers.js";
import {
  asKnown,
  characterMatcher,
  compilePattern,
  gpt2Pattern,
  inverted,
  literalMatcher,
  regexMatcher,
} from "./patterns.js";
import { behaviours, type Matcher, type Piece, splitPiece } from "./pieces.js";
import { type Part, part } from "./schema.js";
import { unknownPunctuation } from "./unicode-versions.js";

export type PreTokenizer = (pieces: Piece[]) => Piece[];

export function createPreTokenizer(json: Json | null, place: string): PreTokenizer | null {
  return json === null ? null : part(preTokenizers, json, { place, what: "pre-tokenizer" });
}

const each =
  (split: (piece: Piece) => Piece[]): PreTokenizer =>
  (pieces) =>
    pieces.flatMap(split);

const spaces = characterMatcher(/\p{White_Space}/u);
/** `\w` of Rust's regular expressions. */
const word = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200c\\u200d";
const words: Matcher = (text) => wordsAndSymbols(text);
const wordPattern = new RegExp(`[${word}]+|[^${word}\\p{White_Space}]+`, "gu");

function wordsAndSymbols(text: string) {
  const stretches: { from: number; to: number; isMatch: boolean }[] = [];
  let last = 0;
  for (const { 0: match, index } of asKnown(text).matchAll(wordPattern)) {
    if (index > last) stretches.push({ from: last, to: index, isMatch: false });
    last = index + match.length;
    stretches.push({ from: index, to: last, isMatch: true });
  }
  if (last < text.length) stretches.push({ from: last, to: text.length, isMatch: false });
  return stretches;
}

const anyPunctuation = characterMatcher(/[\p{P}\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e\u166d\u{111c9}]/u);
/** The library's punctuation is that of an older Unicode. */
const punctuation: Matcher = (text) => anyPunctuation(asKnown(text, unknownPunctuation));

const preTokenizers: Record<string, Part<PreTokenizer>> = {
  Sequence: ({ list }) => {
    const steps = list("pretokenizers").map((json, i) =>
      part(preTokenizers, json.value, { place: json.place, what: `pre-tokenizer ${i + 1}` }),
    );
    return (pieces) => steps.reduce((parts, step) => step(parts), pieces);
  },
  ByteLevel: ({ flag, place }) => {
    const [prefix, usesRegex] = [flag("add_prefix_space", true), flag("use_regex", true)];
    const find = regexMatcher(gpt2Pattern, place);
    return each((piece) => {
      const text = prefix && !piece.text.startsWith(" ") ? piece.prepend(" ") : piece;
      return (usesRegex ? splitPiece(text, find, "Isolated") : [text]).map(toByteCharacters);
    });
  },
  Metaspace: ({ text, choice, flag, raw, place }) => {
    const mark = text("replacement", "\u2581");
    const scheme =
      schemeOf(raw("add_prefix_space"), raw("prepend_scheme"), place) ??
      choice("prepend_scheme", schemes, "always");
    const splits = flag("split", true);
    if (Array.from(mark).length !== 1) throw new UserError(`${place}.replacement must be one character`);
    const find = literalMatcher(mark);
    return each((piece) => {
      let marked = piece;
      if (piece.text.includes(" "))
        marked = piece.rebuild((out) => {
          for (let at = 0; at < piece.text.length; at++)
            piece.text[at] === " " ? out.push(mark, at, at + 1) : out.keep(at, at + 1);
        });
      const wanted = scheme === "always" || (scheme === "first" && piece.origin === 0);
      if (wanted && !marked.text.startsWith(mark)) marked = marked.prepend(mark);
      return splits ? splitPiece(marked, find, "MergedWithNext") : [marked];
    });
  },
  Split: ({ pattern, choice, flag, place }) => {
    const behaviour = choice("behavior", behaviours);
    const find = compilePattern(pattern("pattern"), `${place}.pattern`);
    const used = flag("invert", false) ? inverted(find) : find;
    return each((piece) => splitPiece(piece, used, behaviour));
  },
  Digits: ({ flag }) => {
    const behaviour = flag("individual_digits", false) ? "Isolated" : "Contiguous";
    const digits = characterMatcher(/\p{N}/u);
    return each((piece) => splitPiece(piece, digits, behaviour));
  },
  Punctuation: ({ choice }) => {
    const behaviour = choice("behavior", behaviours, "Isolated");
    return each((piece) => splitPiece(piece, punctuation, behaviour));
  },
  Whitespace: () => {
    const gaps = inverted(words);
    return each((piece) => splitPiece(piece, gaps, "Removed"));
  },
  WhitespaceSplit: () => each((piece) => splitPiece(piece, spaces, "Removed")),
  BertPreTokenizer: () =>
    each((piece) =>
      splitPiece(piece, spaces, "Removed").flatMap((part) => splitPiece(part, punctuation, "Isolated")),
    ),
  CharDelimiterSplit: ({ text, place }) => {
    const delimiter = text("delimiter");
    if (Array.from(delimiter).length !== 1) throw new UserError(`${place}.delimiter must be one character`);
    const find = literalMatcher(delimiter);
    return each((piece) => splitPiece(piece, find, "Removed"));
  },
  FixedLength: ({ count, place }) => {
    const length = count("length", 5);
    if (length === 0) throw new UserError(`${place}.length must be at least 1`);
    return each((piece) => chunks(piece, length));
  },
};

const schemes = ["always", "first", "never"] as const;

/** What the older `add_prefix_space` says. */
function schemeOf(prefix: unknown, scheme: unknown, place: string): "never" | undefined {
  if (prefix !== false) return undefined;
  if (scheme !== undefined && scheme !== "never")
    throw new UserError(
      `${place}: add_prefix_space is false, but prepend_scheme is ${JSON.stringify(scheme)}`,
    );
  return "never";
}

function chunks(piece: Piece, length: number): Piece[] {
  const parts: Piece[] = [];
  let [from, at, count] = [0, 0, 0];
  for (const point of piece.text) {
    at += point.length;
    if (++count % length === 0) {
      parts.push(piece.slice(from, at));
      from = at;
    }
  }
  if (from < at) parts.push(piece.slice(from, at));
  return parts;
}
