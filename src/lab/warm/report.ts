// The page of `reproduce warm`, in the order of the paper's figures.

import { percent } from "../../base/percent.js";
import type { Interval } from "../../base/statistics.js";
import type { Cell, Point, Report, Section, Series } from "../../dashboard/report.js";
import { ofShare } from "../../dashboard/rules.js";
import { countVerdicts, toneOf } from "../reproduce/verdicts.js";
import { goldSelector } from "./best-of-n.js";
import { type Column, type Curve, columns, type Findings, type PolicyCurve } from "./findings.js";
import type { SuiteName } from "./recipes.js";
import type { WarmSettings } from "./settings.js";
import { mainNames } from "./suites.js";

/** The paper's own figure for (iv), clean labels, one pair of runs. */
const paperWinRate = 0.794;

const hasEnds = ({ low, high }: Interval): boolean => Number.isFinite(low) && Number.isFinite(high);

const cell = (interval: Interval, format: "number" | "percent" = "number"): Cell => ({
  value: interval.estimate,
  format,
  ...(hasEnds(interval) && { interval: [interval.low, interval.high] as const }),
});

/** Of a share. */
function percentCell({ estimate, low, high }: Interval): Cell {
  const [from, to] = ofShare([low, high]);
  return cell({ estimate, low: hasEnds({ estimate, low, high }) ? from : low, high: to }, "percent");
}

/** Of a share. */
const sharePoint = (x: number, { estimate, low, high }: Interval): Point => {
  const [from, to] = ofShare([low, high]);
  return hasEnds({ estimate, low, high }) ? { x, y: estimate, low: from, high: to } : { x, y: estimate };
};

const point = (x: number, y: Interval): Point => ({
  x,
  y: y.estimate,
  ...(hasEnds(y) && { low: y.low, high: y.high }),
});

const columnTitles: Record<Column, string> = {
  "train-corrupt": "train, flipped",
  "train-clean": "train, clean",
  validation: "validation",
  select: "D_select",
  ood: "OOD",
  "ood same source": "OOD, same pool",
  drift: "RL drift",
};

const suiteTitles: Record<SuiteName, string> = {
  diverse: "Diverse members",
  same: "Same configuration",
  baklava: "Baklava: different SFT snapshots",
};

export function warmReport(findings: Findings, settings: WarmSettings): Report {
  const { claims, seeds } = findings;
  const win = findings.wins.find(
    ({ ours, theirs, definition }) =>
      ours === `WARM ${settings.main}` &&
      theirs === "single" &&
      definition.startsWith(`(i) step ${settings.rl.steps}`),
  );
  return {
    title: "WARM on the lab",
    summary: {
      headline: `${countVerdicts(claims.map(({ verdict }) => verdict))}, over ${seeds.length} seed${seeds.length === 1 ? "" : "s"}.`,
      highlights: [
        ...claims.map(({ id, title, verdict }) => ({
          label: `(${id}) ${title}`,
          value: verdict,
          tone: toneOf[verdict],
        })),
        ...(win
          ? [
              {
                label: `WARM ${settings.main} over single, alpha ${win.alpha}`,
                value: percent(win.result.estimate),
                detail: `the paper: ${100 * paperWinRate} %`,
              },
            ]
          : []),
      ],
    },
    sections: [
      claimsSection(findings),
      gatesSection(findings),
      accuracySection(findings),
      differencesSection(findings),
      ...pathSections(findings),
      ...(findings.controls.length > 0 ? [controlsSection(findings)] : []),
      ...bestOfNSections(findings, settings),
      ...policySections(findings),
      winSection(findings),
      costSection(findings),
      scaleSection(findings),
    ],
    footer: `Preference-data seeds ${seeds.join(", ")}; one world, one pre-training. Intervals: 95 %, Student's over seeds unless a table says otherwise.`,
  };
}

