// The op table: for every primitive its ONNX emission and its gradient rule, and a builder that checks shapes.
// A gradient rule receives the gradients of the node's outputs and says which of its inputs are wanted; it returns
// one gradient per input (undefined where none flows).

import type { Emission, Node, Type, Value } from "./graph.js";
import { constant, describe, integers, makeNode, scalar, zeroRow } from "./graph.js";
import type { Dim, DType, OnnxAttribute } from "./onnx.js";
import { elementType } from "./onnx.js";

export type Gradients = (Value | undefined)[];

interface Op {
  emit(node: Node): Emission | undefined;
  gradient?(node: Node, dy: Gradients, wanted: readonly boolean[]): Gradients;
}

const float = (value: number): OnnxAttribute => ({ float: value });
const int = (value: number | boolean): OnnxAttribute => ({ int: Number(value) });
const ints = (value: readonly number[]): OnnxAttribute => ({ ints: value });

function single(
  op: string,
  inputs: readonly Value[],
  type: Type,
  attributes: Readonly<Record<string, unknown>> = {},
): Value {
  return makeNode(op, inputs, attributes, [type]).outputs[0]!;
}

const f32 = (dims: readonly Dim[]): Type => ({ dtype: "float32", dims });

// ---------------------------------------------------------------------------------------------- shapes

/** The shape of a broadcast, NumPy's rules. A named extent only broadcasts with itself and with 1. */
function broadcastDims(a: Value, b: Value): Dim[] {
  const rank = Math.max(a.dims.length, b.dims.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a.dims[i - (rank - a.dims.length)] ?? 1;
    const y = b.dims[i - (rank - b.dims.length)] ?? 1;
    if (x === 1) return y;
    if (y === 1 || x === y) return x;
    throw new Error(`cannot broadcast ${describe(a)} with ${describe(b)}`);
  });
}

/** Sums `dy` over the axes along which `target` was broadcast. */
function unbroadcast(dy: Value, target: Value): Value {
  const extra = dy.dims.length - target.dims.length;
  const axes = dy.dims.flatMap((d, i) => (i < extra || (target.dims[i - extra] === 1 && d !== 1) ? [i] : []));
  if (axes.length === 0) return dy;
  const summed = reduceSum(dy, axes, true);
  return extra === 0 ? summed : reshape(summed, target.dims);
}

// ---------------------------------------------------------------------------------------- elementwise

function elementwise(op: string, a: Value, b: Value): Value {
  return single(op, [a, b], f32(broadcastDims(a, b)));
}

export const add = (a: Value, b: Value): Value => elementwise("add", a, b);
export const sub = (a: Value, b: Value): Value => elementwise("sub", a, b);
export const mul = (a: Value, b: Value): Value => elementwise("mul", a, b);
export const div = (a: Value, b: Value): Value => elementwise("div", a, b);
export const scale = (a: Value, by: number): Value => mul(a, scalar(by));
export const negate = (a: Value): Value => single("negate", [a], f32(a.dims));
export const exp = (a: Value): Value => single("exp", [a], f32(a.dims));
export const log = (a: Value): Value => single("log", [a], f32(a.dims));
export const sqrt = (a: Value): Value => single("sqrt", [a], f32(a.dims));
export const tanh = (a: Value): Value => single("tanh", [a], f32(a.dims));
export const sigmoid = (a: Value): Value => single("sigmoid", [a], f32(a.dims));

// ------------------------------------------------------------------------------------------ reductions

function reducedDims(a: Value, axes: readonly number[], keep: boolean): Dim[] {
  return keep ? a.dims.map((d, i) => (axes.includes(i) ? 1 : d)) : a.dims.filter((_, i) => !axes.includes(i));
}

/** Sum over `axes` (non-negative). */
export function reduceSum(a: Value, axes: readonly number[], keep = false): Value {
  return single("reduceSum", [a, integers(...axes)], f32(reducedDims(a, axes, keep)), { axes, keep });
}

/** Maximum over the last axis, kept as extent 1. Not differentiated. */
export function rowMax(a: Value): Value {
  const axis = a.dims.length - 1;
  return single("rowMax", [a, integers(axis)], f32(reducedDims(a, [axis], true)));
}

/** Where the maximum over the last axis is, the first of several; kept as extent 1, a float for its neighbours' sake. */
export function rowArgMax(a: Value): Value {
  const axis = a.dims.length - 1;
  const dims = reducedDims(a, [axis], true);
  return single("toFloat", [single("argMax", [a], { dtype: "int64", dims }, { axis })], f32(dims));
}

