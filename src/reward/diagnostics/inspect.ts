// What `touchstone warm inspect` finds out about M reward models (WARM, 2401.12187): how good they, their averages and
// their ensembles are on every split of preference pairs, whether they are linearly connected, and what each adds.

import { RandomStream } from "../../base/random.js";
import { type BootstrapInterval, type Interval, mean, pairedBootstrap } from "../../base/statistics.js";
import { type AtChance, chanceSentences, membersAtChance } from "./chance.js";
import { type Gain, gainOf, type Path, pathOf, pathSteps, resamples } from "./connectivity.js";
import type { DeltaGeometry } from "./deltas.js";
import { type Disagreement, disagreementOf, firstOrderGap } from "./disagreement.js";
import { bestFirst, uniformOver } from "./orders.js";
import {
  accuracyInterval,
  type Calibration,
  calibrationOf,
  correctness,
  ensembleScores,
  marginsOf,
  type PairScores,
  qualityOf,
} from "./pair-scores.js";
import {
  type FeatureLeaning,
  featureLeanings,
  pairCorrelation,
  type ShallowFeature,
  type ShallowFeatures,
  shallowFeatureNames,
} from "./shallow-features.js";
import { editSensitivity } from "./smoothness.js";

export interface SplitFacts {
  name: string;
  /** Its labels are known to be wrong: a low accuracy here is good. */
  corrupted: boolean;
  /** Features of both responses of every pair. */
  features: readonly { chosen: ShallowFeatures; rejected: ShallowFeatures }[];
  /** By how much the chosen response of every pair is better by the true reward, where it is known. */
  gold?: readonly number[];
}

export interface InspectOptions {
  /** Names of the members. */
  members: readonly string[];
  splits: readonly SplitFacts[];
  /** The scores of sum_i w_i phi_i on every split. */
  score: (weights: readonly number[]) => Promise<readonly PairScores[]>;
  /** The same for the responses with one token changed; asked for the members and for the average of all. */
  scoreEdited: InspectOptions["score"];
  /** The split whose accuracy ranks the members; never a corrupted one. Default: the first. */
  select?: number;
  /** Pairs of members to interpolate between. Default: the two best. */
  paths?: readonly (readonly [number, number])[];
  /** Of the random order and of the bootstrap. Default 0. */
  seed?: number;
  /** Called with the number of models scored so far and in all: first the members, then the averages as well. */
  onProgress?: (done: number, total: number) => void;
}

/** One arm on one split. */
export interface SplitResult {
  split: string;
  /** With Wilson's interval. */
  accuracy: Interval;
  loss: number;
  calibration: Calibration;
  leanings: FeatureLeaning[];
  /** mean |r(y) - r(y')| / sd(r), y' being y with one token changed. */
  editSensitivity: number;
}

export interface Arm {
  name: string;
  splits: SplitResult[];
}

export interface SplitPath extends Path {
  split: string;
}

export interface CurvePoint {
  members: number;
  average: number;
  ensemble: number;
}

export type Order = "best first" | "random" | "worst first";

export interface Inspection {
  members: Arm[];
  /** Members, best first on the selection split. */
  ranking: number[];
  /** The split that ranked the members: figures on it favour the best ones. */
  selectedOn: string;
  /** Members that are no better than chance on that split. */
  atChance: AtChance[];
  average: Arm;
  ensemble: Arm;
  splits: {
    split: string;
    corrupted: boolean;
    pairs: number;
    /** Accuracy of the average less the members' mean. */
    gain: Gain;
    /** Accuracy of the average less the ensemble's. */
    overEnsemble: BootstrapInterval;
    /** mean |r_WA - mean r_i| / sd. */
    firstOrderGap: number;
    disagreement: Disagreement;
    /** Correlation of the labels with every feature: what the data themselves reward. */
    labels: { feature: ShallowFeature; correlation: number }[];
  }[];
  paths: { first: number; second: number; splits: SplitPath[] }[];
  curves: { order: Order; ranking: number[]; splits: { split: string; points: CurvePoint[] }[] }[];
  /** Accuracy of the average less that of the average of all the others, for every member. */
  leaveOneOut: { member: number; splits: ({ split: string } & BootstrapInterval)[] }[];
}

