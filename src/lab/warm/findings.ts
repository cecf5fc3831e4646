// From the seeds' results to the figures, intervals and verdicts of the report.

import { percent } from "../../base/percent.js";
import {
  fitBestOfNLaw,
  fitReinforcementLaw,
  type Interval,
  mean,
  type OveroptimisationFit,
  tInterval,
} from "../../base/statistics.js";
import { bestOfNKl } from "../../reward/best-of-n.js";
import type { SeedResult } from "../reproduce/experiment.js";
import { all, isAbove, isBelow, isNoLoss, type Verdict } from "../reproduce/verdicts.js";
import type { Split } from "./accuracy.js";
import { goldSelector } from "./best-of-n.js";
import type { Controls } from "./controls.js";
import type { SuiteName } from "./recipes.js";
import type { PolicyResult, WarmResult } from "./seed.js";
import type { WarmSettings } from "./settings.js";
import { mainNames } from "./suites.js";
import {
  atKl,
  atPeak,
  atPlateau,
  atStep,
  type Choice,
  nestedWinRate,
  policyWinRate,
  type WinRateResult,
  wins,
} from "./win-rates.js";

export type Column = Split | "drift";

export const columns: readonly Column[] = [
  "train-corrupt",
  "train-clean",
  "validation",
  "ood",
  "ood same source",
  "drift",
];

export interface Comparison {
  name: string;
  /** First minus second, by split, paired within the seed. */
  difference: Record<Column, Interval>;
}

export interface PathPoint {
  lambda: number;
  average: Interval;
  ensemble: Interval;
  /** Average minus the chord between the ends. */
  excess: Interval;
}

export interface Path {
  points: PathPoint[];
  /**
   * Average minus chord, over the inner points of the path. The level of its interval makes 95 % for all paths
   * together: one of many intervals would miss by chance.
   */
  excess: Interval;
}

export interface CurvePoint {
  /** The step, or n. */
  at: number;
  kl: number;
  gold: Interval;
  proxy: number;
}

export interface Curve {
  name: string;
  points: CurvePoint[];
  /** Gao's law of the gain over the start, over all seeds' points. */
  fit?: OveroptimisationFit;
}

export interface PolicyCurve extends Curve {
  arm: string;
  alpha: number;
  points: (CurvePoint & { length: number; flair: number })[];
  /** Highest mean true reward, and the last. */
  peak: { step: number; gold: Interval };
  final: { step: number; gold: Interval; kl: number };
}

export interface WinRow {
  ours: string;
  theirs: string;
  alpha: number;
  /** Which of the four definitions, and its parameter. */
  definition: string;
  result: WinRateResult;
}

export interface Claim {
  id: string;
  /** A few words. */
  title: string;
  claim: string;
  /** The figures that decide. */
  evidence: string;
  verdict: Verdict;
}

export interface Findings {
  seeds: number[];
  accuracy: { name: string; by: Record<Column, Interval> }[];
  differences: Comparison[];
  paths: Record<SuiteName, Record<"validation" | "ood", Path>>;
  deltas: Record<SuiteName, { cosine: number; shrinkage: number }>;
  controls: Controls;
  copiesAreIdentical: boolean;
  flippedShare: number;
  bestOfN: Curve[];
  bestOfNGain: { name: string; gold: Interval; gain: Interval }[];
  bestOfNWins: { ours: string; theirs: string; result: WinRateResult }[];
  policies: PolicyCurve[];
  wins: WinRow[];
  costs: { scoreRatio: Interval; stepRatio: Interval; members: number };
  gates: { gate: string; value: number; target: number; passed: boolean }[];
  claims: Claim[];
  /** At which M, if any, WARM passes the ensemble of the same members. */
  scale: { m: string; ood: Interval; bestOfN: Interval }[];
}

const show = ({ estimate, low, high }: Interval, digits = 3): string =>
  `${signed(estimate, digits)} [${signed(low, digits)}, ${signed(high, digits)}]`;
const signed = (x: number, digits: number): string =>
  Number.isFinite(x) ? `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(digits)}` : x < 0 ? "−∞" : "+∞";
const percentWithin = ({ estimate, low, high }: Interval): string =>
  `${percent(estimate)} [${(100 * low).toFixed(1)}, ${(100 * high).toFixed(1)}]`;

