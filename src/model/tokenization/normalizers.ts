// The normalizers of the Rust `tokenizers` library: text to text, with where each unit was before.

import type { Json } from "../json.js";
import { byteCharacters } from "./bytes.js";
import { compilePattern } from "./patterns.js";
import type { Piece } from "./pieces.js";
import { readCharsMap } from "./precompiled.js";
import { type Part, part } from "./schema.js";
import { keptAccents, keptBertAccents, undecomposed } from "./unicode-versions.js";

export type Normalizer = (piece: Piece) => Piece;

export function createNormalizer(json: Json | null, place: string): Normalizer | null {
  return json === null ? null : part(normalizers, json, { place, what: "normalizer" });
}

/** What each code point becomes; undefined keeps it. */
function mapPoints(piece: Piece, map: (point: string) => string | undefined): Piece {
  let isSame = true;
  const rebuilt = piece.rebuild((out) => {
    let at = 0;
    for (const point of piece.text) {
      const mapped = map(point);
      if (mapped === undefined || mapped === point) out.keep(at, at + point.length);
      else {
        isSame = false;
        out.push(mapped, at, at + point.length);
      }
      at += point.length;
    }
  });
  return isSame ? piece : rebuilt;
}

const forms = ["NFC", "NFD", "NFKC", "NFKD"] as const;

/** What a normal form may join: a character with the marks on it, the letters of a Hangul syllable. */
const cluster = /[^\p{M}\u1160-\u11ff][\p{M}\u1160-\u11ff]*|[\p{M}\u1160-\u11ff]+/gu;

/** A form of what the library knows; other characters stay and join nothing. */
function normalized(text: string, form: (typeof forms)[number]): string {
  if (form === "NFC" || !/[^\0-\u32fe]/.test(text)) return text.normalize(form);
  let [out, known] = ["", ""];
  for (const point of text) {
    if (!undecomposed(point)) known += point;
    else {
      out += known.normalize(form) + point;
      known = "";
    }
  }
  return out + known.normalize(form);
}

const normalForm =
  (form: (typeof forms)[number]): Normalizer =>
  (piece) => {
    const whole = normalized(piece.text, form);
    if (whole === piece.text) return piece;
    const rebuilt = piece.rebuild((out) => {
      for (const { 0: text, index } of piece.text.matchAll(cluster)) {
        const normal = normalized(text, form);
        if (normal === text) {
          out.keep(index, index + text.length);
          continue;
        }
        const points = Array.from(text);
        const apart = points.map((point) => normalized(point, form));
        if (apart.join("") !== normal) {
          out.push(normal, index, index + text.length);
          continue;
        }
        let at = index;
        for (const [i, point] of points.entries()) {
          out.push(apart[i]!, at, at + point.length);
          at += point.length;
        }
      }
    });
    if (rebuilt.text === whole) return rebuilt;
    // Neighbours that join all the same: the positions are known as a whole only.
    return piece.rebuild((out) => out.push(whole, 0, piece.text.length));
  };

const lowercase: Normalizer = (piece) => mapPoints(piece, (point) => point.toLowerCase());
const stripAccents: Normalizer = (piece) => mapPoints(piece, (point) => (isAccent(point) ? "" : undefined));
const isAccent = (point: string): boolean =>
  (/\p{M}/u.test(point) && !keptAccents(point)) || point === "\u1cf2" || point === "\u1cf3";

const whiteSpace = /\p{White_Space}/u;

function stripSides(piece: Piece, left: boolean, right: boolean): Piece {
  let [from, to] = [0, piece.text.length];
  if (left) while (from < to && whiteSpace.test(piece.text[from]!)) from++;
  if (right) while (to > from && whiteSpace.test(piece.text[to - 1]!)) to--;
  return piece.slice(from, to);
}

const cjk =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/u;

/** Format characters that the library does not know as such. */
const laterFormat = /[\u0890\u0891\u08e2\u{110cd}\u{13430}-\u{1343f}]/u;

const isBertAccent = (point: string): boolean =>
  (/\p{Mn}/u.test(point) && !keptBertAccents(point)) || point === "\u1734" || point === "\u{1171e}";

