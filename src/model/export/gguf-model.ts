// A model as llama.cpp stores it: metadata of its architecture and tensors under llama.cpp's names and in its layout,
// as its converter (convert_hf_to_gguf.py) writes them. What llama.cpp would compute otherwise is refused by name; what
// it computes otherwise only in part comes back as a note.

import { UserError } from "../../base/errors.js";
import { type Adapter, loraScale } from "../adapter.js";
import { type DecoderConfig, type ParameterSpec, parameterSpecs } from "../config.js";
import { families } from "../families.js";
import { type Architecture, architectures, layerModules, wholeModules } from "../gguf-architectures.js";
import { inverseFrequencies, type Rope } from "../rope.js";
import type { GgufEntry, GgufFloatType, GgufMetadata, GgufTensorSource } from "./gguf-file.js";

/** The metadata and the tensors of constants of one model. */
export interface GgufDescription {
  /** llama.cpp's name of the architecture. */
  architecture: string;
  metadata: GgufMetadata;
  /** Constant tables, written as float32. */
  tables: readonly GgufTensorSource[];
  /** What llama.cpp does otherwise, for a person. */
  notes: readonly string[];
}

/** llama.cpp's general.file_type of a file whose matrices have this type. */
export const fileTypes: Readonly<Record<GgufFloatType, number>> = { F32: 0, F16: 1, Q8_0: 7, BF16: 32 };

/** Families that llama.cpp computes under another architecture's name. */
const aliases: Readonly<Record<string, string>> = { mistral: "llama" };

/** The architecture of llama.cpp for a family. */
export function architectureOf(family: string): { name: string; row: Architecture } {
  const found = Object.entries(architectures).find(
    ([name, row]) => (row.family ?? name) === family || name === aliases[family],
  );
  if (!found) throw new UserError(`llama.cpp has no architecture for the family "${family}"`);
  return { name: found[0], row: found[1] };
}

export function describeGguf(config: DecoderConfig): GgufDescription {
  const { name, row } = architectureOf(config.family);
  const problem = refusals.map((refusal) => refusal(config, row, name)).find((text) => text !== undefined);
  if (problem) throw new UserError(`llama.cpp's ${name} architecture cannot compute this model: ${problem}`);
  const window = uncomputedWindow(config, row);
  const { entries, tables } = ropeParts(config, name);
  const metadata: Record<string, GgufEntry> = {
    vocab_size: { u32: config.vocabSize },
    context_length: { u32: Math.min(config.maxPositionEmbeddings, window ?? Infinity) },
    embedding_length: { u32: config.hiddenSize },
    block_count: { u32: config.layers },
    feed_forward_length: { u32: config.intermediateSize },
    "attention.head_count": { u32: config.heads },
    "attention.head_count_kv": { u32: config.kvHeads },
    "attention.key_length": { u32: config.headDim },
    "attention.value_length": { u32: config.headDim },
    "attention.layer_norm_rms_epsilon": { f32: config.rmsNormEps },
    ...familyEntries(config, row),
    ...entries,
  };
  return {
    architecture: name,
    metadata: Object.fromEntries(Object.entries(metadata).map(([key, entry]) => [`${name}.${key}`, entry])),
    tables,
    notes:
      window === null
        ? []
        : [
            `llama.cpp computes ${name} without its sliding window of ${window} tokens; context_length is written as ${window}, up to which both are the same`,
          ],
  };
}

/** The window of layers that llama.cpp computes without one. */
function uncomputedWindow({ slidingWindow }: DecoderConfig, { windowPeriod }: Architecture): number | null {
  const windows = slidingWindow.filter((window) => window !== null);
  return windowPeriod === undefined && windows.length > 0 ? Math.min(...windows) : null;
}

function familyEntries(config: DecoderConfig, row: Architecture): Record<string, GgufEntry> {
  const { scales, softcaps } = config;
  const window = config.slidingWindow.find((width) => width !== null);
  const values: Readonly<Record<string, number | null | undefined>> = {
    attn_logit_softcapping: softcaps.attention,
    final_logit_softcapping: softcaps.logits,
    sliding_window: window,
    attention_multiplier: scales.attention,
    embedding_multiplier: scales.embedding,
    residual_multiplier: scales.residual,
    logits_scaling: 1 / scales.logits,
  };
  return Object.fromEntries(
    Object.entries(row.fields ?? {}).flatMap(([key, field]) => {
      const value = values[field];
      if (value == null) return [];
      return [[key, field === "sliding_window" ? { u32: value } : { f32: value }]];
    }),
  );
}

