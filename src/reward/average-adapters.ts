// The average of LoRA adapters as an adapter: the means of their A and B matrices. That is not the average of what they
// do, for mean(B_i) mean(A_i) is not mean(B_i A_i); how far the two are apart is measured here. Averaging the merged
// weights (average.ts) has no such error.

import { resolve } from "node:path";
import { UserError } from "../base/errors.js";
import { percent } from "../base/percent.js";
import {
  type Adapter,
  type LoraPair,
  loraScale,
  mergeLora,
  readAdapter,
  saveAdapter,
} from "../model/adapter.js";
import { modelCard } from "../model/checkpoint.js";
import type { LinearMerge } from "./mergekit.js";

export interface AdapterAverageOptions {
  /** Adapter directories; the weights are divided by their sum. */
  members: LinearMerge["models"];
  out: string;
}

export interface AdapterDifference {
  /** |scale (B A - mean(B_i A_i))| / |scale mean(B_i A_i)| over all targets, Frobenius norms. */
  relative: number;
  /** The target that differs most. */
  worst: { target: string; relative: number };
}

/** The difference for a person. */
export const differenceSentence = ({ relative, worst }: AdapterDifference): string =>
  `the mean of A times the mean of B is ${percent(relative, 2)} away from the mean of the products B A, which averaging merged weights gives (most in ${worst.target}: ${percent(worst.relative, 2)})`;

/** Averages adapters on one base into an adapter directory, and tells how far it is from the average of the merged weights. */
export async function averageAdapters({ members, out }: AdapterAverageOptions): Promise<AdapterDifference> {
  const dirs = members.map(({ model }) => model);
  const total = members.reduce((sum, { weight }) => sum + weight, 0);
  const weights = members.map(({ weight }) => weight / total);
  const adapters: Adapter[] = [];
  for (const dir of dirs) {
    if (resolve(dir) === resolve(out))
      throw new UserError(`${out} is a member of the average and cannot be its output`);
    adapters.push(await readAdapter(dir));
    checkAlike(dirs[0]!, adapters[0]!, dir, adapters.at(-1)!);
  }
  const [first] = adapters as [Adapter];
  const pairs = new Map<string, LoraPair>();
  const errors: { target: string; error: number; size: number }[] = [];
  for (const target of first.pairs.keys()) {
    const own = adapters.map((adapter) => adapter.pairs.get(target)!);
    const pair = {
      a: meanOf(
        own.map(({ a }) => a),
        weights,
      ),
      b: meanOf(
        own.map(({ b }) => b),
        weights,
      ),
    };
    pairs.set(target, pair);
    errors.push({ target, ...differenceOf(pair, own, weights, adapters) });
  }
  const saved: Adapter["saved"] = new Map(
    [...first.saved].map(([name, { shape }]) => [
      name,
      {
        shape,
        values: meanOf(
          adapters.map((adapter) => adapter.saved.get(name)!.values),
          weights,
        ),
      },
    ]),
  );
  const relative = (parts: readonly { error: number; size: number }[]): number =>
    Math.sqrt(
      parts.reduce((sum, { error }) => sum + error, 0) / parts.reduce((sum, { size }) => sum + size, 0),
    );
  const worst = errors.reduce((a, b) => (relative([b]) > relative([a]) ? b : a));
  const difference = {
    relative: relative(errors),
    worst: { target: worst.target, relative: relative([worst]) },
  };
  await saveAdapter(
    out,
    { lora: first.lora, pairs, saved },
    { tokenizerFrom: dirs[0], readme: adapterCard(members, difference) },
  );
  return difference;
}

function adapterCard(members: LinearMerge["models"], difference: AdapterDifference): string {
  const body = `# Average of ${members.length} LoRA adapters

The means of their A and B matrices.

## Members

${members.map(({ model, weight }) => `- \`${model}\` (weight ${weight})`).join("\n")}

## Difference

This is not the average of what the adapters do: ${differenceSentence(difference)}.`;
  return modelCard({ library_name: "peft", tags: ["merge", "lora"] }, body);
}

function meanOf(values: readonly Float32Array[], weights: readonly number[]): Float32Array {
  return values[0]!.map((_, k) => values.reduce((sum, own, i) => sum + weights[i]! * own[k]!, 0));
}

/** Squared norms of scale (B A - mean(B_i A_i)) and of scale mean(B_i A_i), of one target. */
function differenceOf(
  average: LoraPair,
  own: readonly LoraPair[],
  weights: readonly number[],
  adapters: readonly Adapter[],
): { error: number; size: number } {
  const { r } = adapters[0]!.lora;
  const elements = (average.a.length / r) * (average.b.length / r);
  const exact = new Float32Array(elements);
  for (const [i, pair] of own.entries())
    mergeLora(exact, pair, { r, scale: weights[i]! * loraScale(adapters[i]!.lora) });
  const product = new Float32Array(elements);
  mergeLora(product, average, { r, scale: loraScale(adapters[0]!.lora) });
  let error = 0;
  let size = 0;
  for (let k = 0; k < elements; k++) {
    error += (product[k]! - exact[k]!) ** 2;
    size += exact[k]! ** 2;
  }
  return { error, size };
}

function checkAlike(firstDir: string, first: Adapter, dir: string, member: Adapter): void {
  const factsOf = ({ lora, pairs, saved }: Adapter) => ({
    base: lora.baseModel,
    r: lora.r,
    scale: loraScale(lora),
    "task type": lora.taskType,
    targets: [...pairs].map(([name, { a, b }]) => `${name} ${a.length} ${b.length}`).sort(),
    "modules to save": [...saved].map(([name, { shape }]) => `${name} ${shape}`).sort(),
  });
  const [expected, found] = [factsOf(first), factsOf(member)];
  for (const fact of Object.keys(expected) as (keyof typeof expected)[]) {
    const [a, b] = [JSON.stringify(expected[fact]), JSON.stringify(found[fact])];
    if (a === b) continue;
    const detail = Array.isArray(expected[fact]) ? "differ" : `is ${b}, not ${a}`;
    throw new UserError(`${dir} cannot be averaged with ${firstDir} as adapters: its ${fact} ${detail}`);
  }
}
