// A small directory with everything a run needs: a policy, reward models, data of the lab's world.

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { stringify } from "yaml";
import { writeRandomModel } from "../../src/lab/base.js";
import { trainBpe } from "../../src/lab/world/bpe.js";
import { specialTokens } from "../../src/lab/world/chat.js";
import { worldFiles, writeTokenizer } from "../../src/lab/world/files.js";
import { buildWorld } from "../../src/lab/world/world.js";

const specials = Object.values(specialTokens);

/** 10,000 parameters. */
export const tinyConfig = (vocabSize: number, architecture = "LlamaForCausalLM") => ({
  architectures: [architecture],
  model_type: "llama",
  vocab_size: vocabSize,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 8,
  hidden_act: "silu",
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
  eos_token_id: specials.indexOf(specialTokens.turnEnd),
  pad_token_id: specials.indexOf(specialTokens.pad),
  ...(architecture === "LlamaForSequenceClassification" && { num_labels: 1, id2label: { 0: "reward" } }),
});

export interface Workshop {
  root: string;
  policy: string;
  reward: string;
  /** A data file of the world, such as "sft.jsonl" or "prompts/arithmetic.jsonl". */
  data(name: string): string;
  path(...parts: string[]): string;
  /** Writes a recipe and returns its path. */
  recipe(name: string, content: object): Promise<string>;
  remove(): Promise<void>;
}

export async function openWorkshop(): Promise<Workshop> {
  const root = await mkdtemp(join(tmpdir(), "touchstone-workshop-"));
  const path = (...parts: string[]) => join(root, ...parts);
  const world = buildWorld(1, {
    families: ["writing", "arithmetic"],
    sizes: { corpus: 60, sft: 10, prompts: 8, heldout: 2, preferences: 12, validation: 4, shifted: 2 },
  });
  for (const [name, text] of Object.entries(worldFiles(world))) {
    await mkdir(join(path("data", name), ".."), { recursive: true });
    await writeFile(path("data", name), text);
  }
  const bpe = trainBpe(world.corpus, 300, specials);
  await writeTokenizer(bpe, path("tokenizer"));
  const vocabSize = bpe.tokens.length;
  await writeRandomModel(path("policy"), tinyConfig(vocabSize), 1, path("tokenizer"));
  await writeRandomModel(
    path("reward"),
    tinyConfig(vocabSize, "LlamaForSequenceClassification"),
    2,
    path("tokenizer"),
  );
  return {
    root,
    policy: path("policy"),
    reward: path("reward"),
    data: (name) => path("data", name),
    path,
    recipe: async (name, content) => {
      await writeFile(path(name), stringify(content));
      return path(name);
    },
    remove: () => rm(root, { recursive: true, force: true }),
  };
}

/** Every file under `dir` with its content. */
export async function contentsOf(dir: string): Promise<Record<string, Buffer>> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const pairs = await Promise.all(
    files.sort().map(async (file) => [relative(dir, file), await readFile(file)] as const),
  );
  return Object.fromEntries(pairs);
}
