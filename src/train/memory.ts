// What a recipe will need of memory, said before its models are loaded: more than the machine has is refused, more than is
// free now is a warning, both with what to change.

import { freemem, totalmem } from "node:os";
import { UserError } from "../base/errors.js";
import {
  estimateMemory,
  type MemoryEstimate,
  type ModelUse,
  type Passes,
} from "../engine/memory-estimate.js";
import type { LoraConfig } from "../model/adapter.js";
import { type Head, readDecoderConfig, withHead } from "../model/config.js";
import type { Storage } from "../model/stored.js";
import { type DpoOptions, optimizerRow, type SamplingOptimizer } from "../recipe/optimizers.js";
import type {
  AlignRecipe,
  EngineRecipe,
  LoraRecipe,
  RewardRecipe,
  RewardSourceRecipe,
  SftRecipe,
} from "../recipe/recipe.js";
import type { Reporter } from "../run/context.js";
import type { Finding } from "../run/doctor.js";
import { adapterOf, locate } from "./models.js";

interface Opened {
  name: string;
  head: Head;
  engine?: EngineRecipe;
  lora?: LoraRecipe | undefined;
  quantise?: Storage | undefined;
}

/** The configuration of a model, under the head and with the adapter that a recipe gives it. */
async function modelUse(model: string, { name, head, engine, lora, quantise }: Opened): Promise<ModelUse> {
  const source = await locate(model);
  const config = await readDecoderConfig(source.base);
  const taskType: LoraConfig["taskType"] = head === "scalar" ? "SEQ_CLS" : "CAUSAL_LM";
  return {
    name,
    config: config.head === head ? config : withHead(config, head),
    lora: adapterOf(source, lora, taskType),
    quantise,
    ...(engine?.kind === "local" && { maxBatchTokens: engine.maxBatchTokens }),
  };
}

/** `tokens`: the longest row. */
export async function memoryOfSft(recipe: SftRecipe, tokens: number): Promise<MemoryEstimate> {
  const { model, batchSize, engine, lora, quantise } = recipe;
  const passes: Passes = { rows: batchSize, tokens };
  const policy = await modelUse(model, { name: "policy", head: "language", engine, lora, quantise });
  return estimateMemory([{ ...policy, trains: passes, ...(recipe.evalData && { scores: passes }) }]);
}

/** `tokens`: the longest response with its prompt. `processes`: members that train at a time. */
export async function memoryOfReward(
  recipe: RewardRecipe,
  tokens: number,
  processes = 1,
): Promise<MemoryEstimate> {
  const { model, batchSize, engine, lora, quantise } = recipe;
  const passes: Passes = { rows: 2 * batchSize, tokens };
  const member = await modelUse(model[0]!, { name: "reward model", head: "scalar", engine, lora, quantise });
  const dropout = recipe.dropout.some((rate) => rate > 0);
  const { parts, bytes } = estimateMemory([{ ...member, scores: passes, trains: { ...passes, dropout } }]);
  if (processes === 1) return { parts, bytes };
  return {
    parts: parts.map(({ what, bytes }) => ({
      what: `${what} (${processes} processes)`,
      bytes: processes * bytes,
    })),
    bytes: processes * bytes,
  };
}

