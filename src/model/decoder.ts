// The decoder-only transformer as symbolic graphs: the trunk over whole sequences for scoring and training, and one
// cached step for generation, both made of the same `block`. What distinguishes the families is in the config.

import { input, scalar, type Value } from "../tensor/graph.js";
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
  rowArgMax,
  rowMax,
  scale,
  selectRows,
  sigmoid,
  softmax,
  split,
  splitColumns,
  sub,
  tanh,
  transpose,
  withGradient,
} from "../tensor/ops.js";
import {
  attention,
  capped,
  capSlope,
  maskName,
  type SharedInputs,
  sharedAttention,
  sharedInputs,
  splitKeys,
  tailMaskName,
} from "./attention.js";
import { type Activation, attentionProjections, type DecoderConfig, parameterSpecs } from "./config.js";
import { fetch, product, type Storage, storageOf, tableRows, type Weight, weightInput } from "./stored.js";

/** Low-rank adapters of one model: rank, scale (alpha / r) and the modules that carry them. */
export interface LoraShape {
  r: number;
  scale: number;
  /** Module names such as `model.layers.0.self_attn.q_proj`. */
  modules: ReadonlySet<string>;
}

export const loraA = (module: string): string => `${module}.lora_A.weight`;
export const loraB = (module: string): string => `${module}.lora_B.weight`;

/** Every weight of a model (and its adapters) as graph inputs, by Hugging Face name. */
export type Weights = ReadonlyMap<string, Weight>;

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

/** `storage`: how the weights of the base are kept. */
export function weightInputs(config: DecoderConfig, lora?: LoraShape, storage?: Storage): Weights {
  const small = new Map(parameterSpecs(config).map((spec) => [spec.name, storageOf(spec, storage)]));
  return new Map(
    weightShapes(config, lora).map(({ name, shape }) => [name, weightInput(name, shape, small.get(name))]),
  );
}

interface Context {
  config: DecoderConfig;
  /** x W^T: `linear`, or a form of it that suits the shapes. */
  multiply: (x: Value, weight: Value) => Value;
  weights: Weights;
  lora?: LoraShape;
  positions: Value;
  /** Tables of each rotary embedding of the config. */
  ropes: readonly { cos: Value; sin: Value }[];
}

/** Names of the inputs that hold the tables of rotary embedding `rope`. */
export const rotaryInputs = (rope: number): { cos: string; sin: string } =>
  rope === 0 ? { cos: "cos", sin: "sin" } : { cos: `cos_${rope}`, sin: `sin_${rope}` };

function rotaryTableInputs({ ropes }: DecoderConfig): Context["ropes"] {
  return ropes.map(({ dims }, i) => {
    const names = rotaryInputs(i);
    const table = (name: string) => input(name, "float32", [`P${i}`, dims / 2]);
    return { cos: table(names.cos), sin: table(names.sin) };
  });
}

/** `value` times a constant that is often 1. */
const times = (value: Value, by: number): Value => (by === 1 ? value : scale(value, by));

function norm(context: Context, x: Value, module: string): Value {
  const stored = vector(context, `${module}.weight`);
  const { normOffset, rmsNormEps } = context.config;
  return rmsNorm(x, normOffset === 0 ? stored : add(stored, scalar(normOffset)), rmsNormEps);
}

function weight(context: Context, name: string): Weight {
  const value = context.weights.get(name);
  if (!value) throw new Error(`no weight named ${name}`);
  return value;
}

/** A weight that is never kept small: of a norm, a bias, an adapter. */
const vector = (context: Context, name: string): Value => weight(context, name) as Value;

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
  let y = product(x, weight(context, `${module}.weight`), context.multiply);
  if (context.weights.has(`${module}.bias`)) y = add(y, vector(context, `${module}.bias`));
  if (!context.lora?.modules.has(module)) return y;
  const low = linear(x, vector(context, loraA(module)));
  const raised = matmul(low, vector(context, loraB(module)), { transB: true, alpha: context.lora.scale });
  return add(y, raised);
}

