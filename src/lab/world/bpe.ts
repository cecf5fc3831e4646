// Byte-level byte-pair encoding: learns the merges and writes the tokenizer's Hugging Face files.
// Sennrich et al. 2016 over the byte alphabet and the word pattern of GPT-2; ties go to the pair that sorts first.

/** GPT-2's word pattern: what `ByteLevel` with `use_regex` splits on. */
const wordPattern = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** GPT-2's printable stand-in for each of the 256 bytes. */
export const byteCharacters: readonly string[] = (() => {
  const printable = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(printable(b) ? b : next++));
})();

export interface Bpe {
  /** Token strings by id: special tokens, then the byte alphabet, then one token for each merge. */
  tokens: string[];
  merges: [string, string][];
}

/** The words of `text` outside special tokens, as sequences of byte characters. */
function splitWords(text: string, specials: readonly string[]): string[] {
  const escaped = specials.map((token) => token.replace(/[|\\{}()[\]^$+*?.]/g, "\\$&"));
  const pieces = escaped.length === 0 ? [text] : text.split(new RegExp(escaped.join("|")));
  return pieces.flatMap((piece) => piece.match(wordPattern) ?? []);
}

const toByteCharacters = (word: string) =>
  Array.from(new TextEncoder().encode(word), (byte) => byteCharacters[byte]!);

/** Learns merges until the vocabulary has `vocabSize` tokens or no pair occurs twice. */
export function trainBpe(texts: Iterable<string>, vocabSize: number, specials: readonly string[]): Bpe {
  const wordCounts = new Map<string, number>();
  for (const text of texts) {
    for (const word of splitWords(text, specials)) wordCounts.set(word, (wordCounts.get(word) ?? 0) + 1);
  }
  let words = [...wordCounts].map(([word, count]) => ({ symbols: toByteCharacters(word), count }));
  const tokens = [...specials, ...[...byteCharacters].sort()];
  const merges: [string, string][] = [];
  while (tokens.length < vocabSize) {
    const best = mostFrequentPair(words);
    if (best === undefined) break;
    merges.push(best);
    tokens.push(best.join(""));
    words = words.map(({ symbols, count }) => ({ symbols: mergePair(symbols, best), count }));
  }
  return { tokens, merges };
}

function mostFrequentPair(
  words: readonly { symbols: string[]; count: number }[],
): [string, string] | undefined {
  // A space cannot occur inside a symbol, so it separates the two symbols of a key.
  const counts = new Map<string, number>();
  for (const { symbols, count } of words) {
    for (let i = 0; i + 1 < symbols.length; i++) {
      const key = `${symbols[i]} ${symbols[i + 1]}`;
      counts.set(key, (counts.get(key) ?? 0) + count);
    }
  }
  let best: string | undefined;
  let bestCount = 1;
  for (const [key, count] of counts) {
    if (count > bestCount || (count === bestCount && best !== undefined && key < best)) {
      [best, bestCount] = [key, count];
    }
  }
  return best?.split(" ") as [string, string] | undefined;
}

function mergePair(symbols: readonly string[], [left, right]: readonly [string, string]): string[] {
  const out: string[] = [];
  for (let i = 0; i < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) {
      out.push(left + right);
      i++;
    } else {
      out.push(symbols[i]!);
    }
  }
  return out;
}

/** The contents of `tokenizer.json`. */
export function tokenizerJson({ tokens, merges }: Bpe, specials: readonly string[]): object {
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specials.map((content) => ({
      id: tokens.indexOf(content),
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: merges.map((pair) => pair.join(" ")),
    },
  };
}