/** `promptTokens`: the longest prompt of any task, before any is left out or cut for its length. */
export async function memoryOfAlign(recipe: AlignRecipe, promptTokens: number): Promise<MemoryEstimate> {
  const { engine, policy, reference, tasks, llm } = recipe;
  const sampling = tasks.flatMap(({ optimizer }) =>
    optimizerRow(optimizer).learns === "pairs" ? [] : [optimizer as SamplingOptimizer],
  );
  const pairs = tasks.flatMap(({ optimizer }) =>
    optimizerRow(optimizer).learns === "pairs" ? [optimizer as DpoOptions] : [],
  );
  const newTokens = Math.max(0, ...sampling.map(({ maxNewTokens }) => maxNewTokens));
  const rows = Math.max(
    ...sampling.map(({ batchPrompts, generations }) => batchPrompts * generations),
    ...pairs.map(({ batchPrompts }) => 2 * batchPrompts),
  );
  const tokens = Math.max(
    sampling.length > 0 ? promptTokens + newTokens : 0,
    ...pairs.map(({ maxLength }) => maxLength),
  );
  const { lora, quantise } = policy;
  const own = await modelUse(policy.model, { name: "policy", head: "language", engine, lora, quantise });
  const passes: Passes = { rows, tokens: Math.min(tokens, own.config.maxPositionEmbeddings) };
  const samples =
    sampling.length > 0 ? { rows, tokens: Math.max(1, passes.tokens - newTokens), newTokens } : undefined;
  const models: ModelUse[] = [{ ...own, scores: passes, trains: passes, ...(samples && { samples }) }];
  const another =
    reference && (await modelUse(reference, { name: "reference", head: "language", engine, quantise }));
  models.push({
    ...(another || { ...own, name: "reference", sharesFrozen: own.lora !== undefined }),
    frozen: true,
    scores: passes,
  });
  for (const [model, quantise] of rewardModelsOf(tasks.map(({ reward }) => reward))) {
    const reward = await modelUse(model, { name: "reward models", head: "scalar", engine, quantise });
    models.push({ ...reward, frozen: true, scores: passes });
  }
  const ppo = tasks.find(({ optimizer }) => optimizerRow(optimizer).learns === "critic")?.optimizer;
  if (ppo) {
    const source = ("criticModel" in ppo && ppo.criticModel) || policy.model;
    const critic = await modelUse(source, { name: "critic", head: "scalar", engine, lora, quantise });
    models.push({ ...critic, scores: passes, trains: passes });
  }
  for (const { baseUrl, model } of Object.values(llm)) {
    if (baseUrl !== undefined) continue;
    const judge = await modelUse(model, { name: "judge models", head: "language", engine });
    models.push({ ...judge, frozen: true, samples: { rows: 8, tokens: 1024, newTokens: 512 } });
  }
  return estimateMemory(models);
}

/** The directories of the reward models that tasks name, each once, and how they are kept. */
function rewardModelsOf(
  sources: readonly (RewardSourceRecipe | undefined)[],
): [model: string, quantise: Storage | undefined][] {
  const found = sources.flatMap((source) => {
    const parts = source === undefined ? [] : "sum" in source ? source.sum : [source];
    return parts.flatMap((part): [string, Storage | undefined][] => {
      if ("models" in part) return part.models.map((model) => [model, part.quantise]);
      if ("warm" in part) return [[part.warm, part.quantise]];
      return "model" in part ? [[part.model, part.quantise]] : [];
    });
  });
  return [...new Map(found.map((entry) => [JSON.stringify(entry), entry])).values()];
}

/** Long whole numbers of rows are bigints, which JSON does not write. */
const charactersOf = (row: unknown): number =>
  JSON.stringify(row, (_, value) => (typeof value === "bigint" ? String(value) : value)).length;

/** Tokens of the longest row, of those with the longest text: tokenising all of a large file for an estimate takes too long. */
export function longestTokens<T>(rows: readonly T[], encode: (row: T) => ArrayLike<unknown>): number {
  const byText = rows.map((row) => ({ row, characters: charactersOf(row) }));
  const longest = byText.sort((a, b) => b.characters - a.characters).slice(0, 16);
  return longest.reduce((most, { row }) => Math.max(most, encode(row).length), 1);
}

// ------------------------------------------------------------------------------------------------------ what is said

/** Bytes that this process may still take, and that the machine has in all. */
export interface Memory {
  free: number;
  total: number;
}

export function memoryHere(): Memory {
  // What a container allows counts, where there is one.
  const constrained = process.constrainedMemory?.() ?? 0;
  const total = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return { free: Math.min(total, process.availableMemory?.() ?? freemem()), total };
}

/** By how much an estimate may be too high or too low. */
export const memoryTolerance = 0.2;

const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(bytes < 1e9 ? 2 : 1);

/** "1.4 GB: weights of the policy 0.59, activations 0.6, program 0.21". */
export function describeMemory({ parts, bytes }: MemoryEstimate): string {
  const sums = new Map<string, number>();
  for (const part of parts) sums.set(part.what, (sums.get(part.what) ?? 0) + part.bytes);
  const list = [...sums].map(([what, bytes]) => `${what} ${gigabytes(bytes)}`);
  return `${gigabytes(bytes)} GB: ${list.join(", ")}`;
}

