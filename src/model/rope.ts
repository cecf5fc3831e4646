// Rotary position embeddings: what a config says about them (defaults and precedence are those of `transformers`),
// and the tables of angles. YaRN is arXiv 2309.00071, LongRoPE 2402.13753.

import { z } from "zod";
import { UserError } from "../base/errors.js";
import type { ConfigFields, Family } from "./families.js";
import { isObject, type Json } from "./json.js";

export type RopeScaling =
  | { kind: "default" }
  /** Every inverse frequency divided by `factor`. */
  | { kind: "linear"; factor: number }
  /** Llama 3.1: long wavelengths divided by `factor`, short ones kept, a smooth ramp between. */
  | {
      kind: "llama3";
      factor: number;
      lowFreqFactor: number;
      highFreqFactor: number;
      originalMaxPositionEmbeddings: number;
    }
  /** The same by dimensions between `betaFast` and `betaSlow` turns, and cos and sin times `attentionFactor`. */
  | {
      kind: "yarn";
      factor: number;
      attentionFactor: number;
      betaFast: number;
      betaSlow: number;
      truncate: boolean;
      originalMaxPositionEmbeddings: number;
    }
  /** A factor of its own for every frequency; other ones for sequences beyond the original length. */
  | {
      kind: "longrope";
      shortFactor: readonly number[];
      longFactor: readonly number[];
      attentionFactor: number;
      originalMaxPositionEmbeddings: number;
    };

export interface Rope {
  theta: number;
  scaling: RopeScaling;
  /** How many leading dimensions of a head turn; the others pass as they are. */
  dims: number;
}

const positive = z.number("must be a positive number").positive("must be a positive number");
const factors = z.array(positive, "must be a list of positive numbers");
const ropeFields = z.object({
  rope_type: z.string("must be a string").nullish(),
  type: z.string("must be a string").nullish(),
  rope_theta: positive.nullish(),
  partial_rotary_factor: positive.nullish(),
  factor: positive.nullish(),
  low_freq_factor: positive.nullish(),
  high_freq_factor: positive.nullish(),
  original_max_position_embeddings: z.int("must be a positive integer").positive().nullish(),
  attention_factor: positive.nullish(),
  beta_fast: positive.nullish(),
  beta_slow: positive.nullish(),
  mscale: z.number("must be a number").nullish(),
  mscale_all_dim: z.number("must be a number").nullish(),
  truncate: z.boolean("must be true or false").nullish(),
  short_factor: factors.nullish(),
  long_factor: factors.nullish(),
});
type RopeFields = z.infer<typeof ropeFields>;

/**
 * The distinct rotary embeddings of a model, and which one each layer uses (null: none). `windowed` says which layers
 * have a sliding window.
 */
export function readRopes(
  config: ConfigFields,
  family: Family,
  { headDim, windowed }: { headDim: number; windowed: readonly boolean[] },
): { ropes: Rope[]; layerRope: (number | null)[] } {
  const key =
    config.rope_scaling && Object.keys(config.rope_scaling).length > 0 ? "rope_scaling" : "rope_parameters";
  const given = config[key] ?? {};
  const byLayer = family.ropeByLayerType;
  if (!byLayer) {
    for (const layerType of ["full_attention", "sliding_attention"]) {
      if (layerType in given)
        throw new UserError(`${key} that differs by layer type ("${layerType}") is not supported`);
    }
    const rope = readRope(given, { key, config, family, headDim, theta: config.rope_theta ?? 10000 });
    const layerRope = windowed.map((_, i) => (family.isPositionFree?.(config, i) ? null : 0));
    return { ropes: [rope], layerRope };
  }
  // Old files scale the full layers by `rope_scaling`; new ones have an object for each layer type.
  const nested = (config.rope_parameters ?? {}) as Json;
  const part = (layerType: string): Json => (isObject(nested[layerType]) ? nested[layerType] : {});
  const read = (of: Json, theta: number) => readRope(of, { key, config, family, headDim, theta });
  const full = { ...part("full_attention"), ...config.rope_scaling };
  return {
    ropes: [
      read(full, config.rope_theta ?? byLayer.full),
      read(part("sliding_attention"), config.rope_local_base_freq ?? byLayer.sliding),
    ],
    layerRope: windowed.map(Number),
  };
}

interface RopeSurroundings {
  /** The field that `given` comes from. */
  key: string;
  config: ConfigFields;
  family: Family;
  headDim: number;
  /** Where `given` has none. */
  theta: number;
}

/** `given` wins over the fields at the top of config.json. */
function readRope(given: Json, { key, config, family, headDim, theta }: RopeSurroundings): Rope {
  const result = ropeFields.safeParse(given);
  if (!result.success) {
    const issue = result.error.issues[0]!;
    throw new UserError(`${key}.${issue.path.join(".")} ${issue.message}`);
  }
  const rope = result.data;
  const partial = rope.partial_rotary_factor ?? config.partial_rotary_factor ?? 1;
  if (partial !== 1 && !family.partialRotary) {
    throw new UserError(`partial_rotary_factor ${partial} is not supported here (only 1)`);
  }
  const dims = Math.floor(headDim * partial);
  if (dims % 2 !== 0 || dims < 2 || dims > headDim) {
    throw new UserError(`rotary embedding needs an even head dimension, not ${dims}`);
  }
  const named = rope.rope_type ?? rope.type ?? "default";
  const kind = family.ropeAliases?.[named] ?? named;
  const reader = scalings[kind];
  if (!reader) {
    throw new UserError(
      `rotary scaling "${kind}" is not supported (supported: ${Object.keys(scalings).join(", ")})`,
    );
  }
  const need: Need = (name) => {
    const value = rope[name];
    if (value == null) throw new UserError(`${key} of type "${kind}" needs "${name}"`);
    return value;
  };
  const original =
    config.original_max_position_embeddings ??
    rope.original_max_position_embeddings ??
    config.max_position_embeddings;
  const scaling = reader({ rope, need, original, longest: config.max_position_embeddings, dims });
  return { theta: rope.rope_theta ?? theta, scaling, dims };
}

