// One seed of the experiment: its preference data, members, averages, best-of-N and policies. Every finished piece is
// on disk, so that a restart goes on from there.

import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { writeFileAtomic } from "../../base/atomic.js";
import { RandomStream } from "../../base/random.js";
import { mean, standardDeviation } from "../../base/statistics.js";
import type { TokenIds } from "../../engine/contract.js";
import { LocalLanguageModel } from "../../engine/local/index.js";
import { emaWeights } from "../../reward/average.js";
import type { SeedContext } from "../reproduce/experiment.js";
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
  splitsOf,
} from "./accuracy.js";
import { type BestOfNResult, bestOfNResult } from "./best-of-n.js";
import { gold } from "./gold.js";
import type { KeysWorld } from "./keys-world.js";
import type { LanguageModels } from "./language.js";
import { planSuites, probeHead, type SuiteName, trainMember } from "./members.js";
import { type PolicyRun, trainPolicy } from "./policies.js";
import { makePreferences, type Pair, type Preferences } from "./preferences.js";
import { average, openReward, scoreWith } from "./rewards.js";
import { sampleAnswers, sampleGroups, sequenceOf } from "./sampling.js";
import type { WarmSettings } from "./settings.js";
import { type Models, makeArms, modelDirs, type ScoresByModel } from "./suites.js";

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
  /** Wall time of every piece that this run made, seconds. */
  seconds: Record<string, number>;
}

const lambdas = Array.from({ length: 11 }, (_, i) => i / 10);

export interface SeedOptions {
  seed: number;
  world: KeysWorld;
  language: LanguageModels;
  settings: WarmSettings;
  context: Pick<SeedContext, "dir" | "log" | "signal">;
}

