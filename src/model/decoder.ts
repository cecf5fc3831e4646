// The decoder-only transformer of the Llama family (llama, mistral, qwen2, qwen3) as symbolic graphs: the trunk over
// whole sequences for scoring and training, and one cached step for generation.

import { input, type Value } from "../tensor/graph.js";
import {
  add,
  barrier,
  cachedAttention,
  concat,
  flatten,
  gather,
  linear,
  log,
  matmul,
  mul,
  pick,
  reduceSum,
  reshape,
  rmsNorm,
  rotary,
  rowMax,
  selectRows,
  sigmoid,
  softmax,
  split,
  sub,
  transpose,
  withGradient,
} from "../tensor/ops.js";
import { type DecoderConfig, parameterSpecs } from "./config.js";

/** Low-rank adapters of one model: rank, scale (alpha / r) and the modules that carry them. */
export interface LoraShape {
  r: number;
  scale: number;
  /** Module names such as `model.layers.0.self_attn.q_proj`. */
  modules: ReadonlySet<string>;
}

export const loraA = (module: string): string => `${module}.lora_A.weight`;
export const loraB = (module: string): string => `${module}.lora_B.weight`;

/** Graph inputs for every weight of a model (and its adapters), by Hugging Face name. */
export type Weights = ReadonlyMap<string, Value>;

/** Extents of every weight, adapters included, in a fixed order. */
export function weightShapes(config: DecoderConfig, lora?: LoraShape): { name: string; shape: number[] }[] {
  const specs = parameterSpecs(config).map(({ name, shape }) => ({ name, shape: [...shape] }));
  if (!lora) return specs;
  const adapters = specs.flatMap(({ name, shape }) => {
    const module = name.replace(/\.weight$/, "");
    if (!name.endsWith(".weight") || !lora.modules.has(module)) return [];
    return [
      { name: loraA(module), shape: [lora.r, shape[1]!] },
      { name: loraB(module), shape: [shape[0]!, lora.r] },
    ];
  });
  return [...specs, ...adapters];
}

export function weightInputs(config: DecoderConfig, lora?: LoraShape): Weights {
  return new Map(weightShapes(config, lora).map(({ name, shape }) => [name, input(name, "float32", shape)]));
}

interface Context {
  config: DecoderConfig;
  /** x W^T: `linear`, or a form of it that suits the shapes. */
  multiply: (x: Value, weight: Value) => Value;
  weights: Weights;
  lora?: LoraShape;
  positions: Value;
  cos: Value;
  sin: Value;
}

function weight(context: Context, name: string): Value {
  const value = context.weights.get(name);
  if (!value) throw new Error(`no weight named ${name}`);
  return value;
}

/**
 * x W^T as the transpose of W x^T, for x [B, 1, in] or [B, in] with few rows. ONNX Runtime packs the right operand of
 * every product anew; here that is the small x, and the weights are read once, as they lie.
 */
function linearByColumns(x: Value, weight: Value): Value {
  const [out, width] = weight.dims as [number, number];
  const b = x.dims[0]!;
  const rows = transpose(matmul(weight, reshape(x, [b, width]), { transB: true }), [1, 0]);
  return x.dims.length === 3 ? reshape(rows, [b, 1, out]) : rows;
}

/** x W^T (+ bias) (+ scale * x A^T B^T). */
function project(context: Context, x: Value, module: string): Value {
  let y = context.multiply(x, weight(context, `${module}.weight`));
  const bias = context.weights.get(`${module}.bias`);
  if (bias) y = add(y, bias);
  if (!context.lora?.modules.has(module)) return y;
  const low = linear(x, weight(context, loraA(module)));
  const raised = matmul(low, weight(context, loraB(module)), { transB: true, alpha: context.lora.scale });
  return add(y, raised);
}

/** silu(gate) * up, with the derivative written out: silu' = s + silu (1 - s), s = sigmoid(gate). */
function swiglu(gate: Value, up: Value): Value {
  const s = sigmoid(gate);
  const silu = mul(gate, s);
  return withGradient(mul(silu, up), [gate, up], (dy, wanted) => [
    wanted[0] ? mul(mul(dy, up), add(s, sub(silu, mul(silu, s)))) : undefined,
    wanted[1] ? mul(dy, silu) : undefined,
  ]);
}

function feedForward(context: Context, x: Value, layer: string): Value {
  const gate = project(context, x, `${layer}.mlp.gate_proj`);
  const up = project(context, x, `${layer}.mlp.up_proj`);
  return project(context, swiglu(gate, up), `${layer}.mlp.down_proj`);
}

