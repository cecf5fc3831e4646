import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { UserError } from "../base/errors.js";
import type { Json } from "./json.js";
import { createNormalizer } from "./tokenization/normalizers.js";
import { compilePattern } from "./tokenization/patterns.js";
import { Piece } from "./tokenization/pieces.js";
import { createPreTokenizer } from "./tokenization/pre-tokenizers.js";
import { hashTokenizer, StreamDecoder, Tokenizer } from "./tokenizer.js";

const fixtures = fileURLToPath(new URL("../../test/fixtures/formats/", import.meta.url));

interface Expected {
  ids: Record<"bos" | "eos" | "pad" | "unk", number | null>;
  size: number;
  encode: { text: string; ids: number[]; plain: number[] }[];
  decode: { ids: number[]; text: string; clean: string }[];
}
const expectedOf = async (name: string) =>
  JSON.parse(await readFile(join(fixtures, `tokenizer-${name}.json`), "utf8")) as Expected;

// The components of SmolLM2, of GPT-2 with a prefix space, of Llama 3, Qwen2, Llama 2 and Mistral, plain Metaspace, and
// ("odd") of older families.
const names = ["smollm2", "prefixed", "odd", "llama3", "qwen", "llama2", "mistral", "metaspace"];

describe.each(names)("%s agrees with transformers", (name) => {
  it("on special tokens and size", async () => {
    const tokenizer = await Tokenizer.load(join(fixtures, `tokenizer-${name}`));
    const { ids, size } = await expectedOf(name);
    const { bosId: bos, eosId: eos, padId: pad, unkId: unk } = tokenizer;
    expect({ bos, eos, pad, unk }).toEqual(ids);
    expect(tokenizer.vocabSize).toBe(size);
  });

  it("on the ids of texts of many scripts", async () => {
    const tokenizer = await Tokenizer.load(join(fixtures, `tokenizer-${name}`));
    const { encode } = await expectedOf(name);
    for (const { text, ids, plain } of encode) {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
      expect(tokenizer.encode(text, { addSpecialTokens: false }), JSON.stringify(text)).toEqual(plain);
    }
  });

  it("on the text of ids, valid or not", async () => {
    const tokenizer = await Tokenizer.load(join(fixtures, `tokenizer-${name}`));
    const { decode } = await expectedOf(name);
    for (const { ids, text, clean } of decode) {
      expect(tokenizer.decode(ids), JSON.stringify(ids)).toBe(text);
      expect(tokenizer.decode(Int32Array.from(ids), { skipSpecialTokens: true }), JSON.stringify(ids)).toBe(
        clean,
      );
    }
  });

  it("when it decodes a stream piece by piece", async () => {
    const tokenizer = await Tokenizer.load(join(fixtures, `tokenizer-${name}`));
    for (const { text } of (await expectedOf(name)).encode.slice(0, 30)) {
      const ids = tokenizer.encode(text);
      const stream = new StreamDecoder(tokenizer);
      const whole = tokenizer.decode(ids);
      const streamed = ids.map((id) => stream.push(id)).join("");
      // Only an incomplete character at the very end may be held back.
      expect(whole.startsWith(streamed), JSON.stringify(text)).toBe(true);
      expect(whole.slice(streamed.length)).toMatch(/^\ufffd*$/);
    }
  });
});

describe("hash", () => {
  const json: Json = { model: { type: "BPE", vocab: { a: 0 }, merges: [] }, added_tokens: [] };
  it("depends on the mapping, not on padding and truncation", () => {
    expect(hashTokenizer({ ...json, padding: { length: 3 }, truncation: null })).toBe(hashTokenizer(json));
    expect(hashTokenizer({ ...json, added_tokens: [{ id: 1, content: "b" }] })).not.toBe(hashTokenizer(json));
  });
});

