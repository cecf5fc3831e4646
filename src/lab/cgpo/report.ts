// The page and the lines of `reproduce cgpo`.

import { percent } from "../../base/percent.js";
import type { Cell, LineChartSection, NumberCell, Report, Section } from "../../dashboard/report.js";
import { toneAgainst } from "../../dashboard/rules.js";
import {
  cell,
  chartPoints,
  claimLines,
  claimsTable,
  type Figure,
  intervalDetail,
  rangeOf,
} from "../reproduce/figures.js";
import { countVerdicts } from "../reproduce/verdicts.js";
import { type Analysis, analyse, benchmarks, type Curve, type Results } from "./analysis.js";
import { type RunName, rewardNames, runNames, type TaskName, taskNames, tasks, titles } from "./protocol.js";

/** Marks the best of a column: the greatest or the least. */
function markBest(column: readonly NumberCell[], isLower = false): NumberCell[] {
  const best = (isLower ? Math.min : Math.max)(...column.map(({ value }) => value));
  return column.map((entry) => ({ ...entry, best: entry.value === best }));
}

/** A table with a row for every run, from columns of cells. */
function runTable(columns: readonly { title: string; cells: readonly Cell[] }[]): {
  columns: string[];
  rows: Cell[][];
} {
  return {
    columns: ["run", ...columns.map(({ title }) => title)],
    rows: runNames.map((run, i) => [titles[run], ...columns.map(({ cells }) => cells[i]!)]),
  };
}

/** Colours stay with the run over all charts; runs without judges are dashed. */
const colours: readonly RunName[] = ["ppo", "crpg", "crraft", "codpo", "dpo", "ppo_gated", "crpg_unjudged"];

function chart(title: string, y: LineChartSection["y"], curves: readonly Curve[]): LineChartSection {
  return {
    kind: "lineChart",
    title,
    x: { label: "step" },
    y,
    series: curves.map(({ run, points }) => ({
      name: titles[run],
      color: colours.indexOf(run),
      style: run === "ppo" || run === "crpg_unjudged" ? "dashed" : run === "dpo" ? "dotted" : "solid",
      points: chartPoints(points, y.format),
    })),
  };
}

const panels = (
  title: string,
  caption: string,
  label: string,
  curves: Readonly<Record<TaskName, readonly Curve[]>>,
  format?: NumberCell["format"],
): Section => ({
  kind: "panels",
  title,
  caption,
  sections: taskNames.map((task) => chart(tasks[task].title, { label, format }, curves[task])),
});

export function cgpoReport(results: Results): { json: unknown; report: Report; summary: string } {
  const analysis = analyse(results);
  const { claims, seeds } = analysis;
  const headline = `${countVerdicts(claims.map(({ verdict }) => verdict))}, on the lab, over ${seeds} ${seeds === 1 ? "seed" : "seeds"}.`;
  return {
    json: {
      seeds: results.map(({ seed }) => seed),
      claims,
      benchmarks: benchmarks.map(({ title }) => title),
      runs: analysis.runs,
      curves: analysis.curves,
    },
    report: {
      title: "CGPO on five tasks",
      summary: { headline, highlights: highlights(analysis) },
      sections: sections(analysis, results),
      footer: `seeds ${results.map(({ seed }) => seed).join(", ")}`,
    },
    summary: [headline, ...claimLines(claims)].join("\n"),
  };
}

function highlights({ runs }: Analysis) {
  return (["warmup", "ppo", "crpg", "crraft", "codpo"] as const).map((run) => ({
    label: `${titles[run]}: true reward, mean of tasks`,
    value: runs[run].overall.trueReward.value.toFixed(3),
    detail: `${intervalDetail(runs[run].overall.trueReward)}; violations ${percent(runs[run].overall.violationRate.value)}`,
    tone: toneAgainst(rangeOf(runs[run].overall.trueReward), rangeOf(runs.warmup.overall.trueReward)),
  }));
}