function claimsSection({ claims }: Findings): Section {
  return {
    kind: "table",
    title: "Claims",
    columns: ["", "claim", "evidence", "verdict"],
    rows: claims.map(({ id, claim, evidence, verdict }) => [id, claim, evidence, verdict]),
    note: "Verdicts are computed from the intervals; inconclusive: the interval leaves room for both. The mean member is the mean of the members in the average.",
  };
}

function gatesSection({ gates, flippedShare, copiesAreIdentical }: Findings): Section {
  return {
    kind: "table",
    title: "Gates",
    caption: "What must hold before a comparison of this page is to be believed.",
    mixed: true,
    columns: ["gate", "measured", "needed", ""],
    rows: [
      ...gates.map(({ gate, value, target, passed }): Cell[] => [
        gate,
        value,
        target,
        passed ? "passed" : "not passed",
      ]),
      [
        "share of flipped training labels",
        flippedShare,
        0.25,
        flippedShare === 0.25 ? "passed" : "not passed",
      ],
      [
        "the average of copies of one member is that member, bit for bit",
        copiesAreIdentical ? "yes" : "no",
        "yes",
        copiesAreIdentical ? "passed" : "not passed",
      ],
    ],
  };
}

function accuracySection({ accuracy }: Findings): Section {
  return {
    kind: "table",
    title: "Accuracy",
    columns: ["reward", ...columns.map((column) => columnTitles[column])],
    rows: accuracy.map(({ name, by }) => [
      name,
      ...columns.map((column): Cell => ({ value: by[column].estimate, format: "percent" })),
    ]),
    note: "Train, flipped: agreement with the wrong labels, the lower the better. RL drift: pairs of answers that two single-model policies gave to the same prompt at the same step of their runs. WCO and UWO on members' z-scores over SFT answers.",
  };
}

function differencesSection({ differences }: Findings): Section {
  return {
    kind: "table",
    title: "Differences of accuracy (figures 4 and 5)",
    columns: ["", ...columns.map((column) => columnTitles[column])],
    rows: differences.map(({ name, difference }) => [
      name,
      ...columns.map((column) => cell(difference[column])),
    ]),
    note: "Paired within a seed; Student's intervals over seeds.",
  };
}

function pathSections({ paths, deltas }: Findings): Section[] {
  const suites = Object.keys(suiteTitles) as SuiteName[];
  return [
    {
      kind: "panels",
      title: "Linear mode connectivity (figure 3)",
      caption:
        "Accuracy on shifted pairs between two members: weights averaged (with its interval over seeds), rewards averaged, and the chord.",
      sections: suites.map((suite) => {
        const path = paths[suite].ood.points;
        const chord = [path[0]!, path.at(-1)!].map(({ lambda, average }) => ({
          x: lambda,
          y: average.estimate,
        }));
        return {
          kind: "lineChart" as const,
          title: suiteTitles[suite],
          x: { label: "share of the second member" },
          y: { label: "OOD accuracy", format: "percent" as const },
          series: [
            {
              name: "weights averaged",
              points: path.map(({ lambda, average }) => sharePoint(lambda, average)),
            },
            {
              name: "rewards averaged",
              style: "dashed" as const,
              points: path.map(({ lambda, ensemble }) => ({ x: lambda, y: ensemble.estimate })),
            },
            { name: "chord", style: "dotted" as const, points: chord },
          ],
        };
      }),
    },
    {
      kind: "table",
      title: "The path against the chord",
      columns: [
        "members",
        "ID validation",
        "OOD",
        "mean cosine of deltas",
        "norm of the mean delta / mean norm",
      ],
      rows: suites.map((suite) => {
        const { validation, ood } = paths[suite];
        return [
          suiteTitles[suite],
          cell(validation.excess),
          cell(ood.excess),
          deltas[suite].cosine,
          deltas[suite].shrinkage,
        ];
      }),
      note: "Average minus chord, mean over the path; the intervals cover all six at once with 95 %. Deltas from the last SFT snapshot, without the head.",
    },
  ];
}

