// LoRA adapters in PEFT's file format: adapter_config.json and adapter_model.safetensors. A target weight W [out, in]
// acts as W + scale * B A with A [r, in] and B [out, r]; modules_to_save are replaced whole (the `score` head).
// Variants that change this formula (DoRA, per-module ranks, ...) are refused by name.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { toRegExpDetails } from "oniguruma-to-es";
import { z } from "zod";
import { writeDirectoryAtomic } from "../base/atomic.js";
import { NonFiniteError, UserError } from "../base/errors.js";
import { copyTokenizer } from "./checkpoint.js";
import { type DecoderConfig, type FloatType, type ParameterSpec, parameterSpecs, untied } from "./config.js";
import { firstNonFinite } from "./floats.js";
import { formatJson, type Json, readJson } from "./json.js";
import { formatShape, SafetensorsReader, streamSafetensors, type TensorSource } from "./safetensors.js";

export interface LoraConfig {
  r: number;
  alpha: number;
  /** Module names ("q_proj"), or one regular expression over full module names, or "all-linear". */
  targetModules: readonly string[] | string;
  /** Modules trained whole and stored in the adapter, e.g. ["score"]. Default none. */
  modulesToSave?: readonly string[];
  /** Scale alpha / sqrt(r) instead of alpha / r. Default false. */
  useRslora?: boolean;
  /** Dropout on the input of A while training. Default 0. */
  dropout?: number;
  taskType: "CAUSAL_LM" | "SEQ_CLS";
  /** Where the base model is: a directory or a Hub name. */
  baseModel: string | null;
  /** adapter_config.json as it was read, so that saving writes back every field. */
  raw?: Readonly<Json>;
}

/** A and B of one target, row-major. */
export interface LoraPair {
  /** [r, in] */
  a: Float32Array;
  /** [out, r] */
  b: Float32Array;
}

export interface Adapter {
  lora: LoraConfig;
  /** By the name of the weight that each pair changes ("model.layers.0.self_attn.q_proj.weight"). */
  pairs: Map<string, LoraPair>;
  /** Parameters that the adapter replaces, by name ("score.weight"), with their shapes. */
  saved: Map<string, { shape: readonly number[]; values: Float32Array }>;
}

/** The factor on B A: alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA. */
export function loraScale({ r, alpha, useRslora = false }: LoraConfig): number {
  return alpha / (useRslora ? Math.sqrt(r) : r);
}

/** The names that a recipe may list: q_proj, k_proj, ... */
const projections = (modules: readonly ParameterSpec[]): string[] => [
  ...new Set(
    modules.filter(({ kind }) => kind === "matrix").map(({ name }) => moduleOf(name).split(".").at(-1)!),
  ),
];

const embedding = "model.embed_tokens.weight";
const headWeight = "lm_head.weight";

const isTied = ({ head, tieWordEmbeddings }: DecoderConfig): boolean =>
  head === "language" && tieWordEmbeddings;

const savesModule = ({ modulesToSave = [] }: LoraConfig, module: string): boolean =>
  modulesToSave.some((name) => matches(module, [name]));

/**
 * Whether a tied model has a head of its own under the adapter: one that is stored, or the base's beside an input embedding
 * of `modules_to_save`, which PEFT gives a copy of its own.
 */
export function untiesHead({ lora, saved }: Adapter, base: DecoderConfig): boolean {
  if (!isTied(base)) return false;
  return saved.has(headWeight) || (saved.has(embedding) && savesModule(lora, moduleOf(embedding)));
}

/** The weights that the adapter changes, in the model's order. A target that is not a projection is refused. */
export function loraTargets(config: DecoderConfig, lora: LoraConfig): ParameterSpec[] {
  const modules = parameterSpecs(config).filter(
    ({ name, kind }) => name.endsWith(".weight") && kind !== "norm",
  );
  const targets = modules.filter(({ name, kind }) => {
    const module = moduleOf(name);
    if (savesModule(lora, module)) return false;
    return lora.targetModules === "all-linear" ? kind === "matrix" : matches(module, lora.targetModules);
  });
  if (targets.length === 0) {
    throw new UserError(
      `LoRA target_modules ${JSON.stringify(lora.targetModules)} match no module of the model, which has ${projections(modules).join(", ")}`,
    );
  }
  for (const { name, kind } of targets) {
    if (kind === "matrix") continue;
    throw new UserError(
      `LoRA on ${moduleOf(name)} is not supported; name it in modules_to_save to train it whole`,
    );
  }
  return targets;
}

