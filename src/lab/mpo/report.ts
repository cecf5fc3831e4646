// The page and the lines of `reproduce mpo`.

import { percent } from "../../base/percent.js";
import { mean } from "../../base/statistics.js";
import type { Cell, LineChartSection, Report, Section } from "../../dashboard/report.js";
import { toneAgainst } from "../../dashboard/rules.js";
import { diffRubrics, renderChange } from "../../mpo/diff.js";
import { renderItem } from "../../mpo/rubric-text.js";
import type { Findings } from "../reproduce/experiment.js";
import { cell, chartPoints, claimLines, claimsTable, intervalDetail, rangeOf } from "../reproduce/figures.js";
import { countVerdicts } from "../reproduce/verdicts.js";
import { type Analysis, analyse, type Curve, type Results, swaps } from "./analysis.js";
import { definitions, optimizers, pairs, type RunName, runNames, titles } from "./protocol.js";
import { hackNames, hackTitles } from "./reviewer.js";
import type { Version } from "./rounds.js";

/** Colours stay with the run over all charts; fixed rubrics are dashed, baselines dotted. */
const style = (run: RunName): "solid" | "dashed" | "dotted" => {
  if (run === "crpg_once" || run === "crpg_expert") return "dotted";
  return definitions[run].rounds === "every" ? "solid" : "dashed";
};

function chart(title: string, y: LineChartSection["y"], curves: readonly Curve[]): LineChartSection {
  return {
    kind: "lineChart",
    title,
    x: { label: "step" },
    y,
    series: curves.map(({ run, points }) => ({
      name: titles[run],
      color: runNames.indexOf(run),
      style: style(run),
      points: chartPoints(points, y.format),
    })),
  };
}

const panels = (
  title: string,
  caption: string,
  y: string,
  curves: readonly Curve[],
  format?: LineChartSection["y"]["format"],
): Section => ({
  kind: "panels",
  title,
  caption,
  sections: optimizers.map((optimizer) =>
    chart(
      optimizer.toUpperCase(),
      { label: y, format },
      curves.filter(({ run }) => definitions[run].optimizer === optimizer),
    ),
  ),
});

export function mpoReport(results: Results): Findings {
  const analysis = analyse(results);
  const { claims, seeds } = analysis;
  const over = `${seeds} ${seeds === 1 ? "seed" : "seeds"}`;
  const models = results.every(({ result }) => result.scripted) ? "scripted models" : "a language model";
  const headline = `${countVerdicts(claims.map(({ verdict }) => verdict))}, on the lab, over ${over}, with ${models} as reward model and meta reward model.`;
  return {
    json: {
      seeds: results.map(({ seed }) => seed),
      scripted: results.every(({ result }) => result.scripted),
      claims,
      start: analysis.start,
      runs: analysis.runs,
      curves: analysis.curves,
      swaps: results.flatMap(({ seed, result }) =>
        pairs.map(({ mpo }) => ({ seed, run: mpo, swaps: swaps(result.runs[mpo]) })),
      ),
      rounds: results.flatMap(({ seed, result }) =>
        runNames
          .filter((run) => definitions[run].rounds !== "none")
          .map((run) => ({ seed, run, rounds: result.runs[run].rounds })),
      ),
    },
    report: {
      title: "MPO: a rubric that is hacked, and one that is repaired",
      summary: { headline, highlights: highlights(analysis) },
      sections: sections(analysis, results),
      footer: `seeds ${results.map(({ seed }) => seed).join(", ")}; ${models}`,
    } satisfies Report,
    summary: [headline, ...claimLines(claims)].join("\n"),
  };
}

function highlights({ start, runs }: Analysis) {
  return [
    { label: "true reward at the start", value: start.trueReward.value.toFixed(3) },
    ...pairs.flatMap(({ fixed, mpo }) =>
      [fixed, mpo].map((run) => ({
        label: titles[run],
        value: runs[run].trueReward.value.toFixed(3),
        detail: `${intervalDetail(runs[run].trueReward)}; by the flawed rubric ${percent(runs[run].proxy.value, 0)}`,
        tone: toneAgainst(rangeOf(runs[run].trueReward), rangeOf(start.trueReward)),
      })),
    ),
  ];
}

const models = (results: Results): string =>
  results.every(({ result }) => result.scripted)
    ? "The reward model and the meta reward model of this run are SCRIPTED: programs behind a local OpenAI-compatible server, reached by the same client as any other " +
      "model. The first executes the rubric in its prompt, whose levels are machine-readable; the second looks in the cases of its prompt for ways of scoring high " +
      "without doing the work, and adds an item for the one it sees in many of them. Both know nothing but the text of their prompts. "
    : "One language model, reached over an OpenAI-compatible endpoint, was both reward model and meta reward model. ";