function controlsSection({ controls }: Findings): Section {
  return {
    kind: "table",
    title: "What breaks connectivity",
    columns: ["two members from", "OOD accuracy of the ends", "of the midpoint", "of the two rewards' mean"],
    rows: controls.map(({ name, path }) => {
      const [a, middle, b] = path as [(typeof path)[0], (typeof path)[0], (typeof path)[0]];
      return [
        name,
        `${percent(a.average.ood)}, ${percent(b.average.ood)}`,
        percent(middle.average.ood),
        percent(middle.ensemble.ood),
      ];
    }),
    note: "One pair each, on preference data of their own.",
  };
}

const shownArms = ({ main, averages, members }: WarmSettings): string[] => {
  const { single, best, warm, ensemble } = mainNames(main);
  const largest = Math.max(...averages);
  return [
    ...new Set([
      single,
      best,
      "WARM 2",
      warm,
      `WARM ${largest}`,
      ensemble,
      `Baklava: WARM ${members.baklava}`,
    ]),
  ];
};

function bestOfNSections({ bestOfN, bestOfNGain, bestOfNWins }: Findings, settings: WarmSettings): Section[] {
  const arms = shownArms(settings);
  const curves = bestOfN.filter(({ name }) => arms.includes(name));
  const series = (key: "gold" | "proxy"): Series[] =>
    curves.map(({ name, points }, i) => ({
      name,
      color: i,
      markers: true,
      style: key === "gold" ? "solid" : "dashed",
      points: points.map((at) => (key === "gold" ? point(at.kl, at.gold) : { x: at.kl, y: at.proxy })),
    }));
  const x = { label: "KL, nats (square-root axis)", scale: "sqrt" as const };
  const n = settings.bestOfN.answers;
  return [
    {
      kind: "panels",
      title: "Best-of-N (figures 6 and 7)",
      caption: "KL is log n − (n − 1)/n; every n from the same answers by the unbiased estimator.",
      sections: [
        {
          kind: "lineChart",
          title: "True reward of best-of-N",
          x,
          y: { label: "true reward" },
          series: series("gold"),
        },
        {
          kind: "lineChart",
          title: "Proxy reward of best-of-N",
          x,
          y: { label: "standard deviations" },
          series: series("proxy"),
        },
      ],
    },
    {
      kind: "table",
      title: `Best of ${n}`,
      columns: ["selector", "true reward", "minus the mean member", "a", "b", "d*", "R²"],
      rows: bestOfNGain.map(({ name, gold, gain }) => [
        name === goldSelector ? `${goldSelector} (ceiling)` : name,
        cell(gold),
        cell(gain),
        ...fitCells(bestOfN.find((curve) => curve.name === name)!),
      ]),
      note: "Fit of the gain over n = 1 to R(d) = d (a − b d), d = sqrt(KL) (Gao et al.).",
    },
    {
      kind: "table",
      title: `Win rates at n = ${n}`,
      columns: ["", "against", "win rate"],
      rows: bestOfNWins.map(({ ours, theirs, result }) => [ours, theirs, percentCell(result)]),
      note: "By the true reward, ties one half; hierarchical bootstrap over seed, opponent, prompt.",
    },
  ];
}

const fitCells = ({ fit }: Curve): Cell[] =>
  fit ? [fit.a, fit.b, fit.peakDistance ?? null, fit.rSquared] : [null, null, null, null];