const moduleOf = (weight: string): string => weight.slice(0, -".weight".length);

/** PEFT's rule: a list matches whole trailing parts of the module name, a string is a regular expression over all of it. */
function matches(module: string, names: readonly string[] | string): boolean {
  if (typeof names !== "string") return names.some((name) => module === name || module.endsWith(`.${name}`));
  return pythonRegex(names).test(module);
}

/** Python's regular expression over a whole text: Oniguruma's but for how groups and flags are named. */
function pythonRegex(source: string): RegExp {
  const named = source.replaceAll("(?P<", "(?<").replace(/\(\?P=(\w+)\)/g, "\\k<$1>");
  // Names of modules are one line of ASCII, so that a, L, u and m change nothing; s is Oniguruma's m.
  const translated = named.replace(
    /\(\?([aiLmsux]*)(-[imsx]+)?([:)])/g,
    (whole, on: string, off = "", end) => {
      const flags = (given: string) => given.replace(/[aLum]/g, "").replace("s", "m");
      if (on === "" && off === "") return whole;
      const minus = flags(off.slice(1));
      const kept = `${flags(on)}${minus && `-${minus}`}`;
      return kept === "" && end === ")" ? "" : `(?${kept}${end}`;
    },
  );
  // Flags for the whole pattern stand at its beginning only.
  const [flags = ""] = /^\(\?[a-zA-Z]+\)/.exec(translated) ?? [];
  // In a verbose pattern a comment goes to the end of its line.
  const end = flags.includes("x") ? "\n)" : ")";
  try {
    const whole = `${flags}\\A(?:${translated.slice(flags.length).replaceAll("\\Z", "\\z")}${end}\\z`;
    const regex = toRegExpDetails(whole, { avoidSubclass: true });
    // Node 20 finds nothing with /^[^]*a/v.
    return new RegExp(regex.pattern.replaceAll("[^]", "\\p{Any}"), regex.flags);
  } catch {
    throw new UserError(`LoRA target_modules is not a valid regular expression: ${source}`);
  }
}

// ---------------------------------------------------------------------------------------------------------- reading

const adapterFields = z.object({
  peft_type: z.string("must be a string"),
  task_type: z.enum(["CAUSAL_LM", "SEQ_CLS"], 'must be "CAUSAL_LM", "SEQ_CLS" or null').nullish(),
  r: z.int("must be a positive integer").min(1, "must be a positive integer"),
  lora_alpha: z.number("must be a number"),
  lora_dropout: z.number("must be a number").default(0),
  target_modules: z.union(
    [z.array(z.string()), z.string()],
    "must be a list of module names or a regular expression",
  ),
  modules_to_save: z.array(z.string(), "must be a list of module names").nullish(),
  use_rslora: z.boolean("must be true or false").default(false),
  bias: z.string("must be a string").default("none"),
  base_model_name_or_path: z.string("must be a string").nullish(),
  init_lora_weights: z.union([z.boolean(), z.string()], "must be true, false or a name").default(true),
});

/** Fields that, when set, change what the adapter computes or which modules it has. */
const unsupportedFields = [
  "use_dora",
  "use_qalora",
  "use_bdlora",
  "lora_bias",
  "fan_in_fan_out",
  "rank_pattern",
  "alpha_pattern",
  "layers_to_transform",
  "layers_pattern",
  "exclude_modules",
  "trainable_token_indices",
  "target_parameters",
  "layer_replication",
  "alora_invocation_tokens",
  "arrow_config",
  "kasa_config",
  "monteclora_config",
];

const isUnset = (value: unknown): boolean =>
  !value || (typeof value === "object" && Object.keys(value).length === 0);

/** Initialisations that leave the base weights as they are. */
const plainInitialisations: readonly unknown[] = [true, false, "gaussian", "orthogonal"];

