// One seed of the experiment: its preference data, members, averages, best-of-N and policies. Every finished piece is
// on disk, so that a restart goes on from there and parts of the seed can run in processes of their own.

import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { writeFileAtomic } from "../../base/atomic.js";
import { makeDirectory } from "../../base/files.js";
import { jsonl } from "../../base/jsonl.js";
import { RandomStream } from "../../base/random.js";
import { mean, standardDeviation } from "../../base/statistics.js";
import type { LanguageModel, TokenIds } from "../../engine/contract.js";
import { emaWeights } from "../../reward/average.js";
import { loadLanguageModel } from "../../train/models.js";
import type { Part, SeedContext } from "../reproduce/experiment.js";
import { kept } from "../reproduce/kept.js";
import {
  armAccuracy,
  type Deltas,
  deltasOf,
  type Interpolation,
  indexSplits,
  interpolate,
  pairAccuracy,
  pairSequences,
  type SplitAccuracy,
  type SplitIndex,
  splitsOf,
} from "./accuracy.js";
import { type BestOfNResult, bestOfNResult } from "./best-of-n.js";
import { gold } from "./gold.js";
import { type KeysWorld, type Prompt, textOf } from "./keys-world.js";
import type { LanguageModels } from "./language.js";
import { trainSuite, writePairs } from "./members.js";
import { type PolicyRun, trainPolicy } from "./policies.js";
import { makePreferences, type Pair, type Preferences } from "./preferences.js";
import { checkpointModel, planSuites, type SuiteName } from "./recipes.js";
import { average, openReward, scoreWith } from "./rewards.js";
import { type Answer, sampleAnswers, sampleGroups, sequenceOf } from "./sampling.js";
import type { RlArm, RlSettings, WarmSettings } from "./settings.js";
import { type Arm, type Models, makeArms, modelDirs, type ScoresByModel } from "./suites.js";

export interface AccuracyResult {
  arms: { name: string; accuracy: SplitAccuracy }[];
  /** Along the path between two members of every suite. */
  paths: Record<SuiteName, Interpolation[]>;
  deltas: Record<SuiteName, Deltas>;
  /** The average of copies of one member is the member, bit for bit. */
  copiesAreIdentical: boolean;
  flippedShare: number;
  /** True reward of SFT answers. */
  start: { mean: number; deviation: number };
}

export interface Costs {
  /** Seconds per sequence. */
  scoreAverage: number;
  scoreEnsemble: number;
}

/** What a policy's run leaves for the report; answers stay in the seed's directory. */
export type PolicyResult = Omit<PolicyRun, "points"> & {
  points: Omit<PolicyRun["points"][number], "answers">[];
};

export interface WarmResult {
  settings: WarmSettings;
  accuracy: AccuracyResult;
  /** Accuracy on pairs that single-model policies wrote at the same step, by arm. */
  drift: { pairs: number; arms: { name: string; accuracy: number }[] };
  bestOfN: BestOfNResult;
  policies: PolicyResult[];
  costs: Costs;
  /** Wall time of every piece, seconds. */
  seconds: Record<string, number>;
}

export interface SeedOptions {
  seed: number;
  world: KeysWorld;
  language: LanguageModels;
  settings: WarmSettings;
  context: Pick<SeedContext, "dir" | "threads" | "log" | "signal">;
}

/** What every part of a seed works with: its data, its models, and the pieces on disk. */
interface Bench extends SeedOptions {
  sft: LanguageModel;
  scratch: string;
  preferences: Preferences;
  models: Models;
  index: SplitIndex;
  /** SFT answers that set the scale of every reward. */
  scale: { prompts: Prompt[]; answers: Answer[]; sequences: number[][] };
  armsOver(sequences: readonly TokenIds[]): Promise<Arm[]>;
  piece: Pieces["piece"];
}

/** Finished pieces of a seed's directory, each with the seconds that it took. */
class Pieces {
  readonly seconds: Record<string, number> = {};

  constructor(private readonly context: SeedOptions["context"]) {}

  /** What `make` gives, from disk where an earlier run has made it. */
  readonly piece = async <T>(name: string, make: () => Promise<T>): Promise<T> => {
    const { dir, log, signal } = this.context;
    let isNew = false;
    const { seconds, made } = await kept(join(dir, `${name}.json`), async () => {
      signal?.throwIfAborted();
      isNew = true;
      const began = performance.now();
      return { made: await make(), seconds: (performance.now() - began) / 1000 };
    });
    this.seconds[name] = seconds;
    if (isNew) log(`${name}: ${seconds.toFixed(1)} s`);
    return made;
  };
}

/** The parts of a seed that may run side by side. */
export const warmParts = ({ rl }: WarmSettings): Part[] => [
  { name: "members" },
  ...["accuracy", "best-of-n", ...policiesOf(rl).map(policyPiece)].map((name) => ({
    name,
    after: ["members"],
  })),
];