function policySections({ policies }: Findings): Section[] {
  const alphas = [...new Set(policies.map(({ alpha }) => alpha))];
  const series = (curves: readonly PolicyCurve[], key: "gold" | "proxy", over: "at" | "kl"): Series[] =>
    curves.map(({ name, points }, i) => ({
      name,
      color: i,
      style: key === "gold" ? "solid" : "dashed",
      directed: over === "kl",
      points: points.map((at) => ({
        ...(key === "gold" && over === "at" ? point(at.at, at.gold) : {}),
        x: Math.max(0, at[over]),
        y: key === "gold" ? at.gold.estimate : at.proxy,
      })),
    }));
  const charts = alphas.map((alpha): Section => {
    const curves = policies.filter((curve) => curve.alpha === alpha);
    const kl = { label: "KL from the SFT policy, nats (square-root axis)", scale: "sqrt" as const };
    const chart = (title: string, key: "gold" | "proxy", over: "at" | "kl") => ({
      kind: "lineChart" as const,
      title,
      x: over === "at" ? { label: "step" } : kl,
      y: { label: key === "gold" ? "true reward" : "standard deviations of SFT answers" },
      series: series(curves, key, over),
    });
    return {
      kind: "panels",
      title: `Reinforcement learning, alpha ${alpha} (figure 8)`,
      sections: [
        chart("True reward against step", "gold", "at"),
        chart("True reward against KL", "gold", "kl"),
        chart("Proxy reward against step", "proxy", "at"),
        chart("Proxy reward against KL", "proxy", "kl"),
      ],
    };
  });
  return [
    ...charts,
    {
      kind: "table",
      title: "Policies",
      columns: [
        "reward",
        "alpha",
        "true reward, peak",
        "at step",
        "true reward, final",
        "KL",
        "proxy",
        "tokens",
        "flair",
        "a",
        "b",
        "d*",
        "R²",
      ],
      rows: policies.map((curve) => {
        const last = curve.points.at(-1)!;
        return [
          curve.name,
          String(curve.alpha),
          cell(curve.peak.gold),
          curve.peak.step,
          cell(curve.final.gold),
          curve.final.kl,
          last.proxy,
          last.length,
          last.flair,
          ...fitCells(curve),
        ];
      }),
      note: "Single: mean over the policies of three members. Fit of the gain over the start to R(d) = d (a − b log d), d = sqrt(KL) (Gao et al.).",
    },
  ];
}

function winSection({ wins }: Findings): Section {
  return {
    kind: "table",
    title: "Win rates of the policies (figure 9)",
    columns: ["", "against", "alpha", "checkpoints", "win rate", "the paper", "seeds"],
    rows: wins.map(({ ours, theirs, alpha, definition, result }) => [
      ours,
      theirs,
      String(alpha),
      definition,
      percentCell(result),
      theirs === "single" && definition.startsWith("(iv)") ? "79.4 %" : null,
      result.seeds,
    ]),
    note: "By the true reward on the same prompts with the same random numbers, ties one half. (i) the same step; (ii) the same KL, between the two nearest checkpoints; (iii) each at its proxy's plateau, chosen without the true reward; (iv) each at its own peak of true reward, which is nearest to how the paper's figure was made (clean labels, one pair of runs). Hierarchical bootstrap over seed, opponent, prompt.",
  };
}

function costSection({ costs: { members, scoreRatio, stepRatio } }: Findings): Section {
  return {
    kind: "table",
    title: "Cost",
    columns: ["", `ENS ${members} / WARM ${members}`],
    rows: [
      ["scoring time per answer", cell(scoreRatio)],
      ["time of an RL step", cell(stepRatio)],
    ],
    note: "Training the members costs the same for both.",
  };
}

function scaleSection({ scale }: Findings): Section {
  const passes = (interval: Interval) =>
    interval.low > 0 ? "above" : interval.high < 0 ? "below" : "no difference seen";
  return {
    kind: "table",
    title: "Does WARM pass the ensemble of the same members?",
    columns: ["", "OOD accuracy, WARM − ENS", "", "best-of-N true reward, WARM − ENS", ""],
    rows: scale.map(({ m, ood, bestOfN }) => [m, cell(ood), passes(ood), cell(bestOfN), passes(bestOfN)]),
  };
}