export interface InspectionReport extends Inspection {
  /** Where the initial weights are known: of all weights, then of parts of them. */
  deltas?: DeltaGeometry[];
}

/** Scores every average once, however many figures need it. */
class Averages {
  private readonly scores = new Map<string, readonly PairScores[]>();

  constructor(private readonly score: InspectOptions["score"]) {}

  async add(weights: readonly number[]): Promise<void> {
    const key = weights.join();
    if (!this.scores.has(key)) this.scores.set(key, await this.score(weights));
  }

  isKnown(weights: readonly number[]): boolean {
    return this.scores.has(weights.join());
  }

  /** On every split. */
  of(weights: readonly number[]): readonly PairScores[] {
    return this.scores.get(weights.join())!;
  }
}

/** Weights along the path between two of `count` members. */
function pathWeights([first, second]: readonly [number, number], count: number): number[][] {
  return pathSteps.map((l) => {
    const weights = new Array<number>(count).fill(0);
    weights[first] = 1 - l;
    weights[second] = l;
    return weights;
  });
}

/** The averages of the first member of an order, of its first two, ... of all. */
const prefixesOf = (order: readonly number[]): number[][] => order.map((_, m) => order.slice(0, m + 1));

const allBut = (i: number, count: number): number[] =>
  Array.from({ length: count }, (_, other) => other).filter((other) => other !== i);

/** What is scored, and in which orders. */
interface Scored {
  averages: Averages;
  /** On the responses with one token changed. */
  edits: Averages;
  ranking: number[];
  orders: Record<Order, number[]>;
  paths: readonly (readonly [number, number])[];
}

/** Scores the members, which ranks them, and then every average that a figure needs. */
async function scoreAverages({
  members,
  score,
  scoreEdited,
  select = 0,
  paths: given,
  seed = 0,
  onProgress,
}: InspectOptions): Promise<Scored> {
  const count = members.length;
  const indices = members.map((_, i) => i);
  const averages = new Averages(score);
  const single = (i: number) => uniformOver([i], count);
  for (const i of indices) {
    await averages.add(single(i));
    onProgress?.(i + 1, count);
  }

  const qualities = indices.map((i) => qualityOf(averages.of(single(i))[select]!));
  const ranking = bestFirst(qualities);
  const orders: Record<Order, number[]> = {
    "best first": ranking,
    random: new RandomStream(seed, "order of members").shuffle(ranking),
    "worst first": ranking.toReversed(),
  };
  const paths = given ?? [[ranking[0]!, ranking[1]!] as const];
  const wanted = [
    ...Object.values(orders).flatMap((order) =>
      prefixesOf(order).map((subset) => uniformOver(subset, count)),
    ),
    ...paths.flatMap((pair) => pathWeights(pair, count)),
    ...indices.map((i) => uniformOver(allBut(i, count), count)),
  ];
  const unknown = new Map(
    wanted.filter((weights) => !averages.isKnown(weights)).map((weights) => [weights.join(), weights]),
  );
  const edits = new Averages(scoreEdited);
  const missing = [
    ...Array.from(unknown.values(), (weights) => ({ scores: averages, weights })),
    ...[...indices.map(single), uniformOver(indices, count)].map((weights) => ({ scores: edits, weights })),
  ];
  const total = count + missing.length;
  onProgress?.(count, total);
  for (const [i, { scores, weights }] of missing.entries()) {
    await scores.add(weights);
    onProgress?.(count + i + 1, total);
  }
  return { averages, edits, ranking, orders, paths };
}

