// A model as one ONNX graph of standard operators only, with the inputs and outputs that Optimum and transformers.js
// give to a causal language model (input_ids, attention_mask, position_ids, past_key_values.* -> logits, present.*) and to
// a sequence classifier (input_ids, attention_mask -> logits). The blocks are the engine's (decoder.ts); what it computes
// by operators of ONNX Runtime's own becomes plain arithmetic here.

import {
  constant,
  type Emission,
  input,
  integers,
  makeNode,
  type Node,
  scalar,
  type Type,
  toOnnx,
  topologicalOrder,
  type Value,
} from "../../tensor/graph.js";
import type { Dim, OnnxAttribute, OnnxGraph } from "../../tensor/onnx.js";
import {
  add,
  concat,
  div,
  emit,
  type MatmulOptions,
  matmul,
  mul,
  reshape,
  scale,
  softmax,
  splitColumns,
  sub,
  transpose,
} from "../../tensor/ops.js";
import { splitKeys } from "../attention.js";
import type { DecoderConfig } from "../config.js";
import { type Attend, body, headName, languageHead, scalarHead, weightInputs } from "../decoder.js";
import { inverseFrequencies, type Rope } from "../rope.js";

// ------------------------------------------------------------------------------------- operators by their ONNX name

const raw = (
  op: string,
  inputs: readonly Value[],
  type: Type,
  attributes: Record<string, OnnxAttribute> = {},
): Value => makeNode(`onnx:${op}`, inputs, { onnx: attributes }, [type]).outputs[0]!;

const int64 = (...dims: Dim[]): Type => ({ dtype: "int64", dims });
const float32 = (...dims: Dim[]): Type => ({ dtype: "float32", dims });
const bool = (...dims: Dim[]): Type => ({ dtype: "bool", dims });

const toFloat = (x: Value): Value => raw("Cast", [x], float32(...x.dims), { to: { int: 1 } });
const toBool = (x: Value): Value => raw("Cast", [x], bool(...x.dims), { to: { int: 9 } });
const one = (value: number): Value => constant("int64", BigInt64Array.of(BigInt(value)), []);
/** The extent of axis `axis` of `x`, as an int64 of rank 0. */
const extent = (x: Value, axis: number): Value =>
  raw("Gather", [raw("Shape", [x], int64(x.dims.length)), one(axis)], int64());
const range = (from: Value, to: Value, name: string): Value => raw("Range", [from, to, one(1)], int64(name));
const unsqueeze = (x: Value, axes: readonly number[], dims: readonly Dim[]): Value =>
  raw("Unsqueeze", [x, integers(...axes)], { dtype: x.dtype, dims });

function emission(node: Node): Emission | undefined {
  if (!node.op.startsWith("onnx:")) return emit(node);
  return { op: node.op.slice(5), attributes: node.attributes.onnx as Record<string, OnnxAttribute> };
}

// ---------------------------------------------------------------------------------------------------------- lowering

type Rule = (node: Node, inputs: readonly Value[], transposed: Set<string>) => readonly Value[];

const rules: Readonly<Record<string, Rule>> = {
  rmsNorm: ({ attributes }, [x, weight]) => {
    const last = x!.dims.map((d, i) => (i === x!.dims.length - 1 ? 1 : d));
    const mean = raw("ReduceMean", [mul(x!, x!), integers(last.length - 1)], float32(...last), {
      keepdims: { int: 1 },
    });
    const root = raw("Sqrt", [add(mean, scalar(attributes.epsilon as number))], float32(...last));
    return [mul(div(x!, root), weight!), root];
  },
  // cos and sin are those of every position here, [B, T, 1, dims / 2].
  rotary: ({ attributes }, [x, , cos, sin]) => {
    const { heads, dims: turned } = attributes as { heads: number; dims: number };
    const [b, t, width] = x!.dims as [string, string, number];
    const headDim = width / heads;
    const dims = turned || headDim;
    const split = reshape(x!, [b, t, heads, headDim]);
    const [left, right, ...rest] = splitColumns(
      split,
      [dims / 2, dims / 2, headDim - dims].filter((size) => size > 0),
    ) as [Value, Value, ...Value[]];
    const turnedLeft = sub(mul(left, cos!), mul(right, sin!));
    const turnedRight = add(mul(right, cos!), mul(left, sin!));
    return [reshape(concat([turnedLeft, turnedRight, ...rest], 3, headDim), x!.dims)];
  },
  // A weight that is used in products only is stored transposed; a table that is also gathered from is turned here.
  matmul: ({ attributes }, [a, b], transposed) => {
    const { transA, transB, alpha } = attributes as unknown as Required<MatmulOptions>;
    if (transA) throw new Error("a transposed left operand has no place in an exported graph");
    let right = b!;
    if (transB && right.node.op === "input" && transposed.has(right.node.attributes.name as string))
      right = input(right.node.attributes.name as string, "float32", [...right.dims].reverse());
    else if (transB) right = transpose(right, [...right.dims.keys()].reverse());
    const product = matmul(a!, right);
    return [alpha === 1 ? product : scale(product, alpha)];
  },
};

