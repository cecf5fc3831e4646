// The page of `warm inspect`: from what came out to why.

import { mean } from "../base/statistics.js";
import { connectionSentences } from "../reward/diagnostics/connectivity.js";
import { type Arm, type InspectionReport, meanAccuracy, sayAtChance } from "../reward/diagnostics/inspect.js";
import { formatNumber, formatPercent } from "./numbers.js";
import { type Bar, type Cell, renderReport, type Section, type Series } from "./report.js";

const percentCell = (value: number, interval?: readonly [number, number]): Cell => ({
  value,
  format: "percent",
  ...(interval && { interval }),
});

const memberNames = ({ members }: InspectionReport): string[] => members.map((_, i) => `member ${i + 1}`);

const memberArms = (report: InspectionReport): [string, Arm][] =>
  memberNames(report).map((name, i) => [name, report.members[i]!]);

function accuracyTable(report: InspectionReport): Section {
  const arms: [string, Arm][] = [
    ["average (WARM)", report.average],
    ["ensemble of predictions", report.ensemble],
    ...memberArms(report).map(([name, arm]): [string, Arm] => [`${name}: ${arm.name}`, arm]),
  ];
  const singles: Cell[] = report.splits.map((_, s) => percentCell(meanAccuracy(report.members, s)));
  return {
    kind: "table",
    title: "Accuracy",
    caption: report.splits.some(({ corrupted }) => corrupted)
      ? "Against the label of every pair, also where it is known to be wrong: there a low accuracy means that little was memorised."
      : "Share of pairs in which the preferred response has the higher reward.",
    columns: ["", ...report.splits.map(({ split, pairs }) => `${split} (${pairs})`)],
    rows: [
      ...arms
        .slice(0, 2)
        .map(([name, { splits }]) => [
          name,
          ...splits.map(({ accuracy: { estimate, low, high } }) => percentCell(estimate, [low, high])),
        ]),
      ["mean member", ...singles],
      ...arms
        .slice(2)
        .map(([name, { splits }]) => [
          name,
          ...splits.map(({ accuracy: { estimate, low, high } }) => percentCell(estimate, [low, high])),
        ]),
    ],
    note: `Ties count one half; Wilson intervals at 95 %. The members are ranked on "${report.selectedOn}", so figures there favour the best ones.`,
  };
}

function gains({ splits }: InspectionReport): Section {
  const forest = (title: string, bars: Bar[]): Section & { kind: "barChart" } => ({
    kind: "barChart",
    title,
    x: { label: "difference in accuracy", format: "percent" },
    bars,
    reference: { x: 0, label: "no difference" },
  });
  return {
    kind: "panels",
    title: "What averaging gives",
    caption: "Paired bootstrap over the pairs, 95 %.",
    sections: [
      forest(
        "average less the mean member",
        splits.map(({ split, gain: { estimate, low, high } }) => ({
          label: split,
          value: estimate,
          low,
          high,
        })),
      ),
      forest(
        "average less the ensemble",
        splits.map(({ split, overEnsemble: { estimate, low, high } }) => ({
          label: split,
          value: estimate,
          low,
          high,
        })),
      ),
    ],
  };
}

function paths(report: InspectionReport): Section[] {
  const names = memberNames(report);
  return report.paths.map(({ first, second, splits }) => ({
    kind: "panels",
    title: `From ${names[first]} to ${names[second]}`,
    caption:
      "Linear mode connectivity: the average of the weights should hold the straight line between the two members.",
    sections: splits.flatMap(({ split, points, midpoint, barrier }) =>
      (["accuracy", "loss"] as const).map((key) => {
        const curve = (
          name: string,
          of: "average" | "ensemble" | "diagonal",
          style: Series["style"],
        ): Series => ({
          name,
          style,
          points: points.map((point) => ({ x: point.l, y: point[of][key] })),
        });
        return {
          kind: "lineChart" as const,
          title: `${split}: ${key}`,
          caption:
            key === "accuracy"
              ? `At the middle ${formatPercent(midpoint.estimate)} from the line (${formatPercent(midpoint.low)} to ${formatPercent(midpoint.high)}): ${midpoint.connection}.`
              : `At most ${formatNumber(barrier.loss)} above the line.`,
          x: { label: "share of the second member, \u03bb" },
          y: { label: key, ...(key === "accuracy" && { format: "percent" as const }) },
          series: [
            { ...curve("average of the weights", "average", "solid"), markers: true },
            curve("ensemble of the predictions", "ensemble", "dashed"),
            curve("straight line", "diagonal", "dotted"),
          ],
        };
      }),
    ),
  }));
}

