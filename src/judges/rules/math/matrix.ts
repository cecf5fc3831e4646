// Matrices, also where a number stands before one: \frac12 A is the matrix of the halves.

import { sameValue } from "./same-value.js";
import { call, isCall, type Node } from "./tree.js";

type Rows = readonly (readonly Node[])[];

const scaledRows = (rows: Rows, scale: (cell: Node) => Node): Rows => rows.map((row) => row.map(scale));

/** The entries of a matrix, or of a multiple or a sum of matrices. */
export function matrixOf(node: Node): Rows | undefined {
  if (node.kind === "matrix") return node.fence === "" ? node.rows : undefined;
  if (node.kind !== "call") return undefined;
  if (isCall(node, "negate")) {
    const rows = matrixOf(node.args[0]!);
    return rows && scaledRows(rows, (cell) => call("negate", cell));
  }
  if (isCall(node, "divide")) {
    const rows = matrixOf(node.args[0]!);
    return rows && scaledRows(rows, (cell) => call("divide", cell, node.args[1]!));
  }
  if (isCall(node, "multiply")) {
    const matrices = node.args.map(matrixOf);
    const at = matrices.findIndex((rows) => rows !== undefined);
    if (at < 0 || matrices.filter((rows) => rows !== undefined).length > 1) return undefined;
    const factors = node.args.filter((_, i) => i !== at);
    return scaledRows(matrices[at]!, (cell) => call("multiply", ...factors, cell));
  }
  if (!isCall(node, "add")) return undefined;
  const matrices = node.args.map(matrixOf);
  if (!matrices.every((rows) => rows !== undefined)) return undefined;
  return matrices.reduce<Rows | undefined>(
    (sum, rows) => {
      const fits = sum && sum.length === rows.length && sum.every((row, i) => row.length === rows[i]!.length);
      return fits ? sum.map((row, i) => row.map((cell, j) => call("add", cell, rows[i]![j]!))) : undefined;
    },
    scaledRows(matrices[0]!, () => ({ kind: "number", value: { n: 0n, d: 1n } })),
  );
}

export const sameRows = (a: Rows, b: Rows) =>
  a.length === b.length &&
  a.every((row, i) => row.length === b[i]!.length && row.every((cell, j) => sameValue(cell, b[i]![j]!)));
