// The language models of the keys world, made from nothing by `touchstone sft`: pre-trained on texts of authors of every
// skill, then fine-tuned on better ones, with the checkpoints of that run that Baklava starts from.

import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../../base/atomic.js";
import { makeDirectory } from "../../base/files.js";
import { jsonl } from "../../base/jsonl.js";
import { RandomStream } from "../../base/random.js";
import { formatJson, type Json } from "../../model/json.js";
import { runSft } from "../../train/sft.js";
import { writeRandomModel } from "../base.js";
import { quietly, writeRecipe } from "../reproduce/recipe-file.js";
import {
  drawBeta,
  drawPrompt,
  type KeysWorld,
  special,
  textOf,
  tokenNames,
  writeAnswer,
} from "./keys-world.js";
import { checkpointModel, finalModel, languageRecipe } from "./recipes.js";
import type { LanguageSettings } from "./settings.js";

/** config.json of the policy: a Llama of two layers. */
function languageConfig({ vocabSize }: KeysWorld, { hidden, layers, heads }: LanguageSettings): Json {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: vocabSize,
    hidden_size: hidden,
    // Three matrices of this width cost as many parameters as two of four times the hidden size.
    intermediate_size: Math.round((hidden * 8) / 3 / 8) * 8,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: heads,
    hidden_act: "silu",
    max_position_embeddings: 64,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    attention_bias: false,
    mlp_bias: false,
    tie_word_embeddings: false,
    bos_token_id: special.bos,
    eos_token_id: special.eos,
    pad_token_id: special.pad,
    dtype: "float32",
  };
}

/** A word-level tokenizer: texts of the world are names of tokens with spaces between. */
async function writeWorldTokenizer(world: KeysWorld, dir: string): Promise<void> {
  const names = tokenNames(world);
  const isSpecial = (id: number) => Object.values(special).includes(id as 0);
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: names.flatMap((content, id) =>
      isSpecial(id)
        ? [
            {
              id,
              content,
              single_word: false,
              lstrip: false,
              rstrip: false,
              normalized: false,
              special: true,
            },
          ]
        : [],
    ),
    normalizer: null,
    pre_tokenizer: { type: "WhitespaceSplit" },
    post_processor: null,
    decoder: null,
    model: {
      type: "WordLevel",
      vocab: Object.fromEntries(names.map((name, id) => [name, id])),
      unk_token: names[special.pad],
    },
  };
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: names[special.bos],
    eos_token: names[special.eos],
    sep_token: names[special.sep],
    pad_token: names[special.pad],
    model_max_length: 64,
  };
  await makeDirectory(dir);
  await writeFile(join(dir, "tokenizer.json"), formatJson(tokenizer));
  await writeFile(join(dir, "tokenizer_config.json"), formatJson(config));
}

export interface LanguageModels {
  /** Random weights. */
  blank: string;
  /** A second draw of random weights: what must not be averaged with the first. */
  otherBlank: string;
  pretrained: string;
  /** Checkpoints of the SFT run by step, the last of them the SFT model. */
  sft: readonly string[];
}

export function languageModelDirs(dir: string, { sft: { snapshots } }: LanguageSettings): LanguageModels {
  return {
    blank: join(dir, "blank"),
    otherBlank: join(dir, "other-blank"),
    pretrained: finalModel(join(dir, "pretraining")),
    sft: snapshots.map((step) => checkpointModel(join(dir, "sft"), step)),
  };
}

export interface MakeOptions {
  world: KeysWorld;
  settings: LanguageSettings;
  seed: number;
  threads: number;
  log: (message: string) => void;
  signal?: AbortSignal | undefined;
}

/** Makes what is missing of the language models under `dir`. */
export async function makeLanguageModels(dir: string, options: MakeOptions): Promise<LanguageModels> {
  const { world, settings, seed, threads, log, signal } = options;
  const dirs = languageModelDirs(dir, settings);
  const tokenizer = join(dir, "tokenizer");
  if (!existsSync(dirs.otherBlank)) {
    await writeWorldTokenizer(world, tokenizer);
    const config = languageConfig(world, settings);
    await writeRandomModel(dirs.blank, config, seed, tokenizer);
    await writeRandomModel(dirs.otherBlank, config, seed + 1, tokenizer);
  }
  const stage = async (name: "pretraining" | "sft", from: string, rows: () => object[]) => {
    const run = join(dir, name);
    if (existsSync(finalModel(run))) return;
    await writeFileAtomic(join(dir, `${name}.jsonl`), jsonl(rows()));
    const recipe = languageRecipe(name, from, settings, { dir, seed, threads });
    await runSft(await writeRecipe("sft", join(dir, `${name}.yaml`), recipe), quietly(signal));
    log(`${name}: ${settings[name].steps} steps`);
  };
  await stage("pretraining", dirs.blank, () => {
    const random = new RandomStream(seed, "keys world corpus");
    const texts = writeTexts(world, settings.pretraining.texts, random, () => drawBeta(0.7, 0.7, random));
    return texts.map(({ prompt, completion }) => ({ text: `${prompt} ${completion}` }));
  });
  await stage("sft", dirs.pretrained, () => {
    const random = new RandomStream(seed, "keys world demonstrations");
    return writeTexts(world, settings.sft.texts, random, () => 0.4 + 0.5 * random.uniform());
  });
  return dirs;
}

function writeTexts(world: KeysWorld, count: number, random: RandomStream, skill: () => number) {
  return Array.from({ length: count }, () => {
    const prompt = drawPrompt(world, random);
    return {
      prompt: textOf(world, prompt),
      completion: textOf(world, writeAnswer(world, prompt, skill(), random)),
    };
  });
}