const overColumns = <T>(compute: (column: Column) => T): Record<Column, T> =>
  Object.fromEntries(columns.map((column) => [column, compute(column)])) as Record<Column, T>;

export function findingsOf(
  results: readonly SeedResult<WarmResult>[],
  controls: Controls,
  settings: WarmSettings,
): Findings {
  const all = results.map(({ result }) => result);
  const names = mainNames(settings.main);
  const accuracyOf = (name: string, column: Column): number[] =>
    all.map(({ accuracy, drift }) =>
      column === "drift"
        ? drift.arms.find((arm) => arm.name === name)!.accuracy
        : accuracy.arms.find((arm) => arm.name === name)!.accuracy[column],
    );
  const compare = (first: string, second: string): Comparison => ({
    name: `${first} − ${second}`,
    difference: overColumns((column) =>
      tInterval(subtract(accuracyOf(first, column), accuracyOf(second, column))),
    ),
  });
  const { baklava } = settings.members;
  const larger = settings.averages.filter((m) => m > 1);
  const differences = comparedArms(settings).map(([first, second]) => compare(first, second));
  const paths = pathsOf(all);
  const bestOfN = bestOfNCurves(all);
  const goldAt = (name: string) => all.map((result) => bestOfNArm(result, name).gold.at(-1)!);
  const bestOfNGain = bestOfN.map(({ name }) => ({
    name,
    gold: tInterval(goldAt(name)),
    gain: tInterval(subtract(goldAt(name), goldAt(names.single))),
  }));
  const policies = policyCurves(all);
  const winRows = policyWins(all, settings);
  const m = settings.main;
  const costs = {
    members: m,
    scoreRatio: tInterval(all.map(({ costs: c }) => c.scoreEnsemble / c.scoreAverage)),
    stepRatio: tInterval(all.map((result) => stepRatio(result, m))),
  };
  const scale = [
    ...larger.map((k) => [`${k} diverse members`, `WARM ${k}`, `ENS ${k}`] as const),
    [`${baklava} members, Baklava`, `Baklava: WARM ${baklava}`, `Baklava: ENS ${baklava}`] as const,
  ].map(([label, first, second]) => ({
    m: label,
    ood: compare(first, second).difference.ood,
    bestOfN: tInterval(subtract(goldAt(first), goldAt(second))),
  }));

  const claims = claimsOf({
    toEnsemble: compare(names.warm, names.ensemble).difference,
    toSingle: compare(names.warm, names.single).difference,
    paths,
    wins: winRows,
    costs,
    settings,
  });
  return {
    seeds: results.map(({ seed }) => seed),
    accuracy: all[0]!.accuracy.arms.map(({ name }) => ({
      name,
      by: overColumns((column) => tInterval(accuracyOf(name, column))),
    })),
    differences,
    paths,
    deltas: deltasOverSeeds(all),
    controls,
    copiesAreIdentical: all.every(({ accuracy }) => accuracy.copiesAreIdentical),
    flippedShare: mean(all.map(({ accuracy }) => accuracy.flippedShare)),
    bestOfN,
    bestOfNGain,
    bestOfNWins: bestOfNWinsOf(all, names),
    policies,
    wins: winRows,
    costs,
    gates: gatesOf(all, accuracyOf(names.warm, "validation"), policies, m),
    // One seed has intervals over prompts only, which say nothing about another.
    claims: results.length > 1 ? claims : claims.map((claim) => ({ ...claim, verdict: "inconclusive" })),
    scale,
  };
}

/** The arms that are compared on preference pairs: the first less the second. */
function comparedArms(settings: WarmSettings): (readonly [string, string])[] {
  const names = mainNames(settings.main);
  const { same, baklava } = settings.members;
  const larger = settings.averages.filter((m) => m > 1);
  return [
    ...larger.map((m) => [`WARM ${m}`, `ENS ${m}`] as const),
    [names.warm, names.single] as const,
    [names.warm, names.best] as const,
    [`same config: WARM ${same}`, `same config: ENS ${same}`] as const,
    [`same config: WARM ${same}`, `same config: single (mean of ${same})`] as const,
    [`Baklava: WARM ${baklava}`, `Baklava: ENS ${baklava}`] as const,
    [`Baklava: WARM ${baklava}`, `Baklava: single (mean of ${baklava})`] as const,
    ["one run: SWA", "one run: last checkpoint"] as const,
    ["one run: EMA", "one run: last checkpoint"] as const,
  ];
}

