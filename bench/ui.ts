// The live page's server over a rollouts.jsonl of a million rows (2 GB): the first page, filters, search and memory. A child
// process serves, so that its memory is its own.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  createWriteStream,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RandomStream } from "../src/base/random.js";
import { fakeRollout } from "../test/support/fake-runs.js";

async function writeRows(path: string, rows: number): Promise<void> {
  const random = new RandomStream(1, "bench");
  const file = createWriteStream(path);
  const filler = "The quick brown fox jumps over the lazy dog. ".repeat(36);
  for (let i = 0; i < rows; i++) {
    const row = fakeRollout(1 + Math.floor(i / 64), i % 64, random);
    const line = `${JSON.stringify({ ...row, response: `${row.response} ${filler}` })}\n`;
    if (!file.write(line)) await once(file, "drain");
  }
  file.end();
  await once(file, "finish");
}

async function serverOf(root: string): Promise<{ child: ChildProcess; url: URL }> {
  const child = spawn(process.execPath, ["bin/touchstone.js", "ui", root, "--json"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout!, "data")) as [Buffer];
  return { child, url: new URL((JSON.parse(line.toString()) as { url: string }).url) };
}

const peakOf = (child: ChildProcess): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))![1]) / 1024;

/** `npm run bench -- ui [rows]` */
export async function benchUi([rows = "1000000"]: readonly string[]): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "touchstone-bench-ui-"));
  const dir = join(root, "run");
  mkdirSync(dir);
  writeFileSync(join(dir, "recipe.yaml"), "seed: 1\n");
  const path = join(dir, "rollouts.jsonl");
  await writeRows(path, Number(rows));
  console.log(`${rows} rows, ${(statSync(path).size / 2 ** 30).toFixed(2)} GiB`);
  const { child, url } = await serverOf(root);
  const headers = { authorization: `Bearer ${url.searchParams.get("token")}` };
  const ask = async (name: string, query: string): Promise<{ progress: number }> => {
    const start = performance.now();
    const response = await fetch(new URL(`/api/rollouts?run=run&${query}`, url), { headers });
    const page = (await response.json()) as {
      rows: unknown[];
      matching: number;
      next: number | null;
      progress: number;
    };
    const seconds = (performance.now() - start) / 1000;
    console.log(
      `${name.padEnd(34)} ${seconds.toFixed(2)} s   ${page.rows.length} rows, ${page.matching} matching, ${Math.round(100 * page.progress)} % read`,
    );
    return page;
  };
  try {
    await ask("first page, cold", "");
    const start = performance.now();
    while ((await ask("first page, while the file is read", "")).progress < 1)
      await new Promise((r) => setTimeout(r, 3000));
    console.log(`whole file read after ${((performance.now() - start) / 1000).toFixed(1)} s`);
    await ask("first page", "");
    await ask("filter: task", "task=math");
    await ask("filter: judge and reward", "judge=brief&verdict=violated&reward_from=0.9");
    await ask("sort by reward", "sort=reward&descending=1");
    await ask("text: frequent", "text=quick brown");
    await ask("text: nowhere (first 1.5 s)", "text=no such words");
    await ask("regular expression: frequent", "text=step [0-9]{1,6} &regex=1");
    console.log(`peak memory of the server: ${peakOf(child).toFixed(0)} MB`);
  } finally {
    child.kill("SIGTERM");
    rmSync(root, { recursive: true });
  }
}