const bertCleaned = (point: string): string | undefined => {
  if (point === "\0" || point === "\ufffd") return "";
  if (/[\t\n\r]/.test(point)) return " ";
  if (/[\p{Cc}\p{Cf}\p{Co}]/u.test(point) && !laterFormat.test(point)) return "";
  return whiteSpace.test(point) ? " " : undefined;
};

// biome-ignore lint/suspicious/noControlCharactersInRegex: those that the library removes
const nmtRemoved = /[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]/;
const nmtSpace = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/;

const normalizers: Record<string, Part<Normalizer>> = {
  Sequence: ({ list }) => {
    const steps = list("normalizers").map((json, i) =>
      part(normalizers, json.value, { place: json.place, what: `normalizer ${i + 1}` }),
    );
    return (piece) => steps.reduce((text, step) => step(text), piece);
  },
  NFC: () => normalForm("NFC"),
  NFD: () => normalForm("NFD"),
  NFKC: () => normalForm("NFKC"),
  NFKD: () => normalForm("NFKD"),
  Lowercase: () => lowercase,
  StripAccents: () => stripAccents,
  Strip: ({ flag }) => {
    const [left, right] = [flag("strip_left", true), flag("strip_right", true)];
    return (piece) => stripSides(piece, left, right);
  },
  Prepend: ({ text }) => {
    const prefix = text("prepend");
    return (piece) => (piece.text === "" ? piece : piece.prepend(prefix));
  },
  Replace: ({ text, pattern, place }) => {
    const content = text("content");
    const find = compilePattern(pattern("pattern"), place);
    return (piece) => {
      const stretches = find(piece.text);
      if (!stretches.some(({ isMatch }) => isMatch)) return piece;
      return piece.rebuild((out) => {
        for (const { from, to, isMatch } of stretches)
          isMatch ? out.push(content, from, to) : out.keep(from, to);
      });
    };
  },
  ByteLevel: () => (piece) => toByteCharacters(piece),
  BertNormalizer: ({ flag, maybeFlag }) => {
    const [clean, chinese, lower] = [
      flag("clean_text", true),
      flag("handle_chinese_chars", true),
      flag("lowercase", true),
    ];
    const accents = maybeFlag("strip_accents") ?? lower;
    const decompose = normalForm("NFD");
    const strip: Normalizer = (piece) =>
      mapPoints(decompose(piece), (point) => (isBertAccent(point) ? "" : undefined));
    return (piece) => {
      let out = piece;
      if (clean) out = mapPoints(out, bertCleaned);
      if (chinese) out = mapPoints(out, (point) => (cjk.test(point) ? ` ${point} ` : undefined));
      if (accents) out = strip(out);
      return lower ? lowercase(out) : out;
    };
  },
  Nmt: () => (piece) =>
    mapPoints(piece, (point) => (nmtRemoved.test(point) ? "" : nmtSpace.test(point) ? " " : undefined)),
  Precompiled: ({ text, place }) => {
    const map = readCharsMap(text("precompiled_charsmap"), place);
    return (piece) =>
      piece.rebuild((out) => {
        for (const { segment, index } of graphemes.segment(piece.text)) {
          const whole = Buffer.byteLength(segment) < 6 ? map(segment) : null;
          if (whole !== null) out.push(whole, index, index + segment.length);
          else {
            let at = index;
            for (const point of segment) {
              const one = map(point);
              if (one === null) out.keep(at, at + point.length);
              else out.push(one, at, at + point.length);
              at += point.length;
            }
          }
        }
      });
  },
};

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** Every byte of the text's UTF-8 as GPT-2's character for it. */
export function toByteCharacters(piece: Piece): Piece {
  if (/^[\x21-\x7e]*$/.test(piece.text)) return piece;
  return piece.rebuild((out) => {
    let at = 0;
    for (const point of piece.text) {
      const bytes = Buffer.from(point, "utf8");
      let text = "";
      for (const byte of bytes) text += byteCharacters[byte]!;
      if (text === point) out.keep(at, at + point.length);
      else out.push(text, at, at + point.length);
      at += point.length;
    }
  });
}
