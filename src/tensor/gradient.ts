// Reverse-mode differentiation over the symbolic graph.

import type { Value } from "./graph.js";
import { topologicalOrder } from "./graph.js";
import { add, flatten, matmul, oneHot, ops, reshape } from "./ops.js";

/** The gradient of a table that was gathered from: row `indices[i]` receives `rows[i]`; indices may repeat. */
export interface RowGradient {
  /** int32, any shape. */
  indices: Value;
  /** float32 [...indices.dims, width]. */
  rows: Value;
}

export interface Gradient {
  dense?: Value;
  rows: RowGradient[];
}

/**
 * Gradients of `sum over seeds of <dy, value>` with respect to `parameters`. Only what lies between them and the
 * seeds is differentiated.
 */
export function gradients(
  seeds: readonly { value: Value; dy: Value }[],
  parameters: readonly Value[],
): Gradient[] {
  const order = topologicalOrder(seeds.map(({ value }) => value));
  const reached = new Set<Value>(parameters);
  for (const node of order)
    if (node.inputs.some((value) => reached.has(value)))
      for (const output of node.outputs) reached.add(output);

  const dense = new Map<Value, Value>();
  const rows = new Map<Value, RowGradient[]>();
  const accumulate = (value: Value, dy: Value) => {
    const before = dense.get(value);
    dense.set(value, before ? add(before, dy) : dy);
  };
  for (const { value, dy } of seeds) accumulate(value, dy);

  for (const node of order.reverse()) {
    const wanted = node.inputs.map((value) => reached.has(value));
    const dy = node.outputs.map((value) => dense.get(value));
    if (!wanted.includes(true) || !dy.some(Boolean)) continue;
    if (node.op === "gather" && wanted[0]) {
      const [table, indices] = node.inputs as [Value, Value];
      const row = { indices, rows: dy[0]! };
      if (table.node.op === "input") rows.set(table, [...(rows.get(table) ?? []), row]);
      else accumulate(table, denseRows(row, table));
      continue;
    }
    const rule = ops[node.op]?.gradient;
    if (!rule) throw new Error(`no gradient rule for op ${node.op}`);
    rule(node, dy, wanted).forEach((gradient, i) => {
      if (gradient && wanted[i]) accumulate(node.inputs[i]!, gradient);
    });
  }
  return parameters.map((value) => ({ dense: dense.get(value), rows: rows.get(value) ?? [] }));
}

/** A row gradient as a dense table: one-hot^T rows. Exact whatever the number of threads, and slow for wide tables. */
export function denseRows({ indices, rows }: RowGradient, table: Value): Value {
  const classes = table.dims[0] as number;
  const flatIndices = indices.dims.length === 1 ? indices : reshape(indices, ["rows"]);
  const hot = oneHot(flatIndices, classes);
  return matmul(hot, flatten(rows), { transA: true });
}