/** act(gate) * up, with the derivative written out. */
const gatings: Readonly<Record<Activation, (gate: Value, up: Value) => Value>> = {
  /** silu' = s + silu (1 - s), s = sigmoid(gate). */
  silu(gate, up) {
    const s = sigmoid(gate);
    const silu = mul(gate, s);
    return withGradient(mul(silu, up), [gate, up], (dy, wanted) => [
      wanted[0] ? mul(mul(dy, up), add(s, sub(silu, mul(silu, s)))) : undefined,
      wanted[1] ? mul(dy, silu) : undefined,
    ]);
  },
  /**
   * gelu(x) = x (1 + tanh u) / 2 with u = c (x + a x^3); gelu' = (1 + tanh u) / 2 + x (1 - tanh^2 u) u' / 2 and
   * u' = c (1 + 3 a x^2).
   */
  gelu_pytorch_tanh(gate, up) {
    const c = Math.sqrt(2 / Math.PI);
    const a = 0.044715;
    const square = mul(gate, gate);
    const t = tanh(scale(mul(gate, add(scalar(1), scale(square, a))), c));
    const half = scale(add(scalar(1), t), 0.5);
    const gelu = mul(gate, half);
    return withGradient(mul(gelu, up), [gate, up], (dy, wanted) => {
      const slope = () => {
        const du = scale(add(scalar(1), scale(square, 3 * a)), c);
        return add(half, scale(mul(mul(gate, sub(scalar(1), mul(t, t))), du), 0.5));
      };
      return [wanted[0] ? mul(mul(dy, up), slope()) : undefined, wanted[1] ? mul(dy, gelu) : undefined];
    });
  },
};

function feedForward(context: Context, x: Value, layer: string): Value {
  const { fusedProjections, intermediateSize, activation } = context.config;
  const [gate, up] = fusedProjections
    ? splitColumns(project(context, x, `${layer}.mlp.gate_up_proj`), [intermediateSize, intermediateSize])
    : ["gate", "up"].map((name) => project(context, x, `${layer}.mlp.${name}_proj`));
  return project(context, gatings[activation](gate!, up!), `${layer}.mlp.down_proj`);
}

/** Queries, keys and values as [B, T, heads * headDim], normalised and rotated where the config says so. */
function projections(context: Context, x: Value, i: number): [Value, Value, Value] {
  const { config } = context;
  const at = `model.layers.${i}`;
  const modules = attentionProjections(config);
  const projected = modules.map(([module]) => project(context, x, `${at}.${module}`));
  const [q, k, v] = config.fusedProjections
    ? splitColumns(
        projected[0]!,
        [config.heads, config.kvHeads, config.kvHeads].map((n) => n * config.headDim),
      )
    : projected;
  const normed = (flat: Value, module: string, heads: number): Value => {
    if (config.qkNorm === null) return flat;
    if (config.qkNorm === "projection") return norm(context, flat, `${at}.self_attn.${module}_norm`);
    const [b, t] = flat.dims as [string, string];
    const split = reshape(flat, [b, t, heads, config.headDim]);
    return reshape(norm(context, split, `${at}.self_attn.${module}_norm`), flat.dims);
  };
  const rope = config.layerRope[i]!;
  const turn = (flat: Value, heads: number): Value => {
    if (rope === null) return flat;
    const { cos, sin } = context.ropes[rope]!;
    const { dims } = config.ropes[rope]!;
    const partial = dims === config.headDim ? undefined : dims;
    return rotary(flat, context.positions, cos, sin, { heads, dims: partial });
  };
  const query = turn(normed(q!, "q", config.heads), config.heads);
  const key = turn(normed(k!, "k", config.kvHeads), config.kvHeads);
  return [query, key, v!];
}

/** What attention makes of the queries, keys and values of layer `i`: over whole sequences, or over a cache. */
export type Attend = (query: Value, key: Value, value: Value, i: number) => Value;

/** Dropout at a site of the trunk. */
type Drop = (y: Value, site: number) => Value;

