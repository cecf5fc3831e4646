// Adapters on disk, compared.

import { join } from "node:path";
import { SafetensorsReader } from "../../src/model/safetensors.js";

export type Tensors = Map<string, Float32Array>;

/** Every tensor of an adapter's directory. */
export async function tensorsOf(dir: string): Promise<Tensors> {
  const reader = await SafetensorsReader.open(join(dir, "adapter_model.safetensors"));
  const tensors: Tensors = new Map();
  for (const name of reader.tensors.keys()) tensors.set(name, await reader.readFloat32(name));
  await reader.close();
  return tensors;
}

/** The largest distance of a tensor from its twin, as a share of its norm. Infinite where their names differ. */
export function distance(a: Tensors, b: Tensors): number {
  const names = [...a.keys()].sort();
  if (String(names) !== String([...b.keys()].sort())) return Number.POSITIVE_INFINITY;
  const norm = (x: ArrayLike<number>) => Math.hypot(...Array.from(x));
  return Math.max(
    ...names.map((name) => {
      const [x, y] = [a.get(name)!, b.get(name)!];
      return norm(x.map((value, i) => value - y[i]!)) / Math.max(norm(x), 1e-12);
    }),
  );
}