function curves(report: InspectionReport): Section {
  return {
    kind: "panels",
    title: "How many members, and which",
    caption: `Averages of 1 to ${report.members.length} members against the ensembles of the same members; ranked on "${report.selectedOn}".`,
    sections: report.splits.map(({ split }, s) => ({
      kind: "lineChart" as const,
      title: split,
      x: { label: "members", whole: true },
      y: { label: "accuracy", format: "percent" as const },
      series: report.curves.flatMap(({ order, splits }, color) => [
        {
          name: `average, ${order}`,
          color,
          markers: true,
          points: splits[s]!.points.map(({ members, average }) => ({ x: members, y: average })),
        },
        {
          name: `ensemble, ${order}`,
          color,
          style: "dashed" as const,
          points: splits[s]!.points.map(({ members, ensemble }) => ({ x: members, y: ensemble })),
        },
      ]),
    })),
  };
}

function leaveOneOut(report: InspectionReport): Section {
  const names = memberNames(report);
  return {
    kind: "panels",
    title: "What each member adds",
    caption:
      "Accuracy of the average of all less that of the average of all the others. Left of 0: better without it.",
    sections: report.splits.map(({ split }, s) => ({
      kind: "barChart" as const,
      title: split,
      x: { label: "difference in accuracy", format: "percent" as const },
      bars: report.leaveOneOut.map(({ member, splits }) => {
        const { estimate, low, high } = splits[s]!;
        return { label: names[member]!, value: estimate, low, high };
      }),
      reference: { x: 0, label: "no difference" },
    })),
  };
}

const calibratedArms = (report: InspectionReport): [string, Arm][] => [
  ["average", report.average],
  ["ensemble", report.ensemble],
  memberArms(report)[0]!,
];

function reliability(report: InspectionReport): Section {
  return {
    kind: "panels",
    title: "Calibration",
    caption:
      "Whether the response with the higher reward is the preferred one as often as sigma(margin) says. Below the line: the margins say too much, as after memorising labels.",
    sections: report.splits.map(({ split }, s) => ({
      kind: "lineChart" as const,
      title: split,
      x: { label: "predicted", format: "percent" as const, min: 0.5, max: 1 },
      y: { label: "observed", format: "percent" as const },
      series: [
        ...calibratedArms(report).map(([name, arm]) => ({
          name,
          markers: true,
          points: arm.splits[s]!.calibration.bins.map(({ predicted, observed }) => ({
            x: predicted,
            y: observed,
          })),
        })),
        {
          name: "calibrated",
          style: "dotted" as const,
          color: 7,
          points: [
            { x: 0.5, y: 0.5 },
            { x: 1, y: 1 },
          ],
        },
      ],
    })),
  };
}

/** Margins that know no more than chance have no best temperature. */
const temperatureCell = (temperature: number): Cell => (temperature > 1e5 ? "infinite" : temperature);

function calibrationTable(report: InspectionReport): Section {
  return {
    kind: "table",
    title: "Loss and calibration",
    columns: ["", "", "loss", "Brier score", "calibration error", "best temperature", "loss at it"],
    rows: report.splits.flatMap(({ split }, s) =>
      calibratedArms(report).map(([name, arm]) => {
        const { loss, calibration: c } = arm.splits[s]!;
        return [
          split,
          name,
          loss,
          c.brier,
          percentCell(c.ece),
          temperatureCell(c.temperature),
          c.temperedLoss,
        ];
      }),
    ),
    note: "Compare losses at the best temperature: averages and ensembles have smaller margins than their members.",
  };
}

function disagreement({ splits }: InspectionReport): Section {
  return {
    kind: "table",
    title: "Disagreement of the members",
    columns: [
      "",
      "deviation",
      "pairs that two order differently",
      "pairs that all order alike",
      "average from ensemble",
    ],
    rows: splits.map(({ split, disagreement: d, firstOrderGap }) => [
      split,
      d.deviation,
      percentCell(d.orderedDifferently),
      percentCell(d.unanimous),
      firstOrderGap,
    ]),
    note: "Deviation: standard deviation over the members of a response's reward, each member in its own standard deviations. Last column: mean distance of the average's rewards from the ensemble's, in standard deviations; it grows before linear connectivity breaks.",
  };
}

