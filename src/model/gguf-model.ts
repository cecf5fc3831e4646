// A GGUF file seen as a Hugging Face model directory: config.json, generation_config.json and the tokenizer files made
// from its metadata, and its tensors under the names and in the layout that `transformers` gives them.

import { statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { UserError } from "../base/errors.js";
import { families } from "./families.js";
import { GgufHeader, type GgufTensor, readGgufTensor } from "./gguf.js";
import {
  type Architecture,
  architectures,
  commonFields,
  layerModules,
  wholeModules,
} from "./gguf-architectures.js";
import { ggufTokenizer } from "./gguf-tokenizer.js";

type Json = Record<string, unknown>;

/** Whether `path` is a GGUF file (by its name and by being one). */
export function isGguf(path: string): boolean {
  return path.endsWith(".gguf") && statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/** A GGUF file as a model directory. */
export class GgufModel {
  /** Its JSON files, by name. */
  readonly files: Readonly<Record<string, string>>;
  /** Its tensors by Hugging Face name. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  private readonly config: Json;

  private constructor(
    private readonly header: GgufHeader,
    private readonly architecture: Architecture,
  ) {
    this.config = readConfig(header, architecture);
    const { tokenizer, config, eos } = ggufTokenizer(header);
    const files: Record<string, Json> = {
      "config.json": { ...this.config, ...config.ids },
      "tokenizer.json": tokenizer,
      "tokenizer_config.json": config.file,
      ...(eos.length > 0 && { "generation_config.json": { eos_token_id: eos } }),
    };
    this.files = Object.fromEntries(
      Object.entries(files).map(([name, value]) => [name, `${JSON.stringify(value, null, 2)}\n`]),
    );
    this.tensors = renamed(header, this.config);
  }

  private static last: { key: string; model: GgufModel } | undefined;

  /** Reads the header of `file`; asked again for the same file, it answers from memory. */
  static open(file: string): GgufModel {
    const { size, mtimeMs } = statSync(file);
    const key = `${file} ${size} ${mtimeMs}`;
    if (GgufModel.last?.key !== key) {
      const header = GgufHeader.read(file);
      const name = header.string("general.architecture") ?? "";
      const architecture = Object.hasOwn(architectures, name) ? architectures[name] : undefined;
      if (!architecture)
        throw new UserError(
          `${file}: architecture "${name}" is not supported (${Object.keys(architectures).join(", ")})`,
        );
      GgufModel.last = { key, model: new GgufModel(header, architecture) };
    }
    return GgufModel.last!.model;
  }

  /** A tensor by its Hugging Face name as float32, dequantised. */
  read(name: string, into?: Float32Array): Float32Array {
    const tensor = this.tensors.get(name);
    if (!tensor) throw new UserError(`${this.header.file} has no tensor for "${name}"`);
    const values = readGgufTensor(this.header.file, tensor, into);
    const { normOffset = 0 } = families[this.config.model_type as string]!;
    if (normOffset !== 0 && name.endsWith("norm.weight"))
      for (let i = 0; i < values.length; i++) values[i]! -= normOffset;
    if (this.architecture.pairs && /\.(q|k)_proj\.(weight|bias)$/.test(name)) {
      const heads = Number(
        name.includes("q_proj") ? this.config.num_attention_heads : this.config.num_key_value_heads,
      );
      unpair(values, tensor.shape[0]!, heads);
    }
    return values;
  }
}

/** What a model directory at `file` would hold: the text of a JSON file of a GGUF model (`m.gguf/config.json`). */
export function ggufFile(file: string): string | undefined {
  const path = dirname(file);
  return isGguf(path) ? GgufModel.open(path).files[basename(file)] : undefined;
}

function readConfig(header: GgufHeader, architecture: Architecture): Json {
  const prefix = header.string("general.architecture")!;
  const embedding = header.tensors.get("token_embd.weight");
  if (!embedding)
    throw new UserError(
      header.string("general.type") === "adapter"
        ? `${header.file} holds an adapter, where a whole model is needed; adapters are read as PEFT directories`
        : `${header.file} has no tensor "token_embd.weight"`,
    );
  const fields = { ...commonFields, ...architecture.fields };
  const read: Json = {};
  for (const [key, field] of Object.entries(fields)) {
    const value = header.number(`${prefix}.${key}`);
    // A window of 0 is llama.cpp's way to write that there is none.
    if (value !== undefined && !(field === "sliding_window" && value === 0)) read[field] = value;
  }
  for (const field of ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"]) {
    const key = Object.keys(fields).find((name) => fields[name] === field);
    if (read[field] === undefined)
      throw new UserError(`${header.file} lacks the metadata "${prefix}.${key}"`);
  }
  read.num_key_value_heads ??= read.num_attention_heads;
  const layers = Number(read.num_hidden_layers);
  const isMistral = prefix === "llama" && header.number("llama.attention.sliding_window") !== undefined;
  if (isMistral) read.sliding_window = header.number("llama.attention.sliding_window");
  if (architecture.queryScalar) read.query_pre_attn_scalar = queryScalarOf(architecture, read, layers);
  return {
    architectures: [isMistral ? "MistralForCausalLM" : architecture.class],
    model_type: isMistral ? "mistral" : (architecture.family ?? prefix),
    vocab_size: embedding.shape[0],
    ...read,
    ...readRope(header, prefix, read),
    attention_bias: header.tensors.has("blk.0.attn_output.bias"),
    mlp_bias: header.tensors.has("blk.0.ffn_down.bias"),
    tie_word_embeddings: !header.tensors.has("output.weight"),
    dtype: "float32",
  };
}

/** llama.cpp's rule: the head dimension, but hidden size / heads in the widest model of the family. */
function queryScalarOf({ queryScalar }: Architecture, config: Json, layers: number): number {
  const perHead = Number(config.hidden_size) / Number(config.num_attention_heads);
  return layers === queryScalar!.wideLayers ? perHead : Number(config.head_dim ?? perHead);
}

/** Rotary scaling: from the metadata, or from a tensor of factors, one for each frequency. */
function readRope(header: GgufHeader, prefix: string, config: Json): Json {
  const number = (key: string) => header.number(`${prefix}.rope.${key}`);
  const factorsOf = (name: string): number[] | undefined => {
    const tensor = header.tensors.get(name);
    return tensor && Array.from(readGgufTensor(header.file, tensor));
  };
  const turned = number("dimension_count");
  const headDim = Number(config.head_dim ?? Number(config.hidden_size) / Number(config.num_attention_heads));
  const partial: Json =
    turned !== undefined && turned < headDim ? { partial_rotary_factor: turned / headDim } : {};
  const original = number("scaling.original_context_length");
  const originalLength = original === undefined ? {} : { original_max_position_embeddings: original };
  const long = factorsOf("rope_factors_long.weight") ?? factorsOf("rope_freqs.weight");
  if (long) {
    // One list of factors has no border between short and long; the length of the context is never exceeded.
    const short = factorsOf("rope_factors_short.weight") ?? long;
    const attention = number("scaling.attn_factor") ?? (short === long ? 1 : undefined);
    const scaling = {
      rope_type: "longrope",
      short_factor: short,
      long_factor: long,
      ...(attention !== undefined && { attention_factor: attention }),
    };
    return { ...partial, ...originalLength, rope_scaling: scaling };
  }
  const kind = header.string(`${prefix}.rope.scaling.type`) ?? "none";
  if (kind === "none") return partial;
  const attention = number("scaling.attn_factor");
  return {
    ...partial,
    rope_scaling: {
      rope_type: kind,
      factor: number("scaling.factor"),
      ...originalLength,
      ...(attention !== undefined && { attention_factor: attention }),
    },
  };
}

/** Constant tables that are no parameters. */
const isTable = (name: string): boolean => /^rope_(freqs|factors_(long|short))\.weight$/.test(name);

/** The tensors by Hugging Face name; one that has none is an error. */
function renamed(header: GgufHeader, config: Json): Map<string, GgufTensor> {
  const modules = layerModules(families[config.model_type as string]!);
  const named = new Map<string, GgufTensor>();
  for (const [name, tensor] of header.tensors) {
    if (isTable(name)) continue;
    const [, layer, module = "", suffix] = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name) ?? [];
    const own = layer === undefined ? wholeModules[name] : modules[module];
    if (own === undefined)
      throw new UserError(`${header.file}: tensor "${name}" has no place in a ${config.model_type} model`);
    named.set(layer === undefined ? own : `model.layers.${layer}.${own}.${suffix}`, tensor);
  }
  return named;
}

/** Rows 0 2 4 ... 1 3 5 ... of every head, where llama.cpp stores 0 1 2 ...: in place. */
function unpair(values: Float32Array, rows: number, heads: number): void {
  const width = values.length / rows;
  const headRows = rows / heads;
  const head = new Float32Array(headRows * width);
  for (let h = 0; h < heads; h++) {
    const own = values.subarray(h * headRows * width, (h + 1) * headRows * width);
    for (let r = 0; r < headRows; r++) {
      const from = r < headRows / 2 ? 2 * r : 2 * (r - headRows / 2) + 1;
      head.set(own.subarray(from * width, (from + 1) * width), r * width);
    }
    own.set(head);
  }
}
