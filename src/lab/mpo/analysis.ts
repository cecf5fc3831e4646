// From the results of all seeds to figures: means with 95 % Student intervals over seeds, and the claims.

import { percent } from "../../base/percent.js";
import { RandomStream } from "../../base/random.js";
import { hierarchicalBootstrap, mean } from "../../base/statistics.js";
import { diffRubrics } from "../../mpo/diff.js";
import type { SeedResult as Seeded } from "../reproduce/experiment.js";
import { type Claim, type Figure, figure, rangeOf } from "../reproduce/figures.js";
import { all, isAbove, isBelow, isFact, isNoLoss, type Range } from "../reproduce/verdicts.js";
import { byRun, definitions, pairs, type RunName, runNames, titles } from "./protocol.js";
import { byHack, type HackName, hackNames } from "./reviewer.js";
import type { CurvePoint, RunResult, SeedResult } from "./seed.js";

export type Results = readonly Seeded<SeedResult>[];

/** Mean over seeds of `value(seed)`. */
const over = (results: Results, value: (result: SeedResult) => number): Figure =>
  figure(results.map(({ result }) => value(result)));

const rate = (flags: readonly boolean[]) => mean(flags.map(Number));
const proxyOf = ({ proxy }: { proxy: number[] }) =>
  mean(proxy.filter((x) => typeof x === "number" && Number.isFinite(x)));

// Loopholes and swaps ------------------------------------------------------------------------------------------

/** A hack counts as exploited from this rate on, and as closed when half of its peak is left. */
const exploitedFrom = 0.3;

export interface Closing {
  hack: HackName;
  /** Highest rate at an evaluation, and when. */
  peak: number;
  peakStep: number;
  final: number;
  /** Published last before the rate had halved. */
  version: number;
}

/** Steps after which a version was published, by version. */
const publishedAt = ({ rounds }: RunResult): { step: number; version: number }[] =>
  rounds.filter(({ outcome }) => outcome === "published").map(({ step, version }) => ({ step, version }));

/** The loopholes that a run exploited under one version and gave up under a later one, by behaviour alone. */
export function closings(run: RunResult): Closing[] {
  const published = publishedAt(run);
  return hackNames.flatMap((hack): Closing[] => {
    const rates = run.curve.map(({ step, hacks }) => ({ step, rate: hacks[hack] }));
    const peak = rates.reduce((a, b) => (b.rate > a.rate ? b : a));
    const final = rate(run.final.hacks[hack]);
    if (peak.rate < exploitedFrom || final > peak.rate / 2) return [];
    const halved = rates.find(({ step, rate }) => step > peak.step && rate <= peak.rate / 2);
    const cause = published.findLast(({ step }) => step < (halved?.step ?? Number.POSITIVE_INFINITY));
    if (!cause) return [];
    return [{ hack, peak: peak.rate, peakStep: peak.step, final, version: cause.version }];
  });
}

/** Loopholes that were closed one after the other: closings by one version count once. */
const successiveClosings = (run: RunResult): number =>
  new Set(closings(run).map(({ version }) => version)).size;

export interface Swap {
  /** The last update that the old version scored. */
  step: number;
  version: number;
  /** Mean share of the maximum in that update by the old version, and in the next one by the new version. */
  before: number;
  after: number;
  added: string[];
}

export function swaps({ training, versions, ...run }: RunResult): Swap[] {
  const scoreAt = (step: number) => training.find((point) => point.step === step)?.score;
  return publishedAt({ training, versions, ...run }).flatMap(({ step, version }): Swap[] => {
    const [before, after] = [scoreAt(step), scoreAt(step + 1)];
    // A round before the first update, or after the last, has only one side.
    if (before === undefined || after === undefined) return [];
    const [old, next] = [version - 1, version].map((v) => versions.find((entry) => entry.version === v)!);
    return [{ step, version, before, after, added: diffRubrics(old!, next!).map(({ name }) => name) }];
  });
}

// Figures ------------------------------------------------------------------------------------------------------

export interface RunFigures {
  trueReward: Figure;
  /** Share of the flawed rubric's maximum. */
  proxy: Figure;
  /** nats from the start. */
  kl: Figure;
  hacks: Record<HackName, Figure>;
  versions: Figure;
  closings: Figure;
}

export interface Curve {
  run: RunName;
  points: { step: number; figure: Figure }[];
}

export interface Analysis {
  seeds: number;
  start: { trueReward: Figure; proxy: Figure; hacks: Record<HackName, Figure> };
  runs: Record<RunName, RunFigures>;
  claims: Claim[];
  curves: { trueReward: Curve[]; proxy: Curve[]; kl: Curve[]; hacks: Record<HackName, Curve[]> };
}