function smoothness(report: InspectionReport): Section {
  const arms: [string, Arm][] = [
    ["average", report.average],
    ["ensemble", report.ensemble],
    ...memberArms(report),
  ];
  return {
    kind: "table",
    title: "Smoothness",
    caption:
      "How far a reward moves when one token of the response becomes another, in standard deviations of the reward.",
    columns: ["", ...report.splits.map(({ split }) => split)],
    rows: arms.map(([name, { splits }]) => [name, ...splits.map(({ editSensitivity }) => editSensitivity)]),
    note: "A policy finds jumps sooner than quality. One edit for each response, the same for all models; the new tokens come from the split's own responses.",
  };
}

function deltas(report: InspectionReport): Section[] {
  if (!report.deltas) return [];
  const names = memberNames(report);
  const [all] = report.deltas;
  return [
    {
      kind: "table",
      title: "Weight deltas",
      caption: "What training changed, member by member: phi - phi_init.",
      mixed: true,
      columns: [
        "",
        "mean cosine",
        "mean norm",
        "norm of the initial weights",
        "mean delta / deltas",
        "expected",
      ],
      rows: report.deltas.map((group) => [
        group.group,
        group.meanCosine,
        mean(group.norms),
        group.initialNorm,
        group.shrinkage,
        group.expectedShrinkage,
      ]),
      note: "A cosine near 1: the members hardly differ. Near 0 with different heads or initialisations: the average may break. The last column is the ratio that the mean cosine gives for deltas of equal norm.",
    },
    {
      kind: "table",
      title: "Cosines of the deltas",
      columns: ["", ...names, "norm"],
      rows: all!.cosines.map((row, i) => [names[i]!, ...row, all!.norms[i]!]),
    },
  ];
}

function leanings(report: InspectionReport): Section {
  const arms: [string, Arm][] = [["average", report.average], ...memberArms(report)];
  return {
    kind: "panels",
    title: "Length and format",
    caption:
      "Correlation of the reward margin with what the two responses differ in. Averaging does not remove what all members share.",
    sections: report.splits.map(({ split, labels }, s) => {
      const features = report.average.splits[s]!.leanings;
      const hasGold = features.some(({ partial }) => partial !== undefined);
      const of = (arm: Arm, feature: string) =>
        arm.splits[s]!.leanings.find((leaning) => leaning.feature === feature);
      return {
        kind: "table" as const,
        title: split,
        columns: [
          "",
          "labels",
          ...arms.map(([name]) => name),
          ...(hasGold ? ["average, given the true reward"] : []),
        ],
        rows: features.map(({ feature, partial }) => [
          feature,
          labels.find((label) => label.feature === feature)?.correlation ?? null,
          ...arms.map(([, arm]) => of(arm, feature)?.correlation ?? null),
          ...(hasGold ? [partial ?? null] : []),
        ]),
      };
    }),
  };
}

export function inspectionPage(report: InspectionReport): string {
  const place = report.splits.findIndex(({ split }) => split === report.selectedOn);
  const { gain, overEnsemble } = report.splits[place]!;
  const signed = (x: number) => `${x > 0 ? "+" : ""}${formatPercent(x)}`;
  const interval = ({ low, high }: { low: number; high: number }) => `${signed(low)} to ${signed(high)}`;
  return renderReport({
    title: `Averaging ${report.members.length} reward models`,
    summary: {
      headline: [
        `On ${report.selectedOn} ${connectionSentences[gain.connection]}.`,
        ...sayAtChance(report).map((said) => `${said[0]!.toUpperCase()}${said.slice(1)}.`),
      ].join(" "),
      highlights: [
        {
          label: `accuracy of the average, ${report.selectedOn}`,
          value: formatPercent(report.average.splits[place]!.accuracy.estimate),
        },
        {
          label: "over the mean member",
          value: signed(gain.estimate),
          detail: interval(gain),
          tone: gain.low > 0 ? "good" : gain.high < 0 ? "bad" : "neutral",
        },
        { label: "over the ensemble", value: signed(overEnsemble.estimate), detail: interval(overEnsemble) },
      ],
    },
    sections: [
      accuracyTable(report),
      gains(report),
      ...paths(report),
      curves(report),
      leaveOneOut(report),
      disagreement(report),
      smoothness(report),
      reliability(report),
      calibrationTable(report),
      ...deltas(report),
      leanings(report),
    ],
  });
}
