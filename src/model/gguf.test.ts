// GGUF files against the `gguf` package (tensors bit for bit) and transformers (logits), and what is wrong with a file.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { LocalLanguageModel } from "../engine/local/index.js";
import { bytesOf } from "./floats.js";
import { GgufHeader, readGgufTensor } from "./gguf.js";
import { readableTypes } from "./gguf-blocks.js";
import { GgufModel } from "./gguf-model.js";
import { SafetensorsReader } from "./safetensors.js";
import { Tokenizer } from "./tokenizer.js";

const root = join(import.meta.dirname, "../../test/fixtures/gguf");
const file = join(root, "types.gguf");
const scratch = mkdtempSync(join(tmpdir(), "touchstone-gguf-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe("every type", () => {
  it("that can be read is in the fixture", () => {
    expect([...GgufHeader.read(file).tensors.keys()].sort()).toEqual([...readableTypes].sort());
  });

  it.each(readableTypes)("%s is dequantised bit for bit", async (name) => {
    const tensor = GgufHeader.read(file).tensors.get(name)!;
    expect(tensor.shape).toEqual([3, 512]);
    const reader = await SafetensorsReader.open(join(root, "types.safetensors"));
    const wanted = await reader.readFloat32(name);
    await reader.close();
    expect(Buffer.compare(bytesOf(readGgufTensor(file, tensor)), bytesOf(wanted))).toBe(0);
  });
});

describe.each(["llama", "qwen2", "qwen3", "gemma2", "gemma3", "smollm3", "phi3", "olmo2", "granite"])(
  "a %s file",
  (name) => {
    const path = join(root, `${name}.gguf`);
    const want = JSON.parse(readFileSync(join(root, `${name}.json`), "utf8")) as {
      tokens: number[];
      logits: number[][];
    };

    it("is the model that transformers computes", async () => {
      const model = await LocalLanguageModel.load(path, { frozen: true });
      for (let t = 1; t < want.tokens.length; t += 4) {
        const prefix = want.tokens.slice(0, t);
        const sequences = Array.from({ length: 32 }, (_, token) => ({
          tokens: [...prefix, token],
          promptLength: t,
        }));
        const row = want.logits[t - 1]!;
        const top = Math.max(...row);
        const normaliser = top + Math.log(row.reduce((sum, x) => sum + Math.exp(x - top), 0));
        const found = await model.logprobs(sequences);
        row.forEach((logit, token) => {
          expect(Math.abs(found[token]![0]! - (logit - normaliser))).toBeLessThan(1e-4);
        });
      }
    });

    it("samples from those logits", async () => {
      const model = await LocalLanguageModel.load(path, { frozen: true });
      const prompt = want.tokens.slice(0, 4);
      const [{ tokens, logprobs } = { tokens: [], logprobs: [] }] = await model.sample([prompt], {
        maxNewTokens: 1,
        temperature: 0,
        stopIds: [],
        seeds: [0],
      });
      const row = want.logits[3]!;
      const top = Math.max(...row);
      expect(tokens[0]).toBe(row.indexOf(top));
      const normaliser = top + Math.log(row.reduce((sum, x) => sum + Math.exp(x - top), 0));
      expect(Math.abs(logprobs[0]! - (top - normaliser))).toBeLessThan(1e-4);
    });

    it("comes with its tokenizer", async () => {
      const tokenizer = await Tokenizer.load(path);
      expect(tokenizer.encode("the<s>cat")).toEqual([31, 1, 5, 3, 22]);
      expect(GgufModel.open(path).files["tokenizer_config.json"]).toContain("chat_template");
    });
  },
);

describe("a bad file", () => {
  const good = readFileSync(join(root, "llama.gguf"));
  const written = (name: string, change: (bytes: Buffer) => Buffer): string => {
    const path = join(scratch, `${name}.gguf`);
    writeFileSync(path, change(Buffer.from(good)));
    return path;
  };
  const set = (bytes: Buffer, change: () => unknown): Buffer => {
    change();
    return bytes;
  };
  /** The number of tensors, of metadata entries. */
  const counts = { tensors: 8, entries: 16 };
  /** Where the description of a matrix goes on after its name: rank, two extents, type. */
  const afterName = good.lastIndexOf("blk.1.ffn_down.weight") + "blk.1.ffn_down.weight".length;

  const cases: [string, (bytes: Buffer) => Buffer, RegExp][] = [
    ["empty", () => Buffer.alloc(0), /is not a GGUF file/],
    [
      "magic",
      (b) => set(b, () => b.write("GGML", 0, "latin1")),
      /is not a GGUF file: it does not begin with "GGUF"/,
    ],
    ["version", (b) => set(b, () => b.writeUInt32LE(1, 4)), /version 1 is not supported/],
    ["big-endian", (b) => set(b, () => b.writeUInt32BE(3, 4)), /big-endian files are not supported/],
    [
      "tensors",
      (b) => set(b, () => b.writeBigUInt64LE(2n ** 40n, counts.tensors)),
      /announces 1099511627776 tensors, more than its \d+ bytes can hold/,
    ],
    [
      "entries",
      (b) => set(b, () => b.writeBigUInt64LE(2n ** 63n, counts.entries)),
      /metadata entries, more than/,
    ],
    ["text", (b) => set(b, () => b.writeBigUInt64LE(2n ** 50n, 24)), /bytes of text, more than/],
    ["header", (b) => b.subarray(0, 300), /truncated/],
    ["data", (b) => b.subarray(0, b.length - 100), /is truncated: tensor ".*" ends at byte/],
    [
      "type",
      (b) => set(b, () => b.writeUInt32LE(77, afterName + 4 + 16)),
      /tensor "blk.1.ffn_down.weight" has the unknown type 77/,
    ],
    ["extent", (b) => set(b, () => b.writeBigUInt64LE(2n ** 60n, afterName + 4 + 8)), /truncated/],
    [
      "unsupported type",
      (b) => set(b, () => b.writeUInt32LE(20, afterName + 4 + 16)),
      /type IQ4_NL, which is not supported \(F32, F16, /,
    ],
  ];
  it.each(cases)("%s: one sentence", async (name, change, message) => {
    const path = written(name, change);
    const attempt = LocalLanguageModel.load(path, { frozen: true });
    await expect(attempt).rejects.toThrow(message);
    await expect(attempt).rejects.toMatchObject({ name: "UserError" });
  });
});
