// GGUF files that `touchstone export` writes: read back whole, bit for bit the `gguf` package's blocks, and what is refused.
// test/oracle/llama_cpp.ts and gguf_read.py compare them with llama.cpp, transformers and the `gguf` package.

import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loraScale, readAdapter } from "../src/model/adapter.js";
import { ChatTemplate } from "../src/model/chat-template.js";
import { loadCheckpoint } from "../src/model/checkpoint.js";
import { parseDecoderConfig } from "../src/model/config.js";
import { encoders, type GgufFloatType } from "../src/model/export/gguf-file.js";
import { describeGguf } from "../src/model/export/gguf-model.js";
import { GgufHeader, readGgufTensor } from "../src/model/gguf.js";
import { Tokenizer } from "../src/model/tokenizer.js";
import { run } from "./support/in-process.js";

const fixtures = join(import.meta.dirname, "fixtures");
const scratch = mkdtempSync(join(tmpdir(), "touchstone-export-gguf-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const gguf = (name: string) => join(fixtures, "gguf", `${name}.gguf`);
const engine = (name: string) => join(fixtures, "engine", name);
let count = 0;
/** Exports and returns what was printed and where it went. */
async function exported(model: string, ...flags: string[]) {
  const out = join(scratch, `${count++}.gguf`);
  return { path: out, ...(await run("export", model, out, "--to", "gguf", "--quiet", ...flags)) };
}

/** A copy of an engine fixture with a tokenizer and changed fields of config.json. */
function withTokenizer(name: string, changes: object = {}): string {
  const dir = join(scratch, `${name}-${count++}`);
  cpSync(engine(name), dir, { recursive: true });
  for (const file of ["tokenizer.json", "tokenizer_config.json"])
    cpSync(join(scratch, "plain", file), join(dir, file));
  const config = JSON.parse(readFileSync(join(dir, "config.json"), "utf8"));
  writeFileSync(join(dir, "config.json"), JSON.stringify({ ...config, ...changes }));
  return dir;
}

beforeAll(async () => {
  expect((await run("convert", gguf("llama"), join(scratch, "plain"))).code).toBe(0);
});

describe.each(["llama", "qwen2", "qwen3", "gemma2", "gemma3", "smollm3", "phi3", "olmo2", "granite"])(
  "a %s model",
  (name) => {
    it("comes back with the same weights, configuration, tokenizer and template", async () => {
      const { path, code, out } = await exported(gguf(name), "--dtype", "float32", "--json");
      expect(code).toBe(0);
      expect(JSON.parse(out)).toMatchObject({ kind: "policy", architecture: name, dtype: "F32" });
      const [before, after] = [await loadCheckpoint(gguf(name)), await loadCheckpoint(path)];
      expect([...after.tensors.keys()]).toEqual([...before.tensors.keys()]);
      for (const [parameter, values] of before.tensors)
        expect(
          Buffer.compare(Buffer.from(values.buffer), Buffer.from(after.tensors.get(parameter)!.buffer)),
        ).toBe(0);
      const facts = ({ raw: _, ...config }: typeof before.config) => config;
      expect(facts(after.config)).toEqual(facts(before.config));
      const text = "the<s>cat</s> thehe";
      expect((await Tokenizer.load(path)).encode(text)).toEqual(
        (await Tokenizer.load(gguf(name))).encode(text),
      );
      expect((await ChatTemplate.load(path))!.sources).toEqual(
        (await ChatTemplate.load(gguf(name)))!.sources,
      );
    });
  },
);

describe("number types", () => {
  const header = GgufHeader.read(gguf("types"));
  const values = readGgufTensor(gguf("types"), header.tensors.get("F32")!);

  it.each(["F32", "BF16", "F16", "Q8_0"] satisfies GgufFloatType[])(
    "%s has the bytes of the gguf package",
    (type) => {
      const { start, bytes } = header.tensors.get(type)!;
      const wanted = readFileSync(gguf("types")).subarray(start, start + bytes);
      expect(Buffer.compare(Buffer.from(encoders[type](values)!), wanted)).toBe(0);
    },
  );

  it.each([
    ["float16", "F16"],
    ["bfloat16", "BF16"],
    ["q8_0", "Q8_0"],
  ])("--dtype %s changes matrices only", async (flag, type) => {
    const { path } = await exported(gguf("qwen2"), "--dtype", flag);
    const { tensors, metadata } = GgufHeader.read(path);
    expect(tensors.get("blk.0.attn_q.weight")!.type.name).toBe(type);
    expect(tensors.get("blk.0.attn_q.bias")!.type.name).toBe("F32");
    expect(tensors.get("output_norm.weight")!.type.name).toBe("F32");
    expect(metadata.get("general.file_type")).toBe({ F16: 1, BF16: 32, Q8_0: 7 }[type]);
  });

  it("too large a number for half precision is refused and nothing is left", async () => {
    expect(encoders.F16(Float32Array.of(1e6))).toBeUndefined();
    expect(encoders.Q8_0(new Float32Array(32).fill(1e30))).toBeUndefined();
  });
});

describe("metadata", () => {
  it("names licence, size and rotary factors", async () => {
    const dir = withTokenizer("llama-llama3-rope");
    writeFileSync(join(dir, "README.md"), "---\nlicense: apache-2.0\nlanguage: [en, fr]\n---\n\nA card.\n");
    const { path } = await exported(dir);
    const { metadata, tensors } = GgufHeader.read(path);
    expect(metadata.get("general.license")).toBe("apache-2.0");
    expect(metadata.get("general.languages")).toEqual(["en", "fr"]);
    expect(metadata.get("general.type")).toBe("model");
    // Factor 8 for the slow frequencies, 1 for the fast ones.
    const factors = readGgufTensor(path, tensors.get("rope_freqs.weight")!);
    expect(factors[0]).toBe(1);
    expect(factors.at(-1)).toBeCloseTo(8, 5);
  });

  it("says where llama.cpp computes otherwise", async () => {
    const { code, out, path } = await exported(withTokenizer("mistral-sliding"), "--json");
    expect(code).toBe(0);
    expect(JSON.parse(out).notes).toEqual([expect.stringContaining("without its sliding window of")]);
    const { metadata } = GgufHeader.read(path);
    expect(metadata.get("llama.context_length")).toBeLessThan(128);
  });
});

describe("a SentencePiece tokenizer", () => {
  const dir = join(fixtures, "gguf/sentencepiece");
  const want = JSON.parse(readFileSync(join(dir, "expected.json"), "utf8")) as Record<string, number[]>;
  const ids = async (path: string) => {
    const tokenizer = await Tokenizer.load(path);
    return Object.fromEntries(Object.keys(want).map((text) => [text, tokenizer.encode(text)]));
  };

  it("read from GGUF gives the ids of SentencePiece and transformers", async () => {
    expect(await ids(join(dir, "model.gguf"))).toEqual(want);
    expect(Object.keys(want)).toHaveLength(16);
  });

  it("written from tokenizer.json gives them too", async () => {
    const model = join(scratch, "sentencepiece");
    expect((await run("convert", join(dir, "model.gguf"), model)).code).toBe(0);
    cpSync(join(dir, "tokenizer.json"), join(model, "tokenizer.json"));
    const { path, code } = await exported(model);
    expect(code).toBe(0);
    expect(await ids(path)).toEqual(want);
    const { metadata } = GgufHeader.read(path);
    expect(metadata.get("tokenizer.ggml.model")).toBe("llama");
    // Byte tokens, and scores in the order of the original's.
    const types = metadata.get("tokenizer.ggml.token_type") as number[];
    expect(types.filter((type) => type === 6)).toHaveLength(256);
    const original = GgufHeader.read(join(dir, "model.gguf")).metadata;
    expect(types).toEqual(original.get("tokenizer.ggml.token_type"));
    const order = (scores: unknown) =>
      (scores as number[])
        .map((score, i) => [score, i] as const)
        .filter(([, i]) => types[i] === 1)
        .sort(([a, i], [b, j]) => b - a || i - j)
        .map(([, i]) => i)
        .slice(0, 100);
    expect(order(metadata.get("tokenizer.ggml.scores"))).toEqual(
      order(original.get("tokenizer.ggml.scores")),
    );
  });
});

describe("a LoRA adapter", () => {
  const adapted = (): string => {
    const base = withTokenizer("llama-tied");
    const dir = join(base, "lora");
    const config = JSON.parse(readFileSync(join(dir, "adapter_config.json"), "utf8"));
    writeFileSync(
      join(dir, "adapter_config.json"),
      JSON.stringify({ ...config, base_model_name_or_path: base }),
    );
    return dir;
  };

  it("is written alone with its scale, and rows in llama.cpp's order", async () => {
    const dir = adapted();
    const { path, code } = await exported(dir, "--adapter-only", "--dtype", "float32");
    expect(code).toBe(0);
    const { metadata, tensors } = GgufHeader.read(path);
    const { lora, pairs } = await readAdapter(dir);
    expect(metadata.get("general.type")).toBe("adapter");
    expect(Number(metadata.get("adapter.lora.alpha")) / lora.r).toBeCloseTo(loraScale(lora), 6);
    expect(tensors.size).toBe(2 * pairs.size);
    const read = (name: string) => readGgufTensor(path, tensors.get(name)!);
    const own = pairs.get("model.layers.0.self_attn.q_proj.weight")!;
    expect(read("blk.0.attn_q.weight.lora_a")).toEqual(own.a);
    // Row 1 of a head is the first of its second half.
    const written = read("blk.0.attn_q.weight.lora_b");
    const half = JSON.parse(readFileSync(join(dir, "../config.json"), "utf8")).head_dim / 2;
    expect(written.slice(lora.r, 2 * lora.r)).toEqual(own.b.slice(half * lora.r, (half + 1) * lora.r));
    expect(read("blk.0.ffn_up.weight.lora_b")).toEqual(pairs.get("model.layers.0.mlp.up_proj.weight")!.b);
  });

  it("is merged by default", async () => {
    const dir = adapted();
    const { path } = await exported(dir, "--dtype", "float32");
    const { tensors } = await loadCheckpoint(path);
    const base = await loadCheckpoint(join(dir, ".."));
    const { lora, pairs } = await readAdapter(dir);
    const name = "model.layers.1.mlp.down_proj.weight";
    const { a, b } = pairs.get(name)!;
    const width = a.length / lora.r;
    let product = 0;
    for (let k = 0; k < lora.r; k++) product += b[lora.r + k]! * a[k * width + 2]!;
    const wanted = base.tensors.get(name)![width + 2]! + loraScale(lora) * product;
    expect(tensors.get(name)![width + 2]).toBeCloseTo(wanted, 6);
    expect(Math.abs(loraScale(lora) * product)).toBeGreaterThan(1e-4);
  });
});

describe("what is refused", () => {
  it.each([
    ["a reward model", () => engine("llama-reward"), [], /no scalar score head.*use --to onnx/],
    ["a model without a tokenizer", () => engine("llama-tied"), [], /tokenizer\.json/],
    ["an adapter that is none", () => gguf("llama"), ["--adapter-only"], /is not an adapter/],
    [
      "biases",
      () => withTokenizer("qwen3", { attention_bias: true }),
      [],
      /lacks .* tensors .*k_proj|projections have biases/,
    ],
    [
      "another attention scale",
      () => withTokenizer("gemma2"),
      [],
      /gemma2 architecture cannot compute this model/,
    ],
    [
      "a rotary embedding of its own",
      () => withTokenizer("gemma3"),
      [],
      /gemma3 architecture cannot compute/,
    ],
  ])("%s", async (_, model, flags, message) => {
    const { code, err, path } = await exported(model(), ...flags);
    expect([code, err]).toEqual([2, expect.stringMatching(message)]);
    expect(existsSync(path)).toBe(false);
  });

  it("a splitting rule that llama.cpp does not know", async () => {
    const dir = withTokenizer("llama-tied");
    const tokenizer = JSON.parse(readFileSync(join(dir, "tokenizer.json"), "utf8"));
    const rule = { type: "Split", pattern: { Regex: "x+" }, behavior: "Isolated", invert: false };
    const pre = { type: "Sequence", pretokenizers: [rule, tokenizer.pre_tokenizer] };
    writeFileSync(join(dir, "tokenizer.json"), JSON.stringify({ ...tokenizer, pre_tokenizer: pre }));
    const { code, err } = await exported(dir);
    expect([code, err]).toEqual([2, expect.stringContaining("llama.cpp has no name for this tokenizer's")]);
  });

  it("an existing file, and another ending", async () => {
    const there = join(scratch, "there.gguf");
    writeFileSync(there, "mine");
    const again = await run("export", gguf("llama"), there, "--to", "gguf");
    expect([again.code, again.err]).toEqual([2, expect.stringContaining("exists already")]);
    expect(readFileSync(there, "utf8")).toBe("mine");
    const ending = await run("export", gguf("llama"), join(scratch, "x.bin"), "--to", "gguf");
    expect([ending.code, ending.err]).toEqual([2, expect.stringContaining("something.gguf")]);
  });

  it("every family has a row", () => {
    for (const [family, hidden] of [["mistral", 32]] as const) {
      const config = parseDecoderConfig({
        ...{ architectures: ["MistralForCausalLM"], model_type: family, hidden_size: hidden },
        ...{ num_attention_heads: 4, num_key_value_heads: 2, num_hidden_layers: 1, sliding_window: null },
      });
      expect(describeGguf(config).architecture).toBe("llama");
    }
  });
});
