// Runs an experiment over seeds: each seed, or each part of one, in a process of its own, finished seeds kept, then one
// page and one JSON document made of all of them.

import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeFileAtomic } from "../../base/atomic.js";
import { UserError } from "../../base/errors.js";
import { makeDirectory } from "../../base/files.js";
import { type Report, renderReport } from "../../dashboard/report.js";
import { runInChild } from "../../run/child.js";
import { InterruptedError, type RunContext } from "../../run/context.js";
import type { Part, SeedResult } from "./experiment.js";
import { type ExperimentName, loadExperiment } from "./experiments.js";
import { runGraph } from "./graph.js";
import type { SeedJob } from "./worker.js";

export interface ReproduceOptions extends RunContext {
  experiment: ExperimentName;
  out: string;
  seeds: readonly number[];
  /** Processes at a time. Default: one for each core. */
  jobs?: number;
  quick?: boolean;
  options?: Readonly<Record<string, string>>;
}

export interface ReproduceResult {
  report: string;
  json: string;
  summary: string;
  document: unknown;
  /** Why the figures mean nothing. */
  warning?: string;
}

const worker = fileURLToPath(new URL(`./worker${extname(import.meta.url)}`, import.meta.url));

/** A seed's result.json. */
interface Stored {
  seed: number;
  /** Of all its processes together. */
  seconds: number;
  result: unknown;
}

/** A process: the whole of a seed after its parts, or one of them. */
interface Work {
  name: string;
  after: readonly string[];
  seed: number;
  part?: string;
}

/** Runs the seeds that `out` does not hold yet and writes report.html and results.json over all of `seeds`. */
export async function reproduce(given: ReproduceOptions): Promise<ReproduceResult> {
  const { experiment: name, out, quick = false, options = {}, reporter, signal } = given;
  const experiment = await loadExperiment(name);
  await claim(out, { experiment: name, quick, options }, given.resume);

  const sharedDir = join(out, "shared");
  await makeDirectory(sharedDir);
  const log = (line: string) => reporter.note(line);
  const threads = availableParallelism();
  await untilStopped(signal, () =>
    experiment.prepare({ sharedDir, threads, quick, options, log, ...(signal ? { signal } : {}) }),
  );
  const results = await runSeeds(given, experiment.parts?.({ quick, options }) ?? [], sharedDir);

  const findings = experiment.report(
    results.map(({ seed, result }): SeedResult<unknown> => ({ seed, result })),
    { sharedDir },
  );
  const document = {
    experiment: name,
    quick,
    options,
    seeds: results.map(({ seed, seconds }) => ({ seed, seconds })),
    findings: findings.json,
    results,
  };
  const paths = { report: join(out, "report.html"), json: join(out, "results.json") };
  await writeFileAtomic(paths.report, renderReport(quick ? warned(findings.report) : findings.report));
  await writeFileAtomic(paths.json, `${JSON.stringify(document, undefined, 1)}\n`);
  return { ...paths, summary: findings.summary, document, ...(quick && { warning: quickWarning }) };
}

const quickWarning =
  "--quick: these figures mean nothing. The experiment ran in miniature, to see that it runs; no verdict stands.";

/** The page of a miniature, which says so before anything else. */
const warned = ({ title, summary, sections, ...rest }: Report): Report => ({
  ...rest,
  title: `${title} (--quick: the figures mean nothing)`,
  ...(summary && { summary: { ...summary, headline: quickWarning, highlights: [] } }),
  sections: [
    {
      kind: "text",
      title: "The figures on this page mean nothing",
      text: quickWarning,
    },
    ...sections,
  ],
});

/** The result of every seed: as `out` holds it, or from processes that share the cores. */
async function runSeeds(
  { experiment, out, seeds, jobs, quick = false, options = {}, reporter, signal }: ReproduceOptions,
  parts: readonly Part[],
  sharedDir: string,
): Promise<Stored[]> {
  const stored = new Map<number, Stored>();
  for (const seed of seeds) {
    const earlier = await readJson<Stored>(join(seedDir(out, seed), "result.json"));
    if (earlier) stored.set(seed, earlier);
  }
  const work = seeds.filter((seed) => !stored.has(seed)).flatMap((seed) => workOf(seed, parts));
  const cores = availableParallelism();
  const lanes = Math.max(1, Math.min(jobs ?? cores, work.length));
  // Not by what is left to do: the recipes of a run that was stopped are the same when it goes on.
  const threads = Math.max(1, Math.floor(cores / (jobs ?? cores)));
  const seconds = new Map<number, number>();
  let done = 0;
  reporter.begin(`reproduce ${experiment}`, work.length, done);
  await untilStopped(signal, () =>
    runGraph(work, { lanes, signal }, async ({ name, seed, part }, stop) => {
      const dir = seedDir(out, seed);
      const result = join(dir, "result.json");
      const secondsBefore = seconds.get(seed) ?? 0;
      const shared = { experiment, seed, dir, sharedDir, threads, quick, options };
      const job: SeedJob = { ...shared, result, secondsBefore, ...(part === undefined ? {} : { part }) };
      const took = await runInChild<SeedJob, string, number>(worker, job, {
        name,
        onMessage: (line) => reporter.note(`seed ${seed}: ${line}`),
        signal: stop,
      });
      // Not `secondsBefore`: other parts of the seed may have ended meanwhile.
      seconds.set(seed, (seconds.get(seed) ?? 0) + took);
      if (part === undefined) stored.set(seed, (await readJson<Stored>(result))!);
      reporter.step(++done);
    }),
  ).finally(() => reporter.end());
  return seeds.map((seed) => stored.get(seed)!);
}

/** The parts of a seed, and then the seed. */
function workOf(seed: number, parts: readonly Part[]): Work[] {
  const whole = `seed ${seed}`;
  const named = (part: string) => `${whole}, ${part}`;
  return [
    ...parts.map(({ name, after = [] }) => ({
      name: named(name),
      after: after.map(named),
      seed,
      part: name,
    })),
    { name: whole, after: parts.map(({ name }) => named(name)), seed },
  ];
}

const seedDir = (out: string, seed: number) => join(out, `seed-${seed}`);

/** Runs `work`; where the signal ended it, by an error or without, that is what is thrown. */
async function untilStopped(signal: AbortSignal | undefined, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!signal?.aborted) throw error;
  }
  if (signal?.aborted) throw new InterruptedError("stopped; continue with --resume");
}

async function readJson<T>(path: string): Promise<T | undefined> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  return text === undefined ? undefined : (JSON.parse(text) as T);
}

/** Results of different settings never mix in one directory. */
async function claim(out: string, settings: object, resume: boolean): Promise<void> {
  const path = join(out, "settings.json");
  const text = JSON.stringify(settings);
  const earlier = await readJson<object>(path);
  if (earlier && JSON.stringify(earlier) !== text)
    throw new UserError(
      `${out} holds another experiment (${JSON.stringify(earlier)}); choose another directory with --out`,
    );
  if (earlier && !resume)
    throw new UserError(`${out} holds this experiment already; continue it with --resume, or choose --out`);
  await makeDirectory(out);
  if (!earlier) await writeFileAtomic(path, text);
}