describe("what cannot be read is refused", () => {
  it("a directory without tokenizer.json, and broken files", async () => {
    const dir = await mkdtemp(join(tmpdir(), "touchstone-tokenizer-"));
    await expect(Tokenizer.load(dir)).rejects.toThrow(UserError);
    await expect(Tokenizer.load(dir)).rejects.toThrow(
      /tokenizer.json does not exist: a model directory needs/,
    );
    await writeFile(join(dir, "tokenizer.json"), "{}");
    await expect(Tokenizer.load(dir)).rejects.toThrow(/tokenizer.json: model must be the settings/);
    await rm(dir, { recursive: true });
  });

  it("components that would give other ids, by name", () => {
    const json: Json = { model: { type: "BPE", vocab: { a: 0 }, merges: [] }, added_tokens: [] };
    const opening = (parts: Json) => () => new Tokenizer({ json: { ...json, ...parts } }, "t.json");
    expect(opening({ pre_tokenizer: { type: "UnicodeScripts" } })).toThrow(
      /t.json: pre_tokenizer: pre-tokenizer "UnicodeScripts" is not supported/,
    );
    expect(opening({ decoder: { type: "Nope" } })).toThrow(
      /t.json: decoder: decoder "Nope" is not supported/,
    );
    expect(opening({ model: { type: "BPE", vocab: { a: 0 }, merges: [], dropout: 0.1 } })).toThrow(
      /model.dropout is not supported/,
    );
  });

  it.each([
    [{ decoder: { type: "Sequence" } }, /decoder.decoders must be a list, not missing/],
    [
      { post_processor: { type: "TemplateProcessing", single: "x", special_tokens: {} } },
      /post_processor.single must be a list, not "x"/,
    ],
    [{ added_tokens: [{ content: [], id: 0 }] }, /added_tokens\[0\].content must be text, not \[\]/],
    [{ added_tokens: {} }, /added_tokens must be a list/],
    [
      { model: { type: "BPE", vocab: { a: "x" }, merges: [] } },
      /model.vocab\["a"\] must be a token id, not "x"/,
    ],
    [
      { model: { type: "BPE", vocab: { a: 0 }, merges: ["a b"] } },
      /model.merges\[0\]: the token "b" is not in model.vocab/,
    ],
    [{ model: { type: "Unigram", vocab: [["a"]], unk_id: 0 } }, /model.vocab\[0\] must be \[token, score\]/],
    [{ model: 5 }, /model must be the settings of a model, not 5/],
    [{ normalizer: [] }, /normalizer must be an object or null, not \[\]/],
    [
      { pre_tokenizer: { type: "Split", pattern: {}, behavior: "Isolated" } },
      /pre_tokenizer.pattern must be/,
    ],
    [
      { pre_tokenizer: { type: "Split", pattern: { Regex: "(" }, behavior: "Isolated" } },
      /the regular expression "\(" is not supported/,
    ],
  ])("broken parts by their key: %j", (parts, message) => {
    const json: Json = { model: { type: "BPE", vocab: { a: 0 }, merges: [] }, added_tokens: [], ...parts };
    expect(() => new Tokenizer({ json })).toThrow(UserError);
    expect(() => new Tokenizer({ json })).toThrow(message);
  });

  it("a regular expression that would take for ever, after seconds", () => {
    const json: Json = {
      model: { type: "WordLevel", vocab: { "<unk>": 0 }, unk_token: "<unk>" },
      pre_tokenizer: { type: "Split", pattern: { Regex: "(a+)+$" }, behavior: "Isolated" },
    };
    const tokenizer = new Tokenizer({ json }, "t.json");
    const started = performance.now();
    expect(() => tokenizer.encode(`${"a".repeat(100)}b`)).toThrow(
      /takes more than 3 seconds on a text of 101/,
    );
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it("a regular expression that is too large for its engine", () => {
    const json: Json = {
      model: { type: "WordLevel", vocab: { "<unk>": 0 }, unk_token: "<unk>" },
      pre_tokenizer: { type: "Split", pattern: { Regex: "\\p{L}".repeat(20_000) }, behavior: "Isolated" },
    };
    expect(() => new Tokenizer({ json }, "t.json").encode("a")).toThrow(/is too large/);
  });
});

describe("normal forms", () => {
  it.each([
    ["NFC", "ab \u1112\u1161\u11ab x", "ab \ud55c x", 7],
    ["NFC", "e\u0301 \u1100\u1161 x", "\u00e9 \uac00 x", 6],
    ["NFKC", "\u2163\u0e33\u0e34 x", "IV\u0e4d\u0e32\u0e34 x", 4],
  ])("%s of letters that join says where the others are", (type, text, normal, place) => {
    const piece = createNormalizer({ type }, "normalizer")!(new Piece(text, 0));
    expect(piece.text).toBe(normal);
    expect(piece.startOf(normal.indexOf("x"))).toBe(place);
  });

  it("keeps apart the places of characters that do not join", () => {
    const piece = createNormalizer({ type: "NFKC" }, "normalizer")!(new Piece("\u0e33\u0e34", 0));
    expect([0, 1, 2].map((at) => piece.startOf(at))).toEqual([0, 0, 1]);
  });
});

// From tokenizers 0.23: Split(Regex(...), "isolated").pre_tokenize_str("1\u2460\u00b2\u00df").
it.each([
  ["\\w+", ["1", "\u2460", "\u00b2\u00df"]],
  ["[\\w]+", ["1", "\u2460\u00b2", "\u00df"]],
  ["\\w+|[^\\w\\s]+", ["1", "\u2460\u00b2", "\u00df"]],
  ["[[^\\W]]+", ["1", "\u2460\u00b2", "\u00df"]],
])("word characters of %s", (Regex, want) => {
  const settings = { type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false };
  const split = createPreTokenizer(settings, "pre_tokenizer")!;
  expect(split([new Piece("1\u2460\u00b2\u00df", 0)]).map(({ text }) => text)).toEqual(want);
});

it("an any-character of a pattern is one in front of others, too", () => {
  const find = compilePattern({ Regex: "(?m:.*)b" }, "pattern");
  expect(find("a\nb")).toEqual([{ from: 0, to: 3, isMatch: true }]);
});
