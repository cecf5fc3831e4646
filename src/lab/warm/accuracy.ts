// Pairwise accuracy on clean, flipped and shifted pairs (WARM, 2401.12187, section 4.2), and along the path between two
// members (section 3.2).

import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { mean } from "../../base/statistics.js";
import { loadCheckpoint } from "../../model/checkpoint.js";
import { bradleyTerry } from "../../objectives/bradley-terry.js";
import type { Pair, Preferences } from "./preferences.js";
import { average, scoreWith } from "./rewards.js";
import { sequenceOf } from "./sampling.js";
import type { Arm } from "./suites.js";

/** `train-corrupt` is scored against the wrong labels: the lower, the less was memorised. */
export type Split = "train-corrupt" | "train-clean" | "validation" | "select" | "ood" | "ood same source";

export type Splits = Readonly<Record<Split, readonly Pair[]>>;

export function splitsOf({ train, validation, select, ood }: Preferences): Splits {
  const corrupt = train.filter(({ flipped }) => flipped);
  const clean = train.filter(({ flipped }) => !flipped);
  return {
    "train-corrupt": corrupt,
    // As many as there are flipped ones: the rest would only cost time.
    "train-clean": clean.slice(0, corrupt.length),
    validation,
    select,
    ood,
    // Pairs of two pools are easy: the better pool wins.
    "ood same source": ood.filter(({ sources: [a, b] }) => a === b),
  };
}

/** Sequences of all pairs, chosen before rejected. */
export const pairSequences = (pairs: readonly Pick<Pair, "prompt" | "chosen" | "rejected">[]) =>
  pairs.flatMap(({ prompt, chosen, rejected }) => [sequenceOf(prompt, chosen), sequenceOf(prompt, rejected)]);

export interface SplitIndex {
  sequences: number[][];
  /** First sequence of every split and the one after its last. */
  ranges: Record<Split, readonly [number, number]>;
}

/** The sequences of all splits in one list. */
export function indexSplits(splits: Splits): SplitIndex {
  const sequences: number[][] = [];
  const ranges = {} as SplitIndex["ranges"];
  for (const [name, pairs] of Object.entries(splits)) {
    const start = sequences.length;
    sequences.push(...pairSequences(pairs));
    ranges[name as Split] = [start, sequences.length];
  }
  return { sequences, ranges };
}

export type SplitAccuracy = Record<Split, number>;

/** Share of the pairs in which the chosen answer has the higher reward, ties one half, by split. */
function splitAccuracy(rewards: Float64Array, { ranges }: SplitIndex): SplitAccuracy {
  return mapRanges(ranges, (start, end) => pairAccuracy(rewards.subarray(start, end)));
}

export function pairAccuracy(rewards: Float64Array): number {
  let right = 0;
  for (let i = 0; i < rewards.length; i += 2) right += (Math.sign(rewards[i]! - rewards[i + 1]!) + 1) / 2;
  return right / (rewards.length / 2);
}

function pairLoss(rewards: Float64Array): number {
  return bradleyTerry({
    chosen: rewards.filter((_, i) => i % 2 === 0),
    rejected: rewards.filter((_, i) => i % 2 === 1),
  }).loss;
}

function mapRanges<T>(
  ranges: SplitIndex["ranges"],
  compute: (start: number, end: number) => T,
): Record<Split, T> {
  return Object.fromEntries(
    Object.entries(ranges).map(([name, [start, end]]) => [name, compute(start, end)]),
  ) as Record<Split, T>;
}

/** The accuracy of an arm: the mean over its rewards. */
export function armAccuracy({ rewards }: Arm, index: SplitIndex): SplitAccuracy {
  return mapRanges(index.ranges, (start, end) =>
    mean(rewards.map((one) => pairAccuracy(one.subarray(start, end)))),
  );
}

export interface Interpolation {
  /** Share of the second member. */
  lambda: number;
  /** Of the weight average, and of the average of the two members' rewards. */
  average: SplitAccuracy;
  ensemble: SplitAccuracy;
  /** Bradley-Terry loss of the weight average. */
  loss: Record<Split, number>;
}

/** Accuracy along (1 - lambda) a + lambda b. */
export async function interpolate(
  [a, b]: readonly [string, string],
  lambdas: readonly number[],
  index: SplitIndex,
  scratch: string,
): Promise<Interpolation[]> {
  const ends = [await scoreWith(a, index.sequences), await scoreWith(b, index.sequences)] as const;
  const dir = await mkdtemp(join(scratch, "path-"));
  const points: Interpolation[] = [];
  for (const lambda of lambdas) {
    const rewards =
      lambda === 0
        ? ends[0]
        : lambda === 1
          ? ends[1]
          : await scoreWith(
              await average([a, b], join(dir, String(lambda)), [1 - lambda, lambda]),
              index.sequences,
            );
    const ensemble = ends[0].map((r, i) => (1 - lambda) * r + lambda * ends[1][i]!);
    points.push({
      lambda,
      average: splitAccuracy(rewards, index),
      ensemble: splitAccuracy(ensemble, index),
      loss: mapRanges(index.ranges, (start, end) => pairLoss(rewards.subarray(start, end))),
    });
  }
  await rm(dir, { recursive: true });
  return points;
}

export interface Deltas {
  /** Mean cosine of the pairs of members' deltas phi_i - phi_init. */
  cosine: number;
  /** Norm of the mean delta over the mean norm. */
  shrinkage: number;
}

/** How far apart the members' ways from `init` are, over all weights but the head. */
export async function deltasOf(dirs: readonly string[], init: string): Promise<Deltas> {
  const start = await trunkWeights(init);
  const deltas: Float64Array[] = [];
  for (const dir of dirs) deltas.push((await trunkWeights(dir)).map((w, i) => w - start[i]!));
  const norms = deltas.map((delta) => Math.sqrt(dot(delta, delta)));
  let cosine = 0;
  let pairs = 0;
  for (let i = 0; i < deltas.length; i++)
    for (let j = 0; j < i; j++, pairs++) cosine += dot(deltas[i]!, deltas[j]!) / (norms[i]! * norms[j]!);
  const centre = deltas[0]!.map((_, k) => deltas.reduce((sum, delta) => sum + delta[k]!, 0) / deltas.length);
  return { cosine: cosine / pairs, shrinkage: Math.sqrt(dot(centre, centre)) / mean(norms) };
}

async function trunkWeights(dir: string): Promise<Float64Array> {
  const { tensors } = await loadCheckpoint(dir);
  const trunk = [...tensors].filter(([name]) => name.startsWith("model."));
  return Float64Array.from(trunk.flatMap(([, values]) => [...values]));
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
