// The engine against PyTorch and transformers: the same work on the same weights, in alternation. One cell is one kind of
// work on one shape; each cell has fresh processes, so that its memory figure is its own.

import { spawnSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { sortedQuantile } from "../src/base/statistics.js";
import { checkpoint } from "./checkpoints.js";
import { type Answer, BenchProcess } from "./process.js";
import { type Cell, cellsOf, requestsOf, type Work } from "./workload.js";

export interface EngineOptions {
  shapes: readonly string[];
  work: readonly Work[];
  /** Batch sizes of generation. */
  batches: readonly number[];
  threads: number;
  /** A Python with torch, transformers and peft; without it only our side is measured. */
  python: string | undefined;
  /** Measuring time of one cell, both sides together; at least three repetitions are made all the same. */
  seconds: number;
  /** Repetitions of one cell at most. */
  repeat: number;
  /** Where the models are kept. */
  checkpoints: string;
}

export interface CellResult {
  shape: string;
  work: Work;
  batch: number;
  /** Of one sequence. */
  prompt_tokens: number;
  new_tokens: number;
  /** Tokens a second, median of the repetitions: new ones for `generate`, else all that were read. */
  ours: number;
  peer: number | null;
  /** Median, least and greatest of the repetitions' ours / peer. */
  ratio: number | null;
  ratio_min: number | null;
  ratio_max: number | null;
  repetitions: number;
  /** Peak resident memory of the whole process while the work runs for the first time after loading, MiB. */
  ours_peak_mb: number | null;
  peer_peak_mb: number | null;
  /** Largest difference between what the two sides computed: losses, log-probabilities or scores. */
  difference: number | null;
  /** The difference is within `tolerance`, and both counted the same tokens. */
  agree: boolean | null;
  /** Largest share of a processor that the waiting side used while the other was being measured. */
  waiting_cpu: number | null;
}

/** Largest difference that still counts as the same computation (float32, nats). */
const tolerance = 1e-3;
/** Rest before each measurement, in which the threads of the side that just worked go to sleep. */
const settleMilliseconds = 250;
const leastRepetitions = 3;
/** Work of this length is timed well enough by its first run to say how often it fits into the time. */
const longSeconds = 2;

/** Tells whether `python` has what peer.py needs. */
export function hasPeer(python: string): boolean {
  const check =
    "from importlib.util import find_spec; import sys; " +
    "sys.exit(any(find_spec(m) is None for m in ('torch', 'transformers', 'peft')))";
  return spawnSync(python, ["-c", check]).status === 0;
}

/** Measures every cell in turn; `onResult` sees each as soon as it is known. */
export async function benchEngine(
  options: EngineOptions,
  onResult: (result: CellResult, versions: Record<string, string>) => Promise<void>,
): Promise<void> {
  for (const cell of cellsOf(options.shapes, options.work, options.batches)) {
    const head = cell.work === "score" ? "scalar" : "language";
    const dir = await checkpoint(options.checkpoints, cell.shape, head, options.python);
    const { result, versions } = await measureCell(cell, dir, options);
    await onResult(result, versions);
  }
}

async function measureCell(cell: Cell, dir: string, options: EngineOptions) {
  const requests = requestsOf(cell, dir, options.threads);
  const processes: BenchProcess[] = [];
  /** Loads the model, runs the work for the memory figure and, where it is short, once more to know how long it takes. */
  const open = async (process: BenchProcess) => {
    processes.push(process);
    const { versions = {} } = await process.request(requests.load);
    await process.request({ verb: "memory", reset: true });
    const first = await process.request(requests.first);
    const cold = first.seconds / requests.firstRuns;
    const seconds = cold > longSeconds ? cold : (await process.request(requests.work)).seconds;
    return { process, versions, first, seconds };
  };
  try {
    const ours = await open(BenchProcess.ours());
    const peer = options.python === undefined ? undefined : await open(BenchProcess.peer(options.python));
    const difference = peer ? await compare(cell, requests.first, ours.first, peer) : null;
    const sides = peer ? [ours, peer] : [ours];
    const { rates, waiting } = await repeat(sides, requests.work, options);
    const ratios = peer ? rates[0]!.map((rate, i) => rate / rates[1]![i]!) : [];
    const result: CellResult = {
      shape: cell.shape,
      work: cell.work,
      batch: cell.batch,
      prompt_tokens: cell.promptTokens,
      new_tokens: cell.newTokens,
      ours: median(rates[0]!)!,
      peer: median(rates[1] ?? []),
      ratio: median(ratios),
      ratio_min: ratios.length > 0 ? Math.min(...ratios) : null,
      ratio_max: ratios.length > 0 ? Math.max(...ratios) : null,
      repetitions: rates[0]!.length,
      ours_peak_mb: ours.first.peakMb,
      peer_peak_mb: peer?.first.peakMb ?? null,
      difference,
      agree:
        peer && difference !== null
          ? difference <= tolerance && ours.first.tokens === peer.first.tokens
          : null,
      waiting_cpu: waiting,
    };
    return { result, versions: peer?.versions ?? {} };
  } finally {
    await Promise.all(processes.map((process) => process.close()));
  }
}

interface OpenSide {
  process: BenchProcess;
  first: Answer;
  /** Of the work once. */
  seconds: number;
}

/** Tokens a second of every side in every repetition. The side that goes first changes from one to the next. */
async function repeat(sides: readonly OpenSide[], work: object, { seconds, repeat }: EngineOptions) {
  const once = sides.reduce((sum, side) => sum + side.seconds, 0);
  const repetitions = Math.min(repeat, Math.max(leastRepetitions, Math.floor(seconds / once)));
  const share = seconds / repetitions / sides.length;
  const rates: number[][] = sides.map(() => []);
  let waiting: number | null = null;
  for (let i = 0; i < repetitions; i++) {
    const order = i % 2 === 0 ? sides : sides.toReversed();
    for (const side of order) {
      await sleep(settleMilliseconds);
      const others = sides.filter((other) => other !== side);
      const before = others.map(({ process }) => process.cpuSeconds());
      const start = performance.now();
      rates[sides.indexOf(side)]!.push(await rate(side, work, share));
      const elapsed = (performance.now() - start) / 1000;
      others.forEach(({ process }, k) => {
        const used = (process.cpuSeconds() ?? Number.NaN) - (before[k] ?? Number.NaN);
        if (!Number.isNaN(used)) waiting = Math.max(waiting ?? 0, used / elapsed);
      });
    }
  }
  return { rates, waiting };
}

/** Runs the work as often as fits into `share` seconds, at least once. */
async function rate({ process, seconds }: OpenSide, work: object, share: number): Promise<number> {
  let tokens = 0;
  let time = 0;
  for (let left = Math.max(1, Math.round(share / seconds)); left > 0; left--) {
    const answer = await process.request(work);
    tokens += answer.tokens;
    time += answer.seconds;
  }
  return tokens / time;
}

/**
 * Largest difference between the sides. Sampled tokens differ by nature: there the peer computes the log-probabilities of
 * the tokens that we sampled, and those are compared.
 */
async function compare(cell: Cell, request: object, ours: Answer, peer: OpenSide): Promise<number> {
  switch (cell.work) {
    case "train":
    case "train_lora":
      return largestDifference(ours.losses!, peer.first.losses!);
    case "logprobs":
      return largestDifference(ours.logprobs!.flat(), peer.first.logprobs!.flat());
    case "score":
      return largestDifference(ours.scores!, peer.first.scores!);
    case "generate": {
      const { prompts } = request as { prompts: number[][] };
      const checked = prompts.slice(0, 4);
      const again = await peer.process.request({
        verb: "logprobs",
        sequences: checked.map((prompt, i) => [...prompt, ...ours.completions![i]!]),
        promptLengths: checked.map((prompt) => prompt.length),
      });
      return largestDifference(ours.logprobs!.slice(0, checked.length).flat(), again.logprobs!.flat());
    }
  }
}

function largestDifference(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0);
}

const median = (values: readonly number[]): number | null =>
  values.length === 0
    ? null
    : sortedQuantile(
        values.toSorted((a, b) => a - b),
        0.5,
      );
