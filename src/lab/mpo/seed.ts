// One seed of `reproduce mpo`: prompts, every run, every measurement. A run that is finished is on disk, and a restart goes
// on from there.

import { join } from "node:path";
import { stringify } from "yaml";
import { writeFileAtomic } from "../../base/atomic.js";
import { taskToYaml } from "../../mpo/task.js";
import { parseRecipe } from "../../recipe/recipe.js";
import { InterruptedError, silent } from "../../run/context.js";
import { type Metrics, type MetricsRow, readMetrics } from "../../run/metrics.js";
import { runAlignRecipe } from "../../train/align/stages.js";
import { openPolicy } from "../../train/models.js";
import { baseModelDir } from "../quickstart.js";
import type { SeedContext } from "../reproduce/experiment.js";
import { kept } from "../reproduce/kept.js";
import { writeWorld } from "../world/files.js";
import { buildWorld } from "../world/world.js";
import { type Means, type Measured, meansOf, measure } from "./measure.js";
import { flawedProxy, openModels } from "./models.js";
import { byRun, fullSettings, quickSettings, type RunName, runNames, titles } from "./protocol.js";
import { dataDir, runDir, runRecipe, taskFile, taskName } from "./recipes.js";
import { byHack, hackNames } from "./reviewer.js";
import { type Round, readRoundsWithCalls, readVersions, type Version } from "./rounds.js";
import { writingTask } from "./writing-task.js";

/** An update, as training saw it. */
export interface TrainPoint {
  step: number;
  /** The version that scored it. */
  version: number;
  /** Mean share of that version's maximum. */
  score: number;
  kl: number;
  /** Requests to the reward model for each response; equal ones count. */
  callsPerResponse: number;
  failedRate: number;
}

/** An evaluation on held-out prompts. */
export type CurvePoint = Means & { step: number };

export interface RunResult {
  curve: CurvePoint[];
  training: TrainPoint[];
  versions: Version[];
  rounds: Round[];
  final: Measured;
}

export interface SeedResult {
  /** Whether the two models were the scripted ones. */
  scripted: boolean;
  prompts: string[];
  start: Measured;
  runs: Record<RunName, RunResult>;
  recipes: Record<string, string>;
}

export async function runSeed(seed: number, context: SeedContext): Promise<SeedResult> {
  const { dir, threads, signal, log, quick } = context;
  const settings = quick ? quickSettings : fullSettings;
  const models = await openModels(dir, context.options);
  try {
    const sizes = { corpus: 0, sft: 0, preferences: 0, validation: 0, shifted: 0 };
    const world = buildWorld(seed, { families: ["writing"], sizes });
    await writeWorld(world, dataDir(dir));
    for (const rubric of ["flawed", "expert"] as const)
      await writeFileAtomic(taskFile(dir, rubric), taskToYaml(writingTask(rubric, models.wording)));

    const proxy = flawedProxy(models);
    const along = world.heldout.slice(0, settings.heldout.along);
    const final = world.heldout.slice(0, settings.heldout.final);
    const engine = { kind: "local", device: "cpu", maxBatchTokens: 4096, threads } as const;
    const { policy: reference, codec } = await openPolicy(baseModelDir, { engine, frozen: true });
    const recipes: Record<string, string> = {};
    const runs = {} as SeedResult["runs"];
    for (const run of runNames) {
      log(titles[run]);
      recipes[run] = stringify(runRecipe(run, { dir, seed, threads, settings, endpoint: models.endpoint }));
      await writeFileAtomic(join(dir, `${run}.yaml`), recipes[run]);
      const { model } = await runAlignRecipe(parseRecipe("align", recipes[run], `${run}.yaml`), {
        reporter: { ...silent, note: (line) => log(`${titles[run]}: ${line}`) },
        resume: true,
        allowNothingLearned: true,
        signal,
        observe: async (step, observed) =>
          step % settings.mpo.interval === 0
            ? curveMetrics(meansOf(await measure(observed, along, proxy, settings.maxNewTokens)))
            : {},
      });
      if (signal?.aborted) throw new InterruptedError("stopped; the same command continues");
      const measured = await kept(join(dir, "measured", `${run}.json`), async () => {
        const { policy } = await openPolicy(model, { engine, frozen: true });
        const result = await measure({ policy, reference, codec }, final, proxy, settings.maxNewTokens);
        policy.dispose();
        return result;
      });
      const rows = await readMetrics(join(runDir(dir, run), "metrics.jsonl"));
      runs[run] = {
        curve: rows.flatMap(curvePoint),
        training: rows.flatMap(trainPoint),
        versions: await readVersions(dir, run),
        rounds: await readRoundsWithCalls(dir, run),
        final: measured,
      };
    }
    const start = await measure({ policy: reference, reference, codec }, final, proxy, settings.maxNewTokens);
    reference.dispose();
    return {
      scripted: models.wording === "scripted",
      prompts: final.map(({ prompt }) => prompt),
      start,
      runs: byRun((run) => runs[run]),
      recipes,
    };
  } finally {
    await models.close();
  }
}

const hackMetric = (name: string) => `lab/hacks/${name.replace(" ", "_")}`;

/** Means as metrics; `lab/` marks what training never sees. */
const curveMetrics = ({ trueReward, proxy, kl, hacks }: Means): Metrics => ({
  "lab/true_reward": trueReward,
  "lab/proxy_reward": proxy,
  "lab/kl": kl,
  ...Object.fromEntries(hackNames.map((name) => [hackMetric(name), hacks[name]])),
});

function curvePoint(row: MetricsRow): CurvePoint[] {
  if (!("lab/true_reward" in row)) return [];
  return [
    {
      step: row.step,
      trueReward: Number(row["lab/true_reward"]),
      proxy: Number(row["lab/proxy_reward"]),
      kl: Number(row["lab/kl"]),
      hacks: byHack((name) => Number(row[hackMetric(name)])),
    },
  ];
}

function trainPoint(row: MetricsRow): TrainPoint[] {
  const value = (key: string) => Number(row[`tasks/${taskName}/${key}`]);
  if (Number.isNaN(value("rubric/version"))) return [];
  return [
    {
      step: row.step,
      version: value("rubric/version"),
      score: value("rubric/score"),
      kl: value("kl"),
      callsPerResponse: value("rubric/calls_per_response"),
      failedRate: value("rubric/failed_rate"),
    },
  ];
}