export function parseLoraConfig(raw: Json, file = "adapter_config.json"): LoraConfig {
  const kind = raw.peft_type;
  if (kind !== "LORA")
    throw new UserError(`${file}: peft_type ${JSON.stringify(kind)} is not supported (only "LORA")`);
  for (const field of unsupportedFields) {
    if (!isUnset(raw[field])) throw new UserError(`${file}: ${field} is not supported`);
  }
  const result = adapterFields.safeParse(raw);
  if (!result.success) {
    const issue = result.error.issues[0]!;
    throw new UserError(`${file}: ${issue.path.join(".")} ${issue.message}`);
  }
  const fields = result.data;
  if (fields.bias !== "none")
    throw new UserError(`${file}: bias "${fields.bias}" is not supported (only "none")`);
  if (!plainInitialisations.includes(fields.init_lora_weights)) {
    throw new UserError(
      `${file}: init_lora_weights "${fields.init_lora_weights}" is not supported, for it changes the base weights`,
    );
  }
  return {
    r: fields.r,
    alpha: fields.lora_alpha,
    targetModules: fields.target_modules,
    modulesToSave: [...new Set(fields.modules_to_save)],
    useRslora: fields.use_rslora,
    dropout: fields.lora_dropout,
    // Where PEFT was not told, a head among the saved modules tells.
    taskType: fields.task_type ?? (fields.modules_to_save?.includes("score") ? "SEQ_CLS" : "CAUSAL_LM"),
    baseModel: fields.base_model_name_or_path ?? null,
    raw,
  };
}

const prefix = "base_model.model.";

/** Reads an adapter directory. With `base`, checks that it has exactly the pairs that its targets call for. */
export async function readAdapter(dir: string, base?: DecoderConfig): Promise<Adapter> {
  const file = join(dir, "adapter_config.json");
  const lora = parseLoraConfig(await readJson(file, "a LoRA adapter is a directory written by PEFT"), file);
  const reader = await SafetensorsReader.open(join(dir, "adapter_model.safetensors"));
  try {
    const halves = new Map<string, Partial<LoraPair>>();
    const saved: Adapter["saved"] = new Map();
    for (const info of reader.tensors.values()) {
      if (!info.name.startsWith(prefix)) {
        throw new UserError(`${info.file}: "${info.name}" is not a tensor of a LoRA adapter`);
      }
      const values = await reader.readFloat32(info.name);
      if (firstNonFinite(values) >= 0)
        throw new UserError(`${info.file}: tensor "${info.name}" is not finite`);
      const name = info.name.slice(prefix.length);
      const [, module, half] = /^(.*)\.lora_([AB])\.weight$/.exec(name) ?? [];
      if (module === undefined) {
        if (name.includes(".lora_")) throw new UserError(`${info.file}: "${name}" is not supported`);
        // PEFT writes copies of what it wraps beside an embedding; the plain name has what counts.
        if (!/\.(original_module|modules_to_save)\.weight$/.test(name))
          saved.set(name, { shape: info.shape, values });
        continue;
      }
      const rank = info.shape[half === "A" ? 0 : 1];
      if (info.shape.length !== 2 || rank !== lora.r) {
        throw new UserError(
          `${info.file}: "${name}" has shape ${formatShape(info.shape)}, but r is ${lora.r}`,
        );
      }
      const pair = halves.get(`${module}.weight`) ?? {};
      halves.set(`${module}.weight`, half === "A" ? { ...pair, a: values } : { ...pair, b: values });
    }
    const pairs = new Map<string, LoraPair>();
    for (const [weight, { a, b }] of halves) {
      if (!a || !b) throw new UserError(`${dir} lacks lora_${a ? "B" : "A"} of ${moduleOf(weight)}`);
      pairs.set(weight, { a, b });
    }
    const adapter = { lora, pairs, saved };
    if (base && isTied(base)) tieSaved(adapter);
    if (base !== undefined) checkAdapter(dir, adapter, base);
    return adapter;
  } finally {
    await reader.close();
  }
}

/** What is stored without being one of `modules_to_save` goes into the base, where a tied head and embedding are one. */
function tieSaved({ lora, saved }: Adapter): void {
  const head = saved.get(headWeight);
  if (head === undefined || savesModule(lora, moduleOf(headWeight))) return;
  if (saved.has(embedding) && savesModule(lora, moduleOf(embedding))) return;
  saved.set(embedding, head);
  saved.delete(headWeight);
}

function checkAdapter(dir: string, { lora, pairs, saved }: Adapter, base: DecoderConfig): void {
  const targets = loraTargets(base, lora);
  for (const { name, shape } of targets) {
    const pair = pairs.get(name);
    if (pair === undefined) throw new UserError(`${dir} has no LoRA pair for its target ${moduleOf(name)}`);
    const [out, input] = [pair.b.length / lora.r, pair.a.length / lora.r];
    if (out !== shape[0] || input !== shape[1]) {
      throw new UserError(
        `${dir}: the LoRA pair of ${moduleOf(name)} is for a weight of shape [${out}, ${input}], the base model's is ${formatShape(shape)}`,
      );
    }
  }
  const targeted = new Set(targets.map(({ name }) => name));
  for (const name of pairs.keys()) {
    if (!targeted.has(name))
      throw new UserError(`${dir} has a LoRA pair for ${moduleOf(name)}, which is no target`);
  }
  const parameters = parameterSpecs(isTied(base) ? untied(base) : base);
  const shapes = new Map(parameters.map(({ name, shape }) => [name, formatShape(shape)]));
  for (const [name, { shape }] of saved) {
    if (shapes.get(name) !== formatShape(shape)) {
      throw new UserError(
        `${dir} replaces "${name}" of shape ${formatShape(shape)}, but the base model has ${shapes.get(name) ?? "none"}`,
      );
    }
  }
}