/** Softmax over the last axis. */
export const softmax = (a: Value): Value => single("softmax", [a], f32(a.dims));

// ---------------------------------------------------------------------------------------- matrix products

export interface MatmulOptions {
  transA?: boolean;
  transB?: boolean;
  alpha?: number;
}

function swapLast(dims: readonly Dim[]): Dim[] {
  return [...dims.slice(0, -2), dims[dims.length - 1]!, dims[dims.length - 2]!];
}

/**
 * alpha * A B with either operand transposed in its last two axes. Leading axes are batch axes: those of both operands
 * are the same, or B is one matrix for the whole batch.
 */
export function matmul(
  a: Value,
  b: Value,
  { transA = false, transB = false, alpha = 1 }: MatmulOptions = {},
): Value {
  const x = transA ? swapLast(a.dims) : a.dims;
  const y = transB ? swapLast(b.dims) : b.dims;
  if (x[x.length - 1] !== y[y.length - 2])
    throw new Error(`cannot multiply ${describe(a)} by ${describe(b)}`);
  const batch = x.slice(0, -2);
  if (y.length > 2 && (y.length !== x.length || batch.some((d, i) => d !== y[i])))
    throw new Error(`cannot multiply ${describe(a)} by ${describe(b)}: their batches differ`);
  const dims = [...batch, x[x.length - 2]!, y[y.length - 1]!];
  return single("matmul", [a, b], f32(dims), { transA, transB, alpha });
}

/** x W^T: x is [..., in], W is [out, in] as Hugging Face stores it. */
export const linear = (x: Value, weight: Value): Value => matmul(x, weight, { transB: true });

/** All leading axes folded into one: [..., n] -> [rows, n]. */
export function flatten(a: Value): Value {
  if (a.dims.length === 2) return a;
  return reshape(a, ["rows", a.dims[a.dims.length - 1]!]);
}

function matmulGradient(node: Node, dy: Value, wanted: readonly boolean[]): Gradients {
  const [a, b] = node.inputs as [Value, Value];
  const { transA, transB, alpha } = node.attributes as unknown as Required<MatmulOptions>;
  // A matrix shared by a whole batch (a weight): its gradient is one product over all rows.
  const shared = b.dims.length === 2 && a.dims.length > 2;
  if (shared && transA)
    throw new Error("matmul: a transposed batch with a shared matrix has no gradient rule");
  const [fa, fdy] = shared && wanted[1] ? [flatten(a), flatten(dy)] : [a, dy];
  const da = !wanted[0]
    ? undefined
    : transA
      ? matmul(b, dy, { transA: transB, transB: true, alpha })
      : matmul(dy, b, { transB: !transB, alpha });
  const db = !wanted[1]
    ? undefined
    : transB
      ? matmul(fdy, fa, { transA: true, transB: transA, alpha })
      : matmul(fa, fdy, { transA: !transA, alpha });
  return [da, db];
}

// --------------------------------------------------------------------------------------- data movement

/**
 * Gives `a` new extents. A named extent may appear where it stood in `a` at the same place, and one more
 * named extent may be inferred.
 */
export function reshape(a: Value, dims: readonly Dim[]): Value {
  let inferred = false;
  const target = dims.map((d, i) => {
    if (typeof d === "number") return d;
    if (a.dims[i] === d) return 0;
    if (inferred)
      throw new Error(`cannot reshape ${describe(a)} to [${dims.join(", ")}]: two unknown extents`);
    inferred = true;
    return -1;
  });
  return single("reshape", [a, integers(...target)], { dtype: a.dtype, dims });
}

/** Gives `a` the extents that `extents` (int64) holds at run time. Not differentiated. */
export const reshapeTo = (a: Value, extents: Value, dims: readonly Dim[]): Value =>
  single("reshape", [a, extents], { dtype: a.dtype, dims });

/** Gives `a` the shape that `reference` has at run time. */
function reshapeLike(a: Value, reference: Value): Value {
  const shape = single("shape", [reference], { dtype: "int64", dims: [reference.dims.length] });
  return single("reshape", [a, shape], { dtype: a.dtype, dims: reference.dims });
}

export function transpose(a: Value, permutation: readonly number[]): Value {
  const dims = permutation.map((p) => a.dims[p]!);
  return single("transpose", [a], { dtype: a.dtype, dims }, { permutation });
}

