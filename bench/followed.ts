// What an alignment loses while somebody follows it: the same steps of the same recipe, alternately alone and with a page of
// `touchstone ui` open on it (its server, a client on the event stream, and what the page asks after each step). Paired by
// step: both runs do the same work there.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { tInterval } from "../src/base/statistics.js";
import { readMetrics } from "../src/run/metrics.js";

const bin = resolve("bin/touchstone.js");

async function stepsOf(
  recipe: string,
  dir: string,
  steps: number,
  more: readonly string[],
): Promise<number[]> {
  await promisify(execFile)(process.execPath, [
    bin,
    "align",
    recipe,
    "-o",
    dir,
    "--steps",
    String(steps),
    "--quiet",
    ...more,
  ]);
  const rows = await readMetrics(join(dir, "timings.jsonl"));
  return rows.flatMap(({ step_time: seconds }) => (typeof seconds === "number" ? [seconds] : []));
}

/** A page open on the run; its requests after each event are those of the page. */
async function followedBy(root: string, run: string): Promise<{ server: ChildProcess; stop: () => void }> {
  const server = spawn(process.execPath, [bin, "ui", root, "--json"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(server.stdout!, "data")) as [Buffer];
  const url = new URL((JSON.parse(line.toString()) as { url: string }).url);
  const headers = { authorization: `Bearer ${url.searchParams.get("token")}` };
  const ended = new AbortController();
  let heard = 0;
  const { signal } = ended;
  const ask = (path: string) => fetch(new URL(path, url), { headers, signal }).then((reply) => reply.text());
  void (async () => {
    while (!(await ask("/api/runs")).includes(JSON.stringify(run))) await sleep(100);
    const events = await fetch(new URL(`/api/events?run=${run}`, url), { headers, signal });
    for await (const part of events.body as unknown as AsyncIterable<Uint8Array>)
      if (Buffer.from(part).includes("event: metrics") && ++heard)
        await Promise.all([ask(`/api/alarms?run=${run}`), ask(`/api/spread?run=${run}`)]).catch(() => {});
  })().catch(() => {});
  return {
    server,
    stop: () => {
      if (heard === 0) throw new Error("the page heard of no step");
      ended.abort();
      server.kill();
    },
  };
}

/** `npm run bench -- followed RECIPE`: how much longer a step takes, with its interval over pairs of steps. */
export async function benchFollowed(
  recipe: string,
  { steps, rounds, reportTo }: { steps: number; rounds: number; reportTo?: string },
): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "touchstone-bench-followed-"));
  const ratios: number[] = [];
  try {
    for (let round = 0; round < rounds; round++) {
      const alone = () => stepsOf(recipe, join(root, `alone-${round}`), steps, []);
      const followed = async () => {
        const run = `followed-${round}`;
        if (reportTo) return await stepsOf(recipe, join(root, run), steps, ["--report-to", reportTo]);
        const { stop } = await followedBy(root, run);
        try {
          return await stepsOf(recipe, join(root, run), steps, []);
        } finally {
          stop();
        }
      };
      // Each goes first in every other round.
      const first = await (round % 2 === 0 ? alone() : followed());
      const second = await (round % 2 === 0 ? followed() : alone());
      const [a, b] = round % 2 === 0 ? [first, second] : [second, first];
      // The first step compiles and warms up.
      for (let i = 1; i < a.length; i++) ratios.push(Math.log(b[i]! / a[i]!));
      console.log(`round ${round + 1}: ${((100 * (sum(b) - sum(a))) / sum(a)).toFixed(2)} % longer in all`);
    }
    const { estimate, low, high } = tInterval(ratios);
    const percent = (x: number) => (100 * Math.expm1(x)).toFixed(2);
    console.log(
      `${ratios.length} pairs of steps: ${percent(estimate)} % longer (${percent(low)} to ${percent(high)})`,
    );
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

const sum = (values: readonly number[]) => values.slice(1).reduce((a, b) => a + b, 0);
