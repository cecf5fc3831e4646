// Our side of `bench -- step`: a run of `align` that makes one step for each request. The protocol is that of
// trl_step.py.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { stringify } from "yaml";
import { parseRecipe } from "../src/recipe/recipe.js";
import { silent } from "../src/run/context.js";
import { readJsonl } from "../src/run/metrics.js";
import { runAlignRecipe } from "../src/train/align/stages.js";
import { memoryFigures } from "./memory.js";
import type { StepRequest } from "./step.js";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const reply = (fields: object): void => {
  process.stdout.write(`${JSON.stringify({ tokens: 0, ...fields, ...memoryFigures() })}\n`);
};

const { value } = await lines.next();
const request = JSON.parse(value as string) as StepRequest;
const root = await mkdtemp(join(tmpdir(), "touchstone-bench-step-"));
const prompts = join(root, "prompts.jsonl");
await writeFile(prompts, request.prompts.map((prompt) => `${JSON.stringify({ prompt })}\n`).join(""));
const run = join(root, "run");
const { generations, batchPrompts, newTokens, method, lora } = request;
const recipe = {
  output_dir: run,
  engine: { threads: request.threads },
  policy: lora ? { model: request.dir, lora } : request.dir,
  steps: 100_000,
  learning_rate: 1e-6,
  save_steps: 0,
  tasks: [
    {
      name: "task",
      prompts,
      reward: { model: request.reward },
      optimizer: {
        name: method,
        generations,
        batch_prompts: batchPrompts,
        max_new_tokens: newTokens,
        ...(method === "grpo" && { beta: 0.04 }),
      },
    },
  ],
};

const cpuSeconds = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

/** Seconds by phase of the newest line of timings.jsonl; judges are not asked. */
async function phasesOf(): Promise<Record<string, number>> {
  const rows = await readJsonl<Record<string, number>>(join(run, "timings.jsonl"));
  const row = rows.at(-1) ?? {};
  const of = (phase: string): number => row[`time/${phase}_seconds`] ?? 0;
  return {
    sample: of("sample"),
    reward: of("reward"),
    reference: of("logprobs"),
    learn: of("backward") + of("optimizer"),
  };
}

let start = { wall: 0, cpu: 0 };
let steps = 0;
try {
  await runAlignRecipe(parseRecipe("align", stringify(recipe), "bench.yaml"), {
    reporter: silent,
    resume: false,
    observe: async () => {
      // The phases of a step are written behind it: they go with the next answer.
      if (steps > 0)
        reply({
          seconds: performance.now() / 1000 - start.wall,
          cpuSeconds: cpuSeconds() - start.cpu,
          phases: await phasesOf(),
        });
      else reply({ seconds: 0 });
      steps++;
      if ((await lines.next()).done) process.exit();
      start = { wall: performance.now() / 1000, cpu: cpuSeconds() };
      return {};
    },
  });
} finally {
  await rm(root, { recursive: true, force: true });
}