/** The outputs with every node rewritten by its rule. */
function lower(outputs: Readonly<Record<string, Value>>, transposed: Set<string>): Record<string, Value> {
  const images = new Map<Value, Value>();
  for (const node of topologicalOrder(Object.values(outputs))) {
    const rule = rules[node.op];
    const from = node.inputs.map((value) => images.get(value)!);
    const made = rule
      ? rule(node, from, transposed)
      : node.inputs.length === 0
        ? node.outputs
        : makeNode(node.op, from, node.attributes, node.outputs).outputs;
    node.outputs.forEach((output, i) => {
      images.set(output, made[i]!);
    });
  }
  return Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, images.get(value)!]));
}

// ------------------------------------------------------------------------------------------------------------- graph

interface Lengths {
  /** Names of the extents: tokens of this call, and those of the cache and this call. */
  tokens: string;
  all: string;
}

/** Cosines and sines of the angles of every position, [B, T, 1, dims / 2]. */
function angles(rope: Rope, positions: Value): { cos: Value; sin: Value } {
  const half = rope.dims / 2;
  const [b, t] = positions.dims as [Dim, Dim];
  const frequencies = (long: boolean) => constant("float32", inverseFrequencies(rope, long), [1, 1, 1, half]);
  const { scaling } = rope;
  let turning = frequencies(false);
  if (scaling.kind === "longrope") {
    const furthest = raw("ReduceMax", [positions], int64(), { keepdims: { int: 0 } });
    const isLong = raw("GreaterOrEqual", [furthest, one(scaling.originalMaxPositionEmbeddings)], bool());
    turning = raw("Where", [isLong, frequencies(true), turning], float32(1, 1, 1, half));
  }
  const angle = mul(unsqueeze(toFloat(positions), [2, 3], [b, t, 1, 1]), turning);
  const by = "attentionFactor" in scaling ? scaling.attentionFactor : 1;
  const scaled = (op: string): Value => {
    const value = raw(op, [angle], float32(b, t, 1, half));
    return by === 1 ? value : scale(value, by);
  };
  return { cos: scaled("Cos"), sin: scaled("Sin") };
}

/**
 * Additive masks by window, [B, 1, 1, T, S]: 0 where the key is a token (attention_mask) and not later than the query
 * (and within the window), else -1e9. The last of the S keys is the last of the T queries.
 */
function maskOf(tokens: Value, attentionMask: Value, { tokens: t, all }: Lengths) {
  const total = extent(attentionMask, 1);
  const past = raw("Sub", [total, extent(tokens, 1)], int64());
  const keys = unsqueeze(range(one(0), total, all), [0], [1, all]);
  const queries = unsqueeze(range(past, total, t), [1], [t, 1]);
  const causal = raw("LessOrEqual", [keys, queries], bool(t, all));
  const real = unsqueeze(toBool(attentionMask), [1, 2, 3], ["batch_size", 1, 1, 1, all]);
  return (window: number | null): Value => {
    let seen = causal;
    if (window !== null) {
      const near = raw("Less", [raw("Sub", [queries, keys], int64(t, all)), one(window)], bool(t, all));
      seen = raw("And", [seen, near], bool(t, all));
    }
    const dims = ["batch_size", 1, 1, t, all];
    return raw("Where", [raw("And", [real, seen], bool(...dims)), scalar(0), scalar(-1e9)], float32(...dims));
  };
}

/** Scores and sums of one layer: query [B, T, heads * D], key and value [B, kvHeads, S, D]. */
function attended(query: Value, key: Value, value: Value, mask: Value, config: DecoderConfig): Value {
  const { heads, kvHeads, headDim, scales, softcaps } = config;
  const groups = heads / kvHeads;
  const [b, t] = query.dims as [string, string];
  const s = key.dims[2]!;
  const q = transpose(reshape(query, [b, t, kvHeads, groups, headDim]), [0, 2, 3, 1, 4]);
  const k = unsqueeze(transpose(key, [0, 1, 3, 2]), [2], [b, kvHeads, 1, headDim, s]);
  const v = unsqueeze(value, [2], [b, kvHeads, 1, s, headDim]);
  const dims = [b, kvHeads, groups, t, s];
  let scores = scale(raw("MatMul", [q, k], float32(...dims)), scales.attention);
  const cap = softcaps.attention;
  if (cap !== null) scores = scale(raw("Tanh", [scale(scores, 1 / cap)], float32(...dims)), cap);
  const weights = softmax(raw("Add", [scores, mask], float32(...dims)));
  const rows = raw("MatMul", [weights, v], float32(b, kvHeads, groups, t, headDim));
  return reshape(transpose(rows, [0, 3, 1, 2, 4]), [b, t, heads * headDim]);
}

