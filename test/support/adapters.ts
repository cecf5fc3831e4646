// Adapters on disk, compared.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { LocalLanguageModel } from "../../src/engine/local/index.js";
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

/** How far two adapters are apart, as shares of norms: all weights together, and the tensor that is worst. */
export function distance(a: Tensors, b: Tensors): { all: number; worst: number } {
  const names = [...a.keys()].sort();
  if (String(names) !== String([...b.keys()].sort())) throw new Error("the adapters have other tensors");
  const squares = names.map((name) => {
    const [x, y] = [a.get(name)!, b.get(name)!];
    return [x, x.map((value, i) => value - y[i]!)].map((values) =>
      values.reduce((sum, value) => sum + value * value, 0),
    ) as [number, number];
  });
  const total = (k: 0 | 1) => squares.reduce((sum, pair) => sum + pair[k], 0);
  return {
    all: Math.sqrt(total(1) / total(0)),
    worst: Math.sqrt(Math.max(...squares.map(([whole, apart]) => apart / Math.max(whole, 1e-24)))),
  };
}

/** A model of the local engine that trains on the adapter in `dir`, as its configuration says. */
export async function trainedHere(base: string, dir: string): Promise<LocalLanguageModel> {
  const config = JSON.parse(await readFile(join(dir, "adapter_config.json"), "utf8"));
  return LocalLanguageModel.load(base, {
    adapter: dir,
    lora: {
      r: config.r,
      alpha: config.lora_alpha,
      targetModules: config.target_modules,
      taskType: "CAUSAL_LM",
      baseModel: base,
    },
  });
}