/** Rows `indices` (int32) of a table: [rows, n] -> [...indices.dims, n]. The gradient of a table is sparse. */
export function gather(table: Value, indices: Value): Value {
  const dims = [...indices.dims, ...table.dims.slice(1)];
  return single("gather", [table, indices], { dtype: table.dtype, dims });
}

/**
 * Selects distinct rows of `x` [rows, n]. `inverse` [rows] says, for every row of x, where it went in `indices`,
 * or indices.length if nowhere; with it the gradient is a selection too, exact on any number of threads.
 */
export function selectRows(x: Value, indices: Value, inverse: Value): Value {
  return single("selectRows", [x, indices, inverse], f32([indices.dims[0]!, x.dims[1]!]));
}

/** x[i, indices[i]] as a column: [n, m], [n, 1] -> [n, 1]. Not differentiated. */
export function pick(x: Value, indices: Value): Value {
  return single("pick", [x, indices], f32(indices.dims));
}

export function concat(values: readonly Value[], axis: number, extent: Dim): Value {
  const dims = values[0]!.dims.map((d, i) => (i === axis ? extent : d));
  return single("concat", values, { dtype: values[0]!.dtype, dims }, { axis });
}

/** Splits the first axis into `parts` nearly equal pieces (the last may be shorter). Not differentiated. */
export function split(a: Value, parts: number): Value[] {
  if (parts === 1) return [a];
  const types = Array.from({ length: parts }, (_, i) => ({
    dtype: a.dtype,
    dims: [`${a.dims[0]}/${parts}.${i}`, ...a.dims.slice(1)],
  }));
  return [...makeNode("split", [a], { parts }, types).outputs];
}

/** Splits an axis into two pieces whose sizes `sizes` (int64 [2]) holds at run time. Not differentiated. */
export function splitAt(a: Value, axis: number, sizes: Value, extents: readonly [Dim, Dim]): Value[] {
  const types = extents.map((extent) => ({
    dtype: a.dtype,
    dims: a.dims.map((d, i) => (i === axis ? extent : d)),
  }));
  return [...makeNode("splitAt", [a, sizes], { axis }, types).outputs];
}

/** Splits the last axis into pieces of the given sizes, which add up to it. */
export function splitColumns(a: Value, sizes: readonly number[]): Value[] {
  const last = a.dims.length - 1;
  if (sizes.reduce((x, y) => x + y, 0) !== a.dims[last])
    throw new Error(`cannot split ${describe(a)} into columns of ${sizes.join(" + ")}`);
  const types = sizes.map((size) => ({ dtype: a.dtype, dims: [...a.dims.slice(0, last), size] }));
  return [...makeNode("splitColumns", [a, integers(...sizes)], {}, types).outputs];
}

/** One-hot rows: int32 [n] -> float [n, classes]. Not differentiated. */
export function oneHot(indices: Value, classes: number): Value {
  const range = constant(
    "int32",
    Int32Array.from({ length: classes }, (_, i) => i),
    [1, classes],
  );
  const column = reshape(indices, [indices.dims[0]!, 1]);
  const equal = single("equal", [column, range], { dtype: "bool", dims: [indices.dims[0]!, classes] });
  return single("toFloat", [equal], f32(equal.dims));
}

// ------------------------------------------------------------------------------------------ fused blocks

/** y = weight * x / rms(x) over the last axis (RMSNorm). */
export function rmsNorm(x: Value, weight: Value, epsilon: number): Value {
  const last = x.dims.map((d, i) => (i === x.dims.length - 1 ? 1 : d));
  return makeNode("rmsNorm", [x, weight], { epsilon }, [f32(x.dims), f32(last)]).outputs[0]!;
}

function rmsNormGradient(node: Node, dy: Value, wanted: readonly boolean[]): Gradients {
  const [x, weight] = node.inputs as [Value, Value];
  const inverse = node.outputs[1]!;
  const axis = x.dims.length - 1;
  const normalised = mul(x, inverse);
  const dw = wanted[1] ? unbroadcast(mul(dy, normalised), weight) : undefined;
  if (!wanted[0]) return [undefined, dw];
  const scaled = mul(dy, weight);
  const mean = scale(reduceSum(mul(scaled, normalised), [axis], true), 1 / (x.dims[axis] as number));
  return [mul(inverse, sub(scaled, mul(normalised, mean))), dw];
}