export async function runWarmPart(part: string, options: SeedOptions): Promise<void> {
  await onBench(options, new Pieces(options.context), async (bench) => {
    if (part === "accuracy") await accuracyOf(bench);
    if (part === "best-of-n") await bestOfNOf(bench);
    const policy = policiesOf(options.settings.rl).find((one) => policyPiece(one) === part);
    if (policy) await policyOf(bench, policy);
  });
}

export async function runWarmSeed(options: SeedOptions): Promise<WarmResult> {
  const { settings } = options;
  const pieces = new Pieces(options.context);
  return onBench(options, pieces, async (bench) => {
    const { preferences, models, index, armsOver, piece } = bench;
    const accuracy = await accuracyOf(bench);
    const bestOfN = await bestOfNOf(bench);
    const policies: PolicyRun[] = [];
    for (const policy of policiesOf(settings.rl)) policies.push(await policyOf(bench, policy));
    const drift = await piece("drift", async () => {
      const pairs = driftPairs(policies, preferences.heldOut);
      const arms = await armsOver(pairSequences(pairs));
      return {
        pairs: pairs.length,
        arms: arms.map(({ name, rewards }) => ({ name, accuracy: mean(rewards.map(pairAccuracy)) })),
      };
    });
    const costs = await piece("costs", () => measureCosts(models, settings.main, index.sequences));
    return {
      settings,
      accuracy,
      drift,
      bestOfN,
      policies: policies.map(({ points, ...run }) => ({
        ...run,
        points: points.map(({ answers: _, ...point }) => point),
      })),
      costs,
      seconds: pieces.seconds,
    };
  });
}

/** Opens the seed, making its data and its members where they are missing. */
async function onBench<T>(
  options: SeedOptions,
  { piece }: Pieces,
  work: (bench: Bench) => Promise<T>,
): Promise<T> {
  const { seed, world, language, settings, context } = options;
  const scratch = join(context.dir, "scratch");
  await makeDirectory(scratch);
  const sft = await loadLanguageModel(language.sft.at(-1)!, { frozen: true });
  try {
    const preferences = await piece("preferences", async () => {
      const pretrained = await loadLanguageModel(language.pretrained, { frozen: true });
      const made = await makePreferences({ world, settings, seed, pretrained, sft });
      pretrained.dispose();
      return made;
    });
    const models = await piece("members", () => makeModels(options, preferences));
    const random = new RandomStream(seed, "scale");
    const all = preferences.train.map(({ prompt }) => prompt);
    const prompts = Array.from({ length: settings.rl.scaleSamples }, () => random.choice(all));
    const answers = await sampleAnswers(sft, prompts, { random });
    const sequences = answers.map((answer, i) => sequenceOf(prompts[i]!, answer));
    const dirs = modelDirs(models);
    let ofScale: ReturnType<typeof scoreAll> | undefined;
    const armsOver = async (of: readonly TokenIds[]) => {
      ofScale ??= scoreAll(dirs, sequences);
      return makeArms(models, await scoreAll(dirs, of), await ofScale, settings);
    };
    const index = indexSplits(splitsOf(preferences));
    const scale = { prompts, answers, sequences };
    return await work({ ...options, sft, scratch, preferences, models, index, scale, armsOver, piece });
  } finally {
    sft.dispose();
  }
}

const accuracyOf = ({
  world,
  language,
  settings,
  scratch,
  preferences,
  models,
  index,
  scale,
  armsOver,
  piece,
}: Bench) =>
  piece("accuracy", async (): Promise<AccuracyResult> => {
    const arms = await armsOver(index.sequences);
    const { diverse, same, baklava } = models;
    const path = (dirs: readonly string[]) =>
      interpolate([dirs[0]!, dirs[1]!], settings.path, index, scratch);
    const deltas = (dirs: readonly string[]) => deltasOf(dirs, language.sft.at(-1)!);
    const copy = await average(new Array<string>(settings.main).fill(diverse[0]!), join(scratch, "copies"));
    const file = "model.safetensors";
    const golds = scale.answers.map((answer, i) => gold(world, scale.prompts[i]!, answer));
    return {
      arms: arms.map((arm) => ({ name: arm.name, accuracy: armAccuracy(arm, index) })),
      paths: { diverse: await path(diverse), same: await path(same), baklava: await path(baklava) },
      deltas: { diverse: await deltas(diverse), same: await deltas(same), baklava: await deltas(baklava) },
      copiesAreIdentical: isDeepStrictEqual(
        await readFile(join(copy, file)),
        await readFile(join(diverse[0]!, file)),
      ),
      flippedShare: preferences.train.filter(({ flipped }) => flipped).length / preferences.train.length,
      start: { mean: mean(golds), deviation: standardDeviation(golds) },
    };
  });

const bestOfNOf = ({ seed, world, settings, sft, preferences, armsOver, piece }: Bench) =>
  piece("best-of-n", async () => {
    const chosen = preferences.heldOut.slice(0, settings.bestOfN.prompts);
    const random = new RandomStream(seed, "best of n");
    const answers = await sampleGroups(sft, chosen, settings.bestOfN.answers, random);
    const sequences = answers.flatMap((group, p) => group.map((answer) => sequenceOf(chosen[p]!, answer)));
    return bestOfNResult({ world, prompts: chosen, answers }, await armsOver(sequences));
  });

