// The members (WARM, 2401.12187, sections 3.1 and 3.3): Bradley-Terry fine-tunings of all weights from one probed head,
// different in data order, learning rate, dropout and, for Baklava, in the SFT snapshot that they start from.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { RandomStream } from "../../base/random.js";
import { PromptCursor } from "../../data/index.js";
import type { Dropout } from "../../engine/contract.js";
import { bradleyTerry } from "../../objectives/bradley-terry.js";
import { linearProbe } from "../../reward/probe.js";
import { learningRateAt } from "../../run/schedule.js";
import { loadScalarModel } from "../../train/models.js";
import type { Prompt } from "./keys-world.js";
import { smallModelTokens } from "./language.js";
import { type Answer, sequenceOf } from "./sampling.js";
import type { MemberSettings } from "./settings.js";

/** What training sees of a pair. */
export interface LabelledPair {
  prompt: Prompt;
  chosen: Answer;
  rejected: Answer;
}

export interface MemberPlan {
  /** Also its directory's name. */
  name: string;
  /** The directory that it starts from. */
  init: string;
  learningRate: number;
  dropout: number;
  /** Its own data order and dropout masks. */
  order: number;
  /** "shared": the probed head of all members. "own": a random one. */
  head: "shared" | "own";
}

export type SuiteName = "diverse" | "same" | "baklava";

/**
 * The members of the three suites. A member of one suite that another suite's plan would repeat stands in both: the
 * configuration of `same` is one of the diverse ones, and Baklava keeps the diverse members that start from the last
 * snapshot.
 */
export function planSuites(
  sft: readonly string[],
  { diverse, same, baklava, learningRates, dropouts }: MemberSettings,
): Record<SuiteName, MemberPlan[]> {
  const last = sft.at(-1)!;
  const plan = (name: string, order: number, changes: Partial<MemberPlan> = {}): MemberPlan => ({
    name,
    init: last,
    learningRate: learningRates[order % learningRates.length]!,
    dropout: dropouts[Math.floor(order / learningRates.length) % dropouts.length]!,
    order,
    head: "shared",
    ...changes,
  });
  const diverseMembers = Array.from({ length: diverse }, (_, i) => plan(`diverse-${i + 1}`, i));
  // The middle learning rate with the lower dropout.
  const usual = plan("", 1 % learningRates.length);
  const isUsual = ({ learningRate, dropout }: MemberPlan) =>
    learningRate === usual.learningRate && dropout === usual.dropout;
  const repeats = diverseMembers.filter(isUsual).slice(0, same);
  const sameMembers = [
    ...repeats,
    ...Array.from({ length: same - repeats.length }, (_, i) => {
      const { learningRate, dropout } = usual;
      return plan(`same-${i + 1}`, 100 + i, { learningRate, dropout });
    }),
  ];
  const baklavaMembers = Array.from({ length: baklava }, (_, i) => {
    const init = sft.at(-1 - (i % sft.length))!;
    return init === last && i < diverse ? diverseMembers[i]! : plan(`baklava-${i + 1}`, i, { init });
  });
  return { diverse: diverseMembers, same: sameMembers, baklava: baklavaMembers };
}

const sequencesOf = (pairs: readonly LabelledPair[]) =>
  pairs.flatMap(({ prompt, chosen, rejected }) => [sequenceOf(prompt, chosen), sequenceOf(prompt, rejected)]);

/** The head that all members share: fitted on the frozen features of the SFT model, wrong labels included. */
export async function probeHead(
  sft: string,
  pairs: readonly LabelledPair[],
  { probeL2 }: MemberSettings,
): Promise<Float64Array> {
  const model = await loadScalarModel(sft, { frozen: true });
  const features = await model.features(sequencesOf(pairs));
  model.dispose();
  const differences = pairs.map((_, i) =>
    features[2 * i]!.map((value, d) => value - features[2 * i + 1]![d]!),
  );
  return linearProbe(differences, { l2: probeL2 });
}

export interface TrainOptions {
  pairs: readonly LabelledPair[];
  head: Float64Array;
  seed: number;
  settings: MemberSettings;
  /** Also saves the model after these steps, under `<dir>-<step>`. */
  snapshots?: readonly number[];
  signal?: AbortSignal;
}

/** Trains the member into `parent/<name>` unless it is there; returns its directory. */
export async function trainMember(
  parent: string,
  plan: MemberPlan,
  { pairs, head, seed, settings, snapshots = [], signal }: TrainOptions,
): Promise<string> {
  const dir = join(parent, plan.name);
  if (existsSync(dir)) return dir;
  const model = await loadScalarModel(plan.init, {
    seed: seed + plan.order,
    maxBackwardTokens: smallModelTokens,
  });
  if (plan.head === "shared") model.setHead(head);
  const rows = pairs.map((pair, i) => ({ id: String(i), pair }));
  const cursor = PromptCursor.start(rows, { seed, name: `member ${plan.order}` });
  const masks = new RandomStream(seed, `dropout ${plan.order}`);
  const schedule = { lrSchedulerType: "constant", warmupSteps: settings.warmupSteps, minLrRatio: 1 } as const;
  for (let step = 0; step < settings.steps; step++) {
    signal?.throwIfAborted();
    const sequences = sequencesOf(cursor.next(settings.batch).map(({ pair }) => pair));
    const dropout: Dropout = { rate: plan.dropout, seed: masks.nextSeed() };
    const values = (await model.values(sequences, "last", { dropout })).map(([value]) => value!);
    const { gChosen, gRejected } = bradleyTerry({
      chosen: values.filter((_, i) => i % 2 === 0),
      rejected: values.filter((_, i) => i % 2 === 1),
    });
    const g = values.map((_, i) => Float32Array.of((i % 2 === 0 ? gChosen : gRejected)[i >> 1]!));
    await model.backward(sequences, g, { dropout });
    await model.step({
      learningRate: learningRateAt(plan.learningRate, step, settings.steps, schedule),
      maxGradNorm: 1,
    });
    if (snapshots.includes(step + 1) && step + 1 < settings.steps) await model.save(`${dir}-${step + 1}`);
  }
  await model.save(dir);
  model.dispose();
  return dir;
}
