// From the results of all seeds to figures: means with 95 % Student intervals over seeds, and the four claims.

import { mean, winRate } from "../../base/statistics.js";
import type { SeedResult as Seeded } from "../reproduce/experiment.js";
import { type Claim, type Figure, figure, rangeOf } from "../reproduce/figures.js";
import { all, isAbove, isBelow, isNoLoss, some, type Verdict } from "../reproduce/verdicts.js";
import type { Scores, TaskMeans } from "./measure.js";
import {
  byRun,
  byTask,
  cgpoRuns,
  type RunName,
  rewardOf,
  runNames,
  type TaskName,
  taskNames,
  titles,
  verifiableTasks,
} from "./protocol.js";
import type { PromptFacts, SeedResult } from "./seed.js";

export type Results = readonly Seeded<SeedResult>[];

type Selection = (prompt: PromptFacts) => boolean;
const ofTask =
  (task: TaskName): Selection =>
  (prompt) =>
    prompt.task === task;

/** Mean of a score over the selected prompts of one seed. */
function mark({ prompts, runs }: SeedResult, run: RunName, key: keyof Scores, selection: Selection): number {
  return mean(runs[run].final[key].filter((_, i) => selection(prompts[i]!)));
}

/** Mean over seeds of `value(seed)`. */
const over = (results: Results, value: (result: SeedResult) => number): Figure =>
  figure(results.map(({ result }) => value(result)));

const rewardKey = (run: RunName) => (rewardOf(run) === "unified" ? "unifiedReward" : "taskReward");

/** The reward that a run follows, as change from the warm-up model on the same prompts. */
const rewardRise = (result: SeedResult, run: RunName, task: TaskName): number =>
  mark(result, run, rewardKey(run), ofTask(task)) - mark(result, "warmup", rewardKey(run), ofTask(task));

/** A column of the table in the shape of the paper's Table 2. */
export interface Benchmark {
  title: string;
  key: "trueReward" | "broken";
  selection: Selection;
}

export const benchmarks: readonly Benchmark[] = [
  { title: "chat", key: "trueReward", selection: ofTask("chat") },
  { title: "instructions", key: "trueReward", selection: ofTask("instructions") },
  { title: "arithmetic", key: "trueReward", selection: ({ family }) => family === "arithmetic" },
  { title: "code", key: "trueReward", selection: ({ family }) => family === "code" },
  { title: "engagement", key: "trueReward", selection: ofTask("engagement") },
  { title: "harm done (SVR, lower)", key: "broken", selection: ({ harmful }) => harmful === true },
  { title: "false refusals (FRR, lower)", key: "broken", selection: ({ harmful }) => harmful === false },
];

export interface TaskFigures {
  trueReward: Figure;
  /** The reward that the run follows, change from the warm-up model. */
  rewardRise: Figure;
  /** By the judges of the task. */
  violationRate: Figure;
  /** By the true reward. */
  brokenRate: Figure;
  /** nats from the warm-up model. */
  kl: Figure;
}

export interface RunFigures {
  tasks: Record<TaskName, TaskFigures>;
  /** In the order of `benchmarks`. */
  benchmarks: Figure[];
  /** Means over tasks. */
  overall: TaskFigures;
  /** Win rates by the true reward over all prompts of a task. */
  against: Record<"warmup" | "ppo", Record<TaskName, Figure>>;
}

export interface Curve {
  run: RunName;
  points: { step: number; figure: Figure }[];
}

export interface Analysis {
  seeds: number;
  runs: Record<RunName, RunFigures>;
  claims: Claim[];
  curves: Record<"trueReward" | "reward" | "violationRate" | "kl", Record<TaskName, Curve[]>>;
}

export function analyse(results: Results): Analysis {
  return {
    seeds: results.length,
    runs: byRun((run) => runFigures(results, run)),
    claims: [collapseClaim(results), noCollapseClaim(results), bestClaim(results), violationClaim(results)],
    curves: {
      trueReward: curves(results, (means) => means.trueReward),
      reward: curves(results, relativeReward),
      violationRate: curves(results, (means) => means.violationRate),
      kl: curves(results, (means) => means.kl),
    },
  };
}

/** Figures over the mean of `chosen`. */
function taskFigures(results: Results, run: RunName, chosen: readonly TaskName[]): TaskFigures {
  const each = (value: (result: SeedResult, task: TaskName) => number): Figure =>
    over(results, (result) => mean(chosen.map((task) => value(result, task))));
  const final = (key: keyof Scores) => each((result, task) => mark(result, run, key, ofTask(task)));
  return {
    trueReward: final("trueReward"),
    rewardRise: each((result, task) => rewardRise(result, run, task)),
    violationRate: final("violated"),
    brokenRate: final("broken"),
    kl: final("logRatio"),
  };
}

