// What a service does that its protocol leaves open, found out on a throw-away model before anything is trained: how it
// sums up a gradient, whether it knows a request that is sent twice, whether it clips, and whether it scores prompts.

import { UserError } from "../../base/errors.js";
import { ServiceError, type TinkerClient } from "./client.js";
import { type Reduction, reductions } from "./reduction.js";
import { type Manners, RemoteModel } from "./remote.js";
import { Sampler } from "./sampling.js";
import type { Datum } from "./wire.js";

export interface Findings extends Manners {
  reduction: Reduction;
  /** optim_step takes grad_clip_norm. */
  clips: boolean;
  /** Sampling gives log-probabilities of prompts, the same as a forward pass does. */
  scoresPrompts: boolean;
}

export interface ProbeOptions {
  client: TinkerClient;
  baseModel: string;
  rank: number;
  vocabSize: number;
  /** Declared instead of measured. */
  reduction?: Reduction | undefined;
  /** The next number of a model in the session. */
  nextModel: () => number;
}

/** Asks the service with a model of its own, which is given back. */
export async function probe(options: ProbeOptions): Promise<Findings> {
  const { client, vocabSize } = options;
  const tokens = (n: number) => Array.from({ length: n }, (_, i) => (17 * i + 5) % vocabSize);
  const { model, dialect } = await firstModel(options, tokens(2));
  try {
    // In this order: a fresh model scores as the base does, and Adam has no moments before the first step.
    const scoresPrompts = await findPromptScores(client, options.baseModel, model, tokens(12));
    const short = await withLogprobs(model, tokens(6));
    const clips = await findClipping(model, short);
    const reduction = options.reduction ?? (await findReduction(model, tokens));
    const recognisesRepeats = await model.knowsRepeat(short);
    // SkyRL's JAX back end leaves a gradient that no step has taken to the next model in the same place.
    await model.optimStep(standstill).catch(() => {});
    return { dialect, reduction, clips, recognisesRepeats, scoresPrompts };
  } finally {
    await model.unload();
  }
}

/** A model that is spoken to in JSON where the service takes passes in it, else in protobuf. */
async function firstModel(
  { client, baseModel, rank, nextModel }: ProbeOptions,
  tokens: number[],
): Promise<{ model: RemoteModel; dialect: Manners["dialect"] }> {
  const create = (dialect: Manners["dialect"]) =>
    RemoteModel.create(
      client,
      { baseModel, rank, seed: 0, number: nextModel() },
      { dialect, recognisesRepeats: false },
    );
  const model = await create("json");
  try {
    await withLogprobs(model, tokens);
    return { model, dialect: "json" };
  } catch (error) {
    await model.unload();
    // No such route (forward), or no such type of content.
    if (error instanceof ServiceError && [404, 405, 415].includes(error.status ?? 0))
      return { model: await create("protobuf"), dialect: "protobuf" };
    throw error;
  }
}

/** A datum whose every target has an advantage of 1, at the model's own log-probabilities. */
async function withLogprobs(
  model: RemoteModel,
  tokens: number[],
  learning = tokens.length - 1,
): Promise<Datum> {
  const datum = { input: tokens.slice(0, -1), targets: tokens.slice(1) };
  const { logprobs } = await model.pass([[datum]]);
  const advantages = Float32Array.from(datum.targets, (_, i) => (i < learning ? 1 : 0));
  return { ...datum, learns: { logprobs: logprobs[0]!, advantages } };
}

/**
 * With a large epsilon Adam's first step is proportional to the gradient, so that a clipped one leaves the model where it
 * was. Comes first: later steps would have moments.
 */
async function findClipping(model: RemoteModel, datum: Datum): Promise<boolean> {
  await model.pass([[datum]]);
  const still = { learning_rate: 1, beta1: 0.9, beta2: 0.999, eps: 1, weight_decay: 0, grad_clip_norm: 1e-7 };
  await model.optimStep(still);
  const { logprobs } = await model.pass([[{ input: datum.input, targets: datum.targets }]]);
  const before = datum.learns!.logprobs;
  return logprobs[0]!.every((x, i) => Math.abs(x - before[i]!) < 1e-4);
}

/** A step that moves nothing. */
const standstill = { learning_rate: 0, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0 };

/** Norms of gradients whose ratios tell the reductions apart. */
async function findReduction(model: RemoteModel, tokens: (n: number) => number[]): Promise<Reduction> {
  const short = await withLogprobs(model, tokens(6));
  // The same gradient, in a sequence of ten targets instead of five.
  const long = await withLogprobs(model, tokens(11), 5);
  const silent = await withLogprobs(model, tokens(11), 0);
  const norm = async (...calls: Datum[][]): Promise<number | undefined> => {
    let loss: string | undefined;
    for (const call of calls) {
      const { metrics } = await model.pass([call]);
      loss = Object.keys(metrics).find((key) => /^loss:/.test(key));
    }
    const metrics = await model.optimStep(standstill);
    const measured = gradNorm(metrics);
    if (measured === undefined && loss === "loss:sum") throw new SaysSum();
    return measured;
  };
  try {
    const [one, inLong, three, withSilent, twoCalls] = [
      await norm([short]),
      await norm([long]),
      await norm([short, short, short]),
      await norm([short, silent]),
      await norm([short], [short]),
    ];
    if (one === undefined || !(one > 0)) throw undecided("it reports no norm of the gradient");
    const ratios = [inLong!, three!, withSilent!, twoCalls!].map((norm) => norm / one);
    for (const [reduction, expected] of Object.entries(expectedRatios))
      if (ratios.every((ratio, i) => Math.abs(ratio - expected[i]!) < 0.02 * expected[i]!))
        return reduction as Reduction;
    throw undecided(
      `the norms of five gradients stand as 1 : ${ratios.map((r) => r.toFixed(3)).join(" : ")}`,
    );
  } catch (error) {
    if (error instanceof SaysSum) return "sum";
    throw error;
  }
}

/** Of a gradient alone in a sequence twice as long, thrice, beside a sequence without gradient, and in two calls. */
const expectedRatios: Record<Reduction, number[]> = {
  sum: [1, 3, 1, 2],
  mean: [1 / 2, 1, 1 / 2, 1],
  call_mean: [1 / 2, 1, 1 / 2, 2],
};

/** The service names its loss as a sum and no norm. */
class SaysSum extends Error {}

const undecided = (why: string) =>
  new UserError(
    `how the service sums up a gradient could not be found out (${why}); say it as engine.loss_reduction: ${reductions.join(", ")}`,
  );

/** The norm of the gradient among a service's figures, by whatever name. */
export function gradNorm(metrics: Record<string, unknown>): number | undefined {
  const [, value] = Object.entries(metrics).find(([key]) => /grad(ient)?_norm/.test(key)) ?? [];
  return typeof value === "number" ? value : undefined;
}

/** Whether sampling scores prompts, and as a forward pass does: an engine of its own may round otherwise. */
async function findPromptScores(
  client: TinkerClient,
  baseModel: string,
  model: RemoteModel,
  tokens: number[],
): Promise<boolean> {
  const { learns } = await withLogprobs(model, tokens);
  try {
    const scored = await (await Sampler.open(client, { base_model: baseModel })).scorePrompt(tokens);
    return scored?.every((x, i) => Math.abs(x - learns!.logprobs[i]!) < 1e-3) ?? false;
  } catch (error) {
    if (error instanceof ServiceError) return false;
    throw error;
  }
}
