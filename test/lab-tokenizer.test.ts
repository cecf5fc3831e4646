// The tokenizer that the lab trains, against what Hugging Face's `tokenizers` and `transformers` make of its files
// (test/oracle/lab_tokenizer.py). The training texts are a fixture, so that the words of the world may change.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { byteCharacters, trainBpe } from "../src/lab/world/bpe.js";
import { renderDialogue, specialTokens } from "../src/lab/world/chat.js";
import { tokenizerFiles } from "../src/lab/world/files.js";
import { ChatTemplate } from "../src/model/chat-template.js";
import { Tokenizer } from "../src/model/tokenizer.js";

const fixture = (name: string) =>
  JSON.parse(readFileSync(new URL(`fixtures/lab/${name}`, import.meta.url), "utf8"));
const corpus = fixture("bpe-corpus.json") as string[];
const oracle = fixture("tokenizer.json");
const specials = Object.values(specialTokens);
const bpe = trainBpe(corpus, 420, specials);
const files = tokenizerFiles(bpe);
const config = JSON.parse(files["tokenizer_config.json"]!);
const tokenizer = new Tokenizer({ json: JSON.parse(files["tokenizer.json"]!), config });

describe("the lab's tokenizer", () => {
  it("has the special tokens, every byte and the merges, each once", () => {
    expect(bpe.tokens.length).toBe(420);
    expect(new Set(bpe.tokens).size).toBe(420);
    expect(bpe.tokens.slice(0, 4)).toEqual(specials);
    expect(new Set(byteCharacters).size).toBe(256);
    for (const character of byteCharacters) expect(bpe.tokens).toContain(character);
    expect(bpe.tokens.length).toBe(oracle.size);
  });

  it.each(oracle.texts as { text: string; ids: number[]; decoded: string }[])(
    "encodes and decodes as Hugging Face does: $text",
    ({ text, ids, decoded }) => {
      expect(tokenizer.encode(text, { addSpecialTokens: false })).toEqual(ids);
      expect(decoded).toBe(text);
      if (ids.length > 0) expect(tokenizer.decode(ids)).toBe(decoded);
    },
  );

  it("names its end and pad tokens, and renders dialogues as its template does", () => {
    expect(bpe.tokens.indexOf(config.eos_token)).toBe(oracle.eos);
    expect(bpe.tokens.indexOf(config.pad_token)).toBe(oracle.pad);
    const template = new ChatTemplate({ default: config.chat_template }, tokenizer.specialTokens);
    const [question, answer] = oracle.dialogue;
    expect(template.apply(oracle.dialogue)).toBe(oracle.rendered);
    expect(template.apply([question], { addGenerationPrompt: true })).toBe(oracle.prompted);
    expect(renderDialogue(question.content, answer.content)).toBe(oracle.rendered);
  });
});

describe("trainBpe", () => {
  it("merges the most frequent pair first, and of equals the one that sorts first", () => {
    const { merges } = trainBpe(["abab abab", "cdcd"], 300, []);
    expect(merges.map((pair) => pair.join(" "))).toEqual(["a b", "ab ab", "c d"]);
    expect(trainBpe(["cdab"], 300, []).merges).toEqual([]);
  });
});