/** A reason why an architecture of llama.cpp is not this model, or undefined. */
type Refusal = (config: DecoderConfig, row: Architecture, name: string) => string | undefined;

const refusals: readonly Refusal[] = [
  ({ attentionBias, mlpBias }, { biases }) => {
    if (biases === "all") return undefined;
    if (attentionBias.o || mlpBias || (attentionBias.qkv && biases !== "qkv"))
      return "its projections have biases";
    return undefined;
  },
  (config, row) => {
    const { scales, headDim, hiddenSize, heads, layers } = config;
    if (row.fields?.["attention.scale"]) return undefined;
    const scalar = row.queryScalar?.wideLayers === layers ? hiddenSize / heads : headDim;
    const isUsual = Math.abs(scales.attention * Math.sqrt(scalar) - 1) < 1e-6;
    return isUsual ? undefined : `its attention scale is ${scales.attention}, not 1 / sqrt(${scalar})`;
  },
  ({ slidingWindow }, { windowPeriod }) => {
    if (windowPeriod === undefined) return undefined;
    const isRegular = slidingWindow.every(
      (window, i) => (window === null) === ((i + 1) % windowPeriod === 0),
    );
    return isRegular ? undefined : `its windows are not those of all but every ${windowPeriod}th layer`;
  },
  ({ softcaps }, row) => {
    if (row.softcaps)
      return softcaps.attention !== null && softcaps.logits !== null
        ? undefined
        : "it lacks the caps on scores and logits";
    return (softcaps.attention ?? softcaps.logits) ? "its scores or logits are capped" : undefined;
  },
  ({ layerRope, ropes }, _, name) => {
    const expected = (i: number) => {
      if (name === "smollm3") return (i + 1) % 4 === 0 ? null : 0;
      return name === "gemma3" && (i + 1) % 6 !== 0 ? 1 : 0;
    };
    if (layerRope.some((rope, i) => rope !== expected(i)))
      return name === "smollm3"
        ? "its layers without rotary positions are not every fourth"
        : "its rotary embedding differs by layer";
    const local = ropes[1];
    if (local && (local.theta !== 1e4 || local.scaling.kind !== "default"))
      return "the rotary embedding of its windowed layers is not the plain one of base 10000";
    return undefined;
  },
  ({ ropes }) => {
    const { scaling, dims, theta } = ropes[0]!;
    if (scaling.kind !== "yarn") return undefined;
    const natural = scaling.factor <= 1 ? 1 : 0.1 * Math.log(scaling.factor) + 1;
    const isUsual = scaling.betaFast === 32 && scaling.betaSlow === 1 && scaling.truncate;
    if (isUsual && Math.abs(scaling.attentionFactor - natural) < 1e-6 && dims > 0 && theta > 0)
      return undefined;
    return "its yarn scaling has an attention factor, betas or truncation of its own";
  },
];

interface RopeParts {
  entries: Record<string, GgufEntry>;
  tables: GgufTensorSource[];
}

const table = (name: string, values: Float32Array): GgufTensorSource => ({
  name: `${name}.weight`,
  shape: [values.length],
  type: "F32",
  values: () => values,
});

/** Base, turned dimensions and scaling; scaling by frequency is a table of factors that llama.cpp divides by. */
function ropeParts({ ropes }: DecoderConfig, name: string): RopeParts {
  const rope = ropes[0]!;
  const { scaling } = rope;
  const entries: Record<string, GgufEntry> = {
    "rope.dimension_count": { u32: rope.dims },
    "rope.freq_base": { f32: rope.theta },
  };
  const scaled = (type: string, more: Record<string, GgufEntry>): Record<string, GgufEntry> => ({
    ...entries,
    "rope.scaling.type": { string: type },
    ...more,
  });
  switch (scaling.kind) {
    case "default":
      return { entries, tables: [] };
    case "linear":
      return { entries: scaled("linear", { "rope.scaling.factor": { f32: scaling.factor } }), tables: [] };
    case "llama3":
      return { entries, tables: [table("rope_freqs", factorsOf(rope))] };
    case "yarn":
      return {
        entries: scaled("yarn", {
          "rope.scaling.factor": { f32: scaling.factor },
          "rope.scaling.original_context_length": { u32: scaling.originalMaxPositionEmbeddings },
        }),
        tables: [],
      };
    case "longrope": {
      if (name !== "phi3" && name !== "llama")
        throw new UserError(`llama.cpp's ${name} architecture has no longrope scaling`);
      const { originalMaxPositionEmbeddings: original, attentionFactor, longFactor, shortFactor } = scaling;
      return {
        entries: {
          // A factor would scale every frequency once more.
          ...scaled("longrope", {
            "rope.scaling.attn_factor": { f32: attentionFactor },
            "rope.scaling.original_context_length": { u32: original },
          }),
        },
        tables: [
          table("rope_factors_long", Float32Array.from(longFactor)),
          table("rope_factors_short", Float32Array.from(shortFactor)),
        ],
      };
    }
  }
}

