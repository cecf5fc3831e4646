// `--watch` in a terminal: util-linux's script gives a command one.

import { spawn, spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isBuilt } from "./support/built.js";
import { runCli } from "./support/cli.js";
import { smallRuns } from "./support/small-runs.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

const hasScript = spawnSync("script", ["--version"]).stdout?.includes("util-linux");
const root = join(import.meta.dirname, "..");
const program = isBuilt()
  ? [join(root, "bin/touchstone.js")]
  : ["--import", import.meta.resolve("tsx"), join(import.meta.dirname, "support/main.ts")];

let shop: Workshop;
beforeAll(async () => {
  shop = await openWorkshop();
});
afterAll(() => shop.remove());

/** What a terminal of 90 columns and 24 rows is sent, and how the command ended. `type` sees it grow, and types. */
function inTerminal(
  argv: readonly string[],
  type: (screen: string, keyboard: (keys: string) => void) => void = () => {},
): Promise<{ code: number | null; screen: string }> {
  const words = [process.execPath, ...program, ...argv].map((word) => `'${word}'`).join(" ");
  const child = spawn("script", ["-qefc", `stty cols 90 rows 24; exec ${words}`, "/dev/null"], {
    env: { ...process.env, TOUCHSTONE_THREADS: "1", TERM: "xterm", NO_COLOR: "1" },
    stdio: ["pipe", "pipe", "inherit"],
  });
  let screen = "";
  child.stdout.on("data", (chunk: Buffer) => {
    screen += chunk.toString();
    type(screen, (keys) => child.stdin.write(keys));
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, screen }));
  });
}

const [HIDE, SHOW] = ["\x1b[?25l", "\x1b[?25h"];

describe.skipIf(!hasScript)("in a terminal", () => {
  it("shows curves and a sample, and leaves the lines that are there without it", async () => {
    const dir = shop.path("watched");
    const recipe = await shop.recipe("align.yaml", { output_dir: dir, ...smallRuns.align(shop), steps: 12 });
    const { code, screen } = await inTerminal(["align", recipe, "--watch"]);
    expect(code).toBe(0);
    expect(screen).toContain(HIDE);
    expect(screen.lastIndexOf(SHOW)).toBeGreaterThan(screen.lastIndexOf(HIDE));
    expect(screen).toMatch(/align ━+─* \d+\/12 · /);
    expect(screen).toMatch(/\nreward +-?0\.\d+ {2}[▁▂▃▄▅▆▇█]+ {2}/);
    expect(screen).toMatch(
      /\nbest of step \d+, task (writing|sums) · reward -?[\d.e-]+ · (satisfied|violated)/,
    );
    // Behind the panel, nothing goes up any more.
    const end = screen.slice(screen.lastIndexOf(SHOW));
    expect(end).toMatch(/^[^\n]*align: 12\/12 · /);
    expect(end).not.toContain("\x1b[J");
    expect((await readFile(join(dir, "metrics.jsonl"), "utf8")).split("\n")).toHaveLength(13);
  }, 60_000);

  it("gives the cursor back after Ctrl-C, and the run can go on", async () => {
    const dir = shop.path("stopped");
    const recipe = await shop.recipe("stop.yaml", {
      output_dir: dir,
      ...smallRuns.align(shop),
      steps: 100_000,
    });
    let isStopped = false;
    const { code, screen } = await inTerminal(["align", recipe, "--watch"], (shown, keyboard) => {
      if (isStopped || !/best of step/.test(shown)) return;
      isStopped = true;
      keyboard("\x03");
    });
    expect(code).toBe(130);
    expect(screen.lastIndexOf(SHOW)).toBeGreaterThan(screen.lastIndexOf(HIDE));
    expect(screen).toMatch(/stopped after step \d+ of 100000; continue with --resume/);
  }, 60_000);
});

it("a pipe gets lines, and is told why", async () => {
  const recipe = await shop.recipe("sft.yaml", { output_dir: shop.path("piped"), ...smallRuns.sft(shop) });
  const { code, stderr } = await runCli(["sft", recipe, "--watch"]);
  expect(code).toBe(0);
  expect(stderr.match(/^--watch wants a terminal; progress comes in lines$/gm)).toHaveLength(1);
  expect(stderr).toMatch(/^sft: 5\/5 · /m);
  expect(stderr).not.toContain("\x1b");
}, 60_000);
