// WARM's average (Rame et al. 2024, section 3.1): phi_WARM = (1/M) sum_i phi_i over every tensor, the head included.
// Weighted means and exponential moving averages are the same sum with other weights. Tensors stream through in chunks:
// memory is bounded by the chunk size and the number of members, whatever the size of the models.
// Leaves out: integer buffers are not averaged but taken from the first member.
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { writeDirectoryAtomic } from "../base/atomic.js";
import { UserError } from "../base/errors.js";
import { copyTokenizer } from "../model/checkpoint.js";
import type { FloatType } from "../model/config.js";
import { formatJson, type Json } from "../model/json.js";
import { type TensorSource, writeWeights } from "../model/safetensors.js";
import type { Member } from "./member.js";
import { isInteger, MemberSet, type MemberSource, type SumChunk } from "./member-set.js";
import { type CardDiagnostics, type LinearMerge, mergeCard } from "./mergekit.js";
import { itemBytes } from "./weighted-sum.js";

export interface AverageMember extends MemberSource {
  /** Default 1. */
  weight?: number;
}

export interface AverageOptions {
  members: readonly AverageMember[];
  /** The directory to write; replaced when it exists. */
  out: string;
  /** The type of the saved weights. Default: the members' own, F32 where they differ. */
  dtype?: FloatType;
  /** Divide the weights by their sum. Default true. */
  normalize?: boolean;
  /** Refuse members that are not reward models. Default true; false averages anything. */
  rewardModels?: boolean;
  /** What the model card is to say about the average. */
  diagnostics?: CardDiagnostics;
  /** Called with the number of averaged parameters so far and in all. */
  onProgress?: (done: number, total: number) => void;
  maxShardBytes?: number;
}

/**
 * Weights of an exponential moving average over checkpoints c_0 .. c_n, oldest first:
 * avg_0 = c_0, avg_t = decay * avg_{t-1} + (1 - decay) * c_t.
 */
export function emaWeights(checkpoints: number, decay: number): number[] {
  const last = checkpoints - 1;
  return Array.from({ length: checkpoints }, (_, t) => (t === 0 ? 1 : 1 - decay) * decay ** (last - t));
}

/** The checkpoints of one run as the members of their exponential moving average, in the order of their steps. */
export function emaMembers(
  checkpoints: readonly string[],
  decay: number,
): { model: string; weight: number }[] {
  const ordered = byStep(checkpoints);
  const decayed = emaWeights(ordered.length, decay);
  return ordered.map((model, i) => ({ model, weight: decayed[i]! }));
}

/** Checkpoints whose paths name a step (step-200, checkpoint-200) by it, for shells sort them by letters; others as given. */
function byStep(members: readonly string[]): string[] {
  const steps = members.map((path) => Number(/(?:step|checkpoint)-(\d+)/.exec(path)?.[1] ?? Number.NaN));
  if (steps.some(Number.isNaN)) return [...members];
  return members
    .map((_, i) => i)
    .sort((i, j) => steps[i]! - steps[j]!)
    .map((i) => members[i]!);
}

/** Averages checkpoints into one model directory. Whatever is refused, nothing is written. */
export async function averageCheckpoints({
  members: given,
  out,
  dtype,
  normalize = true,
  rewardModels = true,
  diagnostics,
  onProgress,
  maxShardBytes,
}: AverageOptions): Promise<void> {
  if (given.length === 0) throw new UserError("an average needs at least one member");
  const weights = normalisedWeights(given, normalize);
  for (const { dir } of given) {
    if (resolve(dir) === resolve(out))
      throw new UserError(`${out} is a member of the average and cannot be its output`);
  }
  const set = await MemberSet.open(given, { rewardModels });
  try {
    const { members, first } = set;
    const sources = averagedTensors(set, weights, { dtype, onProgress });
    const merge: LinearMerge = {
      models: given.map(({ dir, weight = 1 }) => ({ model: dir, weight })),
      normalize,
      ...(dtype && { dtype }),
    };
    const tokenizer = members.find((member) => member.tokenizer)?.tokenizer;
    await writeDirectoryAtomic(out, async (aside) => {
      await writeFile(join(aside, "config.json"), formatJson(averageConfig(members, dtype)));
      if (first.generation)
        await writeFile(join(aside, "generation_config.json"), formatJson(first.generation));
      if (tokenizer) await copyTokenizer(tokenizer.dir, aside);
      await writeFile(join(aside, "README.md"), mergeCard(merge, rewardModels, diagnostics));
      await writeWeights(aside, sources, maxShardBytes === undefined ? {} : { maxShardBytes });
    });
  } finally {
    await set.close();
  }
}