function bestOfNWinsOf(
  all: readonly WarmResult[],
  names: ReturnType<typeof mainNames>,
): Findings["bestOfNWins"] {
  return [names.single, names.best, names.ensemble].map((theirs) => ({
    ours: names.warm,
    theirs,
    result: nestedWinRate(
      all.map((result) => {
        const [mine] = bestOfNArm(result, names.warm).picks;
        return bestOfNArm(result, theirs).picks.map((others) => wins(mine!, others));
      }),
    )!,
  }));
}

interface Evidence extends Pick<Findings, "paths" | "wins" | "costs"> {
  /** WARM M less the ensemble of the same members, and less the mean member. */
  toEnsemble: Comparison["difference"];
  toSingle: Comparison["difference"];
  settings: WarmSettings;
}

/** Losses below these do not matter: shares of pairs ordered rightly, and of answers won. */
const margins = { accuracy: 0.02, winRate: 0.05 };

/** The paper's claims, and the figures that decide them. */
function claimsOf({ toEnsemble, toSingle, paths, wins: winRows, costs, settings }: Evidence): Claim[] {
  const m = settings.main;
  const finalStep = settings.rl.steps;
  const finalWins = winRows.filter(
    (row) =>
      row.theirs === "single" && row.ours === `WARM ${m}` && row.definition === `(i) step ${finalStep}`,
  );
  const ensembleWins = winRows.filter(
    (row) => row.theirs === `ENS ${m}` && row.definition === `(i) step ${finalStep}`,
  );
  const allPaths = Object.entries(paths).flatMap(([suite, bySplit]) =>
    Object.entries(bySplit).map(([split, path]) => ({ name: `${suite}, ${split}`, path })),
  );
  const below = allPaths.filter(({ path }) => path.excess.high < 0).map(({ name }) => name);
  return [
    {
      id: "a",
      title: "memorises wrong labels less",
      claim: `On flipped training pairs the average agrees with the wrong labels less than the mean member and less than the ensemble, while its held-out accuracy is not below the mean member's, by ${margins.accuracy} or more`,
      evidence: `train-corrupt: WARM ${m} − mean member ${show(toSingle["train-corrupt"])}, WARM ${m} − ENS ${m} ${show(toEnsemble["train-corrupt"])}; validation: WARM ${m} − mean member ${show(toSingle.validation)}`,
      verdict: all([
        isBelow(toSingle["train-corrupt"]),
        isBelow(toEnsemble["train-corrupt"]),
        isNoLoss(toSingle.validation, margins.accuracy),
      ]),
    },
    {
      id: "b",
      title: "better under shift",
      claim: "On the shifted test set the average beats the mean member, interval excluding zero",
      evidence: `ood: WARM ${m} − mean member ${show(toSingle.ood)}`,
      verdict: isAbove(toSingle.ood),
    },
    {
      id: "c",
      title: "members are connected",
      claim: `Accuracy along the interpolation between two members does not lie below the chord, by ${margins.accuracy} or more`,
      evidence: `accuracy minus chord, mean over the path: ${allPaths.map(({ name, path }) => `${name} ${show(path.excess)}`).join("; ")}; below the chord: ${below.length === 0 ? "none" : below.join(", ")}`,
      verdict: all(allPaths.map(({ path }) => isNoLoss(path.excess, margins.accuracy))),
    },
    ...finalWins.map(({ alpha, result }) => ({
      id: "d",
      title: `wins under RL, alpha ${alpha}`,
      claim: `Under RL at equal steps (step ${finalStep}, alpha ${alpha}) the WARM ${m} policy wins against single-member policies more than half of the time, interval above 50 % (the paper: 79.4 %)`,
      evidence: percentWithin(result),
      verdict: isAbove(result, 0.5),
    })),
    ...ensembleWins.map(({ alpha, result }) => ({
      id: "e",
      title: `as good as the ensemble, alpha ${alpha}`,
      claim: `The WARM ${m} policy is no worse than the ENS ${m} policy (step ${finalStep}, alpha ${alpha}), by ${100 * margins.winRate} points of its win rate or more, at about 1/${m} of its scoring cost`,
      evidence: `win rate ${percentWithin(result)}; scoring with the ensemble costs ${costs.scoreRatio.estimate.toFixed(2)} times the average, an RL step ${costs.stepRatio.estimate.toFixed(2)} times`,
      verdict: all([
        isNoLoss({ low: result.low - 0.5, high: result.high - 0.5 }, margins.winRate),
        isAbove(costs.scoreRatio, 0.8 * m),
      ]),
    })),
  ];
}