// ----------------------------------------------------------------------------------------------------------- writing

export function loraConfigJson(lora: LoraConfig): Json {
  const modulesToSave = lora.modulesToSave ?? [];
  return {
    ...lora.raw,
    peft_type: "LORA",
    task_type: lora.taskType,
    base_model_name_or_path: lora.baseModel,
    r: lora.r,
    lora_alpha: lora.alpha,
    lora_dropout: lora.dropout ?? 0,
    target_modules: lora.targetModules,
    modules_to_save: modulesToSave.length > 0 ? modulesToSave : null,
    use_rslora: lora.useRslora ?? false,
    bias: "none",
    fan_in_fan_out: false,
    init_lora_weights: true,
    inference_mode: true,
  };
}

export interface SaveAdapterOptions {
  /** Default F32. */
  dtype?: FloatType;
  /** Model directory whose tokenizer files are copied byte for byte. */
  tokenizerFrom?: string;
  readme?: string;
}

/** Writes an adapter directory that `peft` loads, in place of whatever was at `dir`. */
export async function saveAdapter(
  dir: string,
  { lora, pairs, saved }: Adapter,
  { dtype = "F32", tokenizerFrom, readme }: SaveAdapterOptions = {},
): Promise<void> {
  const tensor = (name: string, shape: readonly number[], values: Float32Array): TensorSource => ({
    name: prefix + name,
    shape,
    dtype,
    values: () => {
      if (firstNonFinite(values) >= 0)
        throw new NonFiniteError(`parameter "${name}" is no longer finite, so ${dir} was not saved`);
      return values;
    },
  });
  const tensors = [
    ...[...pairs].flatMap(([weight, { a, b }]) => [
      tensor(`${moduleOf(weight)}.lora_A.weight`, [lora.r, a.length / lora.r], a),
      tensor(`${moduleOf(weight)}.lora_B.weight`, [b.length / lora.r, lora.r], b),
    ]),
    ...[...saved].map(([name, { shape, values }]) => tensor(name, shape, values)),
  ];
  await writeDirectoryAtomic(dir, async (aside) => {
    await writeFile(join(aside, "adapter_config.json"), formatJson(loraConfigJson(lora)));
    if (tokenizerFrom !== undefined) await copyTokenizer(tokenizerFrom, aside);
    if (readme !== undefined) await writeFile(join(aside, "README.md"), readme);
    await streamSafetensors(join(aside, "adapter_model.safetensors"), tensors);
  });
}

// ------------------------------------------------------------------------------------------------------------ merging

/**
 * W += scale * B A in place, each element accumulated in float64 and rounded once. W is [out, in], row-major; `weight`
 * holds its elements from `first` on (default: all of them).
 */
export function mergeLora(
  weight: Float32Array,
  { a, b }: LoraPair,
  { r, scale, first = 0 }: { r: number; scale: number; first?: number },
): void {
  const input = a.length / r;
  const row = new Float64Array(input);
  for (let done = 0; done < weight.length; ) {
    const o = Math.floor((first + done) / input);
    const from = (first + done) % input;
    const to = Math.min(input, from + weight.length - done);
    row.fill(0);
    for (let k = 0; k < r; k++) {
      const factor = b[o * r + k]!;
      const start = k * input;
      for (let i = from; i < to; i++) row[i] = row[i]! + factor * a[start + i]!;
    }
    for (let i = from; i < to; i++, done++) weight[done] = weight[done]! + scale * row[i]!;
  }
}

/** The value of parameter `name` with the adapter merged in: changed in place, or the adapter's own. */
export function mergedParameter(adapter: Adapter, name: string, base: Float32Array): Float32Array {
  const own = adapter.saved.get(name);
  if (own !== undefined) return own.values;
  const pair = adapter.pairs.get(name);
  if (pair !== undefined) mergeLora(base, pair, { r: adapter.lora.r, scale: loraScale(adapter.lora) });
  return base;
}