/** sum_i w_i phi_i of a set as tensors that are made while they are written; what is no float is the first member's. */
function averagedTensors(
  set: MemberSet,
  weights: readonly number[],
  { dtype, onProgress }: Pick<AverageOptions, "dtype" | "onProgress">,
): TensorSource[] {
  const { members, first } = set;
  const typeOf = (name: string) => dtype ?? commonType(members, name);
  // The order of the file, wide types first: that in which the writer will ask for the chunks.
  const floats = set.floats.sort(([a], [b]) => itemBytes[typeOf(b)] - itemBytes[typeOf(a)]);
  const total = floats.reduce((sum, [, elements]) => sum + elements, 0);
  const chunks = set.sum(weights, floats);
  let done = 0;
  /** The chunks of one tensor, as the writer asks for them. */
  async function* averaged<T>(
    name: string,
    elements: number,
    take: (chunk: SumChunk) => T,
  ): AsyncGenerator<T> {
    for (let written = 0; written < elements; ) {
      const { value } = await chunks.next();
      if (value?.name !== name) throw new Error(`the writer asked for "${name}" out of order`);
      yield take(value);
      written += value.elements;
      done += value.elements;
      onProgress?.(done, total);
    }
  }
  const valuesOf = ({ values }: SumChunk) => values;
  const bfloat16Of = ({ name, narrowed }: SumChunk) => {
    const bytes = narrowed();
    if (bytes) return bytes;
    throw new UserError(`tensor "${name}" has values too large for BF16; save it as F32`);
  };
  return [
    ...[...first.tensors]
      .filter(([, info]) => isInteger(info.dtype))
      .map(([name, { shape, dtype: type }]) => ({
        name,
        shape,
        dtype: type,
        bytes: () => first.readRaw(name),
      })),
    ...floats.map(([name, elements]): TensorSource => {
      const { shape } = first.tensors.get(name)!;
      const type = typeOf(name);
      return type === "BF16"
        ? { name, shape, dtype: type, bytes: () => averaged(name, elements, bfloat16Of) }
        : { name, shape, dtype: type, values: () => averaged(name, elements, valuesOf) };
    }),
  ];
}

function normalisedWeights(members: readonly AverageMember[], normalize: boolean): number[] {
  const weights = members.map(({ weight = 1 }) => weight);
  const sum = weights.reduce((a, b) => a + b, 0);
  if (!Number.isFinite(sum) || sum === 0) {
    throw new UserError(
      `the weights of an average must be finite and must not sum to 0 (they are ${weights.join(", ")})`,
    );
  }
  return normalize ? weights.map((weight) => weight / sum) : weights;
}

/** The type that all members save the tensor in, if it is one that can be written; else F32. */
function commonType(members: readonly Member[], name: string): FloatType {
  const types = new Set(members.map((member) => member.tensors.get(name)!.dtype));
  return types.size === 1 && (types.has("F16") || types.has("BF16")) ? ([...types][0] as FloatType) : "F32";
}

function averageConfig(members: readonly Member[], dtype: FloatType | undefined): Json {
  const { torch_dtype: old, ...config } = members[0]!.config;
  const names = { F32: "float32", F16: "float16", BF16: "bfloat16" };
  const own = new Set(members.map((member) => member.config.dtype ?? member.config.torch_dtype));
  const name = dtype ? names[dtype] : own.size === 1 ? (config.dtype ?? old) : names.F32;
  return name === undefined ? config : { ...config, dtype: name };
}
