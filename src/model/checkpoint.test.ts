import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NonFiniteError, UserError } from "../base/errors.js";
import { loadCheckpoint, modelCard, saveCheckpoint, type Tensors } from "./checkpoint.js";
import { parameterSpecs, parseDecoderConfig, withHead } from "./config.js";
import type { Json } from "./json.js";
import { SafetensorsReader, writeSafetensors } from "./safetensors.js";

const rewardModel = fileURLToPath(new URL("../../test/fixtures/formats/lora-base", import.meta.url));

let root: string;
let dir: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "touchstone-checkpoint-"));
  dir = join(root, "model");
});
afterEach(() => rm(root, { recursive: true, force: true }));

const raw: Json = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 6,
  hidden_size: 4,
  intermediate_size: 8,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  tie_word_embeddings: true,
};
const config = parseDecoderConfig(raw, { generation: { eos_token_id: 2 } });
const random = (elements: number) =>
  Float32Array.from({ length: elements }, () => Math.fround(Math.random() - 0.5));
const randomTensors = (of = config): Tensors =>
  new Map(parameterSpecs(of).map(({ name, shape }) => [name, random(shape.reduce((a, b) => a * b))]));
const reading = (tensors: Tensors) => (spec: { name: string }) => tensors.get(spec.name)!;

describe("loading what transformers saved", () => {
  it("reads config and every tensor", async () => {
    const { config, tensors, fresh } = await loadCheckpoint(rewardModel);
    expect([config.head, config.layers, fresh]).toEqual(["scalar", 2, []]);
    expect([...tensors.keys()]).toEqual(parameterSpecs(config).map(({ name }) => name));
    expect(tensors.get("score.weight")).toHaveLength(8);
  });
});

describe("saving and loading", () => {
  it("round-trips weights, config, generation config and tokenizer files", async () => {
    const tokenizer = join(root, "tokenizer");
    await saveCheckpoint(tokenizer, { config, read: reading(randomTensors()) });
    await writeFile(join(tokenizer, "tokenizer.json"), '{"é": 1}\r\n');
    await writeFile(join(tokenizer, "chat_template.jinja"), "{{ x }}");
    const tensors = randomTensors();
    const readme = modelCard({ license: "mit", tags: ["a"] }, "# Model");
    await saveCheckpoint(dir, { config, read: reading(tensors), tokenizerFrom: tokenizer, readme });
    expect((await readdir(dir)).sort()).toEqual([
      "README.md",
      "chat_template.jinja",
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
    ]);
    expect(await readFile(join(dir, "tokenizer.json"), "utf8")).toBe('{"é": 1}\r\n');
    expect(await readFile(join(dir, "README.md"), "utf8")).toBe(
      "---\nlicense: mit\ntags:\n  - a\n---\n\n# Model\n",
    );
    const loaded = await loadCheckpoint(dir);
    expect(loaded.tensors).toEqual(tensors);
    expect(loaded.config).toEqual({ ...config, raw: { ...raw, dtype: "float32" } });
    expect(await readdir(root)).toEqual(["model", "tokenizer"]);
  });

  it("saves shards and half precision", async () => {
    const tensors = randomTensors();
    await saveCheckpoint(dir, { config, read: reading(tensors), dtype: "BF16", maxShardBytes: 100 });
    expect((await readdir(dir)).filter((name) => name.endsWith(".safetensors")).length).toBeGreaterThan(2);
    const loaded = await loadCheckpoint(dir);
    expect(loaded.config.dtype).toBe("BF16");
    for (const [name, values] of tensors) {
      for (const [i, value] of loaded.tensors.get(name)!.entries()) {
        expect(Math.abs(value - values[i]!)).toBeLessThanOrEqual(Math.abs(values[i]!) * 2 ** -8);
      }
    }
  });

  it("opens a language model as a reward model whose score head is fresh, and saves it as one", async () => {
    await saveCheckpoint(dir, { config, read: reading(randomTensors()) });
    const opened = await loadCheckpoint(dir, { head: "scalar" });
    expect(opened.fresh).toEqual([{ name: "score.weight", shape: [1, 4], kind: "head" }]);
    opened.tensors.set("score.weight", random(4));
    await saveCheckpoint(dir, { config: opened.config, read: reading(opened.tensors) });
    const saved = await loadCheckpoint(dir);
    expect(saved.config.raw.architectures).toEqual(["LlamaForSequenceClassification"]);
    expect(saved.tensors).toEqual(opened.tensors);
    expect((await loadCheckpoint(dir, { head: "language" })).config.head).toBe("language");
  });

  it("refuses to save a parameter that is not finite, and keeps what was there", async () => {
    const tensors = randomTensors();
    await saveCheckpoint(dir, { config, read: reading(tensors) });
    const broken = new Map(tensors).set("model.norm.weight", Float32Array.of(1, Number.NaN, 1, 1));
    const saving = saveCheckpoint(dir, { config, read: reading(broken) });
    await expect(saving).rejects.toThrow(NonFiniteError);
    await expect(saving).rejects.toThrow(/"model.norm.weight" is no longer finite/);
    expect((await loadCheckpoint(dir)).tensors).toEqual(tensors);
  });
});