export async function runWarmSeed(options: SeedOptions): Promise<WarmResult> {
  const { seed, world, language, settings, context } = options;
  const { dir, log, signal } = context;
  const scratch = join(dir, "scratch");
  await mkdir(scratch, { recursive: true });
  const seconds: Record<string, number> = {};
  const sftDir = language.sft.at(-1)!;
  const sft = await LocalLanguageModel.load(sftDir, { frozen: true });

  /** What `make` gives, from disk where an earlier run has made it. */
  const piece = async <T>(name: string, make: () => Promise<T>): Promise<T> => {
    const file = join(dir, `${name}.json`);
    if (existsSync(file)) return JSON.parse(await readFile(file, "utf8"));
    signal?.throwIfAborted();
    const began = performance.now();
    const made = await make();
    await writeFileAtomic(file, JSON.stringify(made));
    seconds[name] = (performance.now() - began) / 1000;
    log(`${name}: ${seconds[name]!.toFixed(1)} s`);
    return made;
  };

  const preferences = await piece("preferences", async () => {
    const pretrained = await LocalLanguageModel.load(language.pretrained, { frozen: true });
    const made = await makePreferences({ world, settings, seed, pretrained, sft });
    pretrained.dispose();
    return made;
  });
  const models = await piece("members", () => makeModels(options, preferences));
  const index = indexSplits(splitsOf(preferences));
  const prompts = preferences.train.map(({ prompt }) => prompt);
  const random = new RandomStream(seed, "scale");
  const scalePrompts = Array.from({ length: settings.rl.scaleSamples }, () => random.choice(prompts));
  const scaleAnswers = await sampleAnswers(sft, scalePrompts, { random });
  const reference = scaleAnswers.map((answer, i) => sequenceOf(scalePrompts[i]!, answer));
  const referenceScores = await scoreAll(modelDirs(models), reference);
  const armsOver = async (sequences: readonly TokenIds[]) =>
    makeArms(models, await scoreAll(modelDirs(models), sequences), referenceScores, settings);

  const accuracy = await piece("accuracy", async (): Promise<AccuracyResult> => {
    const arms = await armsOver(index.sequences);
    const suites = [models.diverse, models.same, models.baklava];
    const path = (dirs: readonly string[]) => interpolate([dirs[0]!, dirs[1]!], lambdas, index, scratch);
    const copy = await average(
      new Array<string>(settings.main).fill(models.diverse[0]!),
      join(scratch, "copies"),
    );
    const file = "model.safetensors";
    const golds = scaleAnswers.map((answer, i) => gold(world, scalePrompts[i]!, answer));
    return {
      arms: arms.map((arm) => ({ name: arm.name, accuracy: armAccuracy(arm, index) })),
      paths: {
        diverse: await path(suites[0]!),
        same: await path(suites[1]!),
        baklava: await path(suites[2]!),
      },
      deltas: {
        diverse: await deltasOf(models.diverse, sftDir),
        same: await deltasOf(models.same, sftDir),
        baklava: await deltasOf(models.baklava, sftDir),
      },
      copiesAreIdentical: isDeepStrictEqual(
        await readFile(join(copy, file)),
        await readFile(join(models.diverse[0]!, file)),
      ),
      flippedShare: preferences.train.filter(({ flipped }) => flipped).length / preferences.train.length,
      start: { mean: mean(golds), deviation: standardDeviation(golds) },
    };
  });

  const bestOfN = await piece("best-of-n", async () => {
    const chosen = preferences.heldOut.slice(0, settings.bestOfN.prompts);
    const answers = await sampleGroups(
      sft,
      chosen,
      settings.bestOfN.answers,
      new RandomStream(seed, "best of n"),
    );
    const sequences = answers.flatMap((group, p) => group.map((answer) => sequenceOf(chosen[p]!, answer)));
    return bestOfNResult({ world, prompts: chosen, answers }, await armsOver(sequences));
  });

  const policies: PolicyRun[] = [];
  for (const { alpha, arms } of settings.rl.arms)
    for (const arm of arms)
      policies.push(
        await piece(`policy-${arm}-alpha-${alpha}`, () =>
          trainPolicy({
            world,
            models,
            sft: sftDir,
            arm,
            alpha,
            prompts,
            heldOut: preferences.heldOut,
            reference,
            seed,
            settings: settings.rl,
            scratch,
            signal,
          }),
        ),
      );

  const drift = await piece("drift", async () => {
    const pairs = driftPairs(policies, preferences.heldOut);
    const arms = await armsOver(pairSequences(pairs));
    return {
      pairs: pairs.length,
      arms: arms.map(({ name, rewards }) => ({ name, accuracy: mean(rewards.map(pairAccuracy)) })),
    };
  });
  const costs = await piece("costs", () => measureCosts(models, settings.main, index.sequences));
  sft.dispose();
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
    seconds,
  };
}

/** Trains all suites, ranks the diverse one on D_select, and averages. */
async function makeModels(
  { seed, language, settings, context: { dir, log, signal } }: SeedOptions,
  { train, select }: Preferences,
): Promise<Models> {
  const sft = language.sft.at(-1)!;
  const parent = join(dir, "models");
  const plans = planSuites(language.sft, settings.members);
  const head = await probeHead(sft, train, settings.members);
  const { trajectory } = settings.members;
  const trainSuite = async (suite: SuiteName): Promise<string[]> => {
    const dirs: string[] = [];
    for (const plan of plans[suite]) {
      const snapshots = plan === plans.diverse[0] ? trajectory : [];
      dirs.push(
        await trainMember(parent, plan, {
          pairs: train,
          head,
          seed,
          settings: settings.members,
          snapshots,
          signal,
        }),
      );
      log(`${suite}: ${dirs.length} of ${plans[suite].length} members`);
    }
    return dirs;
  };
  const [unranked, same, baklava] = [
    await trainSuite("diverse"),
    await trainSuite("same"),
    await trainSuite("baklava"),
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
  const run = trajectory.map((step, i) => (i === trajectory.length - 1 ? first : `${first}-${step}`));
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
