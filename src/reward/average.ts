// WARM's average (Rame et al. 2024, section 3.1): phi_WARM = (1/M) sum_i phi_i over every tensor, the head included.
// Weighted means and exponential moving averages are the same sum with other weights. Tensors stream through in chunks:
// memory is bounded by the chunk size and the number of members, whatever the size of the models.
// Leaves out: integer buffers are not averaged but taken from the first member.
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { writeDirectoryAtomic } from "../base/atomic.js";
import { UserError } from "../base/errors.js";
import { copyTokenizer } from "../model/checkpoint.js";
import { type FloatType, isSupportedFamily, parseDecoderConfig } from "../model/config.js";
import { firstNonFinite } from "../model/floats.js";
import { formatJson, type Json } from "../model/json.js";
import { formatShape, type TensorSource, writeWeights } from "../model/safetensors.js";
import { elementsOf, type Member, openMember } from "./member.js";
import { type LinearMerge, mergeCard } from "./mergekit.js";
import { itemBytes, WeightedSum } from "./weighted-sum.js";

export interface AverageMember {
  /** A model directory, or a LoRA adapter: its merged weights are averaged. */
  dir: string;
  /** Default 1. */
  weight?: number;
  /** The base model of an adapter, where it is not the directory that adapter_config.json names. */
  base?: string;
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

/** Averages checkpoints into one model directory. Whatever is refused, nothing is written. */
export async function averageCheckpoints({
  members: given,
  out,
  dtype,
  normalize = true,
  rewardModels = true,
  onProgress,
  maxShardBytes,
}: AverageOptions): Promise<void> {
  if (given.length === 0) throw new UserError("an average needs at least one member");
  const weights = normalisedWeights(given, normalize);
  for (const { dir } of given) {
    if (resolve(dir) === resolve(out))
      throw new UserError(`${out} is a member of the average and cannot be its output`);
  }
  const members: Member[] = [];
  try {
    for (const { dir, base } of given) members.push(await openMember(dir, base));
    for (const member of members) {
      if (rewardModels) checkRewardModel(member);
      checkAlike(members[0]!, member);
    }
    await write();
  } finally {
    await Promise.all(members.map((member) => member.close()));
  }

  async function write(): Promise<void> {
    const first = members[0]!;
    const terms = inFixedOrder(members, weights);
    const typeOf = (name: string) => dtype ?? commonType(members, name);
    // The order of the file, wide types first: that in which the writer will ask for the chunks.
    const floats = [...first.tensors]
      .filter(([, info]) => !isInteger(info.dtype))
      .sort(([a], [b]) => itemBytes[typeOf(b)] - itemBytes[typeOf(a)]);
    const total = floats.reduce((sum, [, info]) => sum + elementsOf(info), 0);
    const chunks = averageChunks(
      terms,
      floats.map(([name, info]) => [name, elementsOf(info)]),
    );
    let done = 0;
    async function* averaged(name: string, elements: number): AsyncGenerator<Float32Array> {
      for (let written = 0; written < elements; ) {
        const { value } = await chunks.next();
        if (value?.name !== name) throw new Error(`the writer asked for "${name}" out of order`);
        yield value.values;
        written += value.elements;
        done += value.elements;
        onProgress?.(done, total);
      }
    }
    const sources: TensorSource[] = [
      ...[...first.tensors]
        .filter(([, info]) => isInteger(info.dtype))
        .map(([name, { shape, dtype: type }]) => ({
          name,
          shape,
          dtype: type,
          bytes: () => first.readRaw(name),
        })),
      ...floats.map(([name, info]) => ({
        name,
        shape: info.shape,
        dtype: typeOf(name),
        values: () => averaged(name, elementsOf(info)),
      })),
    ];
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
      await writeFile(join(aside, "README.md"), mergeCard(merge, rewardModels));
      await writeWeights(aside, sources, maxShardBytes === undefined ? {} : { maxShardBytes });
    });
  }
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

// ----------------------------------------------------------------------------------------------------------- the sum

interface Term {
  member: Member;
  weight: number;
}

/** The order of the sum does not depend on the order in which the members were named: the result is the same, bit for bit. */
function inFixedOrder(members: readonly Member[], weights: readonly number[]): Term[] {
  return members
    .map((member, i) => ({ member, weight: weights[i]!, path: resolve(member.dir) }))
    .sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : a.weight - b.weight));
}

/** Elements held at a time, of all members together: 8 MiB of float32, so that what was read is still in the cache when it is summed. */
const heldElements = 1 << 21;

/** A part of one tensor, in row-major order. */
interface Chunk {
  name: string;
  first: number;
  elements: number;
}

function chunksOf(name: string, elements: number, size: number): Chunk[] {
  return Array.from({ length: Math.ceil(elements / size) }, (_, i) => ({
    name,
    first: i * size,
    elements: Math.min(size, elements - i * size),
  }));
}

/**
 * sum_i w_i phi_i, chunk by chunk in the order of `tensors`. Products and sums are float64 and are rounded to float32
 * once, so that identical members give the member back bit for bit. While one chunk is summed and written, the next is
 * being read, be it of the same tensor or of the next.
 */