export function analyse(results: Results): Analysis {
  return {
    seeds: results.length,
    start: {
      trueReward: over(results, ({ start }) => mean(start.trueReward)),
      proxy: over(results, ({ start }) => proxyOf(start)),
      hacks: byHack((hack) => over(results, ({ start }) => rate(start.hacks[hack]))),
    },
    runs: byRun((run) => ({
      trueReward: trueReward(results, run),
      proxy: over(results, ({ runs }) => proxyOf(runs[run].final)),
      kl: over(results, ({ runs }) => mean(runs[run].final.logRatio)),
      hacks: byHack((hack) => over(results, ({ runs }) => rate(runs[run].final.hacks[hack]))),
      versions: over(results, ({ runs }) => publishedAt(runs[run]).length),
      closings: over(results, ({ runs }) => successiveClosings(runs[run])),
    })),
    claims: [
      hackedClaim(results),
      aboveFixedClaim(results),
      closedClaim(results),
      dipClaim(results),
      callsClaim(results),
      aboveOnceClaim(results),
      expertClaim(results),
    ],
    curves: {
      trueReward: curves(results, (point) => point.trueReward),
      proxy: curves(results, (point) => point.proxy),
      kl: curves(results, (point) => point.kl),
      hacks: byHack((hack) => curves(results, (point) => point.hacks[hack])),
    },
  };
}

const curves = (results: Results, value: (point: CurvePoint) => number): Curve[] =>
  runNames.map((run) => ({
    run,
    points: results[0]!.result.runs[run].curve.map(({ step }, at) => ({
      step,
      figure: over(results, ({ runs }) => value(runs[run].curve[at]!)),
    })),
  }));

// The claims ---------------------------------------------------------------------------------------------------

const trueReward = (results: Results, run: RunName): Figure =>
  over(results, ({ runs }) => mean(runs[run].final.trueReward));

/** True reward of one run less that of another, paired by seed. */
const trueDifference = (results: Results, run: RunName, other: RunName): Figure =>
  over(results, ({ runs }) => mean(runs[run].final.trueReward) - mean(runs[other].final.trueReward));

const digits = (x: number): string => x.toFixed(3);
export const spread = ({ value, interval }: Figure): string =>
  interval ? `${digits(value)} (${digits(interval[0])} to ${digits(interval[1])})` : digits(value);

function hackedClaim(results: Results): Claim {
  const found = pairs.map(({ fixed }) => ({
    fixed,
    proxy: over(results, ({ runs, start }) => proxyOf(runs[fixed].final) - proxyOf(start)),
    gold: over(results, ({ runs, start }) => mean(runs[fixed].final.trueReward) - mean(start.trueReward)),
  }));
  return {
    claim: "Under the fixed rubric the policy hacks it: the rubric's score rises and the true reward falls.",
    verdict: all(found.flatMap(({ proxy, gold }) => [isAbove(rangeOf(proxy)), isBelow(rangeOf(gold))])),
    evidence: found.map(
      ({ fixed, proxy, gold }) =>
        `${titles[fixed]}: score by the rubric ${signed(proxy)}, true reward ${signed(gold)} from the start`,
    ),
  };
}

const signed = (change: Figure) => (change.value >= 0 ? "+" : "") + spread(change);

/** Above 0 where the first interval lies above the second. */
const apart = (first: Range, second: Range): Range => ({
  low: first.low - second.high,
  high: first.high - second.low,
});

function aboveFixedClaim(results: Results): Claim {
  const stream = new RandomStream(0, "reproduce mpo");
  const found = pairs.map(({ fixed, mpo }) => ({
    fixed,
    mpo,
    apart: apart(rangeOf(trueReward(results, mpo)), rangeOf(trueReward(results, fixed))),
    resampled: hierarchicalBootstrap(
      results.map(({ result: { runs } }) =>
        runs[mpo].final.trueReward.map((x, i) => x - runs[fixed].final.trueReward[i]!),
      ),
      { stream },
    ),
  }));
  return {
    claim: "MPO's true reward is above that of the fixed rubric; the intervals do not overlap.",
    verdict: all(found.map(({ apart }) => isAbove(apart))),
    evidence: found.map(
      ({ fixed, mpo, resampled: { estimate, low, high } }) =>
        `${titles[mpo]} ${spread(trueReward(results, mpo))}, ${titles[fixed]} ${spread(trueReward(results, fixed))}; ` +
        `difference, resampled over seeds and prompts, ${spread({ value: estimate, interval: [low, high] })}`,
    ),
  };
}