/** Queries, keys and values as [B, T, heads * headDim], normalised (qwen3) and rotated. */
function projections(context: Context, x: Value, layer: string): [Value, Value, Value] {
  const { config } = context;
  const head = (module: string, heads: number): Value => {
    const flat = project(context, x, `${layer}.self_attn.${module}_proj`);
    const norm = context.weights.get(`${layer}.self_attn.${module}_norm.weight`);
    if (!norm) return flat;
    const [b, t] = flat.dims as [string, string];
    const split = reshape(flat, [b, t, heads, config.headDim]);
    return reshape(rmsNorm(split, norm, config.rmsNormEps), flat.dims);
  };
  const turn = (value: Value, heads: number): Value =>
    rotary(value, context.positions, context.cos, context.sin, heads);
  const query = turn(head("q", config.heads), config.heads);
  const key = turn(head("k", config.kvHeads), config.kvHeads);
  return [query, key, project(context, x, `${layer}.self_attn.v_proj`)];
}

/** [B, T, kvHeads * headDim] -> [B, kvHeads, T, headDim]. */
function splitKeys(x: Value, { kvHeads, headDim }: DecoderConfig): Value {
  const [b, t] = x.dims as [string, string];
  return transpose(reshape(x, [b, t, kvHeads, headDim]), [0, 2, 1, 3]);
}

/**
 * [B, T, heads * headDim] -> [B, kvHeads, groups * T, headDim]: the query heads that share a key head are stacked
 * along the rows, so that keys and values are never repeated.
 */
function splitQueries(x: Value, { heads, kvHeads, headDim }: DecoderConfig): Value {
  const [b, t] = x.dims as [string, string];
  const groups = heads / kvHeads;
  const grouped = transpose(reshape(x, [b, t, kvHeads, groups, headDim]), [0, 2, 3, 1, 4]);
  return reshape(grouped, [b, kvHeads, "groups*T", headDim]);
}

function joinQueries(x: Value, like: Value, { heads, kvHeads, headDim }: DecoderConfig): Value {
  const [b, t] = like.dims as [string, string];
  const grouped = reshape(x, [b, kvHeads, heads / kvHeads, t, headDim]);
  return reshape(transpose(grouped, [0, 3, 1, 2, 4]), [b, t, heads * headDim]);
}

/**
 * softmax(q k^T / sqrt(headDim) + mask) v. query [B, T, heads*headDim]; key, value [B, kvHeads, T, headDim];
 * mask [groups*T, T], 0 where visible. The derivative is written out, so that the row sum of the softmax rule runs
 * over headDim instead of T.
 */
function attention(query: Value, key: Value, value: Value, mask: Value, config: DecoderConfig): Value {
  const alpha = 1 / Math.sqrt(config.headDim);
  const q = splitQueries(query, config);
  const p = softmax(add(matmul(q, key, { transB: true, alpha }), mask));
  const rows = matmul(p, value);
  const output = joinQueries(rows, query, config);
  return withGradient(output, [query, key, value], (dy) => {
    const d = splitQueries(dy, config);
    const delta = reduceSum(mul(d, rows), [3], true);
    const ds = mul(p, sub(matmul(d, value, { transB: true }), delta));
    return [
      joinQueries(matmul(ds, key, { alpha }), query, config),
      matmul(ds, q, { transA: true, alpha }),
      matmul(p, d, { transA: true }),
    ];
  });
}

/** The name of the mask input of a layer: one input for each distinct window. */
export function maskName(window: number | null): string {
  return window === null ? "mask" : `mask_${window}`;
}

export interface Trunk {
  /** After the last norm, [B, T, hidden]. */
  hidden: Value;
  /** Rotated keys and values of every layer, [B, kvHeads, T, headDim]: what a cache starts from. */
  keys: Value[];
  values: Value[];
}

/** How many places of the trunk have dropout: the embedding, and both branches of every layer. */
export function dropoutSites({ layers }: DecoderConfig): number {
  return 1 + 2 * layers;
}

export const dropoutInput = (site: number): string => `dropout_${site}`;

/**
 * The trunk over right-padded sequences. Inputs: `tokens` int32 [B, T]; `positions` int64 [1] (the first position);
 * `cos`, `sin` [positions, headDim/2]; a mask for each distinct window, [groups*T, T]. Padding needs no mask: with
 * causal attention no real token sees what follows it, and padded positions receive no gradient. With `dropout` also a
 * mask for each site, [B, T, hidden]: what the embedding, and what every attention and feed-forward block adds to the
 * residual stream, is multiplied by it (T5's and PaLM's dropout, which WARM draws from; not on attention weights).
 */