interface Policy {
  alpha: number;
  arm: RlArm;
}

const policiesOf = ({ arms }: RlSettings): Policy[] =>
  arms.flatMap(({ alpha, arms: of }) => of.map((arm) => ({ alpha, arm })));

const policyPiece = ({ alpha, arm }: Policy): string => `policy-${arm}-alpha-${alpha}`;

const promptFile = (dir: string): string => join(dir, "prompts.jsonl");

const policyOf = (
  { seed, world, language, settings, context, models, preferences, scale, piece }: Bench,
  policy: Policy,
) => {
  const { dir, threads, signal } = context;
  return piece(policyPiece(policy), () =>
    trainPolicy(policyPiece(policy), {
      ...policy,
      ...{ dir, seed, threads, signal, world, models },
      sft: language.sft.at(-1)!,
      prompts: promptFile(dir),
      heldOut: preferences.heldOut,
      reference: scale.sequences,
      settings: settings.rl,
    }),
  );
};

/** Trains all suites, ranks the diverse one on D_select, and averages. */
async function makeModels(
  { seed, world, language, settings, context: { dir, threads, log, signal } }: SeedOptions,
  { train, select }: Preferences,
): Promise<Models> {
  const parent = join(dir, "models");
  await makeDirectory(parent);
  const data = await writePairs(join(dir, "preferences.jsonl"), world, train);
  const prompts = train.map(({ prompt }) => ({ prompt: textOf(world, prompt) }));
  await writeFileAtomic(promptFile(dir), jsonl(prompts));
  const plans = planSuites(language.sft, settings.members);
  const membersOf = async (suite: SuiteName): Promise<string[]> => {
    const context = { dir: parent, seed, threads, data, signal };
    const members = await trainSuite(suite, plans[suite], { ...context, settings: settings.members });
    log(`${suite}: ${members.length} members`);
    return members;
  };
  const [unranked, same, baklava] = [
    await membersOf("diverse"),
    await membersOf("same"),
    await membersOf("baklava"),
  ];
  const sequences = pairSequences(select);
  const scored: { member: string; accuracy: number }[] = [];
  for (const member of unranked)
    scored.push({ member, accuracy: pairAccuracy(await scoreWith(member, sequences)) });
  const diverse = scored.sort((a, b) => b.accuracy - a.accuracy).map(({ member }) => member);
  const out = (name: string) => join(parent, name);
  const warm: Record<number, string> = {};
  for (const m of settings.averages) warm[m] = await average(diverse.slice(0, m), out(`warm-${m}`));
  const first = unranked[0]!;
  const before = settings.members.trajectory.slice(0, -1);
  const run = [...before.map((step) => checkpointModel(dirname(first), step)), first];
  return {
    diverse,
    same,
    baklava,
    warm,
    warmSame: await average(same, out("warm-same")),
    warmBaklava: await average(baklava, out("warm-baklava")),
    trajectory: run,
    swa: await average(run, out("swa")),
    ema: await average(run, out("ema"), emaWeights(run.length, 0.5)),
  };
}

async function scoreAll(dirs: readonly string[], sequences: readonly TokenIds[]): Promise<ScoresByModel> {
  const scores = new Map<string, Float64Array>();
  for (const dir of dirs) scores.set(dir, await scoreWith(dir, sequences));
  return scores;
}

/**
 * Answers of two single-model policies to the same prompt at the same step, labelled by the true reward: pairs from
 * where policies drift to.
 */
function driftPairs(policies: readonly PolicyRun[], heldOut: Preferences["heldOut"]): Pair[] {
  const lowest = Math.min(...policies.map(({ alpha }) => alpha));
  const [a, b] = policies.filter(({ arm, alpha }) => arm.startsWith("single-") && alpha === lowest);
  return a!.points.slice(1).flatMap((point, k) =>
    point.answers.flatMap((answer, p): Pair[] => {
      const other = b!.points[k + 1]!;
      const difference = point.gold[p]! - other.gold[p]!;
      if (Math.abs(difference) < 1e-9) return [];
      const [chosen, rejected] = difference > 0 ? [answer, other.answers[p]!] : [other.answers[p]!, answer];
      return [{ prompt: heldOut[p]!, chosen, rejected, flipped: false, sources: [a!.arm, b!.arm] }];
    }),
  );
}

/** Scoring with the average and with the ensemble of the same members, in turn; the fastest of several runs each. */
async function measureCosts(models: Models, m: number, sequences: readonly TokenIds[]): Promise<Costs> {
  const scorers = [await openReward([models.warm[m]!]), await openReward(models.diverse.slice(0, m))];
  const best = [Infinity, Infinity];
  for (let round = 0; round < 5; round++)
    for (const [k, scorer] of scorers.entries()) {
      const began = performance.now();
      await scorer.score(sequences);
      best[k] = Math.min(best[k]!, (performance.now() - began) / 1000 / sequences.length);
    }
  for (const scorer of scorers) scorer.dispose();
  return { scoreAverage: best[0]!, scoreEnsemble: best[1]! };
}