export async function inspectMembers(options: InspectOptions): Promise<Inspection> {
  const { members: names, splits, select = 0, seed = 0 } = options;
  const { averages, edits, ranking, orders, paths } = await scoreAverages(options);
  const count = names.length;
  const indices = names.map((_, i) => i);
  const single = (i: number) => uniformOver([i], count);
  const uniform = uniformOver(indices, count);
  const stream = new RandomStream(seed, "bootstrap");
  const all = averages.of(uniform);
  const singles = splits.map((_, s) => indices.map((i) => averages.of(single(i))[s]!));
  const ensemble = singles.map(ensembleScores);
  const editedSingles = splits.map((_, s) => indices.map((i) => edits.of(single(i))[s]!));
  const arm = (name: string, scores: readonly PairScores[], edited: readonly PairScores[]): Arm => ({
    name,
    splits: splits.map((split, s) => splitResult(split, scores[s]!, edited[s]!)),
  });
  const accuracyOn = (s: number, subset: readonly number[]): number =>
    qualityOf(averages.of(uniformOver(subset, count))[s]!).accuracy;
  const difference = (a: PairScores, b: PairScores): BootstrapInterval =>
    pairedBootstrap(correctness(a), correctness(b), { stream, resamples });

  return {
    members: indices.map((i) => arm(names[i]!, averages.of(single(i)), edits.of(single(i)))),
    ranking,
    selectedOn: splits[select]!.name,
    atChance: membersAtChance(singles[select]!.map(accuracyInterval)),
    average: arm("average", all, edits.of(uniform)),
    ensemble: arm("ensemble", ensemble, editedSingles.map(ensembleScores)),
    splits: splits.map((split, s) => ({
      split: split.name,
      corrupted: split.corrupted,
      pairs: split.features.length,
      gain: gainOf(all[s]!, singles[s]!, { stream }),
      overEnsemble: difference(all[s]!, ensemble[s]!),
      firstOrderGap: firstOrderGap(all[s]!, ensemble[s]!),
      disagreement: disagreementOf(singles[s]!, singles[select]!),
      labels: labelLeanings(split),
    })),
    paths: paths.map((pair) => {
      const along = pathWeights(pair, count).map((weights) => averages.of(weights));
      const scoresOn = (s: number) => along.map((scores) => scores[s]!);
      return {
        first: pair[0],
        second: pair[1],
        splits: splits.map(({ name }, s) => ({ split: name, ...pathOf(scoresOn(s), stream) })),
      };
    }),
    curves: Object.entries(orders).map(([order, members]) => ({
      order: order as Order,
      ranking: members,
      splits: splits.map(({ name }, s) => ({
        split: name,
        points: prefixesOf(members).map((subset) => ({
          members: subset.length,
          average: accuracyOn(s, subset),
          ensemble: qualityOf(ensembleScores(subset.map((i) => singles[s]![i]!))).accuracy,
        })),
      })),
    })),
    leaveOneOut: indices.map((i) => ({
      member: i,
      splits: splits.map(({ name }, s) => ({
        split: name,
        ...difference(all[s]!, averages.of(uniformOver(allBut(i, count), count))[s]!),
      })),
    })),
  };
}

/** Feature differences of every pair, chosen less rejected. */
const featureDifferences = ({ features }: SplitFacts) =>
  Object.fromEntries(
    shallowFeatureNames.map((name) => [
      name,
      features.map(({ chosen, rejected }) => chosen[name] - rejected[name]),
    ]),
  ) as Record<ShallowFeature, number[]>;

function splitResult(split: SplitFacts, scores: PairScores, edited: PairScores): SplitResult {
  return {
    split: split.name,
    accuracy: accuracyInterval(scores),
    loss: qualityOf(scores).loss,
    calibration: calibrationOf(scores),
    leanings: featureLeanings(marginsOf(scores), featureDifferences(split), split.gold),
    editSensitivity: editSensitivity(scores, edited),
  };
}

function labelLeanings(split: SplitFacts): { feature: ShallowFeature; correlation: number }[] {
  const labels = split.features.map(() => 1);
  return Object.entries(featureDifferences(split)).flatMap(([feature, difference]) => {
    const correlation = pairCorrelation(labels, difference);
    return Number.isNaN(correlation) ? [] : [{ feature: feature as ShallowFeature, correlation }];
  });
}

/** What a report says of the members that are at chance. */
export function sayAtChance({ atChance, members, splits, selectedOn: split }: Inspection): string[] {
  const place = splits.findIndex((one) => one.split === split);
  return chanceSentences(atChance, {
    names: members.map(({ name }) => name),
    accuracies: members.map((arm) => arm.splits[place]!.accuracy),
    pairs: splits[place]!.pairs,
    split,
  });
}

/** Mean accuracy of the members on the split of that place. */
export const meanAccuracy = (members: readonly Arm[], split: number): number =>
  mean(members.map(({ splits }) => splits[split]!.accuracy.estimate));