async function* averageChunks(
  terms: readonly Term[],
  tensors: readonly (readonly [name: string, elements: number])[],
): AsyncGenerator<Chunk & { values: Float32Array }> {
  const largest = tensors.reduce((max, [, elements]) => Math.max(max, elements), 0);
  const size = Math.min(largest, Math.ceil(heldElements / terms.length));
  const sum = new WeightedSum(terms.length, size);
  const chunks = tensors.flatMap(([name, elements]) => chunksOf(name, elements, size));
  const read = async (index: number): Promise<void> => {
    const { name, first, elements } = chunks[index]!;
    const reading = terms.map(({ member }, i) =>
      member.readStored(name, first, sum.input(index % 2, i, member.storedType(name), elements)),
    );
    await Promise.all(reading);
  };
  let pending = chunks.length > 0 ? read(0) : Promise.resolve();
  for (const [index, chunk] of chunks.entries()) {
    await pending;
    if (index + 1 < chunks.length) {
      pending = read(index + 1);
      // Awaited in the next round; a failure must not count as unhandled should this round fail first.
      pending.catch(() => {});
    }
    const { name, first, elements } = chunk;
    const typed = terms.map(({ member, weight }) => ({ type: member.storedType(name), weight }));
    const values = sum.of(index % 2, typed, elements);
    if (values === undefined) throw await nonFinite(terms, chunk);
    yield { name, first, elements, values };
  }
}

async function nonFinite(terms: readonly Term[], { name, first, elements }: Chunk): Promise<UserError> {
  const values = new Float32Array(elements);
  for (const { member } of terms) {
    await member.read(name, first, values);
    const bad = firstNonFinite(values);
    if (bad >= 0) {
      return new UserError(
        `${member.tensors.get(name)!.file}: tensor "${name}" holds ${values[bad]}; the weights are broken`,
      );
    }
  }
  return new UserError(`the average of tensor "${name}" is not finite`);
}

const isInteger = (dtype: string): boolean => /^(I|U|BOOL)/.test(dtype);

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

// ------------------------------------------------------------------------------------------------------------ checks

/** A member saved without its scalar head would average into a model that scores with random weights. */
function checkRewardModel({ dir, config, tensors }: Member): void {
  const name = (config.architectures as string[] | undefined)?.[0];
  if (!name?.endsWith("ForSequenceClassification")) {
    throw new UserError(
      `${dir} is not a reward model: its architecture is ${name ?? "not named"}, not one ...ForSequenceClassification`,
    );
  }
  if (!isSupportedFamily(config.model_type)) return;
  const { hiddenSize } = parseDecoderConfig(config, { file: join(dir, "config.json") });
  const score = tensors.get("score.weight");
  if (score === undefined)
    throw new UserError(`${dir} lacks the head of a reward model, tensor "score.weight"`);
  if (formatShape(score.shape) !== formatShape([1, hiddenSize])) {
    throw new UserError(
      `${score.file}: tensor "score.weight" has shape ${formatShape(score.shape)}, expected ${formatShape([1, hiddenSize])}`,
    );
  }
}

/** What must be the same in all members, by the name that an error message gives it. */
function factsOf({ config }: Member): Record<string, unknown> {
  const { architectures, model_type } = config;
  const generic = { architectures, model_type };
  if (!isSupportedFamily(model_type)) {
    const { vocab_size, tie_word_embeddings, num_labels, id2label, pad_token_id } = config;
    const labels = id2label ? Object.keys(id2label).length : num_labels;
    return { ...generic, vocab_size, tie_word_embeddings, num_labels: labels, pad_token_id };
  }
  const { raw, rawGeneration, dtype, eosIds, bosId, maxPositionEmbeddings, ...facts } =
    parseDecoderConfig(config);
  return { ...generic, ...facts };
}

/** Refuses a member that does not compute the same function of its parameters as the first. */
function checkAlike(first: Member, member: Member): void {
  const [expected, found] = [factsOf(first), factsOf(member)];
  for (const [fact, value] of Object.entries(expected)) {
    const [a, b] = [JSON.stringify(value), JSON.stringify(found[fact])];
    if (a !== b)
      throw new UserError(
        `${member.dir} cannot be averaged with ${first.dir}: its ${fact} is ${b}, not ${a}`,
      );
  }
  for (const [name, { shape, file }] of first.tensors) {
    const own = member.tensors.get(name);
    if (own === undefined)
      throw new UserError(`${member.dir} lacks the tensor "${name}", which ${first.dir} has`);
    if (formatShape(own.shape) !== formatShape(shape)) {
      throw new UserError(
        `${own.file}: tensor "${name}" has shape ${formatShape(own.shape)}, but ${formatShape(shape)} in ${file}`,
      );
    }
  }
  for (const name of member.tensors.keys()) {
    if (!first.tensors.has(name)) {
      throw new UserError(`${member.dir} holds the tensor "${name}", which ${first.dir} lacks`);
    }
  }
  if (first.tokenizer === undefined || member.tokenizer === undefined) return;
  if (first.tokenizer.hash !== member.tokenizer.hash) {
    throw new UserError(
      `${join(member.tokenizer.dir, "tokenizer.json")} differs from that of ${first.dir}: the members must share one tokenizer`,
    );
  }
  if (first.tokenizer.templates !== member.tokenizer.templates) {
    throw new UserError(`the chat template of ${member.dir} differs from that of ${first.dir}`);
  }
}