/**
 * Rotary position embedding, half-rotation form, over x [B, T, heads * headDim]. `positions` is int64 [B, T];
 * `cos` and `sin` are tables [positions, dims / 2]. The first `dims` of every head turn; default: all.
 */
export function rotary(
  x: Value,
  positions: Value,
  cos: Value,
  sin: Value,
  { heads, dims = 0 }: { heads: number; dims?: number },
): Value {
  return single("rotary", [x, positions, cos, sin], f32(x.dims), { heads, dims });
}

export interface CachedAttentionOptions {
  heads: number;
  kvHeads: number;
  /** Position q sees the keys k with q - window < k <= q. Default: all before it. */
  window?: number;
  /** On q k^T. Default: 1 / sqrt(D). */
  scale?: number;
  /** Scores become cap tanh(score / cap). Default: they do not. */
  cap?: number;
}

/**
 * One step of cached attention, batch rows of different lengths. query [B, 1, heads*D], key and value
 * [B, 1, kvHeads*D], caches [B, kvHeads, L, D], `lengths` int32 [B] (past length of every row), `total` int32 [1]
 * (longest length, this token included). Returns the output and the two caches, which may share the inputs' memory.
 */
export function cachedAttention(
  inputs: {
    query: Value;
    key: Value;
    value: Value;
    pastKey: Value;
    pastValue: Value;
    lengths: Value;
    total: Value;
  },
  { heads, kvHeads, window, scale, cap }: CachedAttentionOptions,
): [Value, Value, Value] {
  const { query, key, value, pastKey, pastValue, lengths, total } = inputs;
  const node = makeNode(
    "cachedAttention",
    [query, key, value, pastKey, pastValue, lengths, total],
    { heads, kvHeads, window: window ?? -1, scale, cap },
    [f32(query.dims), f32(pastKey.dims), f32(pastValue.dims)],
  );
  return [node.outputs[0]!, node.outputs[1]!, node.outputs[2]!];
}

/**
 * `value`, but not computed before `after`. ONNX Runtime orders nodes by data alone; this makes recomputation and
 * chunked work happen late, when the memory is free. Costs one pass over `value`: use it on small ones.
 */
export function barrier(value: Value, after: Value): Value {
  return broadcastWith(value, firstElement(after));
}

/**
 * `value`, whose extents are numbers, but not to be read before `after` is there: `barrier` for large values, for a reshape
 * moves nothing.
 */
export function reshapeAfter(value: Value, after: Value): Value {
  const corner = firstElement(after);
  const same = single("equal", [corner, corner], { dtype: "bool", dims: [1] });
  const extents = integers(...(value.dims as number[]));
  const shape = single("where", [same, extents, extents], { dtype: "int64", dims: [value.dims.length] });
  return single("reshape", [value, shape], { dtype: value.dtype, dims: value.dims });
}

/** The numbers in another type. Not differentiated. */
export const cast = (a: Value, dtype: DType): Value =>
  single("cast", [a], { dtype, dims: a.dims }, { dtype });
/** Of unsigned bytes. */
export const bitAnd = (a: Value, mask: Value): Value =>
  single("bitAnd", [a, mask], { dtype: a.dtype, dims: a.dims });
export const shiftLeft = (a: Value, by: Value): Value =>
  single("shiftLeft", [a, by], { dtype: a.dtype, dims: a.dims });

/**
 * `value` in the shape that `value + other` has, whatever numbers `other` holds: adding 0 * other would make a NaN of
 * an infinity. Not differentiated.
 */
export function broadcastWith(value: Value, other: Value): Value {
  const same = single("equal", [other, other], { dtype: "bool", dims: other.dims });
  return single("where", [same, value, value], f32(broadcastDims(value, other)));
}

/** The first element of `a`, as shape [1] (which broadcasts). Not differentiated. */
function firstElement(a: Value): Value {
  const axes = a.dims.map((_, i) => i);
  const zeros = integers(...axes.map(() => 0));
  const ones = integers(...axes.map(() => 1));
  const corner = single("slice", [a, zeros, ones, integers(...axes)], f32(a.dims.map(() => 1)));
  return reshape(corner, [1]);
}

/**
 * `value` with a gradient of its own: `gradient(dy)` returns the gradients of `inputs`, and differentiation does not
 * look inside `value`. For blocks whose derivative is cheaper by hand than by the chain rule.
 */
