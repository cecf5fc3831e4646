// What the mixture of judges and calibration cost: steps of CRPG with rule judges against steps of plain policy gradient
// (REINFORCE, no judges), on the lab's world and model, or a wider model that says the same. With a learning rate of 0
// both draw the very same samples, so that nothing else is different. Whole runs take turns; a step counts with the median
// of its repetitions.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { mean } from "../src/base/statistics.js";
import { sizeOf } from "../src/engine/local/parameters.js";
import { writeRandomModel } from "../src/lab/base.js";
import { baseModelDir } from "../src/lab/quickstart.js";
import { maxNewTokens } from "../src/lab/world/base-model.js";
import { writeWorld } from "../src/lab/world/files.js";
import { buildWorld } from "../src/lab/world/world.js";
import { parameterSpecs } from "../src/model/config.js";
import { parseRecipe } from "../src/recipe/recipe.js";
import { silent } from "../src/run/context.js";
import { readJsonl } from "../src/run/metrics.js";
import { runAlignRecipe } from "../src/train/align/stages.js";
import { median } from "./median.js";
import { widen } from "./widen.js";

export interface AlignBenchOptions {
  tasks: readonly AlignBenchTask[];
  /** How many times as wide as the lab's model policy and reward model are. */
  width: number;
  threads: number;
  repeat: number;
}

export interface AlignBenchResult {
  task: string;
  judges: string[];
  parameters: number;
  samples_per_step: number;
  /** Mean seconds of a step in which every prompt has been seen before. */
  plain_seconds: number;
  judged_seconds: number;
  /** judged / plain - 1. */
  overhead: number;
  /** What of `judged_seconds` is spent waiting for verdicts: judges deliberate while the engine computes. */
  waiting_seconds: number;
  /** Mean seconds of each phase of a step in which every prompt has been seen before. */
  phases: Record<"plain" | "judged", Record<string, number>>;
  /** The same in processor time, which other programs disturb less. */
  cpu_overhead: number;
  /** The same where every prompt is new, so that its baseline response is sampled, judged and scored. */
  first_visit_cpu_overhead: number;
  /** The same where the data brings the baseline response, so that it is only judged and scored. */
  dataset_first_visit_cpu_overhead: number;
}

const judges = {
  writing: [
    { kind: "refusal_regex" },
    { kind: "length", max_words: 32 },
    { kind: "regex", must_not_match: "!.*!" },
  ],
  instructions: [{ kind: "instructions" }],
  arithmetic: [{ kind: "math" }],
  code: [{ kind: "code" }],
} as const;
export type AlignBenchTask = keyof typeof judges;
export const alignBenchTasks = Object.keys(judges) as AlignBenchTask[];

const [generations, batchPrompts, epochs] = [4, 16, 4];
/** Two steps see every prompt once. */
const prompts = 2 * batchPrompts;

/** No judges, or judges and rewards calibrated against a response of pi_ref or of the data. */
type Side = "plain" | "reference" | "dataset";
const sides: readonly Side[] = ["plain", "reference", "dataset"];

/** Seconds of one step. */
interface StepTimes {
  wall: number;
  cpu: number;
  phases: Record<string, number>;
}

