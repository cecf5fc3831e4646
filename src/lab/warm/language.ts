// The language models of the keys world, made from nothing by the engine: pre-trained on texts of authors of every
// skill, then fine-tuned on better ones, with the snapshots of that trajectory that Baklava starts from.

import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeDirectory } from "../../base/files.js";
import { RandomStream } from "../../base/random.js";
import { PromptCursor } from "../../data/index.js";
import type { Sequence } from "../../engine/contract.js";
import { formatJson, type Json } from "../../model/json.js";
import { sft } from "../../objectives/sft.js";
import { learningRateAt } from "../../run/schedule.js";
import { loadLanguageModel } from "../../train/models.js";
import { writeRandomModel } from "../base.js";
import { drawBeta, drawPrompt, type KeysWorld, special, tokenNames, writeAnswer } from "./keys-world.js";
import type { LanguageSettings, LmTraining } from "./settings.js";

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
  /** Snapshots of the SFT run by step, the last of them the SFT model. */
  sft: readonly string[];
}

export function languageModelDirs(dir: string, { sft: { snapshots } }: LanguageSettings): LanguageModels {
  return {
    blank: join(dir, "blank"),
    otherBlank: join(dir, "other-blank"),
    pretrained: join(dir, "pretrained"),
    sft: snapshots.map((step) => join(dir, `sft-${step}`)),
  };
}

export interface MakeOptions {
  world: KeysWorld;
  settings: LanguageSettings;
  seed: number;
  log: (message: string) => void;
  signal?: AbortSignal;
}

/** Makes what is missing of the language models under `dir`. */
export async function makeLanguageModels(dir: string, options: MakeOptions): Promise<LanguageModels> {
  const { world, settings, seed } = options;
  const dirs = languageModelDirs(dir, settings);
  const tokenizer = join(dir, "tokenizer");
  if (!existsSync(dirs.otherBlank)) {
    await writeWorldTokenizer(world, tokenizer);
    const config = languageConfig(world, settings);
    await writeRandomModel(dirs.blank, config, seed, tokenizer);
    await writeRandomModel(dirs.otherBlank, config, seed + 1, tokenizer);
  }
  if (!existsSync(dirs.pretrained)) {
    const random = new RandomStream(seed, "keys world corpus");
    const corpus = writeTexts(world, settings.pretraining.texts, random, () => drawBeta(0.7, 0.7, random));
    await train(
      dirs.blank,
      { ...settings.pretraining, label: "pre-training", promptLength: 1 },
      corpus,
      options,
      {
        [settings.pretraining.steps]: dirs.pretrained,
      },
    );
  }
  if (!existsSync(dirs.sft.at(-1)!)) {
    const random = new RandomStream(seed, "keys world demonstrations");
    const texts = writeTexts(world, settings.sft.texts, random, () => 0.4 + 0.5 * random.uniform());
    const snapshots = Object.fromEntries(settings.sft.snapshots.map((step, i) => [step, dirs.sft[i]!]));
    await train(dirs.pretrained, { ...settings.sft, label: "SFT" }, texts, options, snapshots);
  }
  return dirs;
}

/** Padded tokens of a backward batch at which models this small are fastest: what they touch stays in the cache. */
export const smallModelTokens = 512;

interface Text {
  id: string;
  prompt: readonly number[];
  answer: readonly number[];
}

function writeTexts(world: KeysWorld, count: number, random: RandomStream, skill: () => number): Text[] {
  return Array.from({ length: count }, (_, i) => {
    const prompt = drawPrompt(world, random);
    return { id: String(i), prompt, answer: writeAnswer(world, prompt, skill(), random) };
  });
}

interface Training extends LmTraining {
  label: string;
  /** Tokens that are conditioned on only; default: the prompt. */
  promptLength?: number;
}

/** Trains from `from` on `texts` and saves the model after the steps that `snapshots` names. */
async function train(
  from: string,
  { steps, batch, learningRate, minLrRatio, promptLength, label }: Training,
  texts: readonly Text[],
  { seed, log, signal }: MakeOptions,
  snapshots: Readonly<Record<number, string>>,
): Promise<void> {
  const model = await loadLanguageModel(from, { seed, maxBackwardTokens: smallModelTokens });
  const cursor = PromptCursor.start(texts, { seed, name: label });
  const schedule = { lrSchedulerType: "cosine" as const, warmupSteps: 50, minLrRatio };
  for (let step = 0; step < steps; step++) {
    signal?.throwIfAborted();
    const sequences = cursor.next(batch).map(
      ({ prompt, answer }): Sequence => ({
        tokens: [...prompt, ...answer],
        promptLength: promptLength ?? prompt.length,
      }),
    );
    // The gradient of the mean log-likelihood does not depend on the log-probabilities: one pass gives both.
    const { g } = sft({ logprobs: sequences.map((s) => new Float32Array(s.tokens.length - s.promptLength)) });
    const logprobs = await model.backward(sequences, g);
    await model.step({
      learningRate: learningRateAt(learningRate, step, steps, schedule),
      weightDecay: 0.01,
      maxGradNorm: 1,
    });
    if ((step + 1) % 500 === 0 || step + 1 === steps)
      log(`${label}: step ${step + 1} of ${steps}, loss ${sft({ logprobs }).loss.toFixed(3)}`);
    const save = snapshots[step + 1];
    if (save) await model.save(save);
  }
  model.dispose();
}
