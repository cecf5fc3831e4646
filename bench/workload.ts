// What the engine benchmark measures: the shapes, the kinds of work, and the tokens that go in.

import { RandomStream } from "../src/base/random.js";
import shapesFile from "./shapes.json" with { type: "json" };

export const shapes: Readonly<Record<string, Readonly<Record<string, unknown>>>> = shapesFile.shapes;
export const commonConfig: Readonly<Record<string, unknown>> = shapesFile.common;

export const works = ["train", "train_lora", "logprobs", "generate", "score"] as const;
export type Work = (typeof works)[number];

export const generateBatches = [1, 16, 64];

export interface Cell {
  shape: string;
  work: Work;
  /** Sequences in one request. */
  batch: number;
  promptTokens: number;
  /** Completion tokens: scored, trained on or generated. A reward model reads prompt and completion. */
  newTokens: number;
}

/** Sequences of 128 tokens in one training step or one pass. */
const sequencesOf: Record<string, number> = { nano: 16, small: 8, "smollm2-135m": 4 };

/** New tokens of one generation: one that takes seconds, not minutes, on two cores. */
function generatedTokens(shape: string, batch: number): number {
  if (shape !== "smollm2-135m") return 128;
  return batch > 16 ? 32 : 64;
}

export function cellsOf(
  chosen: readonly string[],
  work: readonly Work[],
  batches: readonly number[],
): Cell[] {
  return chosen.flatMap((shape) =>
    work.flatMap((kind): Cell[] =>
      kind === "generate"
        ? batches.map((batch) => {
            return { shape, work: kind, batch, promptTokens: 32, newTokens: generatedTokens(shape, batch) };
          })
        : [{ shape, work: kind, batch: sequencesOf[shape]!, promptTokens: 32, newTokens: 96 }],
    ),
  );
}

export interface CellRequests {
  load: object;
  /** Runs the work once. */
  work: object;
  /** The same for the memory figure and the comparison: enough of it that the peak is that of a long run. */
  first: object;
  /** How many times `first` runs the work. */
  firstRuns: number;
}

const lora = { r: 16, alpha: 32 };

/** The requests of one cell, in the protocol of peer.py: the same tokens for both sides, all sequences of one length. */
export function requestsOf(cell: Cell, dir: string, threads: number): CellRequests {
  const vocabulary = shapes[cell.shape]!.vocab_size as number;
  const random = new RandomStream(0, `${cell.shape} ${cell.work} ${cell.batch}`);
  const rows = (length: number) =>
    Array.from({ length: cell.batch }, () => Array.from({ length }, () => random.integer(vocabulary)));
  const { work: verb, promptTokens, newTokens } = cell;
  const load = { verb: "load", dir, threads, ...(verb === "train_lora" && { lora }) };
  if (verb === "generate") {
    const work = { verb, prompts: rows(promptTokens), maxNewTokens: newTokens, temperature: 1 };
    return { load, work, first: { ...work, cache: "dynamic", returnTokens: true }, firstRuns: 1 };
  }
  const sequences = rows(promptTokens + newTokens);
  if (verb === "score") return { load, work: { verb, sequences }, first: { verb, sequences }, firstRuns: 1 };
  const work = { verb, sequences, promptLengths: sequences.map(() => promptTokens) };
  if (verb === "logprobs") return { load, work, first: work, firstRuns: 1 };
  // The optimizer's moments are there from the second step on.
  return { load, work, first: { ...work, steps: 2 }, firstRuns: 2 };
}
