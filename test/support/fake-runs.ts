// Run directories without a run: the files that the live page reads, written in a moment.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RandomStream } from "../../src/base/random.js";

export interface FakeRun {
  steps?: number;
  samples?: number;
  seed?: number;
  finished?: boolean;
}

/** A sample of the fake run; every text says where it stands, so that a page can be searched for it. */
export const fakeRollout = (step: number, i: number, random: RandomStream) => ({
  step,
  task: i % 2 === 0 ? "chat" : "math",
  prompt_id: `p${i % 4}`,
  prompt: `Question ${i % 4}: what is it?`,
  response: `Answer ${i} of step ${step}${i === 3 ? " <img src=x onerror=alert(1)> <script>alert(2)</script>" : ""}`,
  finish_reason: i % 5 === 0 ? "length" : "stop",
  tokens: 5 + i,
  reward: i === 7 ? null : random.uniform(),
  log_ratio: random.uniform() - 0.5,
  outcome: i % 3 === 0 ? "violated" : i === 7 ? "failed" : "satisfied",
  advantage: random.uniform() - 0.5,
  ...(i === 1 && {
    token_texts: ["Answer", " 1", ` of step ${step}`],
    token_log_ratios: [0.5, -2.5, 0],
  }),
  verdicts: {
    brief: { verdict: i % 3 === 0 ? "violated" : "satisfied", reason: `it has ${5 + i} words` },
    polite: { verdict: i === 7 ? "failed" : "satisfied", reason: i === 7 ? "the server said 500" : "it is" },
  },
});

/** Writes a run directory below `root`. */
export function writeFakeRun(root: string, name: string, options: FakeRun = {}): string {
  const { steps = 40, samples = 8, seed = 1, finished = true } = options;
  const dir = join(root, name);
  const random = new RandomStream(seed, "fake");
  mkdirSync(dir, { recursive: true });
  writeFileSync(
    join(dir, "recipe.yaml"),
    `steps: ${steps}\nseed: ${seed}\ntasks:\n  chat: { kl_max: 5 }\n  math: { kl_max: 20 }\n`,
  );
  const metrics = [];
  const rollouts = [];
  for (let step = 1; step <= steps; step++) {
    metrics.push({
      step,
      "tasks/chat/reward": step / steps + random.uniform() / 10,
      "tasks/math/reward": 0.5 + random.uniform() / 10,
      "tasks/chat/constraints/satisfied_rate": 0.9 + random.uniform() / 10,
      "tasks/chat/kl": step / 10,
      loss: 1 / step,
    });
    for (let i = 0; i < samples; i++) rollouts.push(fakeRollout(step, i, random));
  }
  const jsonl = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  writeFileSync(join(dir, "metrics.jsonl"), jsonl(metrics));
  writeFileSync(
    join(dir, "timings.jsonl"),
    jsonl(
      metrics.map(({ step }) => ({
        step,
        step_time: 2,
        "tasks/chat/judges/polite/latency": step % 2 === 0 ? 0.5 : 1,
        "tasks/chat/judges/polite/calls": 3,
        "tasks/chat/judges/polite/prompt_tokens": 700,
      })),
    ),
  );
  writeFileSync(join(dir, "rollouts.jsonl"), jsonl(rollouts));
  if (finished) mkdirSync(join(dir, "final"));
  return dir;
}
