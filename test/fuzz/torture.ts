// Runs that are ended at random moments and resumed until they are done, compared byte for byte with one that was left alone:
//   npm run torture -- --verb align --ends 200                 SIGKILL
//   npm run torture -- --verb sft --ends 200 --signals         SIGINT, SIGTERM and SIGHUP in turn
// Exit code 1 when a byte differs, or a process said something that it should not.

import { rename, rm } from "node:fs/promises";
import { parseArgs } from "node:util";
import { RandomStream } from "../../src/base/random.js";
import { runCli } from "../support/cli.js";
import { smallRuns } from "../support/small-runs.js";
import { contentsOf, openWorkshop } from "../support/workshop.js";

const { values: flags } = parseArgs({
  options: {
    verb: { type: "string", default: "align" },
    ends: { type: "string", default: "20" },
    seed: { type: "string", default: "1" },
    signals: { type: "boolean", default: false },
  },
});
const verb = flags.verb as keyof typeof smallRuns;
const random = new RandomStream(Number(flags.seed), "torture");
const shop = await openWorkshop();
const dir = shop.path("run");
const recipe = await shop.recipe("recipe.yaml", { output_dir: dir, ...smallRuns[verb](shop) });
const argv = [verb, recipe, "--quiet", "--resume"];
const problems: string[] = [];

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
  if (isEnded) ends++;
  if (!isEnded && code !== 0) problems.push(`exit code ${code}: ${stderr}`);
  if (/internal error| {4}at /.test(stderr)) problems.push(stderr);
  if (isEnded) continue;
  runs++;
  isOver = isLast || code !== 0;
  const found = new Map(await exact(dir));
  for (const name of new Set([...wanted.keys(), ...found.keys()]))
    if (!found.get(name)?.equals(wanted.get(name) ?? Buffer.alloc(0)))
      problems.push(`run ${runs}: ${name} differs`);
  await rm(dir, { recursive: true });
}
await shop.remove();
console.log(`${verb}: ${ends} times ended, ${runs} runs finished and compared, ${problems.length} problems`);
for (const problem of problems) console.log(`  ${problem}`);
if (problems.length > 0) process.exitCode = 1;