/** What a memory estimate means here: nothing to say, a warning, or that the run cannot be. */
export function judgeMemory(
  { bytes }: MemoryEstimate,
  { free, total }: Memory,
): "fits" | "tight" | "too much" {
  if (bytes * (1 - memoryTolerance) > total) return "too much";
  return bytes > free ? "tight" : "fits";
}

/** Says what is needed; throws where the machine has less in all. `change` completes "to need less, ...". */
export function requireMemory(
  estimate: MemoryEstimate,
  change: string,
  reporter: Pick<Reporter, "note">,
  memory: Memory = memoryHere(),
): void {
  const needed = `this run needs about ${describeMemory(estimate)}`;
  const verdict = judgeMemory(estimate, memory);
  if (verdict === "too much")
    throw new UserError(
      `${needed}; this machine has ${gigabytes(memory.total)} GB in all: to need less, ${change}`,
    );
  if (verdict === "fits")
    reporter.note(`memory: about ${describeMemory(estimate)} (${gigabytes(memory.free)} GB are free)`);
  else
    reporter.note(
      `warning: ${needed}; ${gigabytes(memory.free)} GB are free, and the system may end a run that takes more: to need less, ${change}`,
    );
}

/** What makes a run of a recipe smaller. */
export function waysToNeedLess(
  verb: "sft" | "reward" | "align",
  recipe: { lora?: unknown; policy?: { lora?: unknown } },
): string {
  const lora = verb === "align" ? recipe.policy?.lora : recipe.lora;
  const ways = [
    ...(lora ? [] : [`train an adapter (${verb === "align" ? "policy.lora" : "lora"}: { r: 16 })`]),
    ...(verb === "align" ? ["lower generations, batch_prompts or max_new_tokens"] : ["lower max_length"]),
    "lower engine.max_batch_tokens",
    "take a smaller model",
  ];
  return `${ways.slice(0, -1).join(", ")} or ${ways.at(-1)}`;
}

/** What `doctor --model` looks at: batches of 512 tokens a row. */
export async function typicalMemory(model: string, memory: Memory = memoryHere()): Promise<Finding[]> {
  const source = await locate(model);
  const lora = { r: 16, alpha: 32, targetModules: "all-linear" as const };
  const open = (name: string, head: Head, adapter?: LoraRecipe): Promise<ModelUse> =>
    modelUse(model, { name, head, lora: source.adapter ? undefined : adapter });
  const rows = { rows: 32, tokens: 512 };
  const sampling = { rows: 64, tokens: 256, newTokens: 256 };
  const align = async (adapter?: LoraRecipe): Promise<ModelUse[]> => {
    const policy = await open("policy", "language", adapter);
    return [
      { ...policy, samples: sampling, scores: rows, trains: rows },
      { ...policy, name: "reference", frozen: true, sharesFrozen: adapter !== undefined, scores: rows },
      { ...(await open("reward model", "scalar")), frozen: true, scores: rows },
    ];
  };
  const settings: Record<string, () => Promise<ModelUse[]>> = {
    "eval, sample": async () => [{ ...(await open("model", "language")), frozen: true, samples: sampling }],
    "sft, LoRA": async () => [{ ...(await open("policy", "language", lora)), trains: rows }],
    sft: async () => [{ ...(await open("policy", "language")), trains: rows }],
    "reward, LoRA": async () => [
      { ...(await open("reward model", "scalar", lora)), scores: rows, trains: rows },
    ],
    reward: async () => [{ ...(await open("reward model", "scalar")), scores: rows, trains: rows }],
    "align, LoRA": () => align(lora),
    align: () => align(),
  };
  const ofOneHead = Object.entries(settings).filter(
    ([name]) => source.head === "language" || name.startsWith("reward"),
  );
  const findings: Finding[] = [];
  for (const [name, uses] of ofOneHead) {
    const estimate = estimateMemory(await uses());
    const verdict = judgeMemory(estimate, memory);
    findings.push({
      name,
      status: verdict === "fits" ? "ok" : "warning",
      detail: `${describeMemory(estimate)}${verdict === "too much" ? ` (the machine has ${gigabytes(memory.total)} GB)` : ""}`,
    });
  }
  return findings;
}
