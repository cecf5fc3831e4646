// The best-of-n curve as JSON and as a page.

import type { Interval } from "../base/statistics.js";
import { renderReport, type Series } from "../dashboard/report.js";
import type { BestOfPoint } from "./best-of.js";

export interface CurveOf {
  model: string;
  rewards: readonly string[];
  combine: string | undefined;
  gold: string | undefined;
  prompts: number;
  goldFailed: number;
  points: readonly BestOfPoint[];
}

/** The report as its file has it. */
export const curveJson = ({ goldFailed, points, combine, gold, ...rest }: CurveOf) => ({
  ...rest,
  ...(combine !== undefined && { combine }),
  ...(gold !== undefined && { gold, gold_failed: goldFailed }),
  points: points.map(({ n, kl, reward, winRate, gold: measured }) => ({
    n,
    kl,
    reward,
    win_rate: winRate,
    ...(measured && { gold_reward: measured.reward, gold_win_rate: measured.winRate }),
  })),
});

const series = (
  name: string,
  points: readonly BestOfPoint[],
  of: (point: BestOfPoint) => Interval,
  color: number,
): Series => ({
  name,
  color,
  markers: true,
  points: points.map((point) => {
    const { estimate, low, high } = of(point);
    const interval = Number.isFinite(low) && Number.isFinite(high) ? { low, high } : {};
    return { x: point.n, y: estimate, ...interval };
  }),
});

const cell = ({ estimate, low, high }: Interval, format: "number" | "percent") => ({
  value: estimate,
  format,
  ...(Number.isFinite(low) && Number.isFinite(high) && { interval: [low, high] as const }),
});

export function curvePage(curve: CurveOf): string {
  const { points, prompts, rewards, combine, gold, model } = curve;
  const hasGold = gold !== undefined && points[0]?.gold !== undefined;
  const last = points.at(-1)!;
  const n = { label: "n", scale: "log" as const };
  const chart = (title: string, label: string, lines: Series[]) => ({
    kind: "lineChart" as const,
    title,
    x: n,
    y: { label },
    series: lines,
  });
  return renderReport({
    title: `Best of ${last.n}`,
    summary: {
      headline: `${model}, chosen by ${rewards.join(" and ")}${combine === undefined ? "" : ` (${combine})`}, ${prompts} prompts`,
      highlights: [],
    },
    sections: [
      chart("Expected reward of the chosen answer", "ranking reward", [
        series("ranking reward", points, ({ reward }) => reward, 0),
      ]),
      ...(hasGold
        ? [
            chart("Expected gold of the chosen answer", gold, [
              series(gold, points, (point) => point.gold!.reward, 1),
            ]),
          ]
        : []),
      chart("Wins against one answer", "win rate", [
        series("ranking reward", points, ({ winRate }) => winRate, 0),
        ...(hasGold ? [series(gold, points, (point) => point.gold!.winRate, 1)] : []),
      ]),
      {
        kind: "table",
        title: "Figures",
        columns: [
          "n",
          "KL bound, nats",
          "ranking reward",
          "win rate",
          ...(hasGold ? [`${gold}`, `win rate by ${gold}`] : []),
        ],
        rows: points.map((point) => [
          point.n,
          point.kl,
          cell(point.reward, "number"),
          cell(point.winRate, "percent"),
          ...(hasGold ? [cell(point.gold!.reward, "number"), cell(point.gold!.winRate, "percent")] : []),
        ]),
        note: "From one set of samples without resampling: the mean over all subsets of n. Win rates are against one more answer of the same policy, ties one half; intervals are 95 % over prompts.",
      },
    ],
  });
}
