// Runs an experiment over seeds: each seed in a process of its own, finished seeds kept, then one page and one JSON
// document made of all of them.

import { mkdir, readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeFileAtomic } from "../../base/atomic.js";
import { UserError } from "../../base/errors.js";
import { renderReport } from "../../dashboard/report.js";
import { runInChild } from "../../train/child.js";
import { InterruptedError, type RunContext } from "../../train/context.js";
import { type ExperimentName, loadExperiment, type SeedResult } from "./experiment.js";
import type { SeedJob } from "./worker.js";

export interface ReproduceOptions extends RunContext {
  experiment: ExperimentName;
  out: string;
  seeds: readonly number[];
  /** Seeds at a time. Default: one for each core. */
  jobs?: number;
  quick?: boolean;
  options?: Readonly<Record<string, string>>;
}

export interface ReproduceResult {
  report: string;
  json: string;
  summary: string;
  document: unknown;
}

const worker = fileURLToPath(new URL(`./worker${extname(import.meta.url)}`, import.meta.url));

/** A seed's result.json. */
interface Stored {
  seed: number;
  seconds: number;
  result: unknown;
}

/** Runs the seeds that `out` does not hold yet and writes report.html and results.json over all of `seeds`. */
export async function reproduce(given: ReproduceOptions): Promise<ReproduceResult> {
  const { experiment: name, out, seeds, quick = false, options = {}, reporter, signal } = given;
  const cores = availableParallelism();
  const jobs = Math.min(given.jobs ?? cores, seeds.length);
  const threads = Math.max(1, Math.floor(cores / jobs));
  const experiment = await loadExperiment(name);
  await claim(out, { experiment: name, quick, options }, given.resume);

  const sharedDir = join(out, "shared");
  await mkdir(sharedDir, { recursive: true });
  const log = (line: string) => reporter.note(line);
  await experiment.prepare({ sharedDir, threads: cores, quick, options, log, ...(signal ? { signal } : {}) });
  if (signal?.aborted) throw interrupted();

  const stored = new Map<number, Stored>();
  for (const seed of seeds) {
    const earlier = await readJson<Stored>(join(seedDir(out, seed), "result.json"));
    if (earlier) stored.set(seed, earlier);
  }
  const waiting = seeds.filter((seed) => !stored.has(seed));
  const stop = new AbortController();
  const either = AbortSignal.any([stop.signal, ...(signal ? [signal] : [])]);
  let failure: unknown;
  const lane = async (): Promise<void> => {
    for (let seed = waiting.shift(); seed !== undefined && !either.aborted; seed = waiting.shift()) {
      const dir = seedDir(out, seed);
      const result = join(dir, "result.json");
      const job: SeedJob = { experiment: name, seed, dir, sharedDir, threads, quick, options, result };
      const onMessage = (line: string) => reporter.note(`seed ${seed}: ${line}`);
      try {
        await runInChild<SeedJob, string, undefined>(worker, job, {
          name: `seed ${seed}`,
          onMessage,
          signal: either,
        });
        stored.set(seed, (await readJson<Stored>(result))!);
        reporter.step(stored.size);
      } catch (error) {
        failure ??= error;
        stop.abort();
      }
    }
  };
  reporter.begin(`reproduce ${name}, seeds`, seeds.length, stored.size);
  try {
    await Promise.all(Array.from({ length: jobs }, lane));
  } finally {
    reporter.end();
  }
  if (signal?.aborted) throw interrupted();
  if (failure) throw failure;

  const results = seeds.map((seed) => stored.get(seed)!);
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
  await writeFileAtomic(paths.report, renderReport(findings.report));
  await writeFileAtomic(paths.json, `${JSON.stringify(document, undefined, 1)}\n`);
  return { ...paths, summary: findings.summary, document };
}

const seedDir = (out: string, seed: number) => join(out, `seed-${seed}`);

const interrupted = () => new InterruptedError("stopped; continue with --resume");

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
  await mkdir(out, { recursive: true });
  if (!earlier) await writeFileAtomic(path, text);
}
