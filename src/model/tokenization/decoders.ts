// The decoders of the Rust `tokenizers` library: tokens to the pieces of text that they stand for.

import type { Json } from "../json.js";
import { byteOfCharacter } from "./bytes.js";
import { compilePattern } from "./patterns.js";
import { type Part, part } from "./schema.js";

/** One step of decoding: tokens to pieces of text. */
export type Decoder = (tokens: string[]) => string[];

export function createDecoder(json: Json | null, place: string): Decoder | null {
  return json === null ? null : part(decoders, json, { place, what: "decoder" });
}

const lossyUtf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const strictUtf8 = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

const decoders: Record<string, Part<Decoder>> = {
  ByteLevel: () => decodeByteLevel,
  ByteFallback: () => decodeByteFallback,
  Fuse: () => (tokens) => [tokens.join("")],
  Sequence: ({ list }) => {
    const steps = list("decoders").map(({ value, place }, i) =>
      part(decoders, value, { place, what: `decoder ${i + 1}` }),
    );
    return (tokens) => steps.reduce((pieces, step) => step(pieces), tokens);
  },
  Replace: ({ pattern, text, place }) => {
    const find = compilePattern(pattern("pattern"), `${place}.pattern`);
    const content = text("content");
    return (tokens) =>
      tokens.map((token) =>
        find(token)
          .map(({ from, to, isMatch }) => (isMatch ? content : token.slice(from, to)))
          .join(""),
      );
  },
  Strip: ({ text, count }) => {
    const [content, start, stop] = [text("content"), count("start"), count("stop")];
    return (tokens) =>
      tokens.map((token) => {
        let [from, to] = [0, token.length];
        while (from < Math.min(to, start) && token[from] === content) from++;
        while (to > from && token.length - to < stop && token[to - 1] === content) to--;
        return token.slice(from, to);
      });
  },
  /** The first token loses every replacement character, unless no prefix is ever added. */
  Metaspace: ({ text, raw }) => {
    const mark = text("replacement", "\u2581");
    const first = raw("prepend_scheme") === "never" || raw("add_prefix_space") === false ? " " : "";
    return (tokens) => tokens.map((token, i) => token.replaceAll(mark, i === 0 ? first : " "));
  },
  BPEDecoder: ({ text }) => {
    const suffix = text("suffix", "</w>");
    return (tokens) => tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? "" : " "));
  },
  WordPiece: ({ text, flag }) => {
    const [prefix, cleans] = [text("prefix", "##"), flag("cleanup", true)];
    return (tokens) =>
      tokens.map((token, i) => {
        const joined = i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
        return cleans ? cleaned(joined) : joined;
      });
  },
  CTC: ({ text, flag }) => {
    const [pad, delimiter, cleans] = [
      text("pad_token", "<pad>"),
      text("word_delimiter_token", "|"),
      flag("cleanup", true),
    ];
    return (tokens) =>
      tokens
        .filter((token, i) => token !== tokens[i - 1])
        .map((token) => {
          const bare = token.replaceAll(pad, "");
          return cleans ? cleaned(bare).replaceAll(delimiter, " ") : bare;
        })
        .filter((token) => token !== "");
  },
};

/** Blanks before marks and English contractions, as the library cleans them. */
function cleaned(text: string): string {
  return text
    .replaceAll(" .", ".")
    .replaceAll(" ?", "?")
    .replaceAll(" !", "!")
    .replaceAll(" ,", ",")
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(" do not", " don't")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re");
}

/** Decodes the bytes of all tokens together. */
function decodeByteLevel(tokens: string[]): string[] {
  const bytes: number[] = [];
  for (const token of tokens) {
    const own = Array.from(token, (character) => byteOfCharacter.get(character));
    // A token with other characters (an added one) stands for its own UTF-8 text.
    for (const byte of own.includes(undefined) ? Buffer.from(token, "utf8") : (own as number[]))
      bytes.push(byte);
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
