// GGUF through the verbs: converted, sampled from, talked to; and what a person is told about a bad file.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { afterAll, describe, expect, it } from "vitest";
import { chat } from "../src/cli/chat.js";
import { loadCheckpoint } from "../src/model/checkpoint.js";
import { GgufModel } from "../src/model/gguf-model.js";
import { Tokenizer } from "../src/model/tokenizer.js";
import { run } from "./support/in-process.js";

const file = join(import.meta.dirname, "fixtures/gguf/llama.gguf");
const scratch = mkdtempSync(join(tmpdir(), "touchstone-gguf-verbs-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe("touchstone convert", () => {
  const out = join(scratch, "llama");

  it("writes the same weights, tokenizer and template as a model directory", async () => {
    expect((await run("convert", file, out)).code).toBe(0);
    const [from, to] = [await loadCheckpoint(file), await loadCheckpoint(out)];
    expect([...to.tensors.keys()]).toEqual([...from.tensors.keys()]);
    for (const [name, values] of from.tensors) expect(to.tensors.get(name)).toEqual(values);
    const { files } = GgufModel.open(file);
    for (const name of ["tokenizer.json", "tokenizer_config.json"])
      expect(readFileSync(join(out, name), "utf8")).toBe(files[name]);
    const text = "the cat</s>";
    expect((await Tokenizer.load(out)).encode(text)).toEqual((await Tokenizer.load(file)).encode(text));
  });

  it("does not write over what is there", async () => {
    const { code, err } = await run("convert", file, out);
    expect([code, err]).toEqual([2, expect.stringContaining("exists already")]);
  });

  it("tells what is wrong with a file in one sentence", async () => {
    const bad = join(scratch, "bad.gguf");
    writeFileSync(bad, "GGML and so on, which is long enough to be looked at");
    const { code, err } = await run("convert", bad, join(scratch, "never"));
    expect([code, err]).toEqual([2, expect.stringContaining("is not a GGUF file")]);
    expect(existsSync(join(scratch, "never"))).toBe(false);
  });
});

describe("a GGUF file in a recipe", () => {
  const rows = ["the", "cat", "sat", "bat"].map((word) => `{"prompt":"${word}","completion":"the"}\n`);
  const data = join(scratch, "rows.jsonl");
  const recipe = (name: string, more: string): string => {
    writeFileSync(data, rows.join(""));
    const path = join(scratch, `${name}.yaml`);
    const settings = ["steps: 2", "batch_size: 2", "learning_rate: 0.01"];
    const paths = [`model: ${file}`, `data: ${data}`, `output_dir: ${join(scratch, name)}`];
    writeFileSync(path, [...paths, ...settings, more].join("\n"));
    return path;
  };

  it("carries an adapter, which is opened with it", async () => {
    expect((await run("sft", recipe("adapter", "lora: { r: 2 }"), "--quiet")).code).toBe(0);
    const dir = join(scratch, "adapter/final");
    expect(JSON.parse(readFileSync(join(dir, "adapter_config.json"), "utf8")).base_model_name_or_path).toBe(
      file,
    );
    const sample = ["sample", "--prompt", "the", "--max-new-tokens", "4", "--greedy", "--quiet", "--model"];
    const { code, out } = await run(...sample, dir);
    expect([code, out.length > 1]).toEqual([0, true]);
  });

  it("is trained whole into a model directory with its tokenizer", async () => {
    expect((await run("sft", recipe("whole", ""), "--quiet")).code).toBe(0);
    const dir = join(scratch, "whole/final");
    const [before, after] = [await loadCheckpoint(file), await loadCheckpoint(dir)];
    expect([...after.tensors.keys()]).toEqual([...before.tensors.keys()]);
    expect(after.tensors.get("lm_head.weight")).not.toEqual(before.tensors.get("lm_head.weight"));
    expect(readFileSync(join(dir, "tokenizer.json"), "utf8")).toBe(
      GgufModel.open(file).files["tokenizer.json"],
    );
  });
});

describe("touchstone chat", () => {
  const talk = async (lines: string, temperature = 0) => {
    const input = new PassThrough();
    input.end(lines);
    const pieces: string[] = [];
    const output = new Writable({
      write(chunk, _, done) {
        pieces.push(String(chunk));
        done();
      },
    });
    await chat({
      model: file,
      engine: { kind: "local", device: "cpu", threads: undefined, maxBatchTokens: 4096 },
      maxNewTokens: 8,
      temperature,
      topP: 1,
      seed: 1,
      input,
      output,
    });
    return { pieces, text: pieces.join("") };
  };

  it("streams an answer to every line, the same for the same lines", async () => {
    const { pieces, text } = await talk("the\ncat\n");
    expect(text.split("\n")).toHaveLength(3);
    expect(pieces.length).toBeGreaterThan(4);
    expect((await talk("the\ncat\n")).text).toBe(text);
  });

  it("forgets with /new and leaves with /exit", async () => {
    const [first] = (await talk("the\n")).text.split("\n");
    const { text } = await talk("cat\n/new\nthe\n/exit\nthe\n");
    expect(text.split("\n")).toHaveLength(3);
    expect(text.split("\n")[1]).toBe(first);
  });
});