const subtract = (a: readonly number[], b: readonly number[]): number[] => a.map((x, i) => x - b[i]!);

const suites = ["diverse", "same", "baklava"] as const;
const pathSplits = ["validation", "ood"] as const;
/** Bonferroni's. */
const pathLevel = 1 - 0.05 / (suites.length * pathSplits.length);

function pathsOf(all: readonly WarmResult[]): Findings["paths"] {
  const path = (suite: SuiteName, split: (typeof pathSplits)[number]): Path => {
    const curves = all.map(({ accuracy }) => accuracy.paths[suite]);
    const at = (kind: "average" | "ensemble", place: number) =>
      curves.map((curve) => curve.at(place)![kind][split]);
    const excess = (k: number): number[] => {
      const lambda = curves[0]![k]!.lambda;
      const chord = at("average", 0).map((a, s) => (1 - lambda) * a + lambda * at("average", -1)[s]!);
      return subtract(at("average", k), chord);
    };
    const places = [...curves[0]!.keys()];
    const inner = places.slice(1, -1).map(excess);
    return {
      points: places.map((k) => ({
        lambda: curves[0]![k]!.lambda,
        average: tInterval(at("average", k)),
        ensemble: tInterval(at("ensemble", k)),
        excess: tInterval(excess(k)),
      })),
      excess: tInterval(
        all.map((_, s) => mean(inner.map((values) => values[s]!))),
        pathLevel,
      ),
    };
  };
  const both = (suite: SuiteName) => ({ validation: path(suite, "validation"), ood: path(suite, "ood") });
  return { diverse: both("diverse"), same: both("same"), baklava: both("baklava") };
}

function deltasOverSeeds(all: readonly WarmResult[]): Findings["deltas"] {
  const over = (suite: SuiteName) => ({
    cosine: mean(all.map(({ accuracy }) => accuracy.deltas[suite].cosine)),
    shrinkage: mean(all.map(({ accuracy }) => accuracy.deltas[suite].shrinkage)),
  });
  return { diverse: over("diverse"), same: over("same"), baklava: over("baklava") };
}

const bestOfNArm = ({ bestOfN }: WarmResult, name: string) => bestOfN.arms.find((arm) => arm.name === name)!;

function bestOfNCurves(all: readonly WarmResult[]): Curve[] {
  const { ns, arms } = all[0]!.bestOfN;
  return arms.map(({ name }) => {
    const each = all.map((result) => bestOfNArm(result, name));
    const points = ns.map((n, i) => ({
      at: n,
      kl: bestOfNKl(n),
      gold: tInterval(each.map(({ gold }) => gold[i]!)),
      proxy: mean(each.map(({ proxy }) => proxy[i]!)),
    }));
    const start = points[0]!.gold.estimate;
    return {
      name,
      points,
      ...(name !== goldSelector && {
        fit: fitBestOfNLaw(
          points.slice(1).map(({ kl }) => Math.sqrt(kl)),
          points.slice(1).map(({ gold }) => gold.estimate - start),
        ),
      }),
    };
  });
}

/** How the report names an RL arm: all single-model policies are one row. */
function policyName(arm: string): string {
  const [kind, count] = arm.split("-");
  return kind === "single" ? "single" : `${kind === "warm" ? "WARM" : "ENS"} ${count}`;
}

