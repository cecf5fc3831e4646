// The page that the quickstart ends with.

import { stringify } from "yaml";
import { type Interval, mean } from "../base/statistics.js";
import { type Highlight, renderReport, type Section, type Series } from "../dashboard/report.js";
import { toneAgainst } from "../dashboard/rules.js";
import type { MetricsRow } from "../run/metrics.js";
import type { Answer } from "./evaluate.js";
import type { PolicyOutcome, QuickstartResult } from "./quickstart.js";

const familiesOf = (answers: readonly Answer[]): string[] => [
  ...new Set(answers.map(({ row }) => row.family)),
];

const title = "Proxy reward and true reward";

/** Rows that carry an evaluation. */
const evaluated = (outcome: PolicyOutcome): MetricsRow[] =>
  outcome.metrics.filter((row) => typeof row["lab/true_reward"] === "number");

/**
 * A curve of `key` over steps, with its standard error, or over KL; the proxy in standard deviations from where the run
 * started.
 */
function curve(
  outcome: PolicyOutcome,
  key: string,
  over: "step" | "kl",
  color: number,
  name: string,
  prompts: number,
): Series {
  const rows = evaluated(outcome);
  const isProxy = key.includes("proxy_reward");
  const origin = rows[0]?.[key] as number;
  const scale = isProxy ? (rows[0]?.["lab/proxy_deviation"] as number) || 1 : 1;
  return {
    name,
    color,
    style: isProxy ? "dashed" : "solid",
    markers: true,
    directed: over === "kl",
    points: rows.map((row) => {
      const y = isProxy ? ((row[key] as number) - origin) / scale : (row[key] as number);
      if (over === "kl") return { x: Math.max(0, row["lab/kl"] as number), y };
      const deviation = row[isProxy ? "lab/proxy_deviation" : "lab/true_deviation"];
      if (typeof deviation !== "number") return { x: row.step, y };
      const error = deviation / scale / Math.sqrt(prompts);
      return { x: row.step, y, low: y - error, high: y + error };
    }),
  };
}

