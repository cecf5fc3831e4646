// The lab's base model, made from nothing by the repository's own commands: a tokenizer trained on the world's corpus,
// random weights, pre-training on the corpus, supervised fine-tuning.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { makeDirectory } from "../base/files.js";
import { RandomStream } from "../base/random.js";
import { saveCheckpoint } from "../model/checkpoint.js";
import { parameterSpecs, parseDecoderConfig } from "../model/config.js";
import { parseRecipe } from "../recipe/recipe.js";
import type { RunContext } from "../run/context.js";
import { runSft } from "../train/sft.js";
import { baseModelConfig, baseModelRecipe, baseWorldSeed, vocabSize } from "./world/base-model.js";
import { trainBpe } from "./world/bpe.js";
import { specialTokens } from "./world/chat.js";
import { writeTokenizer, writeWorld } from "./world/files.js";
import { buildWorld } from "./world/world.js";

/** Writes a Hugging Face directory with random weights: matrices N(0, 0.02^2), norms 1. */
export async function writeRandomModel(
  dir: string,
  config: Record<string, unknown>,
  seed: number,
  tokenizerFrom?: string,
): Promise<void> {
  const parsed = parseDecoderConfig(config);
  const random = new RandomStream(seed, "initialise");
  const values = new Map(
    parameterSpecs(parsed).map(({ name, shape, kind }) => {
      const size = shape.reduce((a, b) => a * b, 1);
      const draw = { norm: () => 1, bias: () => 0 }[kind as string] ?? (() => 0.02 * random.normal());
      return [name, Float32Array.from({ length: size }, draw)];
    }),
  );
  await saveCheckpoint(dir, { config: parsed, read: ({ name }) => values.get(name)!, tokenizerFrom });
}

export interface BaseModelResult {
  /** The fine-tuned model. */
  model: string;
  evalLoss?: number;
}

/**
 * Makes the base model under `dir` (world, tokenizer, runs). Resumable: call it again with `resume`. `steps` cuts the
 * stages short, for trying out that they run.
 */
export async function makeBaseModel(
  dir: string,
  context: RunContext,
  steps: Partial<Record<keyof typeof baseModelRecipe, number>> = {},
): Promise<BaseModelResult> {
  const world = buildWorld(baseWorldSeed);
  const worldDir = join(dir, "world");
  const blank = join(dir, "blank");
  await makeDirectory(dir);
  await writeWorld(world, worldDir);
  await makeDirectory(join(dir, "tokenizer"));
  await writeTokenizer(
    trainBpe(world.corpus, vocabSize, Object.values(specialTokens)),
    join(dir, "tokenizer"),
  );
  await writeRandomModel(blank, baseModelConfig, baseWorldSeed, join(dir, "tokenizer"));
  const stage = async (name: "pretrain" | "sft", model: string, data: string, eval_data?: string) => {
    const { batch, learningRate, warmupSteps, weightDecay, maxGradNorm } = baseModelRecipe[name];
    const recipe = {
      model,
      data,
      eval_data,
      output_dir: join(dir, name),
      steps: steps[name] ?? baseModelRecipe[name].steps,
      batch_size: batch,
      learning_rate: learningRate,
      warmup_steps: warmupSteps,
      weight_decay: weightDecay,
      max_grad_norm: maxGradNorm,
      lr_scheduler_type: "cosine",
      min_lr_ratio: 0,
      completion_only_loss: name === "sft",
      seed: baseWorldSeed,
      save_steps: 500,
    };
    await writeFile(join(dir, `${name}.yaml`), stringify(recipe));
    return runSft(parseRecipe("sft", stringify(recipe), `${name}.yaml`), context);
  };
  const pretrained = await stage("pretrain", blank, join(worldDir, "corpus.jsonl"));
  return stage("sft", pretrained.model, join(worldDir, "sft.jsonl"));
}
