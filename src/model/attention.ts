// Attention over whole sequences: each for itself, or with the beginning that several of them share computed once.

import { input, scalar, type Value, zeroRow } from "../tensor/graph.js";
import {
  add,
  concat,
  flatten,
  gather,
  matmul,
  mul,
  reduceSum,
  reshape,
  reshapeTo,
  scale,
  softmax,
  splitAt,
  sub,
  tanh,
  transpose,
  withGradient,
} from "../tensor/ops.js";
import type { DecoderConfig } from "./config.js";

/** c tanh(x / c), and its slope 1 - (y / c)^2 at y. */
export const capped = (x: Value, cap: number | null): Value =>
  cap === null ? x : scale(tanh(scale(x, 1 / cap)), cap);
export const capSlope = (y: Value, cap: number): Value => {
  const t = scale(y, 1 / cap);
  return sub(scalar(1), mul(t, t));
};

/** [B, T, kvHeads * headDim] -> [B, kvHeads, T, headDim]. */
export function splitKeys(x: Value, { kvHeads, headDim }: DecoderConfig): Value {
  const [b, t] = x.dims as [string, string];
  return transpose(reshape(x, [b, t, kvHeads, headDim]), [0, 2, 1, 3]);
}

/** [B, kvHeads, T, headDim] -> [B, T, kvHeads * headDim]. */
function joinKeys(x: Value, { kvHeads, headDim }: DecoderConfig): Value {
  const turned = transpose(x, [0, 2, 1, 3]);
  return reshape(turned, [...turned.dims.slice(0, 2), kvHeads * headDim]);
}

/**
 * [B, T, heads * headDim] -> [B, kvHeads, groups * T, headDim]: the query heads that share a key head are stacked
 * along the rows, so that keys and values are never repeated.
 */
function splitQueries(x: Value, { heads, kvHeads, headDim }: DecoderConfig): Value {
  const [b, t] = x.dims as [string, string];
  const groups = heads / kvHeads;
  const grouped = transpose(reshape(x, [b, t, kvHeads, groups, headDim]), [0, 2, 3, 1, 4]);
  return reshape(grouped, [b, kvHeads, `groups*${t}`, headDim]);
}

function joinQueries(x: Value, like: Value, { heads, kvHeads, headDim }: DecoderConfig): Value {
  const [b, t] = like.dims as [string, string];
  const grouped = reshape(x, [b, kvHeads, heads / kvHeads, t, headDim]);
  return reshape(transpose(grouped, [0, 3, 1, 2, 4]), [b, t, heads * headDim]);
}

interface Attended {
  /** [B, T, heads * headDim] */
  output: Value;
  /** Gradients of query, key and value, in their shapes. */
  gradient: (dy: Value) => [Value, Value, Value];
}

/**
 * softmax(cap(scale q k^T) + mask) v. query [B, T, heads*headDim]; key, value [B, kvHeads, L, headDim]; mask
 * broadcasts to [B, kvHeads, groups*T, L], 0 where visible. The derivative is written out, so that the row sum of the
 * softmax rule runs over headDim instead of L.
 */
function attend(query: Value, key: Value, value: Value, mask: Value, config: DecoderConfig): Attended {
  const alpha = config.scales.attention;
  const cap = config.softcaps.attention;
  const q = splitQueries(query, config);
  const scores = capped(matmul(q, key, { transB: true, alpha }), cap);
  const p = softmax(add(scores, mask));
  const rows = matmul(p, value);
  return {
    output: joinQueries(rows, query, config),
    gradient: (dy) => {
      const d = splitQueries(dy, config);
      const delta = reduceSum(mul(d, rows), [3], true);
      const dp = mul(p, sub(matmul(d, value, { transB: true }), delta));
      const ds = cap === null ? dp : mul(dp, capSlope(scores, cap));
      return [
        joinQueries(matmul(ds, key, { alpha }), query, config),
        matmul(ds, q, { transA: true, alpha }),
        matmul(p, d, { transA: true }),
      ];
    },
  };
}