function policyCurves(all: readonly WarmResult[]): PolicyCurve[] {
  const keys = new Map<string, { name: string; alpha: number }>();
  for (const { arm, alpha } of all[0]!.policies)
    keys.set(`${policyName(arm)} ${alpha}`, { name: policyName(arm), alpha });
  return [...keys.values()].map(({ name, alpha }) => {
    const runs = all.map(({ policies }) =>
      policies.filter((run) => policyName(run.arm) === name && run.alpha === alpha),
    );
    /** The mean over a seed's runs, for every seed. */
    const perSeed = (k: number, value: (point: PolicyResult["points"][number]) => number) =>
      runs.map((each) => mean(each.map(({ points }) => value(points[k]!))));
    const points = runs[0]![0]!.points.map(({ step }, k) => ({
      at: step,
      kl: mean(perSeed(k, ({ kl }) => kl)),
      gold: tInterval(perSeed(k, ({ gold }) => mean(gold))),
      proxy: mean(perSeed(k, ({ proxy }) => proxy)),
      length: mean(perSeed(k, ({ length }) => length)),
      flair: mean(perSeed(k, ({ flair }) => flair)),
    }));
    const peak = points.reduce((best, point) => (point.gold.estimate > best.gold.estimate ? point : best));
    const last = points.at(-1)!;
    const start = points[0]!.gold.estimate;
    return {
      name,
      arm: name,
      alpha,
      points,
      fit: fitReinforcementLaw(
        points.slice(1).map(({ kl }) => Math.sqrt(kl)),
        points.slice(1).map(({ gold }) => gold.estimate - start),
      ),
      peak: { step: peak.at, gold: peak.gold },
      final: { step: last.at, gold: last.gold, kl: last.kl },
    };
  });
}

function policyWins(all: readonly WarmResult[], { main, rl }: WarmSettings): WinRow[] {
  const half = Math.round(rl.steps / 2 / rl.evaluateEvery) * rl.evaluateEvery;
  const definitions: [string, Choice][] = [
    [`(i) step ${half}`, atStep(half)],
    [`(i) step ${rl.steps}`, atStep(rl.steps)],
    ...[1, 2, 4, 8, 16].map((kl): [string, Choice] => [`(ii) KL ${kl}`, atKl(kl)]),
    ["(iii) proxy plateau", atPlateau],
    ["(iv) own peak", atPeak],
  ];
  return rl.arms.flatMap(({ alpha, arms }) => {
    const names = [...new Set(arms.map(policyName))];
    const ours = names.filter((name) => name.startsWith("WARM"));
    return ours.flatMap((mine) => {
      const theirs = [
        "single",
        ...(mine === `WARM ${main}` ? names.filter((name) => name.startsWith("ENS")) : []),
      ];
      return theirs.flatMap((opponent) => {
        const bySeed = all.map(({ policies }) => {
          const at = policies.filter((run) => run.alpha === alpha);
          return {
            ours: at.find(({ arm }) => policyName(arm) === mine)!,
            theirs: at.filter(({ arm }) => policyName(arm) === opponent),
          };
        });
        return definitions.flatMap(([definition, choice]): WinRow[] => {
          const result = policyWinRate(bySeed, choice);
          return result ? [{ ours: mine, theirs: opponent, alpha, definition, result }] : [];
        });
      });
    });
  });
}

/** Time of an RL step with the ensemble of M against one with the average of M. */
function stepRatio({ policies }: WarmResult, m: number): number {
  const seconds = (arm: string) =>
    mean(policies.filter((run) => run.arm === arm).map(({ secondsPerStep }) => secondsPerStep));
  return seconds(`ens-${m}`) / seconds(`warm-${m}`);
}

/** What must hold before a comparison is believed. */
function gatesOf(
  all: readonly WarmResult[],
  validation: readonly number[],
  policies: readonly PolicyCurve[],
  m: number,
): Findings["gates"] {
  const deviation = mean(all.map(({ accuracy }) => accuracy.start.deviation));
  const gain = (alpha: number): number | undefined => {
    const curve = policies.find((one) => one.name === `WARM ${m}` && one.alpha === alpha);
    return curve && (curve.peak.gold.estimate - curve.points[0]!.gold.estimate) / deviation;
  };
  const gate = (name: string, value: number | undefined, target: number) =>
    value === undefined ? [] : [{ gate: name, value, target, passed: value >= target }];
  return [
    ...gate(`accuracy of WARM ${m} on clean validation pairs`, mean(validation), 0.69),
    ...gate("true reward gained under RL at alpha 0.003, in sd of SFT answers", gain(0.003), 0.15),
    ...gate("true reward gained under RL at alpha 0.03, in sd of SFT answers", gain(0.03), 0.4),
  ];
}
