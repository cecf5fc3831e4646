// What one LoRA step of `align` takes of memory on the shapes of larger models: npx tsx scripts/memory-shapes.ts SHAPE STORAGE.
// Makes a checkpoint of that shape with random weights (bfloat16, in the ignored folder .models) where it is missing, with the
// tokenizer of SmolLM2 (scripts/fetch-smollm2.sh), says the estimate, runs one step in a process of its own and says its peak.

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import { RandomStream } from "../src/base/random.js";
import { saveCheckpoint } from "../src/model/checkpoint.js";
import { parseDecoderConfig } from "../src/model/config.js";
import { parseRecipe } from "../src/recipe/recipe.js";
import { describeMemory, memoryOfAlign } from "../src/train/memory.js";

const common = {
  rms_norm_eps: 1e-6,
  bos_token_id: 1,
  eos_token_id: 2,
  pad_token_id: 2,
  tie_word_embeddings: true,
};
const qwen3 = {
  ...common,
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  vocab_size: 151936,
  hidden_size: 2560,
  intermediate_size: 9728,
  num_hidden_layers: 36,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 128,
  max_position_embeddings: 40960,
  rope_theta: 1000000,
};
const shapes: Record<string, Record<string, unknown>> = {
  "smollm2-1.7b": {
    ...common,
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: 49152,
    hidden_size: 2048,
    intermediate_size: 8192,
    num_hidden_layers: 24,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    max_position_embeddings: 8192,
    rope_theta: 130000,
  },
  "qwen3-4b": qwen3,
  // The same head, which is most of a step's memory, over two layers: seconds instead of minutes.
  "qwen3-2-layers": { ...qwen3, num_hidden_layers: 2 },
};

const [shape = "smollm2-1.7b", quantise = "4bit", newTokens = "8"] = process.argv.slice(2);
const model = resolve(".models", `random-${shape}`);
const tokenizer = resolve(".models", "SmolLM2-135M-Instruct.Q4_1.gguf");

if (!existsSync(model)) {
  const config = parseDecoderConfig(shapes[shape]!);
  const random = new RandomStream(1, "shape");
  // Drawing billions of numbers would take longer than the step.
  const tile = Float32Array.from({ length: 1_000_003 }, () => 0.02 * random.normal());
  await saveCheckpoint(model, {
    config,
    dtype: "BF16",
    tokenizerFrom: tokenizer,
    read: ({ shape: extents, kind }) => {
      const values = new Float32Array(extents.reduce((a, b) => a * b, 1));
      if (kind === "norm") return values.fill(1);
      for (let at = 0; at < values.length; at += tile.length)
        values.set(tile.subarray(0, Math.min(tile.length, values.length - at)), at);
      return values;
    },
  });
}

const dir = mkdtempSync(join(tmpdir(), "touchstone-shapes-"));
const words = Array.from(
  { length: 150 },
  (_, i) => ["the", "cat", "sat", "on", "a", "mat"][(i * 7) % 6],
).join(" ");
const rows = [0, 1].map((i) => JSON.stringify({ prompt: `${i} ${words}` })).join("\n");
writeFileSync(join(dir, "prompts.jsonl"), rows);
writeFileSync(
  join(dir, "reward.js"),
  "export default (samples) => samples.map(({ response }) => response.length % 7);\n",
);
const recipe = {
  policy: { model, lora: { r: 16 }, ...(quantise !== "float32" && { quantise }) },
  output_dir: join(dir, "run"),
  steps: 1,
  tasks: [
    {
      name: "chat",
      prompts: join(dir, "prompts.jsonl"),
      reward: { module: join(dir, "reward.js") },
      optimizer: { name: "rloo", batch_prompts: 2, generations: 2, max_new_tokens: Number(newTokens) },
    },
  ],
};
const file = join(dir, "recipe.yaml");
writeFileSync(file, stringify(recipe));
const parsed = parseRecipe("align", stringify(recipe), file);
if ("stages" in parsed) throw new Error("a recipe of one stage");
console.log(`estimate: ${describeMemory(await memoryOfAlign(parsed, 160))}`);
const hook = join(dir, "hook.mjs");
writeFileSync(
  hook,
  `import { writeFileSync } from "node:fs";
   process.on("exit", () => writeFileSync(${JSON.stringify(join(dir, "peak"))}, String(process.resourceUsage().maxRSS * 1024)));`,
);
const started = performance.now();
execFileSync(process.execPath, ["--import", hook, "bin/touchstone.js", "align", file], { stdio: "inherit" });
const seconds = Math.round((performance.now() - started) / 1000);
const peak = Number(readFileSync(join(dir, "peak"), "utf8"));
console.log(`${shape} in ${quantise}: peak ${(peak / 1e9).toFixed(2)} GB resident, ${seconds} s`);
const [metrics] = readFileSync(join(dir, "run", "metrics.jsonl"), "utf8")
  .trim()
  .split("\n");
console.log(metrics);
rmSync(dir, { recursive: true, force: true });