type Need = <K extends keyof RopeFields>(name: K) => NonNullable<RopeFields[K]>;

interface ScalingInput {
  rope: RopeFields;
  need: Need;
  /** original_max_position_embeddings. */
  original: number;
  /** max_position_embeddings. */
  longest: number;
  dims: number;
}

/** m ln(scale) / 10 + 1, YaRN's temperature of attention (equation 22). */
const yarnScale = (scale: number, m = 1): number => (scale <= 1 ? 1 : 0.1 * m * Math.log(scale) + 1);

const scalings: Readonly<Record<string, (input: ScalingInput) => RopeScaling>> = {
  default: () => ({ kind: "default" }),
  linear: ({ need }) => ({ kind: "linear", factor: need("factor") }),
  llama3: ({ need, original }) => ({
    kind: "llama3",
    factor: need("factor"),
    lowFreqFactor: need("low_freq_factor"),
    highFreqFactor: need("high_freq_factor"),
    originalMaxPositionEmbeddings: original,
  }),
  yarn: ({ rope, original, longest }) => {
    const factor = rope.factor ?? longest / original;
    const { mscale, mscale_all_dim } = rope;
    const natural =
      mscale && mscale_all_dim
        ? yarnScale(factor, mscale) / yarnScale(factor, mscale_all_dim)
        : yarnScale(factor);
    return {
      kind: "yarn",
      factor,
      attentionFactor: rope.attention_factor ?? natural,
      betaFast: rope.beta_fast ?? 32,
      betaSlow: rope.beta_slow ?? 1,
      truncate: rope.truncate ?? true,
      originalMaxPositionEmbeddings: original,
    };
  },
  longrope: ({ rope, need, original, longest, dims }) => {
    const factor = rope.factor ?? longest / original;
    const natural = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
    const list = (name: "short_factor" | "long_factor"): number[] => {
      const values = need(name);
      if (values.length !== dims / 2)
        throw new UserError(`${name} has ${values.length} numbers, but ${dims / 2} frequencies turn`);
      return values;
    };
    return {
      kind: "longrope",
      shortFactor: list("short_factor"),
      longFactor: list("long_factor"),
      attentionFactor: rope.attention_factor ?? natural,
      originalMaxPositionEmbeddings: original,
    };
  },
};

/**
 * The longest sequence that turns by the ordinary frequencies of `ropes`; a longer one turns by others from its first
 * position on (LongRoPE). Infinity where there is no such border.
 */
export function shortSequence(ropes: readonly Rope[]): number {
  const borders = ropes.map(({ scaling }) =>
    scaling.kind === "longrope" ? scaling.originalMaxPositionEmbeddings : Infinity,
  );
  return Math.min(...borders);
}

/**
 * Tables of rotary angles, [positions, dims / 2], for sequences up to (`long`: beyond) the border of LongRoPE.
 * Frequencies and angles are rounded to float32 as `transformers` rounds them, because checkpoints were trained with
 * those values.
 */
export function rotaryTables(
  rope: Rope,
  positions: number,
  long = false,
): { cos: Float32Array; sin: Float32Array } {
  const half = rope.dims / 2;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  const frequencies = inverseFrequencies(rope, long);
  const scale = "attentionFactor" in rope.scaling ? rope.scaling.attentionFactor : 1;
  for (let p = 0; p < positions; p++)
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(p * frequencies[i]!);
      cos[p * half + i] = Math.cos(angle) * scale;
      sin[p * half + i] = Math.sin(angle) * scale;
    }
  return { cos, sin };
}

/** theta^(-2i/dims), scaled as `scaling` says. */
export function inverseFrequencies({ dims, theta, scaling }: Rope, long = false): Float32Array {
  const plain = Float32Array.from({ length: dims / 2 }, (_, i) => theta ** ((-2 * i) / dims));
  switch (scaling.kind) {
    case "default":
      return plain;
    case "linear":
      return plain.map((f) => f / scaling.factor);
    case "llama3": {
      const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings } = scaling;
      return plain.map((f) => {
        const turns = (originalMaxPositionEmbeddings * f) / (2 * Math.PI);
        if (turns < lowFreqFactor) return f / factor;
        if (turns > highFreqFactor) return f;
        const smooth = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
        return (1 - smooth) * (f / factor) + smooth * f;
      });
    }
    case "yarn": {
      const { factor, betaFast, betaSlow, truncate, originalMaxPositionEmbeddings: original } = scaling;
      // The dimension (not rounded) that makes `turns` turns within the original length.
      const dimension = (turns: number) =>
        (dims * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
      const [fast, slow] = [dimension(betaFast), dimension(betaSlow)];
      const low = Math.max(truncate ? Math.floor(fast) : fast, 0);
      const high = Math.min(truncate ? Math.ceil(slow) : slow, dims - 1);
      const width = high === low ? 0.001 : high - low;
      return plain.map((f, i) => {
        const ramp = Math.min(1, Math.max(0, (i - low) / width));
        return (f / factor) * ramp + f * (1 - ramp);
      });
    }
    case "longrope": {
      const own = long ? scaling.longFactor : scaling.shortFactor;
      return plain.map((_, i) => 1 / (own[i]! * theta ** ((2 * i) / dims)));
    }
  }
}