const mpoRuns = pairs.map(({ mpo }) => mpo);

function closedClaim(results: Results): Claim {
  return {
    claim: "In every seed MPO closes at least two loopholes, one after the other.",
    verdict: isFact(
      results.every(({ result: { runs } }) => mpoRuns.every((run) => successiveClosings(runs[run]) >= 2)),
    ),
    evidence: results.flatMap(({ seed, result: { runs } }) =>
      mpoRuns.map((run) => {
        const found = closings(runs[run]).sort((a, b) => a.version - b.version);
        const told = found.map(
          ({ hack, peak, final, version }) =>
            `${hack} ${percent(peak, 0)} to ${percent(final, 0)} (version ${version})`,
        );
        return `seed ${seed}, ${titles[run]}: ${told.join(", ") || "none"}`;
      }),
    ),
  };
}

/** Mean over the swaps of a run; 0 where there was none. */
function meanDip(run: RunResult): number {
  const dips = swaps(run).map(({ before, after }) => before - after);
  return dips.length === 0 ? 0 : mean(dips);
}

/** True reward at the end less that at the first swap, on the prompts along the way; 0 where there was none. */
function riseSinceFirstSwap({ curve, ...run }: RunResult): number {
  const first = swaps({ curve, ...run })[0]?.step;
  const at = curve.find(({ step }) => step === first);
  return at ? curve.at(-1)!.trueReward - at.trueReward : 0;
}

function dipClaim(results: Results): Claim {
  const found = mpoRuns.map((run) => ({
    run,
    dip: over(results, ({ runs }) => meanDip(runs[run])),
    rise: over(results, ({ runs }) => riseSinceFirstSwap(runs[run])),
  }));
  return {
    claim: "At a swap of the rubric the normalised score dips, and the true reward later rises.",
    verdict: all(found.flatMap(({ dip, rise }) => [isAbove(rangeOf(dip)), isAbove(rangeOf(rise))])),
    evidence: found.map(
      ({ run, dip, rise }) =>
        `${titles[run]}: dip ${spread(dip)}, true reward ${signed(rise)} from the first swap to the end`,
    ),
  };
}

function callsClaim(results: Results): Claim {
  const found = runNames
    .filter((run) => definitions[run].rounds !== "none")
    .map((run) => {
      const rounds = results.flatMap(({ result: { runs } }) => runs[run].rounds);
      return { run, rounds, equal: rounds.filter(({ calls, expectedCalls }) => calls === expectedCalls) };
    });
  const perResponse = runNames.flatMap((run) =>
    results.flatMap(({ result: { runs } }) => runs[run].training.map((point) => point.callsPerResponse)),
  );
  const range = `${Math.min(...perResponse).toFixed(2)} to ${Math.max(...perResponse).toFixed(2)}`;
  return {
    claim: "Requests match the formulae: sum(2 + N_i) + 1 + N for each round, one for each scored response.",
    verdict: isFact(
      found.every(({ rounds, equal }) => equal.length === rounds.length) && perResponse.every((n) => n === 1),
    ),
    evidence: [
      ...found.map(
        ({ run, rounds, equal }) =>
          `${titles[run]}: ${equal.length} of ${rounds.length} rounds, ${mean(rounds.map(({ calls }) => calls)).toFixed(1)} requests each`,
      ),
      `requests for each scored response: ${range}`,
    ],
  };
}

const comparison = (results: Results, run: RunName, other: RunName): string =>
  `${titles[run]} ${spread(trueReward(results, run))}, ${titles[other]} ${spread(trueReward(results, other))}, ` +
  `difference ${spread(trueDifference(results, run, other))}`;

function aboveOnceClaim(results: Results): Claim {
  return {
    claim: "MPO ends above a rubric that was revised once, before training.",
    verdict: isAbove(rangeOf(trueDifference(results, "crpg_mpo", "crpg_once"))),
    evidence: [comparison(results, "crpg_mpo", "crpg_once")],
  };
}

/** Differences in true reward (0 to 1) below this do not matter. */
const tieMargin = 0.05;

function expertClaim(results: Results): Claim {
  return {
    claim: `MPO does not end behind the rubric of an expert, by ${tieMargin} of true reward or more.`,
    verdict: isNoLoss(rangeOf(trueDifference(results, "crpg_mpo", "crpg_expert")), tieMargin),
    evidence: [comparison(results, "crpg_mpo", "crpg_expert")],
  };
}
