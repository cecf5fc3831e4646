import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../base/errors.js";
import {
  loraConfigJson,
  loraScale,
  loraTargets,
  mergedParameter,
  parseLoraConfig,
  readAdapter,
  saveAdapter,
} from "./adapter.js";
import { loadCheckpoint } from "./checkpoint.js";
import { readDecoderConfig } from "./config.js";
import { type Json, readJson } from "./json.js";

const fixtures = fileURLToPath(new URL("../../test/fixtures/formats/", import.meta.url));
const base = join(fixtures, "lora-base");

let dir: string;
beforeEach(async () => {
  dir = join(await mkdtemp(join(tmpdir(), "touchstone-adapter-")), "adapter");
});
afterEach(() => rm(join(dir, ".."), { recursive: true, force: true }));

describe.each(["list", "regex"])("an adapter saved by PEFT (targets as a %s)", (variant) => {
  const path = join(fixtures, `lora-${variant}`);

  it("merges into the same weights as PEFT's merge", async () => {
    const { config, tensors } = await loadCheckpoint(base);
    const adapter = await readAdapter(path, config);
    const merged = JSON.parse(await readFile(join(fixtures, `lora-${variant}-merged.json`), "utf8"));
    for (const [name, values] of tensors) {
      const expected = new Float32Array(Uint8Array.from(Buffer.from(merged[name], "base64")).buffer);
      const got = mergedParameter(adapter, name, values);
      for (const [i, value] of expected.entries()) expect(Math.abs(got[i]! - value)).toBeLessThan(1e-6);
    }
    expect(adapter.pairs.size).toBe(variant === "list" ? 4 : 2);
    expect([...adapter.saved.keys()]).toEqual(["score.weight"]);
  });

  it("is written back with the same tensors and settings", async () => {
    const adapter = await readAdapter(path);
    await saveAdapter(dir, adapter);
    const again = await readAdapter(dir, await readDecoderConfig(base));
    expect([again.pairs, again.saved]).toEqual([adapter.pairs, adapter.saved]);
    const original = await readJson(join(path, "adapter_config.json"), "");
    const modules_to_save = ["score", "classifier"]; // PEFT lists "score" twice
    expect(await readJson(join(dir, "adapter_config.json"), "")).toEqual({ ...original, modules_to_save });
  });
});

describe("loraTargets", () => {
  it("matches whole trailing names, regular expressions and all linear layers", async () => {
    const config = await readDecoderConfig(base);
    const targets = (targetModules: string[] | string, modulesToSave = ["score"]) =>
      loraTargets(config, {
        r: 2,
        alpha: 4,
        targetModules,
        modulesToSave,
        taskType: "SEQ_CLS",
        baseModel: null,
      }).map(({ name }) => name);
    expect(targets(["v_proj", "layers.1.mlp.up_proj"])).toEqual([
      "model.layers.0.self_attn.v_proj.weight",
      "model.layers.1.self_attn.v_proj.weight",
      "model.layers.1.mlp.up_proj.weight",
    ]);
    expect(targets("model.layers.0.*proj")).toHaveLength(7);
    expect(targets("all-linear")).toHaveLength(14);
    expect(targets(["q_proj", "score"])).toHaveLength(2);
    expect(() => targets(["proj"])).toThrow(/match no module/);
    expect(() => targets(["score"], [])).toThrow(/LoRA on score is not supported/);
    expect(() => targets(["embed_tokens"])).toThrow(/LoRA on model.embed_tokens is not supported/);
    expect(() => targets("(")).toThrow(/not a valid regular expression/);
  });

  it("scales by alpha / r, or alpha / sqrt(r)", () => {
    const lora = { r: 16, alpha: 32, targetModules: [], taskType: "CAUSAL_LM", baseModel: null } as const;
    expect(loraScale(lora)).toBe(2);
    expect(loraScale({ ...lora, useRslora: true })).toBe(8);
  });
});

describe("what changes the formula is refused by name", () => {
  const plain: Json = {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    r: 4,
    lora_alpha: 8,
    target_modules: ["q_proj"],
  };
  const refusals: [Json, RegExp][] = [
    [{ peft_type: "IA3" }, /peft_type "IA3"/],
    [{ use_dora: true }, /use_dora is not supported/],
    [{ rank_pattern: { q_proj: 8 } }, /rank_pattern is not supported/],
    [{ layers_to_transform: [0] }, /layers_to_transform is not supported/],
    [{ lora_bias: true }, /lora_bias/],
    [{ bias: "all" }, /bias "all"/],
    [{ init_lora_weights: "pissa" }, /init_lora_weights "pissa"/],
    [{ r: 0 }, /r must be a positive integer/],
    [{ task_type: "SEQ_2_SEQ_LM" }, /task_type must be/],
    [{ target_modules: null }, /target_modules must be/],
  ];
  it.each(refusals)("%j", (change, message) => {
    expect(() => parseLoraConfig({ ...plain, ...change })).toThrow(UserError);
    expect(() => parseLoraConfig({ ...plain, ...change })).toThrow(message);
  });

  it.each([
    ["(?P<layer>.*)\\.(?:q|k)_proj", ["q_proj", "k_proj"]],
    ["(?i).*\\.Q_PROJ\\Z", ["q_proj"]],
    [".*+(?<=q_proj)", ["q_proj"]],
    ["\\A(?>model\\.layers)\\.\\d++\\.self_attn\\.(?P<x>q)_proj", ["q_proj"]],
  ])("Python's regular expression %s finds what PEFT finds", async (pattern, names) => {
    const config = await readDecoderConfig(base);
    const lora = parseLoraConfig({ ...plain, target_modules: pattern });
    const found = new Set(loraTargets(config, lora).map(({ name }) => name.split(".").at(-2)));
    expect([...found]).toEqual(names);
  });

  it("a task that PEFT was not told is told by the saved modules", () => {
    expect(parseLoraConfig({ ...plain, task_type: null }).taskType).toBe("CAUSAL_LM");
    expect(parseLoraConfig({ ...plain, task_type: null, modules_to_save: ["score"] }).taskType).toBe(
      "SEQ_CLS",
    );
  });

  it("takes absent fields as PEFT does", () => {
    expect(loraConfigJson(parseLoraConfig(plain))).toMatchObject({
      lora_dropout: 0,
      use_rslora: false,
      bias: "none",
    });
  });

  it("an adapter for another base", async () => {
    const config = await readDecoderConfig(base);
    await expect(readAdapter(join(fixtures, "lora-list"), { ...config, hiddenSize: 16 })).rejects.toThrow(
      /LoRA pair of model.layers.0.self_attn.q_proj is for a weight of shape \[8, 8\], the base model's is \[8, 16\]/,
    );
    await expect(readAdapter(join(fixtures, "lora-list"), { ...config, layers: 3 })).rejects.toThrow(
      /has no LoRA pair for its target model.layers.2/,
    );
    await expect(readAdapter(join(fixtures, "lora-list"), { ...config, layers: 1 })).rejects.toThrow(
      /has a LoRA pair for model.layers.1.*, which is no target/,
    );
    await expect(readAdapter(base)).rejects.toThrow(/adapter_config.json does not exist/);
  });
});
