// The same function in a wider network, at a wider network's price: a small model that has learnt to write programs and
// prose writes the same ones at the cost of a larger model.

import { loadCheckpoint, saveCheckpoint } from "../src/model/checkpoint.js";
import { type DecoderConfig, parameterSpecs, parseDecoderConfig } from "../src/model/config.js";

/** `values` of shape `[rows, columns]`, in the upper left corner of a matrix `[toRows, toColumns]` of zeros. */
function padded(
  values: Float32Array,
  [rows, columns]: readonly [number, number],
  [toRows, toColumns]: readonly [number, number],
): Float32Array {
  const out = new Float32Array(toRows * toColumns);
  for (let i = 0; i < rows; i++) out.set(values.subarray(i * columns, (i + 1) * columns), i * toColumns);
  return out;
}

const matrixShape = (shape: readonly number[]): [number, number] =>
  shape.length === 2 ? [shape[0]!, shape[1]!] : [1, shape[0]!];

/**
 * Writes the model of `from` (of Llama's kind) with `factor` times as many hidden and intermediate units and heads, the new
 * ones all zero, and returns its config. A norm over `factor` times as many units sees 1 / `factor` of the mean square, so
 * its weights shrink by the root and its epsilon by the factor: every logit stays what it was, to rounding (exactly where
 * the root is a power of two).
 */
export async function widen(from: string, to: string, factor: number): Promise<DecoderConfig> {
  const { config, tensors } = await loadCheckpoint(from);
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim, rmsNormEps } = config;
  const wide = parseDecoderConfig({
    ...config.raw,
    hidden_size: factor * hiddenSize,
    intermediate_size: factor * intermediateSize,
    num_attention_heads: factor * heads,
    num_key_value_heads: factor * kvHeads,
    head_dim: headDim,
    rms_norm_eps: rmsNormEps / factor,
  });
  const narrow = new Map(parameterSpecs(config).map((spec) => [spec.name, spec.shape]));
  await saveCheckpoint(to, {
    config: wide,
    read: ({ name, shape, kind }) => {
      const values = tensors.get(name)!;
      const scaled = kind === "norm" ? values.map((value) => value / Math.sqrt(factor)) : values;
      return padded(scaled, matrixShape(narrow.get(name)!), matrixShape(shape));
    },
    tokenizerFrom: from,
  });
  return wide;
}