export async function benchAlign(
  { tasks, width, threads, repeat }: AlignBenchOptions,
  onResult: (result: AlignBenchResult) => void,
): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "touchstone-bench-align-"));
  try {
    await writeWorld(
      buildWorld(1, {
        families: tasks,
        sizes: { corpus: 1, sft: prompts, prompts, heldout: 1, preferences: 1, validation: 1, shifted: 1 },
      }),
      join(root, "data"),
    );
    const config = await widen(baseModelDir, policyDir(root), width);
    const parameters = parameterSpecs(config).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    await writeRandomModel(
      rewardDir(root),
      { ...config.raw, architectures: ["LlamaForSequenceClassification"], num_labels: 1 },
      1,
      baseModelDir,
    );
    for (const task of tasks) {
      await addResponses(root, task);
      const runs: Record<Side, StepTimes[][]> = { plain: [], reference: [], dataset: [] };
      for (let i = 0; i < repeat; i++)
        for (const side of i % 2 === 0 ? sides : sides.toReversed())
          runs[side].push(await timesOf(root, task, side, threads));
      const meanOf = (side: Side, of: (times: StepTimes) => number, steps: number[]): number =>
        mean(steps.map((step) => median(runs[side].map((times) => of(times[step]!)))));
      const overhead = (of: "wall" | "cpu", steps: number[], side: Side = "reference"): number =>
        meanOf(side, (times) => times[of], steps) / meanOf("plain", (times) => times[of], steps) - 1;
      const phasesOf = (side: Side, steps: number[]) =>
        Object.fromEntries(
          Object.keys(runs[side][0]![steps[0]!]!.phases).map((phase) => [
            phase,
            meanOf(side, ({ phases }) => phases[phase] ?? 0, steps),
          ]),
        );
      const perEpoch = prompts / batchPrompts;
      const all = Array.from({ length: perEpoch * epochs }, (_, step) => step);
      const [first, later] = [all.slice(0, perEpoch), all.slice(perEpoch)];
      const phases = { plain: phasesOf("plain", later), judged: phasesOf("reference", later) };
      onResult({
        task,
        judges: judges[task].map(({ kind }) => kind),
        parameters,
        samples_per_step: batchPrompts * generations,
        plain_seconds: meanOf("plain", ({ wall }) => wall, later),
        judged_seconds: meanOf("reference", ({ wall }) => wall, later),
        overhead: overhead("wall", later),
        waiting_seconds: phases.judged.judge ?? 0,
        phases,
        cpu_overhead: overhead("cpu", later),
        first_visit_cpu_overhead: overhead("cpu", first),
        dataset_first_visit_cpu_overhead: overhead("cpu", first, "dataset"),
      });
    }
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

const policyDir = (root: string) => join(root, "policy");
const rewardDir = (root: string) => join(root, "reward");
const promptFile = (root: string, task: AlignBenchTask) => join(root, "data", "prompts", `${task}.jsonl`);

type Row = Record<string, unknown>;

/** Gives every prompt of the task some response of its family: what it says costs nothing, how long it is does. */
async function addResponses(root: string, task: AlignBenchTask): Promise<void> {
  const answers = (await readJsonl<Row>(join(root, "data", "sft.jsonl"))).filter(
    ({ family }) => family === task,
  );
  const file = promptFile(root, task);
  const rows = (await readJsonl<Row>(file)).map((row, i) => {
    const [{ content }] = answers[i % answers.length]!.completion as [{ content: string }];
    return JSON.stringify({ ...row, response: content });
  });
  await writeFile(file, `${rows.join("\n")}\n`);
}

async function timesOf(
  root: string,
  task: AlignBenchTask,
  side: Side,
  threads: number,
): Promise<StepTimes[]> {
  const dir = join(root, "run");
  await rm(dir, { recursive: true, force: true });
  const recipe = {
    output_dir: dir,
    engine: { threads },
    policy: policyDir(root),
    steps: (prompts / batchPrompts) * epochs,
    learning_rate: 0,
    save_steps: 0,
    tasks: [
      {
        name: task,
        prompts: promptFile(root, task),
        reward: { model: rewardDir(root) },
        judges: side === "plain" ? [] : judges[task],
        baseline_response: side === "dataset" ? side : "reference",
        optimizer: {
          name: side === "plain" ? "reinforce" : "crpg",
          generations,
          batch_prompts: batchPrompts,
          max_new_tokens: maxNewTokens,
        },
      },
    ],
  };
  const times: Pick<StepTimes, "wall" | "cpu">[] = [];
  let last = now();
  await runAlignRecipe(parseRecipe("align", stringify(recipe), "bench.yaml"), {
    reporter: silent,
    resume: false,
    observe: async (step) => {
      const { wall, cpu } = now();
      if (step > 0) times.push({ wall: wall - last.wall, cpu: cpu - last.cpu });
      last = now();
      return {};
    },
  });
  const timings = await readJsonl<Record<string, number>>(join(dir, "timings.jsonl"));
  return times.map((time, step) => ({ ...time, phases: phasesIn(timings[step]!) }));
}

/** Seconds by phase in a line of timings.jsonl. */
const phasesIn = (timings: Record<string, number>): Record<string, number> =>
  Object.fromEntries(
    Object.entries(timings).flatMap(([key, seconds]) => {
      const phase = /^time\/(\w+)_seconds$/.exec(key)?.[1];
      return phase ? [[phase, seconds]] : [];
    }),
  );

function now(): Pick<StepTimes, "wall" | "cpu"> {
  const { user, system } = process.cpuUsage();
  return { wall: performance.now() / 1000, cpu: (user + system) / 1e6 };
}