function sections({ runs, claims, curves }: Analysis, results: Results): Section[] {
  const first = results[0]!.result;
  const byTask = (
    value: (run: RunName, task: TaskName) => Figure,
    overall: (run: RunName) => Figure,
    format: NumberCell["format"] | undefined,
    best?: "highest" | "lowest",
  ) => {
    const column = (figures: Figure[]) => {
      const cells = figures.map((figure) => cell(figure, format));
      return best ? markBest(cells, best === "lowest") : cells;
    };
    return runTable([
      ...taskNames.map((task) => ({
        title: tasks[task].title,
        cells: column(runNames.map((run) => value(run, task))),
      })),
      { title: "mean", cells: column(runNames.map(overall)) },
    ]);
  };
  return [
    {
      kind: "text",
      title: "What was run",
      text:
        "Five tasks, each with its own prompts, judges and limit on the KL divergence, from one small base model. Annotators who fall for showing off " +
        "spoiled a quarter of the preference labels, so every reward model has a flaw of the kind of the paper's Table 6. The warm-up is a short DPO run on all preferences; " +
        "DPO goes on from there, and so do the runs that sample, with the same prompts, steps and samples per step. PPO follows one reward model trained on all preferences; " +
        "the others follow the reward models for helpfulness, engagement and safety.\n\n" +
        "The true reward is a program that training cannot reach; it is only measured here, on held-out prompts.",
    },
    claimsTable(
      claims,
      `Differences are paired by seed; a difference counts where its 95 % Student interval over ${results.length} seeds lies on one side, and is inconclusive where it leaves room for both. A collapse: less than half of the warm-up's true reward is left, on the mean of the seeds; where none may be, in none of them.`,
    ),
    {
      kind: "table",
      title: "In the shape of the paper's Table 2",
      ...runTable(
        benchmarks.map(({ title, key }, i) => ({
          title,
          cells: markBest(
            runNames.map((run) => cell(runs[run].benchmarks[i]!, key === "broken" ? "percent" : undefined)),
            key === "broken",
          ),
        })),
      ),
      note: "True reward on held-out prompts, one answer each at temperature 1; the two safety columns are rates of improper conduct. Means over seeds with 95 % Student intervals.",
    },
    {
      kind: "table",
      title: "Violations",
      ...byTask(
        (run, task) => runs[run].tasks[task].violationRate,
        (run) => runs[run].overall.violationRate,
        "percent",
        "lowest",
      ),
      note: "Share of final answers that violate a judge of the task; the runs without judges never saw them.",
    },
    panels("True reward", "What nobody optimises.", "true reward", curves.trueReward),
    panels(
      "Reward-model score",
      "The reward model that the run follows; where it rises and the true reward falls, the run hacks it.",
      "change, sd of the warm-up",
      curves.reward,
    ),
    panels(
      "Violations over steps",
      "Share of answers that violate a judge.",
      "violation rate",
      curves.violationRate,
      "percent",
    ),
    panels("Distance from the warm-up", "Mean log-ratio of the answers.", "nats", curves.kl),
    {
      kind: "table",
      title: "Reward-model score gained",
      ...byTask(
        (run, task) => runs[run].tasks[task].rewardRise,
        (run) => runs[run].overall.rewardRise,
        undefined,
      ),
      note: "Change from the warm-up model in the reward model that the run follows (PPO: the unified one), in its own units.",
    },
    {
      kind: "table",
      title: "Constraints of the true reward",
      ...byTask(
        (run, task) => runs[run].tasks[task].brokenRate,
        (run) => runs[run].overall.brokenRate,
        "percent",
        "lowest",
      ),
      note: "Share of final answers that the true reward calls wrong, whether or not a judge can see it: a wrong result, excess or repetition, flattery, improper conduct.",
    },
    {
      kind: "table",
      title: "KL from the warm-up, nats",
      ...byTask(
        (run, task) => runs[run].tasks[task].kl,
        (run) => runs[run].overall.kl,
        undefined,
      ),
    },
    ...(["ppo", "warmup"] as const).map(
      (other): Section => ({
        kind: "table",
        title: `Win rate against ${titles[other]}`,
        columns: ["run", ...taskNames.map((task) => tasks[task].title)],
        rows: runNames
          .filter((run) => run !== other)
          .map((run) => [
            titles[run],
            ...taskNames.map((task) => cell(runs[run].against[other][task], "percent")),
          ]),
        note: "By the true reward on the same prompts with the same random numbers; ties count one half.",
      }),
    ),
    {
      kind: "table",
      title: "Flaws of the reward models",
      columns: ["reward model", "family", "accuracy", "fooled"],
      rows: rewardNames.flatMap((name) =>
        first.rewardModels[name].map(({ family, accuracy, fooled }) => [
          name,
          family,
          { value: accuracy, format: "percent" as const },
          { value: fooled, format: "percent" as const },
        ]),
      ),
      note: `Seed ${results[0]!.seed}, correctly labelled held-out pairs. Fooled: share of the pairs with a worse answer that shouts more in which that one has the higher reward.`,
    },
    {
      kind: "table",
      title: "The pair that fools each reward model most",
      columns: ["family", "prompt", "better answer", "reward", "worse answer", "reward"],
      rows: rewardNames
        .filter((name) => name !== "unified")
        .flatMap((name) =>
          first.rewardModels[name].flatMap(({ family, example }) =>
            example
              ? [
                  [
                    family,
                    example.prompt,
                    example.better,
                    example.rewardBetter,
                    example.worse,
                    example.rewardWorse,
                  ],
                ]
              : [],
          ),
        ),
      note: "As in the paper's Table 6.",
    },
    {
      kind: "samples",
      title: "Answers to the same prompts",
      columns: sampleRuns.map((run) => titles[run]),
      rows: samplePrompts(first.prompts).map((i) => ({
        prompt: first.prompts[i]!.prompt,
        task: tasks[first.prompts[i]!.task].title,
        answers: sampleRuns.map((run) => ({
          text: first.runs[run].answers[i]!,
          facts: [["true", first.runs[run].final.trueReward[i]!.toFixed(2)]] as [string, string][],
        })),
      })),
    },
    ...Object.entries(first.recipes).map(
      ([name, text]): Section => ({ kind: "code", title: `${name}.yaml`, text, folded: true }),
    ),
  ];
}

const sampleRuns: readonly RunName[] = ["warmup", "ppo", "crpg", "crraft", "codpo"];

/** The first two prompts of every kind. */
function samplePrompts(prompts: Results[0]["result"]["prompts"]): number[] {
  const kind = (i: number) => `${prompts[i]!.family} ${prompts[i]!.harmful}`;
  return prompts.flatMap((_, i) => {
    const earlier = prompts.slice(0, i).filter((_, k) => kind(k) === kind(i)).length;
    return earlier < 2 ? [i] : [];
  });
}