/** Sequences of their own: query [B, T, heads*headDim]; key, value [B, kvHeads, T, headDim]; mask [groups*T, T]. */
export function attention(query: Value, key: Value, value: Value, mask: Value, config: DecoderConfig): Value {
  const { output, gradient } = attend(query, key, value, mask, config);
  return withGradient(output, [query, key, value], gradient);
}

/** The mask input of a layer: one for each distinct window. */
export const maskName = (window: number | null): string => (window === null ? "mask" : `mask_${window}`);
/** The same for sequences behind a shared beginning. */
export const tailMaskName = (window: number | null): string => `tail_${maskName(window)}`;

/**
 * Where the tokens of sequences with shared beginnings lie. N tokens stand in one row, those of the S beginnings before
 * those of the R = S G tails, without padding; attention alone sees them in rectangles, [S, P] and [R, C].
 */
export const sharedInputs = {
  /** int32 [S, P]: the token at each place of the beginnings; 0 where there is none. */
  heads: () => input("heads", "int32", ["S", "P"]),
  /** The same with N where there is none. */
  headsOrNone: () => input("heads_or_none", "int32", ["S", "P"]),
  /** int32 [R, C]: of the tails. */
  tails: () => input("tails", "int32", ["R", "C"]),
  tailsOrNone: () => input("tails_or_none", "int32", ["R", "C"]),
  /** int32 [R, L], L = P + C: what each tail sees, its beginning and itself. */
  seen: () => input("seen", "int32", ["R", "L"]),
  /** int32 [N]: the place of each token among the S P places of beginnings and, behind them, the R C of tails. */
  placed: () => input("placed", "int32", ["B*T"]),
  /** int64 [2]: P, C. */
  widths: () => input("widths", "int64", [2]),
  /** int64 [4]: S, G, P, kvHeads * headDim. */
  grouped: () => input("grouped", "int64", [4]),
};
export type SharedInputs = { readonly [K in keyof typeof sharedInputs]: Value };

/**
 * Attention of tokens that stand as `SharedInputs` says: query [1, N, heads*headDim], key and value
 * [1, N, kvHeads*headDim]. `mask` [groups*P, P] is that of beginnings, `tailMask` [R or 1, 1, groups*C, L] that of tails.
 */
export function sharedAttention(
  query: Value,
  key: Value,
  value: Value,
  { mask, tailMask, ...at }: SharedInputs & { mask: Value; tailMask: Value },
  config: DecoderConfig,
): Value {
  const rows = (x: Value, indices: Value): Value => gather(flatten(x), indices);
  const keys = (x: Value, indices: Value): Value => splitKeys(rows(x, indices), config);
  const head = attend(rows(query, at.heads), keys(key, at.heads), keys(value, at.heads), mask, config);
  const tail = attend(rows(query, at.tails), keys(key, at.seen), keys(value, at.seen), tailMask, config);
  const inOneRow = (ofHeads: Value, ofTails: Value): Value =>
    reshape(gather(concat([flatten(ofHeads), flatten(ofTails)], 0, "places"), at.placed), [
      1,
      "T",
      ofHeads.dims[2]!,
    ]);
  return withGradient(inOneRow(head.output, tail.output), [query, key, value], (dy) => {
    const padded = concat([flatten(dy), zeroRow(dy.dims[2] as number)], 0, "T+1");
    const [dq, dk, dv] = head.gradient(gather(padded, at.headsOrNone));
    const [dqTail, ...dSeen] = tail.gradient(gather(padded, at.tailsOrNone));
    const ofKeys = (ofHeads: Value, ofSeen: Value): Value => {
      const [beginnings, tails] = splitAt(joinKeys(ofSeen, config), 1, at.widths, ["P", "C"]);
      const width = config.kvHeads * config.headDim;
      const once = reduceSum(reshapeTo(beginnings!, at.grouped, ["S", "G", "P", width]), [1]);
      return inOneRow(add(joinKeys(ofHeads, config), once), tails!);
    };
    return [inOneRow(dq, dqTail), ofKeys(dk, dSeen[0]), ofKeys(dv, dSeen[1])];
  });
}
