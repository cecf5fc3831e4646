// Measures for runs that had none: the responses of their rollouts, scored afterwards by models that their training did not
// ask, as `measures:` of a task would have had it done (src/train/align/measures.ts). Written beside the run's metrics as
// measured.jsonl, which `bench monitor` reads with them.

import { createReadStream } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { writeFileAtomic } from "../src/base/atomic.js";
import { jsonl } from "../src/base/jsonl.js";
import { mean, standardDeviation } from "../src/base/statistics.js";
import { openCodec, openRewardModel } from "../src/train/models.js";
import { lastValues } from "../src/train/rewards/fixed.js";

interface Rollout {
  step: number;
  task: string;
  prompt: string;
  response: string;
  reward: number;
}

type Score = (rows: readonly Rollout[]) => Promise<ArrayLike<number>>;

async function openScore(dir: string): Promise<Score> {
  const engine = { kind: "local", device: "cpu", threads: 1, maxBatchTokens: 4096 } as never;
  const codec = await openCodec(dir);
  const model = await openRewardModel(dir, { engine, frozen: true });
  return (rows) =>
    lastValues(
      model,
      rows.map(({ prompt, response }) => codec.scored(prompt, response)),
    );
}

/** Rollouts of every `every`-th step. */
async function rolloutsOf(run: string, every: number): Promise<Map<number, Rollout[]>> {
  const steps = new Map<number, Rollout[]>();
  for await (const line of createInterface({ input: createReadStream(join(run, "rollouts.jsonl")) })) {
    const row = JSON.parse(line) as Rollout;
    if (row.step % every === 0) steps.set(row.step, [...(steps.get(row.step) ?? []), row]);
  }
  return steps;
}

/** `measures`: models by name; of several the mean, and how far they differ. */
export async function measureRuns(
  runs: readonly string[],
  measures: Readonly<Record<string, readonly string[]>>,
  every: number,
): Promise<void> {
  const opened = await Promise.all(
    Object.entries(measures).map(async ([name, dirs]) => ({
      name,
      scores: await Promise.all(dirs.map(openScore)),
    })),
  );
  for (const run of runs) {
    const rows: object[] = [];
    for (const [step, rollouts] of await rolloutsOf(run, every)) {
      const row: Record<string, number> = { step };
      const prefix = `tasks/${rollouts[0]!.task}/measures`;
      for (const { name, scores } of opened) {
        const columns: ArrayLike<number>[] = [];
        for (const score of scores) columns.push(await score(rollouts));
        const of = (i: number) => columns.map((column) => column[i]!);
        row[`${prefix}/${name}`] = mean(rollouts.map((_, i) => mean(of(i))));
        if (columns.length > 1)
          row[`${prefix}/${name}/spread`] = mean(rollouts.map((_, i) => standardDeviation(of(i))));
      }
      rows.push(row);
    }
    await writeFileAtomic(join(run, "measured.jsonl"), jsonl(rows));
    console.log(`${run}: ${rows.length} steps`);
  }
}