export interface ExportedGraph {
  /** Its inputs are those of a caller; weights are described in `weights`. */
  graph: OnnxGraph;
  /** Names of parameters and whether they are stored transposed. */
  weights: readonly { name: string; transposed: boolean }[];
}

export function languageGraph(config: DecoderConfig): ExportedGraph {
  const lengths: Lengths = { tokens: "sequence_length", all: "total_sequence_length" };
  const tokens = input("input_ids", "int64", ["batch_size", lengths.tokens]);
  const attentionMask = input("attention_mask", "int64", ["batch_size", lengths.all]);
  const positions = input("position_ids", "int64", ["batch_size", lengths.tokens]);
  const present: Record<string, Value> = {};
  const past = (layer: number, what: "key" | "value", now: Value): Value => {
    const shape = ["batch_size", config.kvHeads, "past_sequence_length", config.headDim];
    const before = input(`past_key_values.${layer}.${what}`, "float32", shape);
    return (present[`present.${layer}.${what}`] = concat([before, now], 2, lengths.all));
  };
  const hidden = bodyOf(config, { tokens, attentionMask, positions, lengths }, past);
  const head = hidden.weights.get(headName(config))!;
  return exported(config, { logits: languageHead(config, hidden.value, head), ...present });
}

/** The score at the last token that is not padding, [B, 1]. */
export function scalarGraph(config: DecoderConfig): ExportedGraph {
  const lengths: Lengths = { tokens: "sequence_length", all: "sequence_length" };
  const dims = ["batch_size", "sequence_length"];
  const tokens = input("input_ids", "int64", dims);
  const attentionMask = input("attention_mask", "int64", dims);
  const places = unsqueeze(range(one(0), extent(tokens, 1), "sequence_length"), [0], [1, "sequence_length"]);
  const isToken =
    config.padId === null
      ? toBool(attentionMask)
      : raw("Not", [raw("Equal", [tokens, one(config.padId)], bool(...dims))], bool(...dims));
  const hidden = bodyOf(config, { tokens, attentionMask, positions: places, lengths }, (_, __, now) => now);
  const last = raw(
    "ReduceMax",
    [raw("Where", [isToken, places, one(0)], int64(...dims)), integers(1)],
    int64("batch_size", 1),
    { keepdims: { int: 1 } },
  );
  const row = raw("GatherND", [hidden.value, last], float32("batch_size", config.hiddenSize), {
    batch_dims: { int: 1 },
  });
  return exported(config, { logits: scalarHead(row, hidden.weights.get("score.weight")!) });
}

interface Inputs {
  tokens: Value;
  attentionMask: Value;
  positions: Value;
  lengths: Lengths;
}

function bodyOf(
  config: DecoderConfig,
  { tokens, attentionMask, positions, lengths }: Inputs,
  cached: (layer: number, what: "key" | "value", now: Value) => Value,
) {
  const weights = weightInputs(config);
  const maskFor = maskOf(tokens, attentionMask, lengths);
  const masks = new Map([...new Set(config.slidingWindow)].map((window) => [window, maskFor(window)]));
  const attend: Attend = (query, key, value, i) => {
    const k = cached(i, "key", splitKeys(key, config));
    const v = cached(i, "value", splitKeys(value, config));
    return attended(query, k, v, masks.get(config.slidingWindow[i]!)!, config);
  };
  const ropes = config.ropes.map((rope) => angles(rope, positions));
  return { value: body(config, weights, { tokens, positions, ropes, attend }), weights };
}

/** The usual order of inputs; the cache comes last, as it is. */
const inputPlace = (name: string): number =>
  ["past", "position_ids", "attention_mask", "input_ids"].indexOf(name) * -1;

/** The graph of standard operators with its weights as initializers to come. */
function exported(config: DecoderConfig, outputs: Record<string, Value>): ExportedGraph {
  const weights = weightInputs(config);
  const isMatrix = (name: string) => name !== "model.embed_tokens.weight" && !name.includes("norm");
  const transposed = new Set(
    [...weights].filter(([name, { dims }]) => dims.length === 2 && isMatrix(name)).map(([name]) => name),
  );
  const graph = toOnnx(lower(outputs, transposed), emission);
  const used = graph.inputs.filter(({ name }) => weights.has(name));
  return {
    graph: {
      ...graph,
      inputs: graph.inputs
        .filter(({ name }) => !weights.has(name))
        .toSorted((a, b) => inputPlace(a.name) - inputPlace(b.name)),
    },
    weights: used.map(({ name }) => ({ name, transposed: transposed.has(name) })),
  };
}
