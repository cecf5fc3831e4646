// Opening models for a recipe.

import { availableParallelism } from "node:os";
import { UserError } from "../base/errors.js";
import { resolveModel } from "../data/index.js";
import { type LoadOptions, LocalLanguageModel, LocalScalarModel } from "../engine/local/index.js";
import type { LoraConfig } from "../model/adapter.js";
import { setThreads } from "../tensor/runtime.js";
import type { EngineRecipe, LoraRecipe } from "./recipe.js";
import { TextCodec } from "./text.js";

const floatTypes = { float32: "F32", float16: "F16", bfloat16: "BF16" } as const;

export interface ModelOptions {
  engine: EngineRecipe;
  lora?: LoraRecipe;
  seed?: number;
  frozen?: boolean;
  saveDtype?: keyof typeof floatTypes;
  chatTemplate?: string;
}

export interface OpenedPolicy {
  policy: LocalLanguageModel;
  codec: TextCodec;
}

/** Opens a language model with its tokenizer. */
export async function openPolicy(model: string, options: ModelOptions): Promise<OpenedPolicy> {
  const dir = await resolveModel(model);
  const codec = await TextCodec.open(dir, { chatTemplate: options.chatTemplate });
  const load = loadOptions(dir, options, "CAUSAL_LM");
  const policy = await LocalLanguageModel.load(dir, { ...load, decode: (tokens) => codec.decode(tokens) });
  if (policy.config.vocabSize < codec.tokenizer.vocabSize)
    throw new UserError(
      `${dir}: its tokenizer has ${codec.tokenizer.vocabSize} tokens, but config.json says vocab_size ${policy.config.vocabSize}`,
    );
  return { policy, codec };
}

/** Opens a reward model (or gives a language model a fresh scalar head). */
export async function openScalarModel(model: string, options: ModelOptions): Promise<LocalScalarModel> {
  const dir = await resolveModel(model);
  return LocalScalarModel.load(dir, loadOptions(dir, options, "SEQ_CLS"));
}

function loadOptions(dir: string, options: ModelOptions, taskType: LoraConfig["taskType"]): LoadOptions {
  const { engine, lora, seed, frozen, saveDtype } = options;
  if (engine.kind !== "local")
    throw new UserError("engine.kind tinker is not available yet; use engine: { kind: local }");
  setThreads(engine.threads ?? availableParallelism());
  return {
    device: engine.device,
    seed,
    frozen,
    saveDtype: saveDtype && floatTypes[saveDtype],
    maxBatchTokens: engine.maxBatchTokens,
    lora: lora && {
      r: lora.r,
      alpha: lora.alpha,
      targetModules: lora.targetModules,
      taskType,
      baseModel: dir,
      ...(taskType === "SEQ_CLS" && { modulesToSave: ["score"] }),
    },
  };
}