export function quickstartReport(
  result: Omit<QuickstartResult, "report">,
  recipes: Readonly<Record<string, unknown>>,
  /** Held-out prompts of the evaluations along the way. */
  along: number,
): string {
  const { plain, touchstone, start } = result;
  const both = [plain, touchstone];
  const families = familiesOf(start.answers);
  const label = (outcome: PolicyOutcome) => outcome.title;
  const chart = (key: string, over: "step" | "kl", heading: string, y: string): Section => ({
    kind: "lineChart",
    title: heading,
    x:
      over === "step"
        ? { label: "step" }
        : { label: "KL from the start policy, nats (square-root axis)", scale: "sqrt" },
    y: { label: y },
    series: both.map((outcome, i) => curve(outcome, key, over, i, label(outcome), along)),
  });
  const number = (value: { estimate: number; low: number; high: number }) => ({
    value: value.estimate,
    interval: [value.low, value.high] as const,
  });
  const familyMean = (answers: readonly Answer[], family: string) => ({
    value: mean(answers.filter(({ row }) => row.family === family).map(({ gold }) => gold)),
  });
  const gain = touchstone.trueReward.estimate - plain.trueReward.estimate;
  const sections: Section[] = [
    {
      kind: "text",
      title: "What happened",
      text:
        `Both policies started from the same model and took the same number of steps with the same samples per step, on ${families.join(", ")}. ` +
        "One followed a single reward model by plain policy gradient with the usual KL penalty. The other followed the weight average of several reward models (WARM) with CRPG, " +
        "a bound on the KL divergence and judges that decide which samples may be learned from (CGPO). A quarter of the preference labels was wrong. " +
        "The true reward is a program that no training code can reach; it is only measured here.",
    },
    {
      kind: "panels",
      title,
      caption: `Along the way, on the first ${along} held-out prompts; bands are the standard error over them. The figures above are of the end, on all ${start.answers.length}.`,
      sections: [
        chart("lab/true_reward", "step", "True reward", "true reward"),
        chart("lab/proxy_reward", "step", "Proxy reward", "change, standard deviations at the start"),
      ] as never,
    },
    {
      kind: "panels",
      title: "The same against distance",
      caption: "Arrows: the direction of the training.",
      sections: [
        chart("lab/true_reward", "kl", "True reward against KL", "true reward"),
        chart(
          "lab/proxy_reward",
          "kl",
          "Proxy reward against KL",
          "change, standard deviations at the start",
        ),
      ] as never,
    },
    {
      kind: "table",
      title: "True reward on held-out prompts",
      columns: ["policy", "all", ...families],
      rows: [
        ["start", number(start.trueReward), ...families.map((family) => familyMean(start.answers, family))],
        ...both.map((outcome) => [
          label(outcome),
          number(outcome.trueReward),
          ...families.map((family) => familyMean(outcome.answers, family)),
        ]),
      ],
      note: `${start.answers.length} prompts, one answer each at temperature 1; 95 % Student intervals over prompts.`,
    },
    {
      kind: "table",
      title: "Win rates by the true reward",
      columns: ["", "against", "win rate", "wins", "ties", "losses"],
      rows: result.winRates.map(({ ours, theirs, winRate }) => [
        ours,
        theirs,
        { ...number(winRate), format: "percent" as const },
        (winRate as { wins?: number }).wins ?? null,
        (winRate as { ties?: number }).ties ?? null,
        (winRate as { losses?: number }).losses ?? null,
      ]),
      note: "The same prompts and random numbers for both; ties count one half; 95 % Wilson intervals.",
    },
    {
      kind: "table",
      title: "Reward models",
      columns: ["model", "accuracy", "accuracy, shifted answers"],
      rows: result.rewardModels.map(({ name, validation, shifted }) => [
        name,
        { value: validation, format: "percent" as const },
        { value: shifted, format: "percent" as const },
      ]),
      note: "Share of clean held-out pairs in which the better answer has the higher reward.",
    },
    {
      kind: "samples",
      title: "Answers to the same prompts",
      columns: ["start", ...both.map(label)],
      rows: families.flatMap((family) =>
        start.answers
          .map((answer, i) => ({ answer, i }))
          .filter(({ answer }) => answer.row.family === family)
          .slice(0, 3)
          .map(({ answer, i }) => ({
            prompt: answer.row.prompt,
            task: family,
            answers: [answer, plain.answers[i]!, touchstone.answers[i]!].map((a) => ({
              text: a.text,
              facts: [
                ["true", a.gold.toFixed(2)],
                ["proxy", a.proxy.toFixed(2)],
              ] as [string, string][],
            })),
          })),
      ),
    },
    ...Object.entries(recipes).map(
      ([name, recipe]): Section => ({
        kind: "code",
        title: `recipes/${name}.yaml`,
        text: stringify(recipe),
        folded: true,
      }),
    ),
  ];
  return renderReport({
    title: "Touchstone quickstart",
    summary: {
      headline:
        gain > 0
          ? "Judged by what neither saw, the constrained policy ends ahead of the one that followed a single reward model."
          : "In this run the constrained policy did not end ahead of the one that followed a single reward model.",
      highlights: [
        tile("true reward at the start", start.trueReward, "neutral"),
        ...both.map((outcome) =>
          tile(label(outcome), outcome.trueReward, toneAgainst(outcome.trueReward, start.trueReward)),
        ),
      ],
    },
    sections,
    footer: `seed ${result.seed}; ${result.seconds.toFixed(0)} s`,
  });
}

/** A true reward of the end, with its interval. */
const tile = (label: string, { estimate, low, high }: Interval, tone: Highlight["tone"]): Highlight => ({
  label,
  value: estimate.toFixed(3),
  detail: `${low.toFixed(3)} to ${high.toFixed(3)} (95 %)`,
  tone,
});
