// A report on run directories: their curves, their last samples and their recipes. Several runs share each chart.

import { readFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { z } from "zod";
import { UserError } from "../base/errors.js";
import { isRunDirectory, runDirectories } from "../run/directory.js";
import { type Rollout, readMetrics, readRollouts } from "../run/metrics.js";
import { frontierCharts, metricCharts, SETTINGS } from "./metric-charts.js";
import { isHeadline, lookOf, parseMetric, rank, worthShowing } from "./metric-names.js";
import { renderReport } from "./report.js";
import { curvesOf, highlights, type RunMetrics } from "./run-charts.js";
import type { Cell, LineChartSection, SampleAnswer, Section } from "./sections.js";

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

interface Run extends RunMetrics {
  recipe: string;
  rollouts: Rollout[];
  winRates: z.output<typeof evaluationSchema>["win_rates"];
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

/** Where several runs ended: the last value of what a reader looks for first, and the settings that reward models draw. */
function endSection(runs: readonly Run[]): Section | undefined {
  if (runs.length < 2) return undefined;
  const all = [...new Set(runs.flatMap(({ rows }) => rows.flatMap((row) => Object.keys(row))))];
  const keys = worthShowing(all)
    .filter((key) => isHeadline(parseMetric(key).metric))
    .sort((a, b) => rank(parseMetric(a).metric) - rank(parseMetric(b).metric))
    .slice(0, MAX_COLUMNS);
  if (keys.length === 0) return undefined;
  const tasks = new Set(all.flatMap((key) => parseMetric(key).task ?? []));
  const titled = (key: string) => {
    const { task, metric } = parseMetric(key);
    return lookOf(metric).title + (task !== undefined && tasks.size > 1 ? `: ${task}` : "");
  };
  const last = ({ rows }: Run, key: string): Cell => {
    const value = rows.findLast((row) => typeof row[key] === "number")?.[key];
    return typeof value === "number" ? { value, format: lookOf(parseMetric(key).metric).format } : null;
  };
  return {
    kind: "table",
    title: "Where they ended",
    columns: ["", "steps", "peak learning rate", ...keys.map(titled)],
    rows: runs.map((run) => [
      run.name,
      run.rows.at(-1)?.step ?? 0,
      run.rows.reduce((most, { learning_rate: rate }) => Math.max(most, Number(rate ?? 0)), 0),
      ...keys.map((key) => last(run, key)),
    ]),
  };
}

/** One run: its first against its last answers. Several: their last answers to the prompts that all have seen. */
function sampleSection(all: readonly Run[], count: number): Section | undefined {
  // Of an alignment in stages not every stage samples.
  const sampling = all.filter(({ rollouts }) => rollouts.length > 0);
  const runs = sampling.length > 0 ? sampling : all;
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
      title: "Win rates in figures",
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

async function readRun(dir: string): Promise<Run> {
  if (!(await isRunDirectory(dir)))
    throw new UserError(`${dir} is not a run directory: it has no recipe.yaml`);
  return {
    name: basename(resolve(dir)),
    recipe: await readFile(join(dir, "recipe.yaml"), "utf8"),
    rows: await readMetrics(join(dir, "metrics.jsonl")),
    rollouts: await readRollouts(join(dir, "rollouts.jsonl")),
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

function describeSteps(steps: readonly number[]): string {
  const [fewest, most] = [Math.min(...steps), Math.max(...steps)];
  const range = fewest === most ? String(most) : `${fewest} to ${most}`;
  return `${steps.length === 1 ? "One run" : `${steps.length} runs`} of ${range} steps.`;
}

/** Metrics of the table that says where runs ended. */
const MAX_COLUMNS = 5;

/** Charts of metrics that nobody looks for first; a page with more is too long to open. */
const MAX_FURTHER = 200;

function furtherMetrics(charts: readonly LineChartSection[]): Section {
  const caption = charts.length > MAX_FURTHER ? `The first ${MAX_FURTHER} of ${charts.length}.` : undefined;
  return { kind: "panels", title: "Further metrics", caption, sections: charts.slice(0, MAX_FURTHER) };
}

/** "rm: member-1 · member-2" where one directory stands for several runs. */
function titleOf(given: readonly string[], runs: readonly Run[]): string {
  const names = runs.map(({ name }) => name).join(" · ");
  const [only] = given;
  return given.length === 1 && runs.length > 1 ? `${basename(resolve(only!))}: ${names}` : names;
}

/** The page about one run, or comparing several. */
export async function reportFromRuns(
  given: readonly string[],
  { title, evaluations = [], samples = 8 }: RunReportOptions = {},
): Promise<string> {
  if (given.length === 0) throw new UserError("name at least one run directory to report on");
  const dirs = (await Promise.all(given.map(runDirectories))).flat();
  const runs = distinctNames(dirs, await Promise.all(dirs.map(readRun)));
  runs[0]!.winRates.push(...(await Promise.all(evaluations.map((path) => readEvaluation(path)))).flat());
  const curves = runs.map(curvesOf);
  const charts = metricCharts(
    curves.map((run) => [run]),
    SETTINGS,
  );
  const headline = [...frontierCharts(curves), ...charts.headline];
  const steps = runs.map(({ rows }) => rows.at(-1)?.step ?? 0);
  const samplesSection = sampleSection(runs, samples);
  const sections: Section[] = [...winRateSections(runs)];
  const end = endSection(runs);
  if (end) sections.push(end);
  if (headline.length > 0) sections.push({ kind: "panels", title: "Curves", sections: headline });
  if (samplesSection) sections.push(samplesSection);
  if (charts.others.length > 0) sections.push(furtherMetrics(charts.others));
  for (const { name, recipe } of runs) {
    sections.push({ kind: "code", title: `Recipe of ${name}`, text: recipe, folded: true });
  }
  return renderReport({
    title: title ?? titleOf(given, runs),
    summary: {
      headline: describeSteps(steps),
      highlights: highlights(runs),
    },
    sections,
  });
}