function runFigures(results: Results, run: RunName): RunFigures {
  const wins = (other: RunName, task: TaskName) =>
    over(results, ({ prompts, runs }) => {
      const rewards = (name: RunName) =>
        runs[name].final.trueReward.filter((_, i) => prompts[i]!.task === task);
      return winRate(rewards(run), rewards(other)).estimate;
    });
  return {
    tasks: byTask((task) => taskFigures(results, run, [task])),
    overall: taskFigures(results, run, taskNames),
    benchmarks: benchmarks.map(({ key, selection }) =>
      over(results, (result) => mark(result, run, key, selection)),
    ),
    against: {
      warmup: byTask((task) => wins("warmup", task)),
      ppo: byTask((task) => wins("ppo", task)),
    },
  };
}

function curves(
  results: Results,
  value: (means: TaskMeans, run: RunName, origin: TaskMeans) => number,
): Record<TaskName, Curve[]> {
  const moving = runNames.filter((run) => results[0]!.result.runs[run].curve.length > 0);
  return byTask((task) =>
    moving.map((run) => ({
      run,
      points: results[0]!.result.runs[run].curve.map(({ step }, at) => ({
        step,
        figure: over(results, ({ runs }) => {
          const { curve } = runs[run];
          return value(curve[at]!.tasks[task], run, curve[0]!.tasks[task]);
        }),
      })),
    })),
  );
}

/** The reward that the run follows, in standard deviations of the warm-up model's answers. */
function relativeReward(means: TaskMeans, run: RunName, origin: TaskMeans): number {
  return rewardOf(run) === "unified"
    ? (means.unifiedReward - origin.unifiedReward) / (origin.unifiedRewardDeviation || 1)
    : (means.taskReward - origin.taskReward) / (origin.taskRewardDeviation || 1);
}

// The claims ---------------------------------------------------------------------------------------------------

/** True reward of one run less that of another, seed by seed. */
const trueDifference = (results: Results, run: RunName, other: RunName, task: TaskName): Figure =>
  over(
    results,
    (result) =>
      mark(result, run, "trueReward", ofTask(task)) - mark(result, other, "trueReward", ofTask(task)),
  );

const trueMean = (results: Results, run: RunName, task: TaskName): Figure =>
  over(results, (result) => mark(result, run, "trueReward", ofTask(task)));

/** Less than half of the warm-up's true reward is left. */
const isHalved = (end: number, warmUp: number): boolean => end < warmUp / 2;

/** What is left of a task's true reward beyond half of the warm-up's: below 0, the task has collapsed. */
const aboveHalf = (results: Results, run: RunName, task: TaskName): Figure =>
  over(
    results,
    (result) =>
      mark(result, run, "trueReward", ofTask(task)) - mark(result, "warmup", "trueReward", ofTask(task)) / 2,
  );

const digits = (x: number): string => x.toFixed(3);
const spread = ({ value, interval }: Figure): string =>
  interval ? `${digits(value)} (${digits(interval[0])} to ${digits(interval[1])})` : digits(value);

function collapseClaim(results: Results): Claim {
  const found = (["ppo", "crpg_unjudged"] as const).map((run) => ({
    run,
    collapses: verifiableTasks.map((task) =>
      all([
        isBelow(rangeOf(aboveHalf(results, run, task))),
        isAbove(rangeOf(over(results, (result) => rewardRise(result, run, task)))),
      ]),
    ),
  }));
  return {
    claim:
      "Without judges (PPO and CRPG) at least one verifiable task collapses while its reward-model score rises.",
    verdict: all(found.map(({ collapses }) => some(collapses))),
    evidence: found.flatMap(({ run }) =>
      verifiableTasks.map(
        (task) =>
          `${titles[run]}, ${task}: true reward ${spread(trueMean(results, "warmup", task))} to ` +
          `${spread(trueMean(results, run, task))}, reward-model score ` +
          `+${spread(over(results, (result) => rewardRise(result, run, task)))}`.replace("+-", "-"),
      ),
    ),
  };
}

/** The seeds in which a task is halved. */
const seedsCollapsed = (results: Results, run: RunName, task: TaskName): number[] =>
  results
    .filter(({ result }) => {
      const trueReward = (name: RunName) => mark(result, name, "trueReward", ofTask(task));
      return isHalved(trueReward(run), trueReward("warmup"));
    })
    .map(({ seed }) => seed);

/**
 * Not to have collapsed is a claim of its own: the interval lies above half, on the mean of the seeds, and a single seed
 * in which a task is halved refutes it.
 */
