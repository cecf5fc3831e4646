// Binding a batch whose sequences share beginnings to a program (groups.ts says where everything stands).

import { sharedInputs, tailMaskName } from "../../model/attention.js";
import type { DecoderConfig } from "../../model/config.js";
import { type Binding, Tensor } from "../../tensor/runtime.js";
import { type Layout, tailMask } from "./groups.js";

/** Binds tokens, positions, wanted rows and places; not rotary tables and the masks of beginnings. */
export function bindLayout(
  binding: Binding,
  layout: Layout,
  jobs: readonly { rows: readonly number[] }[],
  config: DecoderConfig,
): void {
  const { tokens, positions, tails, extents } = layout;
  const { S, G, P, C } = extents;
  const [N, R, L] = [tokens.length, S * G, P + C];
  const rows = tails.flatMap(({ index, start, shared }) =>
    jobs[index]!.rows.map((position) => start + position - shared),
  );
  const inverse = new Int32Array(N).fill(rows.length);
  rows.forEach((row, n) => {
    inverse[row] = n;
  });
  const bound: Record<string, Tensor> = {
    tokens: Tensor.int32(tokens, [1, N]),
    positions: Tensor.int64(positions, [1, N]),
    rows: Tensor.int32(Int32Array.from(rows), [rows.length]),
    inverse: Tensor.int32(inverse, [N]),
  };
  const places: Record<keyof typeof sharedInputs, Tensor> = {
    heads: Tensor.int32(layout.heads, [S, P]),
    headsOrNone: Tensor.int32(layout.headsOrNone, [S, P]),
    tails: Tensor.int32(layout.tailPlaces, [R, C]),
    tailsOrNone: Tensor.int32(layout.tailPlacesOrNone, [R, C]),
    seen: Tensor.int32(layout.seen, [R, L]),
    placed: Tensor.int32(layout.placed, [N]),
    widths: Tensor.int64([P, C]),
    grouped: Tensor.int64([S, G, P, config.kvHeads * config.headDim]),
  };
  for (const [key, tensor] of Object.entries(places))
    bound[sharedInputs[key as keyof typeof sharedInputs]().node.attributes.name as string] = tensor;
  for (const window of new Set(config.slidingWindow)) {
    const { floats, dims } = tailMask(layout, config.heads / config.kvHeads, window);
    bound[tailMaskName(window)] = Tensor.float32(floats, dims);
  }
  for (const [name, tensor] of Object.entries(bound)) if (binding.takes(name)) binding.input(name, tensor);
}
