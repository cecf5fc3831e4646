// Runs that are ended at random moments and started again until they are done, compared byte for byte with one that was left alone:
//   npm run torture -- --verb align --ends 200                 SIGKILL
//   npm run torture -- --verb sft --ends 200 --signals         SIGINT, SIGTERM and SIGHUP in turn
//   npm run torture -- --verb warm --ends 200                  an average has no steps to resume: it is there whole, or not at all
// Exit code 1 when a byte differs, something torn is left behind, or a process said something that it should not.

import { readdir, rename, rm } from "node:fs/promises";
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { isTorn } from "../../src/base/atomic.js";
import { RandomStream } from "../../src/base/random.js";
import { runCli } from "../support/cli.js";
import { smallRuns } from "../support/small-runs.js";
import { contentsOf, openWorkshop, type Workshop } from "../support/workshop.js";

const { values: flags } = parseArgs({
  options: {
    verb: { type: "string", default: "align" },
    ends: { type: "string", default: "20" },
    seed: { type: "string", default: "1" },
    signals: { type: "boolean", default: false },
  },
});
const random = new RandomStream(Number(flags.seed), "torture");
const shop = await openWorkshop();
const dir = shop.path("out", "run");
const problems: string[] = [];

/** The command, which is the same at the start and after every end. */
async function commandOf(verb: string, { reward, data, recipe }: Workshop): Promise<string[]> {
  if (verb === "warm")
    return [
      "warm",
      reward,
      reward,
      reward,
      "-o",
      dir,
      "--greedy",
      "--eval",
      data("preferences.jsonl"),
      "--quiet",
    ];
  const content = smallRuns[verb as keyof typeof smallRuns](shop);
  return [verb, await recipe("recipe.yaml", { output_dir: dir, ...content }), "--quiet", "--resume"];
}
const argv = await commandOf(flags.verb, shop);

const exact = async (of: string) =>
  Object.entries(await contentsOf(of)).filter(([name]) => !name.endsWith("timings.jsonl"));

const started = performance.now();
await runCli(argv);
const seconds = (performance.now() - started) / 1000;
await rename(dir, `${dir}-undisturbed`);
const wanted = new Map(await exact(`${dir}-undisturbed`));

let ends = 0;
let runs = 0;
// The last run is left alone to its end, so that every one is compared.
for (let isOver = false; !isOver; ) {
  const isLast = ends >= Number(flags.ends);
  const signal = flags.signals ? (["SIGINT", "SIGTERM", "SIGHUP"] as const)[ends % 3]! : "SIGKILL";
  const {
    code,
    signal: by,
    stderr,
  } = await runCli(argv, {
    onStart: (child) => {
      if (!isLast) setTimeout(() => child.kill(signal), 1000 * seconds * random.uniform()).unref();
    },
  });
  const isEnded = by !== null || code === 130;
  if (isEnded && ++ends % 20 === 0)
    console.log(`${ends} times ended, ${runs} runs finished, ${problems.length} problems`);
  if (!isEnded && code !== 0) problems.push(`exit code ${code}: ${stderr}`);
  if (/internal error| {4}at /.test(stderr)) problems.push(stderr);
  const isWhole = flags.verb === "warm" && (await readdir(dir).catch((): string[] => [])).length > 0;
  if (isEnded && !isWhole) continue;
  runs++;
  isOver = isLast || code !== 0;
  const found = new Map(await exact(dir));
  for (const name of new Set([...wanted.keys(), ...found.keys()]))
    if (!found.get(name)?.equals(wanted.get(name) ?? Buffer.alloc(0)))
      problems.push(`run ${runs}: ${name} differs`);
  // What a kill left is for the next process to clear away.
  const left = isEnded
    ? []
    : (await readdir(shop.path("out"), { recursive: true })).filter((name) => isTorn(basename(name)));
  if (left.length > 0) problems.push(`run ${runs} leaves ${left.join(", ")}`);
  await rm(dir, { recursive: true });
}
await shop.remove();
console.log(
  `${flags.verb}: ${ends} times ended, ${runs} runs finished and compared, ${problems.length} problems`,
);
for (const problem of problems) console.log(`  ${problem}`);
if (problems.length > 0) process.exitCode = 1;
