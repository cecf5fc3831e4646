// The models of one seed, and the rewards made of them that the tables compare.

import { ensembleMean, uncertaintyWeighted, worstCase, zScoreMembers } from "../../reward/ensemble.js";
import type { WarmSettings } from "./settings.js";

/** Directories of reward models. */
export interface Models {
  /** The diverse suite, best first by accuracy on D_select. */
  diverse: string[];
  same: string[];
  baklava: string[];
  /** Weight averages of the best M of the diverse suite, by M. */
  warm: Record<number, string>;
  warmSame: string;
  warmBaklava: string;
  /** Checkpoints of one run in order, the last its end, and their uniform and exponential moving averages. */
  trajectory: string[];
  swa: string;
  ema: string;
}

export const modelDirs = (models: Models): string[] => [
  ...new Set([
    ...models.diverse,
    ...models.same,
    ...models.baklava,
    ...Object.values(models.warm),
    models.warmSame,
    models.warmBaklava,
    models.trajectory.at(-1)!,
    models.swa,
    models.ema,
  ]),
];

/** A row of a table: one reward, or several over whose results the row is the mean. */
export interface Arm {
  name: string;
  /** rewards[k][i]: reward of sample i. */
  rewards: readonly Float64Array[];
}

/** Rewards of the same samples under every model directory. */
export type ScoresByModel = ReadonlyMap<string, Float64Array>;

export const mainNames = (m: number) => ({
  single: `single (mean of ${m})`,
  best: "single (best on D_select)",
  warm: `WARM ${m}`,
  ensemble: `ENS ${m}`,
});

/** All rows. `reference` are scores of SFT answers, on which WCO and UWO put the members on one scale. */
export function makeArms(
  models: Models,
  scores: ScoresByModel,
  reference: ScoresByModel,
  { averages, main, uncertaintyWeight }: Pick<WarmSettings, "averages" | "main" | "uncertaintyWeight">,
): Arm[] {
  const of = (dirs: readonly string[]) => dirs.map((dir) => scores.get(dir)!);
  const one = (name: string, reward: Float64Array): Arm => ({ name, rewards: [reward] });
  const single = (name: string, dir: string) => one(name, scores.get(dir)!);
  const best = (m: number) => models.diverse.slice(0, m);
  const standard = zScoreMembers(
    of(best(main)),
    best(main).map((dir) => reference.get(dir)!),
  );
  const names = mainNames(main);
  const suite = (label: string, dirs: readonly string[], merged: string): Arm[] => [
    { name: `${label}: single (mean of ${dirs.length})`, rewards: of(dirs) },
    single(`${label}: WARM ${dirs.length}`, merged),
    one(`${label}: ENS ${dirs.length}`, ensembleMean(of(dirs))),
  ];
  return [
    { name: `single (mean of ${models.diverse.length})`, rewards: of(models.diverse) },
    { name: names.single, rewards: of(best(main)) },
    single(names.best, models.diverse[0]!),
    ...averages.filter((m) => m > 1).map((m) => single(`WARM ${m}`, models.warm[m]!)),
    ...averages.filter((m) => m > 1).map((m) => one(`ENS ${m}`, ensembleMean(of(best(m))))),
    one(`WCO ${main}`, worstCase(standard)),
    one(`UWO ${main}`, uncertaintyWeighted(standard, uncertaintyWeight)),
    single("one run: last checkpoint", models.trajectory.at(-1)!),
    single("one run: SWA", models.swa),
    single("one run: EMA", models.ema),
    ...suite("same config", models.same, models.warmSame),
    ...suite("Baklava", models.baklava, models.warmBaklava),
  ];
}
