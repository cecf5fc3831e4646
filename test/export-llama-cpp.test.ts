// llama.cpp itself (node-llama-cpp) on exported files: the same ids, log-probabilities and greedy tokens as this engine.

import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { writeRandomModel } from "../src/lab/base.js";
import { splittings } from "../src/model/gguf-tokenizer.js";
import { Tokenizer } from "../src/model/tokenizer.js";
import { silent } from "../src/run/context.js";
import { exportGguf } from "../src/train/export/gguf.js";
import { compareWithLlama, library, llamaModel } from "./oracle/llama_cpp.js";

const isThere = existsSync(library);
if (!isThere)
  console.log("skipped: node-llama-cpp is not there; scripts/fetch-oracles.sh fetches it (85 MB)");

const scratch = mkdtempSync(join(tmpdir(), "touchstone-llama-cpp-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const shape = {
  vocab_size: 768,
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
};
/** Random models with the lab model's tokenizer; how far log-probabilities may be apart. */
const random: [name: string, config: Record<string, unknown>, within: number][] = [
  ["a tied llama", { architectures: ["LlamaForCausalLM"], model_type: "llama" }, 1e-4],
  [
    "a mistral",
    {
      architectures: ["MistralForCausalLM"],
      model_type: "mistral",
      sliding_window: null,
      tie_word_embeddings: false,
    },
    1e-4,
  ],
  [
    "a phi3",
    { architectures: ["Phi3ForCausalLM"], model_type: "phi3", pad_token_id: 0, tie_word_embeddings: false },
    1e-4,
  ],
  [
    // llama.cpp looks GELU up in a table of half precision.
    "a gemma3",
    {
      architectures: ["Gemma3ForCausalLM"],
      model_type: "gemma3_text",
      query_pre_attn_scalar: 16,
      sliding_window: 128,
      hidden_activation: "gelu_pytorch_tanh",
    },
    5e-3,
  ],
];

describe.skipIf(!isThere)("llama.cpp on a vocabulary with words that no merge makes", () => {
  /** The lab model split as Llama 3 splits, without the merges of some words. */
  async function withoutMerges(): Promise<{ file: string; words: string[] }> {
    const [model, file] = [join(scratch, "without merges"), join(scratch, "without-merges.gguf")];
    cpSync(join(import.meta.dirname, "../lab/model"), model, { recursive: true });
    const json = JSON.parse(readFileSync(join(model, "tokenizer.json"), "utf8"));
    const words = Object.keys(json.model.vocab as object)
      .filter((word) => /^Ġ?[a-z]{3,}$/.test(word))
      .slice(0, 40);
    const merged = (merge: string | string[]) =>
      typeof merge === "string" ? merge.replace(" ", "") : merge.join("");
    json.model.merges = json.model.merges.filter(
      (merge: string | string[]) => !words.includes(merged(merge)),
    );
    json.model.ignore_merges = true;
    json.pre_tokenizer = splittings["llama-bpe"]!.preTokenizer;
    writeFileSync(join(model, "tokenizer.json"), JSON.stringify(json));
    await exportGguf({ model, out: file, type: "F32" }, { reporter: silent, resume: false });
    return { file, words: words.map((word) => word.replace("Ġ", " ")) };
  }

  it("takes them whole under llama-bpe and by their merges under smaug-bpe, as we do", {
    timeout: 120_000,
  }, async () => {
    const { file, words } = await withoutMerges();
    const bytes = readFileSync(file);
    const at = bytes.indexOf("llama-bpe");
    const lengths: number[] = [];
    for (const pre of ["llama-bpe", "smaug-bpe"]) {
      const changed = join(scratch, `${pre}.gguf`);
      bytes.write(pre, at, "latin1");
      writeFileSync(changed, bytes);
      const theirs = (await llamaModel(changed))!.tokenize(words.join(" "), false);
      const ours = (await Tokenizer.load(changed)).encode(words.join(" "), { addSpecialTokens: false });
      expect(Array.from(ours)).toEqual(theirs);
      lengths.push(theirs.length);
    }
    expect(lengths[1]).toBeGreaterThan(lengths[0]!);
  });
});

describe.skipIf(!isThere)("llama.cpp on an exported file", () => {
  it.each(random)("%s with random weights", { timeout: 240_000 }, async (name, config, within) => {
    const [model, out] = [join(scratch, `${name} model`), join(scratch, `${name}.gguf`)];
    const ends = { bos_token_id: 1, eos_token_id: 2 };
    await writeRandomModel(
      model,
      { ...shape, ...ends, ...config },
      11,
      join(import.meta.dirname, "../lab/model"),
    );
    await exportGguf({ model, out, type: "F32" }, { reporter: silent, resume: false });
    const report = (await compareWithLlama(model, out, { ids: false, prompts: 10, tokens: 128 }))!;
    expect(report.logprobs.largestDifference).toBeLessThan(within);
    // Where log-probabilities are apart, another token is chosen only where two are as near as that.
    const chosen = report.greedy.different.filter(({ gap }) => within <= 1e-4 || gap > 2 * within);
    expect(chosen).toEqual([]);
    expect(report.greedy.compared).toBeGreaterThan(20);
    console.log(
      name,
      JSON.stringify(report.logprobs),
      report.greedy.compared,
      report.greedy.different.map(({ at, gap }) => [at, gap]),
    );
  });

  it.each([
    ["the lab model", join(import.meta.dirname, "../lab/model"), false],
    ["a tiny qwen3 model", join(import.meta.dirname, "fixtures/gguf/qwen3.gguf"), true],
    ["a SentencePiece model", join(import.meta.dirname, "fixtures/gguf/sentencepiece/model.gguf"), false],
  ])("%s", { timeout: 120_000 }, async (name, model, ids) => {
    const out = join(scratch, `${name.replaceAll(" ", "-")}.gguf`);
    await exportGguf({ model, out, type: "F32" }, { reporter: silent, resume: false });
    const report = (await compareWithLlama(model, out, { ids, prompts: 3, tokens: 64 }))!;
    expect(report.texts?.different ?? []).toEqual([]);
    expect(report.logprobs.largestDifference).toBeLessThan(1e-4);
    expect(report.greedy.different).toEqual([]);
    expect(report.greedy.compared).toBeGreaterThan(20);
  });
});
