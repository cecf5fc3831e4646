// What the fuzzer feeds: for every format the seeds that it mutates, and what reads them. A target may return, or throw a
// UserError; anything else is a finding.

import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { parquetWriteBuffer } from "hyparquet-writer";
import { parseYaml } from "../../src/base/yaml.js";
import { detectFormat, recognise } from "../../src/data/format.js";
import { readRows } from "../../src/data/readers.js";
import type { DataRow } from "../../src/data/rows.js";
import { ChatTemplate } from "../../src/model/chat-template.js";
import { parseDecoderConfig } from "../../src/model/config.js";
import { isObject } from "../../src/model/json.js";
import { SafetensorsReader } from "../../src/model/safetensors.js";
import { Tokenizer } from "../../src/model/tokenizer.js";
import { parseRecipe } from "../../src/recipe/recipe.js";

export interface Target {
  seeds(): Buffer[];
  run(input: Buffer): unknown;
}

const root = join(import.meta.dirname, "../..");
const dir = mkdtempSync(join(tmpdir(), "touchstone-fuzz-"));
const model = (name: string) => readFileSync(join(root, "lab/model", name));

/** Parsed, where it is an object; what is none is another target's concern. */
function asObject(input: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(input.toString("utf8"));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

async function rowsOf(name: string, input: Buffer): Promise<void> {
  const path = join(dir, name);
  writeFileSync(path, input);
  const rows: DataRow[] = [];
  for await (const row of readRows({ path, label: name, id: name })) rows.push(row);
  if (rows[0] && recognise(rows[0], undefined, {})) detectFormat(rows, {});
}

const recipe = `output_dir: runs/x
policy: { model: ./m, lora: { r: 16 } }
steps: 200
tasks:
  - &task
    name: chat
    prompts: ./data/chat.jsonl
    reward: { warm: ./rm }
    judges: [math, { kind: length, max_words: 5 }]
    optimizer: { name: crpg, kl_max: 5, generations: 4 }
llm: { j: { base_url: "http://127.0.0.1:1/v1", model: qwen3:8b } }
`;
const rows = `{"prompt":"p","chosen":"a","rejected":"b"}\n{"prompt":[{"role":"user","content":"x"}],"completion":"y"}\n`;

/** A small tokenizer.json: what mutations of a large one would hit is nearly always its vocabulary. */
function smallTokenizer(): Buffer {
  const json = JSON.parse(model("tokenizer.json").toString()) as { model: Record<string, unknown> };
  const vocab = Object.entries(json.model.vocab as Record<string, number>).slice(0, 40);
  return Buffer.from(
    JSON.stringify({ ...json, model: { ...json.model, vocab: Object.fromEntries(vocab), merges: [] } }),
  );
}

export const targets: Record<string, Target> = {
  safetensors: {
    seeds: () => {
      const tensors = {
        __metadata__: { format: "pt" },
        a: { dtype: "F32", shape: [2, 2], data_offsets: [0, 16] },
        b: { dtype: "BF16", shape: [4], data_offsets: [16, 24] },
      };
      const header = Buffer.from(JSON.stringify(tensors));
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(header.length));
      return [Buffer.concat([length, header, Buffer.alloc(24)])];
    },
    run: async (input) => {
      const path = join(dir, "model.safetensors");
      writeFileSync(path, input);
      const reader = await SafetensorsReader.open(path);
      for (const name of reader.tensors.keys()) await reader.readFloat32(name).finally(() => {});
      await reader.close();
    },
  },
  json: {
    seeds: () => [Buffer.from(`[${rows.trim().replace("\n", ",")}]`)],
    run: (input) => rowsOf("x.json", input),
  },
  jsonl: { seeds: () => [Buffer.from(rows)], run: (input) => rowsOf("x.jsonl", input) },
  gzip: { seeds: () => [gzipSync(rows.repeat(50))], run: (input) => rowsOf("x.jsonl.gz", input) },
  parquet: {
    seeds: () => {
      const text = { name: "prompt", data: ["a", "b", "cc"], type: "STRING" as const };
      const list = { name: "n", data: [1n, 2n, 3n], type: "INT64" as const };
      return [Buffer.from(parquetWriteBuffer({ columnData: [text, list], rowGroupSize: 2 }))];
    },
    run: (input) => rowsOf("x.parquet", input),
  },
  yaml: {
    seeds: () => [Buffer.from(recipe)],
    run: (input) => {
      const text = input.toString("utf8");
      parseYaml(text, "x.yaml");
      parseRecipe("align", text, "x.yaml");
    },
  },
  config: {
    seeds: () => [model("config.json")],
    run: (input) => {
      const json = asObject(input);
      if (json) parseDecoderConfig(json);
    },
  },
  tokenizer: {
    seeds: () => [smallTokenizer()],
    run: (input) => {
      const json = asObject(input);
      if (json) new Tokenizer({ json }).encode("Hello, wörld 12");
    },
  },
  template: {
    seeds: () => [
      Buffer.from(String(asObject(model("tokenizer_config.json"))?.chat_template ?? "{{ messages }}")),
    ],
    run: (input) =>
      new ChatTemplate({ default: input.toString("utf8") }).apply([
        { role: "system", content: "s" },
        { role: "user", content: "u" },
      ]),
  },
};
