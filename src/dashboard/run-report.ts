// A report on run directories: their curves, their last samples and their recipes. Several runs share each chart.

import { readFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { z } from "zod";
import { UserError } from "../base/errors.js";
import { type MetricsRow, type Rollout, readJsonl } from "../train/metrics.js";
import { isRunDirectory } from "../train/run-directory.js";
import { format, formatNumber, type NumberFormat } from "./numbers.js";
import { renderReport } from "./report.js";
import type { Highlight, LineChartSection, Point, SampleAnswer, Section, Series } from "./sections.js";

/** evaluation.json beside a run's metrics, or given to `touchstone report --evaluation`. */
const evaluationSchema = z.object({
  win_rates: z
    .array(
      z.object({
        policy: z.string(),
        against: z.string(),
        /** Who judged: the true reward, a judge model. */
        judge: z.string().optional(),
        /** Ties count half. */
        rate: z.number(),
        low: z.number(),
        high: z.number(),
        comparisons: z.number().optional(),
      }),
    )
    .default([]),
});

export type Evaluation = z.input<typeof evaluationSchema>;

export interface RunReportOptions {
  title?: string;
  /** Further evaluation.json files. */
  evaluations?: readonly string[];
  /** Prompts shown with their answers. Default 8. */
  samples?: number;
}

interface Run {
  name: string;
  recipe: string;
  rows: MetricsRow[];
  rollouts: Rollout[];
  winRates: z.output<typeof evaluationSchema>["win_rates"];
}

// Metrics ------------------------------------------------------------------------------------------------------

interface MetricLook {
  title: string;
  format?: NumberFormat;
  caption?: string;
}

/** Metrics that a reader looks for first, in this order; the others follow under their own names. */
const LOOKS: Record<string, MetricLook> = {
  true_reward: { title: "True reward", caption: "Never seen in training." },
  reward: { title: "Proxy reward", caption: "What the reward model says." },
  calibrated_reward: { title: "Calibrated reward", caption: "Eq. 5: chance to beat the baseline response." },
  regularised_reward: { title: "Constraint- and KL-regularised reward", caption: "Eq. 11." },
  kl: { title: "KL to the reference, nats a response" },
  log_ratio: { title: "Mean log-ratio to the reference, nats a response" },
  satisfied_rate: { title: "Samples that satisfy every judge", format: "percent" },
  violation_rate: { title: "Violation rate", format: "percent" },
  accuracy: { title: "Accuracy", format: "percent" },
  margin: { title: "Reward margin" },
  loss: { title: "Loss" },
  grad_norm: { title: "Gradient norm" },
  learning_rate: { title: "Learning rate" },
};

interface MetricName {
  task?: string;
  /** The name without its task. */
  metric: string;
}

/** `tasks/chat/reward` is the metric `reward` of task `chat`. */
function parseMetric(key: string): MetricName {
  const task = /^tasks\/([^/]+)\/(.+)$/.exec(key);
  return task ? { task: task[1]!, metric: task[2]! } : { metric: key };
}

function lookOf(metric: string): MetricLook {
  const known = LOOKS[metric];
  if (known) return known;
  const constraint = /^constraints\/(.+)\/violation_rate$/.exec(metric);
  if (constraint) return { title: `Violations: ${constraint[1]}`, format: "percent" };
  const last = metric.slice(metric.lastIndexOf("/") + 1);
  return {
    title: metric,
    format: /_rate$|accurac/.test(last) && last !== "learning_rate" ? "percent" : undefined,
  };
}

function rank(metric: string): number {
  const place = Object.keys(LOOKS).indexOf(metric.startsWith("constraints/") ? "violation_rate" : metric);
  return place < 0 ? Number.POSITIVE_INFINITY : place;
}

const pointsOf = (rows: readonly MetricsRow[], key: string): Point[] =>
  rows.flatMap((row) => (typeof row[key] === "number" ? [{ x: row.step, y: row[key] }] : []));

/** The points' centred moving average, as wide as 5 % of the run. */
export function smooth(points: readonly Point[]): Point[] {
  const half = Math.floor(points.length / 40);
  return points.map(({ x }, i) => {
    const window = points.slice(Math.max(0, i - half), i + half + 1);
    return { x, y: window.reduce((sum, point) => sum + point.y, 0) / window.length };
  });
}

/** Many noisy points become a smooth curve before a faint one. */
const series = (name: string, points: readonly Point[]): Series =>
  points.length < 60 ? { name, points } : { name, points: smooth(points), raw: points };

function chart(metric: string, title: string, curves: readonly Series[]): LineChartSection {
  const look = lookOf(metric);
  return {
    kind: "lineChart",
    title,
    caption: look.caption,
    x: { label: "step" },
    y: { label: look.title, format: look.format },
    series: curves,
  };
}

/**
 * One chart for each metric: with one run its curves are the tasks, with several runs each task has a chart of its own
 * whose curves are the runs.
 */
function metricCharts(runs: readonly Run[]): LineChartSection[] {
  const keys = [...new Set(runs.flatMap(({ rows }) => rows.flatMap((row) => Object.keys(row))))];
  const named = keys.filter((key) => key !== "step").map((key) => ({ key, ...parseMetric(key) }));
  const metrics = [...new Set(named.map(({ metric }) => metric))].sort((a, b) => rank(a) - rank(b));
  return metrics.flatMap((metric) => {
    const of = named.filter((name) => name.metric === metric);
    const { title } = lookOf(metric);
    if (runs.length === 1) {
      const curves = of.map(({ key, task }) => series(task ?? runs[0]!.name, pointsOf(runs[0]!.rows, key)));
      const drawn = curves.filter(({ points }) => points.length > 0);
      return drawn.length > 0 ? [chart(metric, title, drawn)] : [];
    }
    return of.flatMap(({ key, task }) => {
      const curves = runs.map(({ name, rows }, color) => ({ ...series(name, pointsOf(rows, key)), color }));
      const drawn = curves.filter(({ points }) => points.length > 0);
      return drawn.length > 0 ? [chart(metric, task ? `${title}: ${task}` : title, drawn)] : [];
    });
  });
}

/** Reward against KL: the frontier on which runs of different speed can be compared. */
function frontierCharts(runs: readonly Run[]): LineChartSection[] {
  return ["true_reward", "reward"].flatMap((metric) => {
    const curves = runs.flatMap(({ name, rows }, run) => {
      const tasks = new Set(
        rows
          .flatMap((row) => Object.keys(row).map(parseMetric))
          .flatMap((parsed) => (parsed.metric === metric ? [parsed.task ?? ""] : [])),
      );
      return [...tasks].flatMap((task): Series[] => {
        const prefix = task === "" ? "" : `tasks/${task}/`;
        const points = rows.flatMap((row): Point[] => {
          const x = row[`${prefix}kl`] ?? row[`${prefix}log_ratio`];
          const y = row[`${prefix}${metric}`];
          return typeof x === "number" && typeof y === "number" ? [{ x: Math.max(0, x), y }] : [];
        });
        if (points.length < 2) return [];
        const label = [runs.length > 1 && name, task].filter(Boolean).join(", ") || name;
        const smoothed = smooth(points.map((point, i) => ({ x: i, y: point.y })));
        const kls = smooth(points.map((point, i) => ({ x: i, y: point.x })));
        const path = smoothed.map(({ y }, i) => ({ x: kls[i]!.y, y }));
        return [{ name: label, points: path, ...(tasks.size === 1 ? { color: run } : {}) }];
      });
    });
    const { title } = lookOf(metric);
    if (curves.length === 0) return [];
    return [
      {
        kind: "lineChart" as const,
        title: `${title} against KL`,
        x: { label: "KL to the reference (nats, root scale)", scale: "sqrt" as const },
        y: { label: title },
        series: curves,
      },
    ];
  });
}

// Samples ------------------------------------------------------------------------------------------------------

function answerOf(rollout: Rollout): SampleAnswer {
  const numbers = (["reward", "true_reward", "calibrated_reward", "advantage"] as const).flatMap((key) => {
    const value = rollout[key];
    return typeof value === "number" ? [[key.replace("_", " "), value] as const] : [];
  });
  return {
    text: rollout.response,
    truncated: rollout.finish_reason === "length",
    facts: numbers,
    verdicts: Object.entries(rollout.verdicts ?? {}).map(([judge, { verdict, reason }]) => ({
      judge,
      verdict,
      reason,
    })),
  };
}

const promptKey = ({ task, prompt }: Rollout) => `${task}\n${prompt}`;

/** The newest sample of each prompt, by task and prompt. */
function newestByPrompt(rollouts: readonly Rollout[]): Map<string, Rollout> {
  const newest = new Map<string, Rollout>();
  for (const rollout of rollouts) newest.set(promptKey(rollout), rollout);
  return newest;
}

/** One run: its first against its last answers. Several: their last answers to the prompts that all have seen. */
function sampleSection(runs: readonly Run[], count: number): Section | undefined {
  if (runs.length === 1) {
    const rollouts = runs[0]!.rollouts;
    const last = spread([...newestByPrompt(rollouts).values()].reverse(), count);
    if (last.length === 0) return undefined;
    const first = new Map<string, Rollout>();
    for (const rollout of rollouts)
      if (!first.has(promptKey(rollout))) first.set(promptKey(rollout), rollout);
    const seenTwice = last.some((rollout) => first.get(promptKey(rollout))!.step < rollout.step);
    return {
      kind: "samples",
      title: "Samples",
      caption: seenTwice ? "The first and the newest answer to the same prompts." : "The newest answers.",
      columns: seenTwice ? ["first", "newest"] : ["newest"],
      rows: last.map((rollout) => ({
        prompt: rollout.prompt,
        task: rollout.task,
        answers: [...(seenTwice ? [answerOf(first.get(promptKey(rollout))!)] : []), answerOf(rollout)],
      })),
    };
  }
  const newest = runs.map(({ rollouts }) => newestByPrompt(rollouts));
  const shared = [...newest[0]!.entries()].filter(([key]) => newest.every((answers) => answers.has(key)));
  if (shared.length === 0) return undefined;
  return {
    kind: "samples",
    title: "Samples side by side",
    caption: "The newest answers of every run to the same prompts.",
    columns: runs.map(({ name }) => name),
    rows: spread(
      shared.reverse().map(([, rollout]) => rollout),
      count,
    ).map((rollout) => ({
      prompt: rollout.prompt,
      task: rollout.task,
      answers: newest.map((answers) => answerOf(answers.get(promptKey(rollout))!)),
    })),
  };
}

/** `count` rollouts, every task in turn. */
function spread(rollouts: readonly Rollout[], count: number): Rollout[] {
  const byTask = new Map<string, Rollout[]>();
  for (const rollout of rollouts) byTask.set(rollout.task, [...(byTask.get(rollout.task) ?? []), rollout]);
  const queues = [...byTask.values()];
  const picked: Rollout[] = [];
  for (let place = 0; picked.length < Math.min(count, rollouts.length); place++) {
    for (const queue of queues) if (queue[place] && picked.length < count) picked.push(queue[place]!);
  }
  return picked;
}

// The page -----------------------------------------------------------------------------------------------------

function winRateSections(runs: readonly Run[]): Section[] {
  const rates = runs.flatMap(({ winRates }) => winRates);
  if (rates.length === 0) return [];
  return [
    {
      kind: "barChart",
      title: "Win rates",
      caption: "Ties count half; whiskers are 95 % intervals.",
      x: { label: "win rate", format: "percent" },
      reference: { x: 0.5, label: "even" },
      bars: rates.map(({ policy, against, rate, low, high }) => ({
        label: `${policy} against ${against}`,
        value: rate,
        low,
        high,
      })),
    },
    {
      kind: "table",
      columns: ["policy", "against", "judged by", "win rate", "comparisons"],
      rows: rates.map(({ policy, against, judge, rate, low, high, comparisons }) => [
        policy,
        against,
        judge ?? "",
        { value: rate, format: "percent", interval: [low, high] },
        comparisons ?? null,
      ]),
    },
  ];
}

/** From the first tenth of a run to its last: where each headline metric went. */
function highlights(runs: readonly Run[]): Highlight[] {
  const found: Highlight[] = [];
  for (const { name, rows } of runs) {
    const keys = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    const headline = keys
      .filter((key) => Number.isFinite(rank(parseMetric(key).metric)) && !/learning_rate|grad_norm/.test(key))
      .sort((a, b) => rank(parseMetric(a).metric) - rank(parseMetric(b).metric));
    for (const key of headline.slice(0, Math.max(1, Math.floor(4 / runs.length)))) {
      const points = pointsOf(rows, key);
      if (points.length === 0) continue;
      const part = Math.max(1, Math.floor(points.length / 10));
      const mean = (some: readonly Point[]) => some.reduce((sum, { y }) => sum + y, 0) / some.length;
      const { task, metric } = parseMetric(key);
      const look = lookOf(metric);
      found.push({
        label: [runs.length > 1 && name, task, look.title].filter(Boolean).join(" · "),
        value: format(mean(points.slice(-part)), look.format),
        detail: `from ${format(mean(points.slice(0, part)), look.format)} at the start`,
      });
    }
  }
  return found;
}

async function readRun(dir: string): Promise<Run> {
  if (!(await isRunDirectory(dir)))
    throw new UserError(`${dir} is not a run directory: it has no recipe.yaml`);
  return {
    name: basename(resolve(dir)),
    recipe: await readFile(join(dir, "recipe.yaml"), "utf8"),
    rows: await readJsonl(join(dir, "metrics.jsonl")),
    rollouts: await readJsonl<Rollout>(join(dir, "rollouts.jsonl")),
    winRates: await readEvaluation(join(dir, "evaluation.json"), true),
  };
}

async function readEvaluation(path: string, optional = false): Promise<Run["winRates"]> {
  const text = await readFile(path, "utf8").catch(() => undefined);
  if (text === undefined) {
    if (optional) return [];
    throw new UserError(`cannot read the evaluation ${path}`);
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw new UserError(`${path} is not valid JSON`);
  }
  const parsed = evaluationSchema.safeParse(content);
  if (parsed.success) return parsed.data.win_rates;
  const { path: at, message } = parsed.error.issues[0]!;
  throw new UserError(`${path}: ${at.join(".")}: ${message}`);
}

/** Runs of the same directory name keep apart by their parents. */
function distinctNames(dirs: readonly string[], runs: readonly Run[]): Run[] {
  return runs.map((run, i) =>
    runs.some((other) => other !== run && other.name === run.name)
      ? { ...run, name: resolve(dirs[i]!).split(/[/\\]/).slice(-2).join("/") }
      : run,
  );
}

/** The page about one run, or comparing several. */
export async function reportFromRuns(
  dirs: readonly string[],
  { title, evaluations = [], samples = 8 }: RunReportOptions = {},
): Promise<string> {
  if (dirs.length === 0) throw new UserError("name at least one run directory to report on");
  const runs = distinctNames(dirs, await Promise.all(dirs.map(readRun)));
  runs[0]!.winRates.push(...(await Promise.all(evaluations.map((path) => readEvaluation(path)))).flat());
  const charts = metricCharts(runs);
  const isHeadline = ({ y }: LineChartSection) =>
    Object.values(LOOKS).some(({ title: known }) => known === y.label) || y.label.startsWith("Violations");
  const headline = [...frontierCharts(runs), ...charts.filter(isHeadline)];
  const others = charts.filter((one) => !isHeadline(one));
  const steps = runs.map(({ rows }) => rows.at(-1)?.step ?? 0);
  const samplesSection = sampleSection(runs, samples);
  const sections: Section[] = [...winRateSections(runs)];
  if (headline.length > 0) sections.push({ kind: "panels", title: "Curves", sections: headline });
  if (samplesSection) sections.push(samplesSection);
  if (others.length > 0) sections.push({ kind: "panels", title: "Further metrics", sections: others });
  for (const { name, recipe } of runs) {
    sections.push({ kind: "code", title: `Recipe of ${name}`, text: recipe, folded: true });
  }
  return renderReport({
    title: title ?? runs.map(({ name }) => name).join(" · "),
    summary: {
      headline:
        runs.length === 1
          ? `One run of ${formatNumber(steps[0]!)} steps.`
          : `${runs.length} runs of ${formatNumber(Math.min(...steps))} to ${formatNumber(Math.max(...steps))} steps.`,
      highlights: highlights(runs),
    },
    sections,
  });
}