export function withGradient(
  value: Value,
  inputs: readonly Value[],
  gradient: (dy: Value, wanted: readonly boolean[]) => Gradients,
): Value {
  return single("withGradient", [value, ...inputs], { dtype: value.dtype, dims: value.dims }, { gradient });
}

// ------------------------------------------------------------------------------------------------ table

const microsoft = "com.microsoft";
const plain = (op: string) => (): Emission => ({ op });

export const ops: Record<string, Op> = {
  add: {
    emit: plain("Add"),
    gradient: ({ inputs: [a, b] }, [dy], w) => [
      w[0] ? unbroadcast(dy!, a!) : undefined,
      w[1] ? unbroadcast(dy!, b!) : undefined,
    ],
  },
  sub: {
    emit: plain("Sub"),
    gradient: ({ inputs: [a, b] }, [dy], w) => [
      w[0] ? unbroadcast(dy!, a!) : undefined,
      w[1] ? unbroadcast(negate(dy!), b!) : undefined,
    ],
  },
  mul: {
    emit: plain("Mul"),
    gradient: ({ inputs: [a, b] }, [dy], w) => [
      w[0] ? unbroadcast(mul(dy!, b!), a!) : undefined,
      w[1] ? unbroadcast(mul(dy!, a!), b!) : undefined,
    ],
  },
  div: {
    emit: plain("Div"),
    gradient: ({ inputs: [a, b], outputs: [y] }, [dy], w) => [
      w[0] ? unbroadcast(div(dy!, b!), a!) : undefined,
      w[1] ? unbroadcast(negate(div(mul(dy!, y!), b!)), b!) : undefined,
    ],
  },
  negate: { emit: plain("Neg"), gradient: (_, [dy]) => [negate(dy!)] },
  exp: { emit: plain("Exp"), gradient: ({ outputs: [y] }, [dy]) => [mul(dy!, y!)] },
  log: { emit: plain("Log"), gradient: ({ inputs: [a] }, [dy]) => [div(dy!, a!)] },
  sqrt: { emit: plain("Sqrt"), gradient: ({ outputs: [y] }, [dy]) => [scale(div(dy!, y!), 0.5)] },
  tanh: {
    emit: plain("Tanh"),
    gradient: ({ outputs: [y] }, [dy]) => [mul(dy!, sub(scalar(1), mul(y!, y!)))],
  },
  sigmoid: {
    emit: plain("Sigmoid"),
    gradient: ({ outputs: [y] }, [dy]) => [mul(dy!, mul(y!, sub(scalar(1), y!)))],
  },
  reduceSum: {
    emit: ({ attributes }) => ({
      op: "ReduceSum",
      attributes: { keepdims: int(attributes.keep as boolean) },
    }),
    gradient: ({ inputs: [a], attributes }, [dy]) => {
      const kept = attributes.keep ? dy! : reshape(dy!, reducedDims(a!, attributes.axes as number[], true));
      return [broadcastWith(kept, a!)];
    },
  },
  rowMax: { emit: () => ({ op: "ReduceMax", attributes: { keepdims: int(1) } }) },
  argMax: {
    emit: ({ attributes: { axis } }) => ({
      op: "ArgMax",
      attributes: { axis: int(axis as number), keepdims: int(1) },
    }),
  },
  softmax: {
    emit: () => ({ op: "Softmax", attributes: { axis: int(-1) } }),
    gradient: ({ outputs: [y] }, [dy]) => {
      const inner = reduceSum(mul(dy!, y!), [y!.dims.length - 1], true);
      return [mul(y!, sub(dy!, inner))];
    },
  },
  matmul: {
    emit: ({ attributes: { transA, transB, alpha } }) =>
      transA || transB || alpha !== 1
        ? {
            op: "FusedMatMul",
            domain: microsoft,
            attributes: {
              transA: int(transA as boolean),
              transB: int(transB as boolean),
              alpha: float(alpha as number),
            },
          }
        : { op: "MatMul" },
    gradient: (node, [dy], wanted) => matmulGradient(node, dy!, wanted),
  },
  reshape: {
    emit: plain("Reshape"),
    gradient: ({ inputs: [a] }, [dy]) => {
      const free = a!.dims.filter((d, i) => typeof d !== "number" && dy!.dims[i] !== d).length;
      return [free <= 1 ? reshape(dy!, a!.dims) : reshapeLike(dy!, a!)];
    },
  },
  shape: { emit: plain("Shape") },
  transpose: {
    emit: ({ attributes }) => ({
      op: "Transpose",
      attributes: { perm: ints(attributes.permutation as number[]) },
    }),
    gradient: ({ attributes }, [dy]) => {
      const permutation = attributes.permutation as number[];
      return [
        transpose(
          dy!,
          permutation.map((_, i) => permutation.indexOf(i)),
        ),
      ];
    },
  },
  // The gradient of a gathered table is a list of rows; gradient.ts collects it without a rule here.
  gather: { emit: () => ({ op: "Gather", attributes: { axis: int(0) } }) },
  selectRows: {
    emit: () => ({ op: "Gather", arity: 2, attributes: { axis: int(0) } }),
    gradient: ({ inputs: [x, indices, inverse] }, [dy]) => {
      const padded = concat([dy!, zeroRow(x!.dims[1] as number)], 0, `${indices!.dims[0]}+1`);
      return [single("gather", [padded, inverse!], f32(x!.dims))];
    },
  },
  pick: { emit: () => ({ op: "GatherElements", attributes: { axis: int(1) } }) },
  concat: {
    emit: ({ attributes }) => ({ op: "Concat", attributes: { axis: int(attributes.axis as number) } }),
  },
  split: {
    emit: ({ attributes }) => ({
      op: "Split",
      attributes: { axis: int(0), num_outputs: int(attributes.parts as number) },
    }),
  },
  splitColumns: {
    emit: () => ({ op: "Split", attributes: { axis: int(-1) } }),
    gradient: ({ inputs: [a], outputs }, dys) => {
      const last = a!.dims.length - 1;
      const parts = dys.map((dy, i) => dy ?? broadcastWith(scalar(0), outputs[i]!));
      return [concat(parts, last, a!.dims[last]!)];
    },
  },
  splitAt: {
    emit: ({ attributes }) => ({ op: "Split", attributes: { axis: int(attributes.axis as number) } }),
  },
  where: { emit: plain("Where") },
  slice: { emit: plain("Slice") },
  equal: { emit: plain("Equal") },
  toFloat: { emit: () => ({ op: "Cast", attributes: { to: int(1) } }) },
  cast: {
    emit: ({ attributes }) => ({
      op: "Cast",
      attributes: { to: int(elementType[attributes.dtype as DType]) },
    }),
  },
  bitAnd: { emit: plain("BitwiseAnd") },
  shiftLeft: { emit: () => ({ op: "BitShift", attributes: { direction: { string: "LEFT" } } }) },
  rmsNorm: {
    emit: ({ attributes }) => ({
      op: "SimplifiedLayerNormalization",
      attributes: { axis: int(-1), epsilon: float(attributes.epsilon as number), stash_type: int(1) },
    }),
    gradient: (node, [dy], wanted) => rmsNormGradient(node, dy!, wanted),
  },
  rotary: {
    emit: ({ attributes }) => ({
      op: "RotaryEmbedding",
      domain: microsoft,
      attributes: {
        interleaved: int(0),
        num_heads: int(attributes.heads as number),
        rotary_embedding_dim: int(attributes.dims as number),
      },
    }),
    gradient: ({ inputs: [, positions, cos, sin], attributes }, [dy]) => [
      rotary(dy!, positions!, cos!, negate(sin!), attributes as unknown as { heads: number; dims: number }),
    ],
  },
  cachedAttention: {
    emit: ({ attributes }) => ({
      op: "GroupQueryAttention",
      domain: microsoft,
      attributes: {
        num_heads: int(attributes.heads as number),
        kv_num_heads: int(attributes.kvHeads as number),
        local_window_size: int(attributes.window as number),
        ...(attributes.scale === undefined ? {} : { scale: float(attributes.scale as number) }),
        ...(attributes.cap === undefined ? {} : { softcap: float(attributes.cap as number) }),
      },
    }),
  },
  withGradient: {
    emit: () => undefined,
    gradient: ({ attributes }, [dy], wanted) => [
      undefined,
      ...(attributes.gradient as (dy: Value, wanted: readonly boolean[]) => Gradients)(dy!, wanted.slice(1)),
    ],
  },
};

/** What a node becomes in ONNX; an op without a rule is an error that names it. */
export function emit(node: Node): Emission | undefined {
  const op = ops[node.op];
  if (!op) throw new Error(`no ONNX emission for op ${node.op}`);
  return op.emit(node);
}