export function trunk(
  config: DecoderConfig,
  weights: Weights,
  lora?: LoraShape,
  { dropout = false }: { dropout?: boolean } = {},
): Trunk {
  const half = config.headDim / 2;
  const context: Context = {
    config,
    multiply: linear,
    weights,
    lora,
    positions: input("positions", "int64", [1]),
    cos: input("cos", "float32", ["P", half]),
    sin: input("sin", "float32", ["P", half]),
  };
  const masks = new Map(
    [...new Set(config.slidingWindow)].map((window) => [
      window,
      input(maskName(window), "float32", ["groups*T", "T"]),
    ]),
  );
  const drop = (y: Value, site: number): Value =>
    dropout ? mul(y, input(dropoutInput(site), "float32", ["B", "T", config.hiddenSize])) : y;
  const keys: Value[] = [];
  const values: Value[] = [];
  const tokens = input("tokens", "int32", ["B", "T"]);
  let x = drop(gather(weight(context, "model.embed_tokens.weight"), tokens), 0);
  for (let i = 0; i < config.layers; i++) {
    const layer = `model.layers.${i}`;
    const normed = rmsNorm(x, weight(context, `${layer}.input_layernorm.weight`), config.rmsNormEps);
    const [query, key, value] = projections(context, normed, layer);
    const k = splitKeys(key, config);
    const v = splitKeys(value, config);
    keys.push(k);
    values.push(v);
    const attended = attention(query, k, v, masks.get(config.slidingWindow[i]!)!, config);
    x = add(x, drop(project(context, attended, `${layer}.self_attn.o_proj`), 1 + 2 * i));
    const again = rmsNorm(x, weight(context, `${layer}.post_attention_layernorm.weight`), config.rmsNormEps);
    x = add(x, drop(feedForward(context, again, layer), 2 + 2 * i));
  }
  return { hidden: rmsNorm(x, weight(context, "model.norm.weight"), config.rmsNormEps), keys, values };
}

/** Hidden states of the positions that are scored: [N, hidden]. Inputs `rows` int32 [N], `inverse` int32 [B*T]. */
export function scoredRows(hidden: Value): Value {
  const rows = input("rows", "int32", ["N"]);
  return selectRows(flatten(hidden), rows, input("inverse", "int32", ["B*T"]));
}

/** Name of the matrix that maps hidden states to logits. */
export function headName(config: DecoderConfig): string {
  if (config.head === "scalar") return "score.weight";
  return config.tieWordEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight";
}

/** log sum exp of every row: max - log(max softmax), exact because the largest probability is never tiny. */
function logSumExp(logits: Value, probabilities: Value): Value {
  return sub(rowMax(logits), log(rowMax(probabilities)));
}

export interface TokenLogprobs {
  /** log p(target) [N, 1]. */
  logprobs: Value;
  /** Gradients of sum_n g_n log p(target_n), where asked for. */
  gradient?: {
    hidden: Value;
    /** -P^T (g h): the part of the head's gradient that touches every row. */
    head?: Value;
    /** g h, which belongs to the rows `targets` of the head. */
    targetRows: Value;
  };
}

/**
 * log softmax(h W^T)[target] for rows h [N, hidden], in `chunks` pieces so that no more than N/chunks rows of logits
 * exist at a time. With `g` [N, 1] also the gradient of sum_n g_n log p_n, from the same pass:
 * dh = g (W[target] - P W), dW = sum_n g_n (onehot_n - P_n) h_n^T.
 */
export function tokenLogprobs(
  hidden: Value,
  head: Value,
  targets: Value,
  chunks: number,
  g?: Value,
  wantHead = true,
): TokenLogprobs {
  const hs = split(hidden, chunks);
  const ts = split(targets, chunks);
  const gs = g ? split(g, chunks) : [];
  const logprobs: Value[] = [];
  const dhs: Value[] = [];
  let dHead: Value | undefined;
  let done: Value | undefined;
  for (let i = 0; i < chunks; i++) {
    const h = done ? barrier(hs[i]!, done) : hs[i]!;
    const logits = linear(h, head);
    const p = softmax(logits);
    const logprob = sub(pick(logits, ts[i]!), logSumExp(logits, p));
    logprobs.push(logprob);
    done = logprob;
    if (!g) continue;
    const target = reshape(ts[i]!, [ts[i]!.dims[0]!]);
    const dh = mul(gs[i]!, sub(gather(head, target), matmul(p, head)));
    dhs.push(dh);
    done = dh;
    if (!wantHead) continue;
    const part = matmul(p, mul(gs[i]!, h), { transA: true, alpha: -1 });
    dHead = dHead ? add(dHead, part) : part;
    done = dHead;
  }
  const n = hidden.dims[0]!;
  const join = (parts: Value[]): Value => (chunks === 1 ? parts[0]! : concat(parts, 0, n));
  return {
    logprobs: join(logprobs),
    gradient: g && { hidden: join(dhs), head: dHead, targetRows: mul(g, hidden) },
  };
}

/** One value per row: h w^T, [N, 1]. */
export function scalarHead(hidden: Value, score: Value): Value {
  return linear(hidden, score);
}