/** What every frequency is divided by. */
function factorsOf(rope: Rope): Float32Array {
  const plain = inverseFrequencies({ ...rope, scaling: { kind: "default" } });
  return inverseFrequencies(rope).map((frequency, i) => plain[i]! / frequency);
}

/** llama.cpp's name of a parameter. */
export function ggufName(family: string, parameter: string): string {
  const whole = Object.entries(wholeModules).find(([, name]) => name === parameter);
  if (whole) return whole[0];
  const [, layer, module, suffix] = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(parameter) ?? [];
  const own = Object.entries(layerModules(families[family]!)).find(([, name]) => name === module);
  if (!own) throw new Error(`llama.cpp has no name for ${parameter}`);
  return `blk.${layer}.${own[0]}.${suffix}`;
}

/** Rows 0 1 2 ... of every head, as llama.cpp stores them, of rows 0 2 4 ... 1 3 5 ...; a copy. */
function pair(values: Float32Array, rows: number, heads: number): Float32Array {
  const width = values.length / rows;
  const headRows = rows / heads;
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const r = row % headRows;
    const to = row - r + (r < headRows / 2 ? 2 * r : 2 * (r - headRows / 2) + 1);
    out.set(values.subarray(row * width, (row + 1) * width), to * width);
  }
  return out;
}

/** How many heads the rows of a parameter belong to where llama.cpp wants them in pairs. */
function pairedHeads(config: DecoderConfig, name: string): number | undefined {
  const [, which] = /\.(q|k)_proj\./.exec(name) ?? [];
  if (which === undefined || !architectureOf(config.family).row.pairs) return undefined;
  return which === "q" ? config.heads : config.kvHeads;
}

/** A parameter's values in llama.cpp's layout. */
export function toGgufLayout(
  config: DecoderConfig,
  { name, shape, kind }: ParameterSpec,
  values: Float32Array,
) {
  if (kind === "norm" && config.normOffset !== 0) return values.map((w) => w + config.normOffset);
  const heads = pairedHeads(config, name);
  return heads === undefined ? values : pair(values, shape[0]!, heads);
}

/** A matrix has the type asked for where its rows are whole blocks; vectors stay float32, as llama.cpp wants them. */
function typeOf({ shape }: ParameterSpec, wanted: GgufFloatType): GgufFloatType {
  if (shape.length < 2) return "F32";
  return wanted === "Q8_0" && shape[1]! % 32 !== 0 ? "F16" : wanted;
}

/** The tensors of a model. */
export function ggufTensors(
  config: DecoderConfig,
  read: (spec: ParameterSpec) => Float32Array | Promise<Float32Array>,
  type: GgufFloatType,
): GgufTensorSource[] {
  return parameterSpecs(config).map((spec) => ({
    name: ggufName(config.family, spec.name),
    shape: spec.shape,
    type: typeOf(spec, type),
    values: async () => toGgufLayout(config, spec, await read(spec)),
  }));
}

/** A LoRA adapter as llama.cpp loads it beside its base. Its scale there is alpha / r. */
export function ggufAdapter(
  config: DecoderConfig,
  { lora, pairs, saved }: Adapter,
  type: GgufFloatType,
): { metadata: GgufMetadata; tensors: GgufTensorSource[] } {
  const [whole] = saved.keys();
  if (whole !== undefined)
    throw new UserError(
      `llama.cpp's adapters cannot replace a whole parameter, and this one replaces "${whole}"; export it merged`,
    );
  const specs = parameterSpecs(config).filter(({ name }) => pairs.has(name));
  const tensors = specs.flatMap((spec) => {
    const { a, b } = pairs.get(spec.name)!;
    const name = ggufName(config.family, spec.name);
    const [out, input] = spec.shape as [number, number];
    const half = (suffix: string, shape: number[], values: () => Float32Array): GgufTensorSource => ({
      name: `${name}.${suffix}`,
      shape,
      type: typeOf({ ...spec, shape }, type),
      values,
    });
    return [
      half("lora_a", [lora.r, input], () => a),
      half("lora_b", [out, lora.r], () => toGgufLayout(config, { ...spec, shape: [out, lora.r] }, b)),
    ];
  });
  return {
    metadata: { "adapter.type": { string: "lora" }, "adapter.lora.alpha": { f32: loraScale(lora) * lora.r } },
    tensors,
  };
}