function noCollapseClaim(results: Results): Claim {
  const found = cgpoRuns.map((run) => {
    const changes = taskNames.map((task) => ({ task, change: trueDifference(results, run, "warmup", task) }));
    const worst = changes.reduce((a, b) => (b.change.value < a.change.value ? b : a));
    const keeps = taskNames.map((task) => ({
      task,
      seeds: seedsCollapsed(results, run, task),
      verdict: isAbove(rangeOf(aboveHalf(results, run, task))),
    }));
    return { run, worst, keeps };
  });
  return {
    claim: "CRPG, CRRAFT and CODPO with judges do not collapse on any task.",
    verdict: all(
      found.flatMap(({ keeps }) =>
        keeps.map(({ seeds, verdict }): Verdict => (seeds.length > 0 ? "not reproduced" : verdict)),
      ),
    ),
    evidence: found.map(
      ({ run, worst, keeps }) =>
        `${titles[run]}: ${whatCollapsed(keeps)}; ` +
        `least change in true reward ${spread(worst.change)} (${worst.task})`,
    ),
  };
}

/** "collapses on chat in seed 1", or that none does, or where that is not settled. */
function whatCollapsed(keeps: readonly { task: TaskName; seeds: number[]; verdict: Verdict }[]): string {
  const collapsed = keeps.filter(({ seeds }) => seeds.length > 0);
  if (collapsed.length > 0)
    return `collapses on ${collapsed.map(({ task, seeds }) => `${task} in seed ${seeds.join(", ")}`).join("; ")}`;
  const open = keeps.filter(({ verdict }) => verdict !== "reproduced").map(({ task }) => task);
  return open.length === 0
    ? "no collapse"
    : `no seed collapses, but half is within the interval on ${open.join(", ")}`;
}

/** A lead in true reward (0 to 1) below this is a tie. */
const tieMargin = 0.05;

function bestClaim(results: Results): Claim {
  const found = taskNames.map((task) => {
    const ranked = [...runNames].sort(
      (a, b) => trueMean(results, b, task).value - trueMean(results, a, task).value,
    );
    const ours = ranked.find((run) => run === "crpg" || run === "crraft")!;
    const others = ranked
      .filter((run) => run !== ours)
      .map((run) => ({
        run,
        verdict: isNoLoss(rangeOf(trueDifference(results, ours, run, task)), tieMargin),
      }));
    const which = (wanted: Verdict) =>
      others.filter(({ verdict }) => verdict === wanted).map(({ run }) => titles[run]);
    return { task, best: ranked[0]!, ours, ahead: which("not reproduced"), open: which("inconclusive") };
  });
  return {
    claim: `CRPG or CRRAFT is best on true reward in every task, or no other run is ahead by ${tieMargin} or more.`,
    verdict: all(
      found.map(({ ahead, open }): Verdict => {
        if (ahead.length > 0) return "not reproduced";
        return open.length > 0 ? "inconclusive" : "reproduced";
      }),
    ),
    evidence: found.map(({ task, best, ours, ahead, open }) => {
      const mine = `${task}: ${titles[ours]} ${spread(trueMean(results, ours, task))}`;
      const against =
        best === ours
          ? ", the best"
          : ` against ${titles[best]}, difference ${spread(trueDifference(results, best, ours, task))}`;
      const rest = [
        ...(ahead.length > 0 ? [`beaten by ${ahead.join("; ")}`] : []),
        ...(open.length > 0 ? [`a lead of ${tieMargin} is not ruled out for ${open.join("; ")}`] : []),
      ];
      return [mine + against, ...rest].join(", ");
    }),
  };
}

function violationClaim(results: Results): Claim {
  const rate = (result: SeedResult, run: RunName) =>
    mean(taskNames.map((task) => mark(result, run, "violated", ofTask(task))));
  const found = cgpoRuns.map((run) => ({
    run,
    rate: over(results, (result) => rate(result, run)),
    /** Below 0: under a tenth of PPO's. */
    excess: over(results, (result) => rate(result, run) - rate(result, "ppo") / 10),
  }));
  const ppo = over(results, (result) => rate(result, "ppo"));
  return {
    claim: "The mean violation rate of CRPG, CRRAFT and CODPO at the end is below a tenth of PPO's.",
    verdict: all(found.map(({ excess }) => isBelow(rangeOf(excess)))),
    evidence: [
      `${titles.ppo}: ${spread(ppo)}`,
      ...found.map(
        (entry) =>
          `${titles[entry.run]}: ${spread(entry.rate)}, less a tenth of PPO's ${spread(entry.excess)}`,
      ),
    ],
  };
}
