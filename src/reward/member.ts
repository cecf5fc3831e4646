// A member of a weight average: any safetensors model directory, or a LoRA adapter on top of one, read as one list of
// plain tensors. LoRA is merged while reading, because the mean of the products B_i A_i is not mean(B_i) mean(A_i).
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../base/errors.js";
import { type Adapter, loraScale, mergeLora, readAdapter } from "../model/adapter.js";
import { ChatTemplate } from "../model/chat-template.js";
import type { FloatType } from "../model/config.js";
import { type Json, readJson, readJsonIfPresent } from "../model/json.js";
import { formatShape, SafetensorsReader, type TensorInfo } from "../model/safetensors.js";
import { hashTokenizer } from "../model/tokenizer.js";
import { itemBytes } from "./weighted-sum.js";

export interface MemberTensor {
  shape: readonly number[];
  dtype: string;
  /** Named in error messages. */
  file: string;
}

export interface Member {
  dir: string;
  /** config.json, with the head that the member has. */
  config: Json;
  generation: Json | undefined;
  tensors: ReadonlyMap<string, MemberTensor>;
  /** Fills `out` with the elements of a float tensor from `first` on. */
  read(name: string, first: number, out: Float32Array): Promise<void>;
  /** The type in which `readStored` delivers a float tensor: the file's where the sums know it, else F32. */
  storedType(name: string): FloatType;
  /** Fills `out` with the elements of a float tensor from `first` on, in that type. */
  readStored(name: string, first: number, out: Uint8Array): Promise<void>;
  readRaw(name: string): Promise<Uint8Array>;
  /** Where the tokenizer is, its hash and its chat templates; undefined when the member has no tokenizer. */
  tokenizer: { dir: string; hash: string; templates: string } | undefined;
  close(): Promise<void>;
}

/** Opens a member; `base` replaces the base model that an adapter names. */
export async function openMember(dir: string, base?: string): Promise<Member> {
  const hasAdapter = (await readJsonIfPresent(join(dir, "adapter_config.json"))) !== undefined;
  return hasAdapter ? openLora(dir, base) : openFull(dir);
}

async function openFull(dir: string): Promise<Member> {
  const config = await readJson(
    join(dir, "config.json"),
    "a member of an average is a Hugging Face model directory",
  );
  const reader = await SafetensorsReader.open(dir);
  return {
    dir,
    config,
    generation: await readJsonIfPresent(join(dir, "generation_config.json")),
    tensors: reader.tensors,
    read: (name, first, out) => reader.readFloat32Slice(reader.info(name), first, out),
    storedType: (name) => asFloatType(reader.info(name).dtype),
    readStored: (name, first, out) => {
      const info = reader.info(name);
      if (asFloatType(info.dtype) !== info.dtype) return reader.readFloat32Slice(info, first, floatsOf(out));
      return reader.readBytes(info, info.start + first * itemBytes[info.dtype], out);
    },
    readRaw: (name) => reader.readRaw(name),
    tokenizer: await readTokenizer(dir),
    close: () => reader.close(),
  };
}

const asFloatType = (dtype: string): FloatType => (dtype in itemBytes ? (dtype as FloatType) : "F32");

const floatsOf = ({ buffer, byteOffset, byteLength }: Uint8Array): Float32Array =>
  new Float32Array(buffer, byteOffset, byteLength / 4);

async function readTokenizer(dir: string): Promise<Member["tokenizer"]> {
  const json = await readJsonIfPresent(join(dir, "tokenizer.json"));
  if (json === undefined) return undefined;
  const templates = (await ChatTemplate.load(dir))?.sources ?? {};
  return { dir, hash: hashTokenizer(json), templates: JSON.stringify(Object.entries(templates).sort()) };
}

async function openLora(dir: string, givenBase: string | undefined): Promise<Member> {
  const adapter = await readAdapter(dir);
  const baseDir = givenBase ?? adapter.lora.baseModel;
  const found = baseDir === null ? undefined : await stat(baseDir).catch(() => undefined);
  if (baseDir === null || !found?.isDirectory()) {
    throw new UserError(
      `${dir} is a LoRA adapter on "${baseDir}", which is not a directory here; name its base model`,
    );
  }
  if (adapter.lora.taskType === "CAUSAL_LM" && adapter.saved.size > 0)
    throw new UserError(
      `${dir} replaces ${[...adapter.saved.keys()].join(", ")} of a language model, which is not averaged; merge it into its base first`,
    );
  const base = await openFull(baseDir);
  const read = (name: string, first: number, out: Float32Array) =>
    readMerged(adapter, base, name, first, out);
  const isChanged = (name: string) => adapter.saved.has(name) || adapter.pairs.has(name);
  try {
    return {
      ...base,
      dir,
      config: adapter.lora.taskType === "SEQ_CLS" ? asClassifier(base.config) : base.config,
      tensors: mergedTensors(dir, adapter, base),
      read,
      storedType: (name) => (isChanged(name) ? "F32" : base.storedType(name)),
      readStored: (name, first, out) =>
        isChanged(name) ? read(name, first, floatsOf(out)) : base.readStored(name, first, out),
      tokenizer: (await readTokenizer(dir)) ?? base.tokenizer,
    };
  } catch (error) {
    await base.close();
    throw error;
  }
}

/** A causal language model's config with the head of a reward model; a classifier's stays as it is. */
function asClassifier(config: Json): Json {
  const [name] = (config.architectures ?? []) as string[];
  if (!name?.endsWith("ForCausalLM")) return config;
  return {
    ...config,
    architectures: [name.replace(/ForCausalLM$/, "ForSequenceClassification")],
    id2label: { 0: "LABEL_0" },
    label2id: { LABEL_0: 0 },
  };
}

function mergedTensors(
  dir: string,
  { lora, pairs, saved }: Adapter,
  base: Member,
): Map<string, MemberTensor> {
  const tensors = new Map(base.tensors);
  for (const [name, { a, b }] of pairs) {
    const shape = tensors.get(name)?.shape;
    const own = [b.length / lora.r, a.length / lora.r];
    if (shape === undefined || formatShape(shape) !== formatShape(own)) {
      throw new UserError(
        `${dir} changes "${name}" of shape ${formatShape(own)}, but ${base.dir} has ${shape ? formatShape(shape) : "no such tensor"}`,
      );
    }
  }
  const file = join(dir, "adapter_model.safetensors");
  for (const [name, { shape }] of saved) tensors.set(name, { shape, dtype: "F32", file });
  if (lora.taskType === "SEQ_CLS") tensors.delete("lm_head.weight");
  return tensors;
}

async function readMerged(
  adapter: Adapter,
  base: Member,
  name: string,
  first: number,
  out: Float32Array,
): Promise<void> {
  const own = adapter.saved.get(name);
  if (own !== undefined) {
    out.set(own.values.subarray(first, first + out.length));
    return;
  }
  await base.read(name, first, out);
  const pair = adapter.pairs.get(name);
  if (pair !== undefined) mergeLora(out, pair, { r: adapter.lora.r, scale: loraScale(adapter.lora), first });
}

export const elementsOf = ({ shape }: Pick<TensorInfo, "shape">): number => shape.reduce((a, b) => a * b, 1);
