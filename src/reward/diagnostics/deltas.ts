// How far apart the members are: d_i = phi_i - phi_init. Whole weights are nearly collinear whatever the members do, so
// only their differences from where they began tell (as WARP, 2406.16768, found for policies).

import { UserError } from "../../base/errors.js";
import { mean } from "../../base/statistics.js";
import { formatShape } from "../../model/safetensors.js";
import { type Member, openMember } from "../member.js";
import type { MemberSet } from "../member-set.js";

export interface DeltaGeometry {
  /** "all", "head", "embeddings", "layer 3", ... */
  group: string;
  /** |d_i| of every member. */
  norms: number[];
  /** |phi_init|, of one member's where each has its own; 0 for a head that the initialisation lacks. */
  initialNorm: number;
  /** cosine(d_i, d_j). */
  cosines: number[][];
  /** Mean over i < j. 1: no diversity; near 0 with different heads or initialisations: the average may break. */
  meanCosine: number;
  /** |mean d| / mean |d_i|. */
  shrinkage: number;
  /** sqrt((1 + (M - 1) c) / M), which `shrinkage` is for equal norms. */
  expectedShrinkage: number;
}

export interface DeltaOptions {
  /** Where the members began: one directory for all, or one for each. */
  init: readonly string[];
  /** Called with the number of parameters compared so far and in all. */
  onProgress?: (done: number, total: number) => void;
}

const chunkElements = 1 << 18;

function groupOf(tensor: string): string {
  if (tensor === "score.weight") return "head";
  const layer = /\blayers\.(\d+)\./.exec(tensor)?.[1];
  if (layer !== undefined) return `layer ${layer}`;
  return tensor.includes("embed") ? "embeddings" : "rest";
}

/** Inner products of the members' deltas, and the squared norm of the initialisation. */
interface Products {
  gram: Float64Array;
  initial: number;
}

/** The geometry of all parameters together, then of every group of them in the order of the file. */
export async function deltaGeometry(
  set: MemberSet,
  { init, onProgress }: DeltaOptions,
): Promise<DeltaGeometry[]> {
  const { members, floats } = set;
  const inits: Member[] = [];
  try {
    for (const dir of init) {
      inits.push(await openMember(dir));
      checkOrigin(inits.at(-1)!, set);
    }
    const count = members.length;
    const products = new Map<string, Products>();
    const total = floats.reduce((sum, [, elements]) => sum + elements, 0);
    let done = 0;
    for (const [name, elements] of floats) {
      const group = products.get(groupOf(name)) ?? { gram: new Float64Array(count * count), initial: 0 };
      products.set(groupOf(name), group);
      for (let at = 0; at < elements; at += chunkElements) {
        const size = Math.min(chunkElements, elements - at);
        const origins = await Promise.all(inits.map((origin) => readOr0(origin, name, at, size)));
        const deltas = await Promise.all(members.map((member) => readOr0(member, name, at, size)));
        for (const [i, delta] of deltas.entries()) {
          const origin = origins[origins.length === 1 ? 0 : i]!;
          for (let k = 0; k < size; k++) delta[k]! -= origin[k]!;
        }
        addProducts(group, deltas, origins[0]!);
        done += size;
        onProgress?.(done, total);
      }
    }
    const all: Products = { gram: new Float64Array(count * count), initial: 0 };
    for (const { gram, initial } of products.values()) {
      for (let k = 0; k < gram.length; k++) all.gram[k]! += gram[k]!;
      all.initial += initial;
    }
    return [["all", all] as const, ...products].map(([group, sums]) => geometryOf(group, sums, count));
  } finally {
    await Promise.all(inits.map((origin) => origin.close()));
  }
}

/** Refuses an initialisation that the members cannot have begun from. A language model has no score head. */
function checkOrigin(origin: Member, { first, floats }: MemberSet): void {
  for (const [name] of floats) {
    const [own, found] = [first.tensors.get(name)!, origin.tensors.get(name)];
    if (found === undefined && name === "score.weight") continue;
    if (found === undefined || formatShape(found.shape) !== formatShape(own.shape)) {
      throw new UserError(
        `${origin.dir} is not where ${first.dir} began: its tensor "${name}" ${found ? `has shape ${formatShape(found.shape)}, not ${formatShape(own.shape)}` : "is missing"}`,
      );
    }
  }
}

/** A part of a tensor; zeros where there is none. */
async function readOr0(member: Member, name: string, at: number, size: number): Promise<Float32Array> {
  const values = new Float32Array(size);
  if (member.tensors.has(name)) await member.read(name, at, values);
  return values;
}

function addProducts(sums: Products, deltas: readonly Float32Array[], origin: Float32Array): void {
  const count = deltas.length;
  for (let i = 0; i < count; i++)
    for (let j = 0; j <= i; j++) {
      const product = dot(deltas[i]!, deltas[j]!);
      sums.gram[i * count + j]! += product;
      if (i !== j) sums.gram[j * count + i]! += product;
    }
  sums.initial += dot(origin, origin);
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function geometryOf(group: string, { gram, initial }: Products, count: number): DeltaGeometry {
  const at = (i: number, j: number) => gram[i * count + j]!;
  const indices = Array.from({ length: count }, (_, i) => i);
  const norms = indices.map((i) => Math.sqrt(at(i, i)));
  const cosines = indices.map((i) => indices.map((j) => (i === j ? 1 : at(i, j) / (norms[i]! * norms[j]!))));
  const pairs = indices.flatMap((i) => indices.slice(0, i).map((j) => cosines[i]![j]!));
  const meanCosine = mean(pairs);
  const sum = gram.reduce((total, product) => total + product, 0);
  return {
    group,
    norms,
    initialNorm: Math.sqrt(initial),
    cosines,
    meanCosine,
    shrinkage: Math.sqrt(sum) / count / mean(norms),
    expectedShrinkage: Math.sqrt((1 + (count - 1) * meanCosine) / count),
  };
}