describe("a full disk", () => {
  it("is one sentence about the directory, and keeps what was there", async () => {
    const tensors = randomTensors();
    await saveCheckpoint(dir, { config, read: reading(tensors) });
    const read = () => {
      throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    };
    const error = await saveCheckpoint(dir, { config, read }).catch((caught) => caught);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toBe(
      `could not write ${dir}: the disk is full; what was there before is unchanged`,
    );
    expect((await loadCheckpoint(dir)).tensors).toEqual(tensors);
    expect(await readdir(root)).toEqual(["model"]);
  });
});

describe("a directory that does not fit its config is refused", () => {
  /** Saves the model with one change to its tensors. */
  async function saveChanged(change: (tensors: Tensors) => void, shapes: Record<string, number[]> = {}) {
    await saveCheckpoint(dir, { config, read: reading(randomTensors()) });
    const tensors = randomTensors();
    change(tensors);
    const specs = new Map(parameterSpecs(config).map(({ name, shape }) => [name, shape]));
    const sources = [...tensors].map(([name, values]) => ({
      name,
      shape: shapes[name] ?? specs.get(name) ?? [values.length],
      dtype: "F32" as const,
      values: () => values,
    }));
    await writeSafetensors(join(dir, "model.safetensors"), sources);
  }

  const cases: [string, Parameters<typeof saveChanged>, RegExp][] = [
    ["missing", [(t) => t.delete("model.norm.weight")], /lacks the tensor "model.norm.weight"/],
    [
      "several missing",
      [(t) => [...t.keys()].slice(0, 5).forEach((name) => void t.delete(name))],
      /lacks 5 tensors \(model.embed_tokens.weight, .*, \.\.\.\)/,
    ],
    [
      "unexpected",
      [(t) => t.set("extra", random(2))],
      /holds the tensor "extra", which its config.json does not/,
    ],
    [
      "wrong shape",
      [() => {}, { "model.embed_tokens.weight": [4, 6] }],
      /"model.embed_tokens.weight" has shape \[4, 6\], but config.json calls for \[6, 4\]/,
    ],
    [
      "NaN",
      [(t) => t.set("model.norm.weight", Float32Array.of(1, 2, Number.NaN, 4))],
      /"model.norm.weight" holds NaN at element 2/,
    ],
  ];
  it.each(cases)("%s", async (_, change, message) => {
    await saveChanged(...change);
    await expect(loadCheckpoint(dir)).rejects.toThrow(UserError);
    await expect(loadCheckpoint(dir)).rejects.toThrow(message);
  });

  const headShape = { "lm_head.weight": [6, 4] };

  it("a tied head saved all the same and old rotary tables do no harm", async () => {
    await saveChanged(
      (t) =>
        t
          .set("lm_head.weight", t.get("model.embed_tokens.weight")!)
          .set("model.layers.0.rotary_emb.inv_freq", random(1)),
      headShape,
    );
    expect((await loadCheckpoint(dir)).tensors.has("lm_head.weight")).toBe(false);
  });

  it("a head that differs from the embedding that it is tied to is kept, as transformers 5 keeps it", async () => {
    const head = random(24);
    await saveChanged((t) => t.set("lm_head.weight", head), headShape);
    const { config: found, tensors } = await loadCheckpoint(dir);
    expect(found.tieWordEmbeddings).toBe(false);
    expect(tensors.get("lm_head.weight")).toEqual(head);
    await saveCheckpoint(dir, { config: found, read: reading(tensors) });
    expect((await loadCheckpoint(dir)).tensors.get("lm_head.weight")).toEqual(head);
  });

  it("an embedding that is stored under the head's name only is found", async () => {
    const table = random(24);
    await saveChanged((t) => {
      t.delete("model.embed_tokens.weight");
      t.set("lm_head.weight", table);
    }, headShape);
    expect((await loadCheckpoint(dir)).tensors.get("model.embed_tokens.weight")).toEqual(table);
  });

  it("an untied language head cannot come out of a reward model", async () => {
    const untied = parseDecoderConfig({ ...raw, tie_word_embeddings: false });
    const scalar = withHead(untied, "scalar");
    await saveCheckpoint(dir, { config: scalar, read: reading(randomTensors(scalar)) });
    await expect(loadCheckpoint(dir, { head: "language" })).rejects.toThrow(
      /lacks the tensor "lm_head.weight"/,
    );
  });

  it("a missing config and a truncated weight file", async () => {
    await cp(rewardModel, dir, { recursive: true });
    const weights = await readFile(join(dir, "model.safetensors"));
    await writeFile(join(dir, "model.safetensors"), weights.subarray(0, 2000));
    await expect(loadCheckpoint(dir)).rejects.toThrow(/model.safetensors is truncated/);
    await rm(join(dir, "config.json"));
    await expect(loadCheckpoint(dir)).rejects.toThrow(/config.json does not exist/);
  });

  it("the reader of a saved file sees the format tag that transformers asks for", async () => {
    await saveCheckpoint(dir, { config, read: reading(randomTensors()) });
    const reader = await SafetensorsReader.open(dir);
    expect(reader.metadata.format).toBe("pt");
    await reader.close();
  });
});
