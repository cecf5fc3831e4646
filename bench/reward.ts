// What a reward costs at inference: one member, the average of M members (WARM), the ensemble of the same M. All score the
// same sequences in turn, in one process.

import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { RandomStream } from "../src/base/random.js";
import { sortedQuantile } from "../src/base/statistics.js";
import { LocalScalarModel } from "../src/engine/local/index.js";
import { writeRandomModel } from "../src/lab/base.js";
import { averageCheckpoints } from "../src/reward/average.js";
import { ensembleMean } from "../src/reward/ensemble.js";
import { setThreads } from "../src/tensor/runtime.js";
import { commonConfig, shapes } from "./workload.js";

export interface RewardBenchOptions {
  shape: string;
  members: number;
  threads: number;
  repeat: number;
  /** Where a temporary directory is made. */
  root: string;
}

export interface RewardBenchResult {
  shape: string;
  members: number;
  sequences: number;
  tokens: number;
  repetitions: number;
  /** Processor seconds of scoring all sequences once, medians. */
  member_seconds: number;
  average_seconds: number;
  ensemble_seconds: number;
  /** Over the member's, of the same repetition: median, least and greatest. */
  average_ratio: number;
  average_ratio_min: number;
  average_ratio_max: number;
  ensemble_ratio: number;
  ensemble_ratio_min: number;
  ensemble_ratio_max: number;
}

const classifier = {
  model_type: "llama",
  architectures: ["LlamaForSequenceClassification"],
  num_labels: 1,
};
const sequences = 32;
const length = 128;

type Scorer = () => Promise<ArrayLike<number>>;

/** Processor time, so that other programs do not count. */
async function secondsOf(work: Scorer): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

const spread = (values: readonly number[]): [median: number, least: number, greatest: number] => {
  const sorted = values.toSorted((a, b) => a - b);
  return [sortedQuantile(sorted, 0.5), sorted[0]!, sorted.at(-1)!];
};

export async function benchReward(options: RewardBenchOptions): Promise<RewardBenchResult> {
  const { shape, members: count, threads, repeat, root } = options;
  setThreads(threads);
  const dir = await mkdtemp(join(root, "touchstone-bench-"));
  const opened: LocalScalarModel[] = [];
  const open = async (from: string): Promise<LocalScalarModel> => {
    opened.push(await LocalScalarModel.load(from, { frozen: true }));
    return opened.at(-1)!;
  };
  try {
    const dirs = Array.from({ length: count }, (_, i) => join(dir, `member-${i}`));
    for (const [i, member] of dirs.entries())
      await writeRandomModel(member, { ...classifier, ...commonConfig, ...shapes[shape] }, i);
    await averageCheckpoints({ members: dirs.map((member) => ({ dir: member })), out: join(dir, "average") });
    const members = await Promise.all(dirs.map(open));
    const average = await open(join(dir, "average"));

    const random = new RandomStream(0, "reward bench");
    const vocabulary = shapes[shape]!.vocab_size as number;
    const rows = Array.from({ length: sequences }, () =>
      Array.from({ length }, () => random.integer(vocabulary)),
    );
    const scoresOf = async (model: LocalScalarModel) =>
      Float64Array.from(await model.values(rows, "last"), ([value]) => value!);
    const scorers = {
      member: () => scoresOf(members[0]!),
      average: () => scoresOf(average),
      ensemble: async () => {
        const scores = [];
        for (const member of members) scores.push(await scoresOf(member));
        return ensembleMean(scores);
      },
    } satisfies Record<string, Scorer>;
    const names = Object.keys(scorers) as (keyof typeof scorers)[];
    for (const name of names) await scorers[name]();

    const seconds = { member: [] as number[], average: [] as number[], ensemble: [] as number[] };
    for (let i = 0; i < repeat; i++)
      for (const name of i % 2 === 0 ? names : names.toReversed())
        seconds[name].push(await secondsOf(scorers[name]));
    const ratios = (name: "average" | "ensemble") =>
      spread(seconds[name].map((value, i) => value / seconds.member[i]!));
    const [averageRatio, averageLeast, averageGreatest] = ratios("average");
    const [ensembleRatio, ensembleLeast, ensembleGreatest] = ratios("ensemble");
    return {
      shape,
      members: count,
      sequences,
      tokens: sequences * length,
      repetitions: repeat,
      member_seconds: spread(seconds.member)[0],
      average_seconds: spread(seconds.average)[0],
      ensemble_seconds: spread(seconds.ensemble)[0],
      average_ratio: averageRatio,
      average_ratio_min: averageLeast,
      average_ratio_max: averageGreatest,
      ensemble_ratio: ensembleRatio,
      ensemble_ratio_min: ensembleLeast,
      ensemble_ratio_max: ensembleGreatest,
    };
  } finally {
    for (const model of opened) model.dispose();
    await rm(dir, { recursive: true, force: true });
  }
}