function sections({ start, runs, claims, curves }: Analysis, results: Results): Section[] {
  const first = results[0]!;
  const rows = (value: (figures: Analysis["runs"][RunName]) => Cell[], startCells: Cell[]): Cell[][] => [
    ["start", ...startCells],
    ...runNames.map((run) => [titles[run], ...value(runs[run])]),
  ];
  return [
    {
      kind: "text",
      title: "What was run",
      text:
        "The lab's base model (0.89 M parameters) writes a short text about three things. It is rewarded by a reward model that follows a rubric, and the first rubric is flawed: it pays for " +
        "the number of words. With the fixed rubric training goes on to the end; with MPO a meta reward model reads responses and scores after every few updates and may publish a new " +
        `version.\n\n${models(results)}` +
        "The true reward is a program that neither training nor the models can reach; it is only measured here, on held-out prompts.",
    },
    claimsTable(
      claims,
      `95 % Student intervals over ${results.length} seeds; differences are paired by seed. Inconclusive: the interval leaves room for both. A loophole: a hack that at least 30 % of the answers show at some evaluation; it is closed by the version under which the rate halves for good.`,
    ),
    {
      kind: "table",
      title: "Where the runs end",
      columns: [
        "run",
        "true reward",
        "score by the flawed rubric",
        "KL, nats",
        "versions",
        "closed in succession",
      ],
      rows: rows(
        ({ trueReward, proxy, kl, versions, closings }) => [
          cell(trueReward),
          cell(proxy, "percent"),
          cell(kl),
          versions.value,
          closings.value,
        ],
        [cell(start.trueReward), cell(start.proxy, "percent"), 0, null, null],
      ),
      note: `${first.result.prompts.length} held-out prompts, one answer each at temperature 1.`,
    },
    {
      kind: "table",
      title: "Hacks at the end",
      columns: ["run", ...hackNames.map((hack) => hackTitles[hack])],
      rows: rows(
        ({ hacks }) => hackNames.map((hack) => cell(hacks[hack], "percent")),
        hackNames.map((hack) => cell(start.hacks[hack], "percent")),
      ),
      note: "Share of the answers to held-out prompts, whatever they score.",
    },
    panels("True reward", "What nobody optimises.", "true reward", curves.trueReward),
    panels(
      "Score by the flawed rubric",
      "Share of its maximum. Where it rises and the true reward falls, the run hacks it.",
      "share of the maximum",
      curves.proxy,
      "percent",
    ),
    {
      kind: "panels",
      title: "Score by the version at hand",
      caption:
        "Each seed of MPO: the share of the maximum that the responses of an update get by the version that scores it. It dips where a new version begins.",
      sections: pairs.map(
        ({ title, mpo }): LineChartSection => ({
          kind: "lineChart",
          title,
          x: { label: "step" },
          y: { label: "share of the maximum", format: "percent" },
          series: results.map(({ seed, result }) => ({
            name: `seed ${seed}`,
            points: result.runs[mpo].training.map(({ step, score }) => ({ x: step, y: score })),
          })),
        }),
      ),
    },
    {
      kind: "table",
      title: "Swaps",
      columns: ["seed", "run", "version", "after step", "score before", "score after", "new items"],
      rows: results.flatMap(({ seed, result }) =>
        pairs.flatMap(({ mpo }) =>
          swaps(result.runs[mpo]).map(({ step, version, before, after, added }): Cell[] => [
            seed,
            titles[mpo],
            version,
            step,
            { value: before, format: "percent" },
            { value: after, format: "percent" },
            added.join(", "),
          ]),
        ),
      ),
      note: "Mean share of the maximum: before, by the old version in its last update; after, by the new version in the update that follows.",
    },
    {
      kind: "panels",
      title: "Hacks over steps",
      sections: hackNames.map((hack) =>
        chart(hackTitles[hack], { label: "share of the answers", format: "percent" }, curves.hacks[hack]),
      ),
    },
    panels("Distance from the start", "Mean log-ratio of the answers.", "nats", curves.kl),
    {
      kind: "table",
      title: "Rounds and requests",
      columns: [
        "run",
        "rounds",
        "published",
        "requests a round",
        "by the formula",
        "requests a response",
        "scores failed",
      ],
      rows: runNames.map((run): Cell[] => {
        const rounds = results.flatMap(({ result }) => result.runs[run].rounds);
        const training = results.flatMap(({ result }) => result.runs[run].training);
        return [
          titles[run],
          rounds.length,
          rounds.filter(({ outcome }) => outcome === "published").length,
          rounds.length > 0 ? mean(rounds.map(({ calls }) => calls)) : null,
          rounds.length > 0 ? mean(rounds.map(({ expectedCalls }) => expectedCalls)) : null,
          mean(training.map(({ callsPerResponse }) => callsPerResponse)),
          { value: mean(training.map(({ failedRate }) => failedRate)), format: "percent" },
        ];
      }),
      note: "A round asks for an analysis, a number of items and the items of every sample, then for those of the merged rubric: sum(2 + N_i) + 1 + N. A response is scored in one reply.",
    },
    ...(["ppo_mpo", "crpg_mpo", "crpg_once"] as const).map(
      (run): Section => ({
        kind: "code",
        title: `Rubric history: ${titles[run]}, seed ${first.seed}`,
        text: history(first.result.runs[run].versions),
      }),
    ),
    {
      kind: "samples",
      title: "Answers to the same prompts",
      columns: ["start", ...runNames.map((run) => titles[run])],
      rows: first.result.prompts.slice(0, 4).map((prompt, i) => ({
        prompt,
        answers: [first.result.start, ...runNames.map((run) => first.result.runs[run].final)].map(
          (measured) => ({
            text: measured.answers[i]!,
            facts: [
              ["true", measured.trueReward[i]!.toFixed(2)],
              ["flawed rubric", rounded(measured.proxy[i]!)],
            ] as [string, string][],
          }),
        ),
      })),
    },
    ...Object.entries(first.result.recipes).map(
      ([name, text]): Section => ({ kind: "code", title: `${name}.yaml`, text, folded: true }),
    ),
  ];
}

const rounded = (share: number | null) => (share === null ? "-" : percent(share, 0));

/** Every version with its reason; after the first, what changed. */
function history(versions: readonly Version[]): string {
  return versions
    .map(({ version, reason, maxTotal, items }, i) => {
      const head = `version ${version}, maximum ${maxTotal}${reason === undefined ? "" : `\n${reason}`}`;
      const before = versions[i - 1];
      const body = before
        ? diffRubrics(before, { items }).map((change) => renderChange(change).join("\n"))
        : items.map(renderItem);
      return [head, ...body].join("\n");
    })
    .join("\n\n");
}
