// One alignment step against TRL's: the same weights, prompts, lengths and reward model, from the prompts to the updated
// weights, in alternation. Each side is a training run of its own in a process of its own, which makes a step when asked.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { RandomStream } from "../src/base/random.js";
import { checkpoint } from "./checkpoints.js";
import { median } from "./median.js";
import { type Answer, BenchProcess } from "./process.js";
import { shapes } from "./workload.js";

export const stepMethods = ["grpo", "online_dpo"] as const;
export const stepTrainings = ["full", "lora"] as const;
export const stepLengths = ["short", "long"] as const;

/** Prompt and new tokens, samples of a prompt (two with pairs), and prompts of a step. */
const lengths = {
  short: { promptTokens: 32, newTokens: 64, generations: 4, batchPrompts: 8 },
  long: { promptTokens: 256, newTokens: 128, generations: 8, batchPrompts: 2 },
} as const;

export interface StepOptions {
  shapes: readonly string[];
  methods: readonly (typeof stepMethods)[number][];
  trainings: readonly (typeof stepTrainings)[number][];
  lengths: readonly (typeof stepLengths)[number][];
  threads: number;
  repeat: number;
  /** Measure, besides, with one other program that keeps a core busy. */
  busy: boolean;
  /** A Python with trl; without it only our side is measured. */
  python: string | undefined;
  checkpoints: string;
}

/** The first line that either side reads. */
export interface StepRequest {
  dir: string;
  reward: string;
  prompts: string[];
  method: (typeof stepMethods)[number];
  generations: number;
  batchPrompts: number;
  newTokens: number;
  lora?: { r: number; alpha: number };
  threads: number;
}

/** Medians over the repetitions. */
export interface StepSide {
  seconds: number;
  cpu_seconds: number;
  phases: Record<string, number>;
  peak_mb: number | null;
  /** Beside a busy neighbour. */
  busy_seconds: number | null;
}

export interface StepResult {
  shape: string;
  method: string;
  training: string;
  lengths: string;
  prompt_tokens: number;
  new_tokens: number;
  generations: number;
  samples: number;
  ours: StepSide;
  trl: StepSide | null;
  /** TRL's seconds over ours: median, least and greatest of the repetitions. */
  ratio: number | null;
  ratio_min: number | null;
  ratio_max: number | null;
  busy_ratio: number | null;
}

const restMilliseconds = 250;

export const hasTrl = (python: string): boolean =>
  spawnSync(python, ["-c", "from importlib.util import find_spec as f; exit(f('trl') is None)"]).status === 0;

export async function benchStep(
  options: StepOptions,
  onResult: (result: StepResult, versions: Record<string, string>) => Promise<void>,
): Promise<void> {
  for (const shape of options.shapes)
    for (const length of options.lengths)
      for (const method of options.methods)
        for (const training of options.trainings) {
          const { result, versions } = await measure(shape, method, training, length, options);
          await onResult(result, versions);
        }
}

async function measure(
  shape: string,
  method: StepRequest["method"],
  training: StepOptions["trainings"][number],
  length: StepOptions["lengths"][number],
  { threads, python, repeat, busy, checkpoints }: StepOptions,
) {
  const dir = await checkpoint(checkpoints, shape, "language", python, true);
  const reward = await checkpoint(checkpoints, shape, "scalar", python, true);
  const { promptTokens, newTokens } = lengths[length];
  const samples = lengths[length].generations * lengths[length].batchPrompts;
  const generations = method === "online_dpo" ? 2 : lengths[length].generations;
  const request: StepRequest = {
    ...{ dir, reward, method, generations, newTokens, threads },
    prompts: promptsOf(shape, promptTokens),
    batchPrompts: samples / generations,
    ...(training === "lora" && { lora: { r: 16, alpha: 32 } }),
  };
  const processes = [BenchProcess.oursStep(), ...(python === undefined ? [] : [BenchProcess.trl(python)])];
  let neighbour: ChildProcess | undefined;
  try {
    const versions: Record<string, string> = {};
    for (const process of processes) {
      Object.assign(versions, (await process.request(request)).versions);
      // The first step makes the optimizer's moments and compiles our programs.
      await process.request({});
    }
    const alone = await alternate(processes, repeat);
    if (busy) neighbour = spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" });
    const beside = busy ? await alternate(processes, Math.max(2, Math.ceil(repeat / 2))) : undefined;
    const side = (i: number): StepSide => ({
      seconds: median(alone[i]!.map(({ seconds }) => seconds)),
      cpu_seconds: median(alone[i]!.map(({ cpuSeconds }) => cpuSeconds!)),
      phases: Object.fromEntries(
        Object.keys(alone[i]![0]!.phases!).map((name) => [
          name,
          // Our phases are those of the step before; the first counted answer has those of the step that was not.
          median((repeat > 1 ? alone[i]!.slice(1) : alone[i]!).map(({ phases }) => phases![name]!)),
        ]),
      ),
      peak_mb: alone[i]!.at(-1)!.peakMb,
      busy_seconds: beside ? median(beside[i]!.map(({ seconds }) => seconds)) : null,
    });
    const ratios = (runs: Answer[][]) =>
      (runs[1] ?? []).map(({ seconds }, k) => seconds / runs[0]![k]!.seconds);
    const found = ratios(alone);
    const result: StepResult = {
      ...{ shape, method, training, lengths: length, generations, samples },
      prompt_tokens: promptTokens,
      new_tokens: newTokens,
      ours: side(0),
      trl: processes.length > 1 ? side(1) : null,
      ratio: found.length > 0 ? median(found) : null,
      ratio_min: found.length > 0 ? Math.min(...found) : null,
      ratio_max: found.length > 0 ? Math.max(...found) : null,
      busy_ratio: beside?.[1] ? median(ratios(beside)) : null,
    };
    return { result, versions };
  } finally {
    neighbour?.kill("SIGKILL");
    await Promise.all(processes.map((process) => process.close()));
  }
}

/** Answers of each side, `repeat` of each; the side that goes first changes. */
async function alternate(processes: readonly BenchProcess[], repeat: number): Promise<Answer[][]> {
  const answers: Answer[][] = processes.map(() => []);
  for (let i = 0; i < repeat; i++)
    for (const process of i % 2 === 0 ? processes : processes.toReversed()) {
      await sleep(restMilliseconds);
      answers[processes.indexOf(process)]!.push(await process.request({}));
    }
  return answers;
}

/** Different texts of so many tokens: words of the checkpoint's tokenizer (make_checkpoint.py). */
function promptsOf(shape: string, tokens: number): string[] {
  const random = new RandomStream(0, `prompts of ${tokens}`);
  const special = 3;
  const words = (shapes[shape]!.vocab_size as number) - special;
  const word = () => `w${special + random.integer(words)}`;
  return Array.from({ length: 64 }, () => Array.from({ length: tokens }, word).join(" "));
}
