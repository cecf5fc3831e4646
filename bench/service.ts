// Steps of align on a simulated service (simulated-service.ts): how long they take, how many requests are under way
// meanwhile, how long the service has nothing to do because the loop is busy with itself, and what the loop's process
// needs of memory and processor.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { baseModelDir } from "../src/lab/quickstart.js";
import { parseRecipe } from "../src/recipe/recipe.js";
import { silent } from "../src/run/context.js";
import { runAlignRecipe } from "../src/train/align/stages.js";
import type { SimulationOptions, Stats } from "./simulated-service.js";

export interface ServiceBenchOptions {
  tasks: number;
  /** Of each task and step. */
  prompts: number;
  generations: number;
  maxNewTokens: number;
  steps: number;
  concurrency: number;
  /** Requests of the judge under way. */
  judgeConcurrency: number;
  service: Omit<SimulationOptions, "base_model" | "vocabulary">;
}

export interface ServiceStep {
  step: number;
  samples: number;
  /** From the end of the step before. */
  seconds: number;
  /** Of these, how many the service had nothing to do in. */
  idle_seconds: number;
  /** Processor time of the loop's process. */
  cpu_seconds: number;
  /** Resident memory at its end, and the most so far. */
  rss_mb: number;
  peak_mb: number;
  most_in_flight: number;
  mean_in_flight: number;
  /** Mean in every 100 ms. */
  in_flight: number[];
  requests: Record<string, number>;
}

/** Runs the steps; what the first one finds (models, samplers) is reported like the others. */
export async function benchService(
  options: ServiceBenchOptions,
  onStep: (step: ServiceStep) => void,
): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "touchstone-bench-service-"));
  const service = await startService({ ...options.service, vocabulary: 700, base_model: "simulated" });
  let timer: NodeJS.Timeout | undefined;
  try {
    const recipe = await recipeFor(root, service.url, options);
    let peak = 0;
    timer = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage.rss());
    }, 50);
    let last = { at: performance.now(), cpu: process.cpuUsage() };
    await runAlignRecipe(parseRecipe("align", stringify(recipe), "bench.yaml"), {
      reporter: silent,
      resume: false,
      observe: async (step) => {
        const seconds = (performance.now() - last.at) / 1000;
        const { user, system } = process.cpuUsage(last.cpu);
        const rss = process.memoryUsage.rss();
        peak = Math.max(peak, rss);
        const stats = (await (await fetch(`${service.url}/stats`)).json()) as Stats;
        if (step > 0)
          onStep({
            step,
            samples: options.tasks * options.prompts * options.generations,
            seconds,
            // What is before the first request and behind the last one of a step, too.
            idle_seconds: seconds - stats.seconds + stats.idle_seconds,
            cpu_seconds: (user + system) / 1e6,
            rss_mb: rss / 2 ** 20,
            peak_mb: peak / 2 ** 20,
            most_in_flight: stats.most,
            mean_in_flight:
              stats.in_flight.reduce((sum, x) => sum + x, 0) / Math.max(1, stats.in_flight.length),
            in_flight: stats.in_flight,
            requests: stats.requests,
          });
        await fetch(`${service.url}/reset`);
        last = { at: performance.now(), cpu: process.cpuUsage() };
        return {};
      },
    });
  } finally {
    clearInterval(timer);
    service.stop();
    await rm(root, { recursive: true, force: true });
  }
}

async function recipeFor(
  root: string,
  url: string,
  { tasks, prompts, generations, maxNewTokens, steps, concurrency, judgeConcurrency }: ServiceBenchOptions,
): Promise<object> {
  const file = join(root, "prompts.jsonl");
  const rows = Array.from({ length: prompts * steps }, (_, i) =>
    JSON.stringify({ prompt: `Write ${i} words.` }),
  );
  await writeFile(file, `${rows.join("\n")}\n`);
  return {
    output_dir: join(root, "run"),
    engine: { kind: "tinker", base_url: url, base_model: "simulated", loss_reduction: "sum", concurrency },
    policy: { model: baseModelDir, lora: { r: 1 } },
    max_grad_norm: 0,
    steps,
    save_steps: 0,
    learning_rate: 0.001,
    llm: { judge: { base_url: `${url}/v1`, model: "simulated", concurrency: judgeConcurrency } },
    monitor: { signals: [] },
    tasks: Array.from({ length: tasks }, (_, i) => ({
      name: `task${i + 1}`,
      prompts: file,
      reward: { url: `${url}/reward` },
      judges: [
        { kind: "length", max_words: 100_000 },
        { kind: "yes_no", name: "kind", model: "judge", question: "Is it kind?" },
      ],
      optimizer: { name: "crpg", batch_prompts: prompts, generations, max_new_tokens: maxNewTokens },
    })),
  };
}

async function startService(options: SimulationOptions): Promise<{ url: string; stop(): void }> {
  const file = fileURLToPath(new URL("./simulated-service.ts", import.meta.url));
  const child: ChildProcess = spawn(
    process.execPath,
    ["--import", import.meta.resolve("tsx"), file, JSON.stringify(options)],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  const [line] = (await once(child.stdout!, "data")) as [Buffer];
  return { url: line.toString().trim(), stop: () => void child.kill() };
}
