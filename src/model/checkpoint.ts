// A Hugging Face model directory: config.json, weights checked tensor by tensor against the config, tokenizer files.
// Saving writes a whole directory aside and renames it, so that `transformers` never sees half a model.
import { existsSync } from "node:fs";
import { copyFile, cp, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { writeDirectoryAtomic } from "../base/atomic.js";
import { NonFiniteError, UserError } from "../base/errors.js";
import { parseYaml } from "../base/yaml.js";
import {
  configJson,
  type DecoderConfig,
  type FloatType,
  type Head,
  type ParameterSpec,
  parameterSpecs,
  readDecoderConfig,
  untied,
  withHead,
} from "./config.js";
import { firstNonFinite } from "./floats.js";
import { GgufModel, isGguf } from "./gguf-model.js";
import { formatJson, isMissing, readTextIfPresent } from "./json.js";
import { formatShape, SafetensorsReader, writeWeights } from "./safetensors.js";

export type Tensors = Map<string, Float32Array>;

export interface Checkpoint {
  config: DecoderConfig;
  /** Every tensor of `parameterSpecs(config)` by its Hugging Face name, except those in `fresh`. */
  tensors: Tensors;
  /** Parameters that the directory does not have because it was opened under another head: the caller makes them. */
  fresh: readonly ParameterSpec[];
}

/** The tensors of a model by their Hugging Face names. */
type WeightReader = Pick<SafetensorsReader, "readFloat32" | "close"> & {
  readonly tensors: ReadonlyMap<string, unknown>;
  info(name: string): { file: string; shape: readonly number[] };
};

/** The weights of a model directory, or of a GGUF file. */
async function openWeights(path: string): Promise<WeightReader> {
  if (!isGguf(path)) return SafetensorsReader.open(path);
  const model = GgufModel.open(path);
  return {
    tensors: model.tensors,
    info: (name) => ({ file: path, shape: model.tensors.get(name)!.shape }),
    readFloat32: async (name, { into } = {}) => model.read(name, into),
    close: async () => {},
  };
}

export interface OpenOptions {
  /**
   * The head wanted, whatever the directory holds: "scalar" turns a language model into a reward model whose
   * `score.weight` is fresh. Default: the directory's own.
   */
  head?: Head;
}

/** A model directory whose tensor names and shapes have been checked, but whose weights have not been read yet. */
export class OpenCheckpoint {
  private constructor(
    readonly dir: string,
    readonly config: DecoderConfig,
    /** The parameters that the directory holds. */
    readonly specs: readonly ParameterSpec[],
    readonly fresh: readonly ParameterSpec[],
    private readonly reader: WeightReader,
  ) {}

  static async open(dir: string, { head }: OpenOptions = {}): Promise<OpenCheckpoint> {
    const written = await readDecoderConfig(dir);
    const reader = await openWeights(dir);
    try {
      const own = (await hasOwnHead(written, reader)) ? untied(written) : written;
      const config = head === undefined || head === own.head ? own : withHead(own, head);
      const specs = parameterSpecs(config);
      const isFresh = (spec: ParameterSpec) => spec.name === "score.weight" && own.head === "language";
      const stored = specs.filter((spec) => !isFresh(spec));
      const named = stored.map((spec) => ({ ...spec, name: storedName(spec.name, config, reader) }));
      checkTensors(dir, named, parameterSpecs(own), reader);
      return new OpenCheckpoint(dir, config, stored, specs.filter(isFresh), reader);
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  /** Reads one parameter, into `into` where given, and refuses a NaN or an infinity in it. */
  async read(spec: ParameterSpec, into?: Float32Array): Promise<Float32Array> {
    const { shape } = spec;
    const name = storedName(spec.name, this.config, this.reader);
    const values = await this.reader.readFloat32(name, into ? { into, shape } : { shape });
    const at = firstNonFinite(values);
    if (at >= 0) {
      const { file } = this.reader.info(name);
      throw new UserError(
        `${file}: tensor "${name}" holds ${values[at]} at element ${at}; the weights are broken`,
      );
    }
    return values;
  }

  close(): Promise<void> {
    return this.reader.close();
  }
}

export interface LoadOptions extends OpenOptions {
  /** Makes the array that a parameter is read into. Default: an ordinary one. */
  allocate?: (config: DecoderConfig, spec: ParameterSpec) => Float32Array;
}

/** Reads a whole model directory into memory. */
export async function loadCheckpoint(dir: string, options: LoadOptions = {}): Promise<Checkpoint> {
  const open = await OpenCheckpoint.open(dir, options);
  try {
    const tensors: Tensors = new Map();
    for (const spec of open.specs)
      tensors.set(spec.name, await open.read(spec, options.allocate?.(open.config, spec)));
    return { config: open.config, tensors, fresh: open.fresh };
  } finally {
    await open.close();
  }
}

/**
 * Whether a language model has a head although its configuration ties it to the embedding: `transformers` 5 then keeps
 * both. A stored copy of the embedding is no head of its own.
 */
async function hasOwnHead(config: DecoderConfig, reader: WeightReader): Promise<boolean> {
  if (!config.tieWordEmbeddings || config.head !== "language") return false;
  if (!reader.tensors.has(embedding) || !reader.tensors.has(head)) return false;
  const [table, own] = [await reader.readFloat32(embedding), await reader.readFloat32(head)];
  return table.length !== own.length || table.some((value, i) => value !== own[i]);
}

const embedding = "model.embed_tokens.weight";
const head = "lm_head.weight";

/** Where a directory keeps a parameter: a tied embedding may be stored under the head's name only. */
function storedName(name: string, config: DecoderConfig, reader: WeightReader): string {
  const isUnderHead = name === embedding && config.tieWordEmbeddings && !reader.tensors.has(name);
  return isUnderHead && reader.tensors.has(head) ? head : name;
}

/**
 * Names the first tensors that are missing, unexpected or of the wrong shape. `own` are the parameters under the
 * directory's own head, of which another head leaves one unused.
 */
function checkTensors(
  dir: string,
  wanted: readonly ParameterSpec[],
  own: readonly ParameterSpec[],
  reader: WeightReader,
): void {
  const missing = wanted.filter(({ name }) => !reader.tensors.has(name)).map(({ name }) => name);
  if (missing.length > 0) {
    throw new UserError(`${dir} lacks ${list(missing)}, which its config.json calls for`);
  }
  for (const { name, shape } of wanted) {
    const found = reader.info(name);
    if (formatShape(found.shape) !== formatShape(shape)) {
      throw new UserError(
        `${found.file}: tensor "${name}" has shape ${formatShape(found.shape)}, but config.json calls for ${formatShape(shape)}`,
      );
    }
  }
  const known = new Set([...wanted, ...own].map(({ name }) => name));
  const unexpected = [...reader.tensors.keys()].filter((name) => !known.has(name) && !isHarmless(name));
  if (unexpected.length > 0) {
    throw new UserError(`${dir} holds ${list(unexpected)}, which its config.json does not call for`);
  }
}

/** A tied head that was saved all the same, and the constant tables that old versions of `transformers` saved. */
function isHarmless(name: string): boolean {
  return name === "lm_head.weight" || name.endsWith(".rotary_emb.inv_freq");
}

/** "tensor a", or "12 tensors (a, b, c, ...)". */
function list(names: readonly string[]): string {
  if (names.length === 1) return `the tensor "${names[0]}"`;
  return `${names.length} tensors (${names.slice(0, 3).join(", ")}${names.length > 3 ? ", ..." : ""})`;
}

// ----------------------------------------------------------------------------------------------------------- saving

export interface SaveOptions {
  config: DecoderConfig;
  /** The values of a parameter; asked for one at a time, in file order. */
  read: (spec: ParameterSpec) => Float32Array | Promise<Float32Array>;
  /** The type in the file. Default: the type that the weights came in. */
  dtype?: FloatType;
  /** Model directory whose tokenizer files are copied byte for byte. */
  tokenizerFrom?: string;
  /** README.md; see `modelCard`. */
  readme?: string;
  maxShardBytes?: number;
}

/** Writes a model directory that `transformers` loads, in place of whatever was at `dir`. */
export async function saveCheckpoint(
  dir: string,
  { config, read, dtype = config.dtype, tokenizerFrom, readme, maxShardBytes }: SaveOptions,
): Promise<void> {
  const tensors = parameterSpecs(config).map((spec) => ({
    name: spec.name,
    shape: spec.shape,
    dtype,
    values: async () => {
      const values = await read(spec);
      if (firstNonFinite(values) >= 0) {
        throw new NonFiniteError(`parameter "${spec.name}" is no longer finite, so ${dir} was not saved`);
      }
      return values;
    },
  }));
  await writeDirectoryAtomic(dir, async (aside) => {
    await writeFile(join(aside, "config.json"), formatJson(configJson(config, dtype)));
    if (config.rawGeneration) {
      await writeFile(join(aside, "generation_config.json"), formatJson(config.rawGeneration));
    }
    if (tokenizerFrom !== undefined) await copyTokenizer(tokenizerFrom, aside);
    if (readme !== undefined) await writeFile(join(aside, "README.md"), readme);
    await writeWeights(aside, tensors, maxShardBytes === undefined ? {} : { maxShardBytes });
  });
}

/** Whether a model comes with a tokenizer. */
export function hasTokenizer(dir: string): boolean {
  return isGguf(dir) || existsSync(join(dir, "tokenizer.json"));
}

/** What `save_pretrained` of a tokenizer writes, over the versions of `transformers`. */
const tokenizerFiles = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "tokenizer.model",
  "chat_template.jinja",
  "chat_template.json",
  "additional_chat_templates",
  // Where the reward of a conversation is read (`reward_at`).
  "touchstone.json",
];

/** Copies the tokenizer and the chat templates of a model directory byte for byte; of a GGUF file, writes them. */
export async function copyTokenizer(from: string, to: string): Promise<void> {
  if (isGguf(from)) {
    for (const [name, text] of Object.entries(GgufModel.open(from).files))
      if (tokenizerFiles.includes(name)) await writeFile(join(to, name), text);
    return;
  }
  const entries = await readdir(from, { withFileTypes: true }).catch((error) => {
    throw isMissing(error) ? new UserError(`${from} is not a model directory`) : error;
  });
  for (const entry of entries) {
    if (!tokenizerFiles.includes(entry.name)) continue;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    await (entry.isDirectory() ? cp(source, target, { recursive: true }) : copyFile(source, target));
  }
}

/** A Hub model card: YAML front matter, then Markdown. */
export function modelCard(frontMatter: Record<string, unknown>, body: string): string {
  return `---\n${stringify(frontMatter)}---\n\n${body.trim()}\n`;
}

/** The YAML head of a model directory's card; a card that cannot be read says nothing. */
export async function frontMatter(dir: string): Promise<Record<string, unknown>> {
  const text = (await readTextIfPresent(join(dir, "README.md"))) ?? "";
  const [, head] = /^---\r?\n([\s\S]*?)\r?\n---\r?\n/.exec(text) ?? [];
  if (head === undefined) return {};
  try {
    const value = parseYaml(head, "README.md");
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch (error) {
    if (error instanceof UserError) return {};
    throw error;
  }
}
