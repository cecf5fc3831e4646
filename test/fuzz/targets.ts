// What the fuzzer feeds: for every format and endpoint the seeds that it mutates, and what reads them. A target may return,
// or throw a UserError or ChatError; anything else is a finding.

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { parseYaml } from "../../src/base/yaml.js";
import { detectFormat, recognise } from "../../src/data/format.js";
import { readRows } from "../../src/data/readers.js";
import type { DataRow } from "../../src/data/rows.js";
import { loraTargets, parseLoraConfig } from "../../src/model/adapter.js";
import { ChatTemplate } from "../../src/model/chat-template.js";
import { loadCheckpoint } from "../../src/model/checkpoint.js";
import { parseDecoderConfig } from "../../src/model/config.js";
import { GgufHeader, readGgufTensor } from "../../src/model/gguf.js";
import { isObject } from "../../src/model/json.js";
import { parseHeader, SafetensorsReader } from "../../src/model/safetensors.js";
import { Tokenizer } from "../../src/model/tokenizer.js";
import { presetNames, taskPreset } from "../../src/mpo/presets/index.js";
import { rubricFromYaml, rubricToYaml } from "../../src/mpo/rubric-file.js";
import { initialRubric } from "../../src/mpo/task.js";
import { parseRecipe } from "../../src/recipe/recipe.js";
import { parseMergekit } from "../../src/reward/mergekit.js";
import { endpoints } from "./endpoints.js";
import { parquet } from "./parquet.js";
import { dir, type Target } from "./scratch.js";

const root = join(import.meta.dirname, "../..");
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

async function rowsOf(name: string, input: Buffer, slot: number): Promise<void> {
  const path = join(dir, `${slot}-${name}`);
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

/** The length of a safetensors header, as the file begins. */
function lengthOf(header: Buffer): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return length;
}

const headerJson = Buffer.from(
  JSON.stringify({
    __metadata__: { format: "pt" },
    a: { dtype: "F32", shape: [2, 2], data_offsets: [0, 16] },
    b: { dtype: "BF16", shape: [4], data_offsets: [16, 24] },
  }),
);

async function readSafetensors(input: Buffer, slot: number): Promise<void> {
  const path = join(dir, `${slot}.safetensors`);
  writeFileSync(path, input);
  const reader = await SafetensorsReader.open(path);
  try {
    for (const name of reader.tensors.keys()) await reader.readFloat32(name);
  } finally {
    await reader.close();
  }
}

/** What stands before the tensors of a GGUF file. */
function ggufHeader(name: string): Buffer {
  const path = join(root, "test/fixtures/gguf", name);
  const { tensors } = GgufHeader.read(path);
  return readFileSync(path).subarray(0, Math.min(...[...tensors.values()].map(({ start }) => start)));
}

let ggufCount = 0;

/** As a header followed by tensors of zeros. Under another name each time: a file is known by its name, size and time. */
async function readGguf(input: Buffer): Promise<void> {
  const path = join(dir, `${ggufCount++}.gguf`);
  writeFileSync(path, Buffer.concat([input, Buffer.alloc(24_000)]));
  try {
    const header = GgufHeader.read(path);
    for (const tensor of header.tensors.values()) if (tensor.type.decode) readGgufTensor(path, tensor);
    await loadCheckpoint(path);
    (await Tokenizer.load(path)).encode("Hello, wörld 12");
  } finally {
    rmSync(path);
  }
}

const decoder = parseDecoderConfig(JSON.parse(model("config.json").toString()) as Record<string, unknown>);
const taskRubric = initialRubric(taskPreset(presetNames[0]!));

export const targets: Record<string, Target> = {
  /** Of the right length and without its file, so that mutations reach what it says. */
  header: {
    seeds: () => [headerJson],
    run: (input) =>
      parseHeader(input.toString("utf8"), "x.safetensors", 8 + input.length, 8 + input.length + 24),
  },
  safetensors: {
    seeds: () => [Buffer.concat([lengthOf(headerJson), headerJson, Buffer.alloc(24)])],
    run: readSafetensors,
  },
  gguf: {
    seeds: () => ["llama.gguf", "qwen2.gguf", "types.gguf"].map(ggufHeader),
    run: readGguf,
  },
  json: {
    seeds: () => [Buffer.from(`[${rows.trim().replace("\n", ",")}]`)],
    run: (input, slot) => rowsOf("x.json", input, slot),
  },
  jsonl: { seeds: () => [Buffer.from(rows)], run: (input, slot) => rowsOf("x.jsonl", input, slot) },
  gzip: { seeds: () => [gzipSync(rows.repeat(50))], run: (input, slot) => rowsOf("x.jsonl.gz", input, slot) },
  csv: {
    seeds: () => [Buffer.from('prompt,chosen,rejected\n"a ""b""\nc",d,e\nf,"g,h",i\n')],
    run: (input, slot) => rowsOf("x.csv", input, slot),
  },
  parquet,
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
  adapter: {
    seeds: () => [
      Buffer.from(
        '{"peft_type":"LORA","task_type":"CAUSAL_LM","r":2,"lora_alpha":4,"lora_dropout":0.1,"target_modules":["q_proj"],' +
          '"modules_to_save":["score"],"use_rslora":false,"bias":"none","base_model_name_or_path":"m"}',
      ),
    ],
    run: (input) => {
      const json = asObject(input);
      if (json) loraTargets(decoder, parseLoraConfig(json));
    },
  },
  rubric: {
    seeds: () => [Buffer.from(rubricToYaml(taskRubric))],
    run: (input) => rubricFromYaml(input.toString("utf8"), "x.yaml"),
  },
  mergekit: {
    seeds: () => [
      Buffer.from(
        "models:\n  - model: a\n    parameters: { weight: 0.5 }\n  - model: b\nmerge_method: linear\ndtype: float32\n",
      ),
    ],
    run: (input) => parseMergekit(input.toString("utf8")),
  },
  ...endpoints,
};