/** Layer `i`: x + attention(norm x), then x + feed-forward(norm x), with the norms where the config places them. */
function block(context: Context, x: Value, i: number, attend: Attend, drop: Drop = (y) => y): Value {
  const { norms, scales } = context.config;
  const layer = `model.layers.${i}`;
  const branch = (
    from: Value,
    { before, after }: { before?: string; after?: string },
    compute: (y: Value) => Value,
    site: number,
  ): Value => {
    const y = compute(before === undefined ? from : norm(context, from, `${layer}.${before}`));
    const z = after === undefined ? y : norm(context, y, `${layer}.${after}`);
    return add(from, drop(times(z, scales.residual), site));
  };
  const attended = branch(
    x,
    norms.attention,
    (y) => project(context, attend(...projections(context, y, i), i), `${layer}.self_attn.o_proj`),
    1 + 2 * i,
  );
  return branch(attended, norms.feedForward, (y) => feedForward(context, y, layer), 2 + 2 * i);
}

function embed(context: Context, tokens: Value): Value {
  const rows = tableRows(weight(context, "model.embed_tokens.weight"), tokens);
  return times(rows, context.config.scales.embedding);
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

export interface TrunkOptions {
  dropout?: boolean;
  /** Sequences with beginnings that they share, as `SharedInputs` says. */
  shared?: boolean;
}

/**
 * The trunk over right-padded sequences. Inputs: `tokens` int32 [B, T]; `positions` int64 [1] (the first position);
 * `cos`, `sin` [positions, headDim/2]; a mask for each distinct window, [groups*T, T]. Padding needs no mask: with
 * causal attention no real token sees what follows it, and padded positions receive no gradient. With `dropout` also a
 * mask for each site, [B, T, hidden]: what the embedding, and what every attention and feed-forward block adds to the
 * residual stream, is multiplied by it (T5's and PaLM's dropout, which WARM draws from; not on attention weights).
 * With `shared` all tokens stand in one row, [1, T], and `positions` is int64 [1, T].
 */
export function trunk(
  config: DecoderConfig,
  weights: Weights,
  lora?: LoraShape,
  { dropout = false, shared = false }: TrunkOptions = {},
): Trunk {
  const context: Context = {
    config,
    multiply: linear,
    weights,
    lora,
    positions: input("positions", "int64", shared ? [1, "T"] : [1]),
    ropes: rotaryTableInputs(config),
  };
  const drop: Drop = (y, site) =>
    dropout ? mul(y, input(dropoutInput(site), "float32", ["B", "T", config.hiddenSize])) : y;
  const { attend, keys, values } = shared ? attendingShared(config) : attending(config);
  let x = drop(embed(context, input("tokens", "int32", [shared ? 1 : "B", "T"])), 0);
  for (let i = 0; i < config.layers; i++) x = block(context, x, i, attend, drop);
  return { hidden: norm(context, x, "model.norm"), keys, values };
}

/** One mask for each distinct window. */
const masksOf = ({ slidingWindow }: DecoderConfig, mask: (window: number | null) => Value) =>
  new Map([...new Set(slidingWindow)].map((window) => [window, mask(window)]));

interface Attending {
  attend: Attend;
  keys: Value[];
  values: Value[];
}

function attending(config: DecoderConfig): Attending {
  const masks = masksOf(config, (window) => input(maskName(window), "float32", ["groups*T", "T"]));
  const keys: Value[] = [];
  const values: Value[] = [];
  const attend: Attend = (query, key, value, i) => {
    const k = splitKeys(key, config);
    const v = splitKeys(value, config);
    keys.push(k);
    values.push(v);
    return attention(query, k, v, masks.get(config.slidingWindow[i]!)!, config);
  };
  return { attend, keys, values };
}

/** The keys and values of these are no beginning of a cache. */
function attendingShared(config: DecoderConfig): Attending {
  const at = Object.fromEntries(
    Object.entries(sharedInputs).map(([name, make]) => [name, make()]),
  ) as unknown as SharedInputs;
  const masks = masksOf(config, (window) => input(maskName(window), "float32", ["groups*P", "P"]));
  const tailMasks = masksOf(config, (window) =>
    input(tailMaskName(window), "float32", ["R", 1, "groups*C", "L"]),
  );
  const attend: Attend = (query, key, value, i) => {
    const window = config.slidingWindow[i]!;
    const inputs = { ...at, mask: masks.get(window)!, tailMask: tailMasks.get(window)! };
    return sharedAttention(query, key, value, inputs, config);
  };
  return { attend, keys: [], values: [] };
}

export interface BodyInputs {
  /** Token ids [B, T]. */
  tokens: Value;
  positions: Value;
  /** Cosines and sines of each rotary embedding, as the `rotary` of the caller's emission wants them. */
  ropes: readonly { cos: Value; sin: Value }[];
  attend: Attend;
}

/** Embedding, blocks and last norm around an attention of the caller's: [B, T, hidden]. */
export function body(config: DecoderConfig, weights: Weights, inputs: BodyInputs): Value {
  const { tokens, positions, ropes, attend } = inputs;
  const context: Context = { config, multiply: linear, weights, positions, ropes };
  let x = embed(context, tokens);
  for (let i = 0; i < config.layers; i++) x = block(context, x, i, attend);
  return norm(context, x, "model.norm");
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

/** h W^T, scaled and capped as the config says: [.., vocab]. */
export function languageHead(config: DecoderConfig, hidden: Value, head: Weight, multiply = linear): Value {
  return capped(product(times(hidden, config.scales.logits), head, multiply), config.softcaps.logits);
}

/** log sum exp of every row: max - log(max softmax), exact because the largest probability is never tiny. */
function logSumExp(logits: Value, probabilities: Value): Value {
  return sub(rowMax(logits), log(rowMax(probabilities)));
}

/** -sum_v p_v log p_v of every row, from log p_v = z_v - logsumexp(z): [N, 1]. */
const entropy = (logits: Value, probabilities: Value, normaliser: Value): Value =>
  sub(normaliser, reduceSum(mul(probabilities, logits), [logits.dims.length - 1], true));

export interface TokenLogprobs {
  /** log p(target) [N, 1]; with statistics also log p of the most likely token, and the entropy: [N, 3]. */
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

/** How logits come from h W^T: cap(scale h W^T). */
export interface LogitShape {
  scale?: number;
  cap?: number | null;
}

/**
 * log softmax(z)[target] with z = cap(scale h W^T), for rows h [N, hidden], in `chunks` pieces so that no more than
 * N/chunks rows of logits exist at a time. With `g` [N, 1] also the gradient of sum_n g_n log p_n, from the same pass:
 * dz = g (onehot - P), times the slope of the cap; dh = scale dz W, dW = scale sum_n dz_n h_n^T.
 */
export function tokenLogprobs(
  hidden: Value,
  weight: Weight,
  targets: Value,
  chunks: number,
  g?: Value,
  {
    wantHead = true,
    statistics = false,
    scale: by = 1,
    cap = null,
  }: { wantHead?: boolean; statistics?: boolean } & LogitShape = {},
): TokenLogprobs {
  const head = fetch(weight, hidden);
  const scaled = times(hidden, by);
  const hs = split(scaled, chunks);
  const ts = split(targets, chunks);
  const gs = g ? split(g, chunks) : [];
  const logprobs: Value[] = [];
  const dhs: Value[] = [];
  const targetSlopes: Value[] = [];
  let dHead: Value | undefined;
  let done: Value | undefined;
  for (let i = 0; i < chunks; i++) {
    const h = done ? barrier(hs[i]!, done) : hs[i]!;
    const logits = capped(linear(h, head), cap);
    const p = softmax(logits);
    const normaliser = logSumExp(logits, p);
    const logprob = sub(pick(logits, ts[i]!), normaliser);
    const said = statistics
      ? concat([logprob, sub(rowMax(logits), normaliser), entropy(logits, p, normaliser)], 1, 3)
      : logprob;
    logprobs.push(said);
    done = said;
    if (!g) continue;
    const slope = cap === null ? undefined : capSlope(logits, cap);
    const sloped = slope ? mul(p, slope) : p;
    let onTarget = gather(head, reshape(ts[i]!, [ts[i]!.dims[0]!]));
    if (slope) {
      const targetSlope = pick(slope, ts[i]!);
      targetSlopes.push(targetSlope);
      onTarget = mul(targetSlope, onTarget);
    }
    const dh = mul(gs[i]!, sub(onTarget, matmul(sloped, head)));
    dhs.push(dh);
    done = dh;
    if (!wantHead) continue;
    const part = matmul(sloped, mul(gs[i]!, h), { transA: true, alpha: -1 });
    dHead = dHead ? add(dHead, part) : part;
    done = dHead;
  }
  const n = hidden.dims[0]!;
  const join = (parts: Value[]): Value => (chunks === 1 ? parts[0]! : concat(parts, 0, n));
  const weights = g && (cap === null ? g : mul(g, join(targetSlopes)));
  return {
    logprobs: join(logprobs),
    gradient: weights && { hidden: times(join(dhs), by), head: dHead, targetRows: mul(weights, scaled) },
  };
}

/** Of every row: log pi of its target, log pi of the most likely token, and that token, [N, 3]. */
export function mostLikelyTokens(
  hidden: Value,
  weight: Weight,
  targets: Value,
  chunks: number,
  { scale: by = 1, cap = null }: LogitShape = {},
): Value {
  const head = fetch(weight, hidden);
  const hs = split(times(hidden, by), chunks);
  const ts = split(targets, chunks);
  const parts: Value[] = [];
  hs.forEach((chunk, i) => {
    const logits = capped(linear(parts.length > 0 ? barrier(chunk, parts.at(-1)!) : chunk, head), cap);
    const normaliser = logSumExp(logits, softmax(logits));
    const columns = [
      sub(pick(logits, ts[i]!), normaliser),
      sub(rowMax(logits), normaliser),
      rowArgMax(logits),
    ];
    parts.push(concat(columns, 1, 3));
  });
  return chunks === 1 ? parts[0]! : concat(parts, 0, hidden.dims[0]!);
}

/** One value per row: h w^T, [N, 1]. */
export function scalarHead(hidden: Value, score: Weight): Value {
  return product(hidden, score);
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
  const context: Context = {
    config,
    multiply: byColumns ? linearByColumns : linear,
    weights,
    lora,
    positions: input("positions", "int64", ["B", 1]),
    ropes: rotaryTableInputs(config),
  };
  const lengths = input("lengths", "int32", ["B"]);
  const total = input("total", "int32", [1]);
  const caches: Record<string, Value> = {};
  const { heads, kvHeads, headDim, scales, softcaps } = config;
  const usual = scales.attention === 1 / Math.sqrt(headDim);
  const attend: Attend = (query, key, value, i) => {
    const shape = ["B", kvHeads, "L", headDim];
    const pastKey = input(cacheKey(i), "float32", shape);
    const pastValue = input(cacheValue(i), "float32", shape);
    const [attended, nextKey, nextValue] = cachedAttention(
      { query, key, value, pastKey, pastValue, lengths, total },
      {
        heads,
        kvHeads,
        window: config.slidingWindow[i] ?? undefined,
        scale: usual ? undefined : scales.attention,
        cap: softcaps.attention ?? undefined,
      },
    );
    caches[cacheKey(i)] = nextKey;
    caches[cacheValue(i)] = nextValue;
    return attended;
  };
  let x = embed(context, input("tokens", "int32", ["B", 1]));
  for (let i = 0; i < config.layers; i++) x = block(context, x, i, attend);
  const hidden = reshape(norm(context, x, "model.norm"), ["B", config.hiddenSize]);
  const head = weight(context, headName(config));
  return { logits: languageHead(config, hidden, head, context.multiply), caches };
}

/** Logits and what sampling needs of them: the distribution at the wanted temperature and the untempered log-normaliser. */
export function samplingOutputs(logits: Value, inverseTemperature?: Value) {
  const plain = softmax(logits);
  const normaliser = logSumExp(logits, plain);
  if (!inverseTemperature) return { logits, probabilities: plain, normaliser };
  return { logits, probabilities: softmax(mul(logits, inverseTemperature)), normaliser };
}
