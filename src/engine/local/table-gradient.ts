// The gradient of a table that was gathered from, in the graph: for devices, where addition by scatter is either
// missing or depends on the order of threads. Repeated rows are added by a product with a small 0/1 matrix over the
// distinct indices, and a gather spreads the sums over the table; nothing as large as occurrences x table exists.

import { constant, input, makeNode, type Value } from "../../tensor/graph.js";
import { concat, flatten, gather, matmul, reshape } from "../../tensor/ops.js";
import { type Binding, Tensor } from "../../tensor/runtime.js";

/** The program inputs that gather rows of a table. */
export type RowIndices = "tokens" | "targets";

const inputNames = (indices: RowIndices) => ({
  /** int32 [occurrences, 1]: which distinct index each occurrence is. */
  slots: `${indices}_slots`,
  /** int32 [1, distinct]: 0, 1, 2, ... */
  range: `${indices}_range`,
  /** int32 [table rows]: the slot of every table row, or the number of slots where the row does not occur. */
  owners: `${indices}_owners`,
});

/** Dense gradient of `table` [rows, width] from the gradients of the rows gathered at `indices`. */
export function tableGradient(indices: RowIndices, rows: Value, table: Value): Value {
  const names = inputNames(indices);
  const [size, width] = table.dims as [number, number];
  const occurrences = `${indices}_count`;
  const distinct = `${indices}_distinct`;
  const slots = input(names.slots, "int32", [occurrences, 1]);
  const range = input(names.range, "int32", [1, distinct]);
  const dims = [occurrences, distinct];
  const equal = makeNode("equal", [slots, range], {}, [{ dtype: "bool", dims }]).outputs[0]!;
  const hot = makeNode("toFloat", [equal], {}, [{ dtype: "float32", dims }]).outputs[0]!;
  const sums = matmul(hot, reshape(flatten(rows), [occurrences, width]), { transA: true });
  const zero = constant("float32", new Float32Array(width), [1, width]);
  return gather(concat([sums, zero], 0, `${distinct}+1`), input(names.owners, "int32", [size]));
}

/** Binds the inputs of `tableGradient`, where the program has them. */
export function bindTableRows(
  binding: Binding,
  kind: RowIndices,
  indices: Int32Array,
  tableRows: number,
): void {
  const names = inputNames(kind);
  if (!binding.takes(names.slots)) return;
  const slotOf = new Map<number, number>();
  const slots = indices.map((index) => {
    const slot = slotOf.get(index) ?? slotOf.size;
    slotOf.set(index, slot);
    return slot;
  });
  const owners = new Int32Array(tableRows).fill(slotOf.size);
  for (const [index, slot] of slotOf) owners[index] = slot;
  binding
    .input(names.slots, Tensor.int32(slots, [slots.length, 1]))
    .input(names.range, Tensor.int32(Int32Array.from(slotOf.values()), [1, slotOf.size]))
    .input(names.owners, Tensor.int32(owners, [tableRows]));
}