export const cacheKey = (layer: number): string => `key_${layer}`;
export const cacheValue = (layer: number): string => `value_${layer}`;

export interface DecodeStep {
  /** [B, vocab] */
  logits: Value;
  /** Updated caches by input name; bind them to the inputs' own memory. */
  caches: Record<string, Value>;
}

/**
 * One token for every row. Inputs: `tokens` int32 [B, 1]; `positions` int64 [B, 1]; `lengths` int32 [B] (tokens
 * already cached); `total` int32 [1] (the longest length plus one); `key_i`, `value_i` [B, kvHeads, L, headDim].
 * `byColumns` suits a handful of rows and more on the CPU; a single row does better without.
 */
export function decodeStep(
  config: DecoderConfig,
  weights: Weights,
  lora?: LoraShape,
  { byColumns = false }: { byColumns?: boolean } = {},
): DecodeStep {
  const half = config.headDim / 2;
  const context: Context = {
    config,
    multiply: byColumns ? linearByColumns : linear,
    weights,
    lora,
    positions: input("positions", "int64", ["B", 1]),
    cos: input("cos", "float32", ["P", half]),
    sin: input("sin", "float32", ["P", half]),
  };
  const lengths = input("lengths", "int32", ["B"]);
  const total = input("total", "int32", [1]);
  const caches: Record<string, Value> = {};
  let x = gather(weight(context, "model.embed_tokens.weight"), input("tokens", "int32", ["B", 1]));
  for (let i = 0; i < config.layers; i++) {
    const layer = `model.layers.${i}`;
    const normed = rmsNorm(x, weight(context, `${layer}.input_layernorm.weight`), config.rmsNormEps);
    const [query, key, value] = projections(context, normed, layer);
    const shape = ["B", config.kvHeads, "L", config.headDim];
    const pastKey = input(cacheKey(i), "float32", shape);
    const pastValue = input(cacheValue(i), "float32", shape);
    const [attended, nextKey, nextValue] = cachedAttention(
      { query, key, value, pastKey, pastValue, lengths, total },
      { heads: config.heads, kvHeads: config.kvHeads, window: config.slidingWindow[i] ?? undefined },
    );
    caches[cacheKey(i)] = nextKey;
    caches[cacheValue(i)] = nextValue;
    x = add(x, project(context, attended, `${layer}.self_attn.o_proj`));
    const again = rmsNorm(x, weight(context, `${layer}.post_attention_layernorm.weight`), config.rmsNormEps);
    x = add(x, feedForward(context, again, layer));
  }
  const hidden = reshape(rmsNorm(x, weight(context, "model.norm.weight"), config.rmsNormEps), [
    "B",
    config.hiddenSize,
  ]);
  return { logits: context.multiply(hidden, weight(context, headName(config))), caches };
}

/** Logits and what sampling needs of them: the distribution at the wanted temperature and the untempered log-normaliser. */
export function samplingOutputs(logits: Value, inverseTemperature?: Value) {
  const plain = softmax(logits);
  const normaliser = logSumExp(logits, plain);
  if (!inverseTemperature) return { logits, probabilities: plain, normaliser };
  return { logits, probabilities: softmax(mul(logits, inverseTemperature)), normaliser };
}

/**
 * Tables of rotary angles, [positions, headDim / 2]. Frequencies and angles are rounded to float32 as `transformers`
 * rounds them, because checkpoints were trained with those values.
 */
export function rotaryTables(
  config: DecoderConfig,
  positions: number,
): { cos: Float32Array; sin: Float32Array } {
  const half = config.headDim / 2;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  const frequencies = inverseFrequencies(config);
  for (let p = 0; p < positions; p++)
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(p * frequencies[i]!);
      cos[p * half + i] = Math.cos(angle);
      sin[p * half + i] = Math.sin(angle);
    }
  return { cos, sin };
}

/** theta^(-2i/headDim), scaled as `rope_scaling` says (linear; llama3: only long wavelengths, with a smooth ramp). */
export function inverseFrequencies({ headDim, ropeTheta, ropeScaling }: DecoderConfig): Float32Array {
  const plain = Float32Array.from({ length: headDim / 2 }, (_, i) => ropeTheta ** ((-2 * i) / headDim));
  switch (ropeScaling.kind) {
    case "default":
      return plain;
    case "linear":
      return plain.map((f) => f / ropeScaling.factor);
    case "llama3": {
      const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings } = ropeScaling;
      return plain.map((f) => {
        const turns = (originalMaxPositionEmbeddings * f) / (2 * Math.PI);
        if (turns < lowFreqFactor) return f / factor;
        if (turns > highFreqFactor) return f;
        const smooth = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
        return (1 - smooth) * (f / factor) + smooth * f;
      });
    }
  }
}
