// Damaged runs: one byte, the end or the whole of a file of a checkpoint or of a final model is changed, and `--resume` and
// `doctor` are asked. Both must name what is wrong in a sentence and leave the rest as it is, or make whole what was there:
//   npx tsx test/fuzz/damage.ts 300 1          how many damages, and the seed
// Exit code 1 when a damage went unnoticed, an error was none of ours, or a refusal changed a byte.

import { cp, mkdir, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { RandomStream } from "../../src/base/random.js";
import { main } from "../../src/cli/main.js";
import { runCli } from "../support/cli.js";
import { smallRuns } from "../support/small-runs.js";
import { contentsOf, openWorkshop } from "../support/workshop.js";

const [count = 300, seed = 1] = process.argv.slice(2).map(Number);
const random = new RandomStream(seed, "damage");
const below = (bound: number) => Math.floor(bound * random.uniform());
const shop = await openWorkshop();

/** The command in this process: its exit code, and what it printed. */
async function run(argv: string[]): Promise<{ code: number; said: string }> {
  let said = "";
  const { stdout, stderr } = process;
  const writes = [stdout, stderr].map((stream) => stream.write);
  for (const stream of [stdout, stderr])
    stream.write = ((text: unknown) => {
      said += String(text);
      return true;
    }) as typeof stream.write;
  try {
    const code = await main(argv);
    return { code: code || Number(process.exitCode ?? 0), said };
  } finally {
    process.exitCode = undefined;
    stdout.write = writes[0]!;
    stderr.write = writes[1]!;
  }
}

interface Subject {
  name: string;
  dir: string;
  argv: string[];
  /** What may be damaged. */
  files: string[];
}

/** A run in the middle of which its process was killed, or a finished one. */
async function subject(verb: keyof typeof smallRuns, kill?: string): Promise<Subject> {
  const name = `${verb}${kill ? " with a checkpoint" : ", finished"}`;
  const dir = shop.path("runs", name.replaceAll(/\W+/g, "-"));
  const recipe = await shop.recipe(`${verb}-${kill ? 1 : 2}.yaml`, {
    output_dir: dir,
    ...smallRuns[verb](shop),
  });
  const argv = [verb, recipe, "--quiet"];
  const { code, stderr } = await runCli(argv, kill ? { env: { TOUCHSTONE_TEST_KILL: kill } } : {});
  if (code !== (kill ? null : 0)) throw new Error(`${name}: ${stderr}`);
  const all = await readdir(dir, { recursive: true, withFileTypes: true });
  const wanted = kill ? /checkpoints\/step-\d+\// : /final\/|final\.manifest\.json$/;
  const files = all
    .filter((entry) => entry.isFile())
    .map((entry) => relative(dir, join(entry.parentPath, entry.name)))
    .filter((path) => wanted.test(path))
    .sort();
  return { name, dir, argv: [...argv, "--resume"], files };
}

/** What is done to a file, told in a few words. */
const damages: ((path: string, bytes: Buffer) => Promise<string>)[] = [
  async (path, bytes) => {
    const at = below(bytes.length);
    bytes[at]! ^= 1 << below(8);
    await writeFile(path, bytes);
    return `one bit of byte ${at} is flipped`;
  },
  async (path, bytes) => {
    const length = below(bytes.length);
    await truncate(path, length);
    return `cut after ${length} of ${bytes.length} bytes`;
  },
  async (path) => {
    await rm(path);
    return "is gone";
  },
  async (path, bytes) => {
    await writeFile(path, Buffer.concat([bytes, Buffer.of(below(256))]));
    return "has a byte more";
  },
];

const subjects = [
  await subject("align", "append metrics.jsonl #5"),
  await subject("sft", "append metrics.jsonl #4"),
  await subject("reward", "append metrics.jsonl #3"),
  await subject("align"),
  await subject("sft"),
  await subject("reward"),
];
console.log(subjects.map(({ name, files }) => `${name}: ${files.length} files`).join("; "));

const problems: string[] = [];
const kept = shop.path("kept");
for (let i = 0; i < count; i++) {
  const { name, dir, argv, files } = subjects[i % subjects.length]!;
  const file = files[below(files.length)]!;
  const path = join(dir, file);
  await rm(kept, { recursive: true, force: true });
  await mkdir(kept, { recursive: true });
  await cp(dir, kept, { recursive: true });
  const done = await damages[below(damages.length)]!(path, await readFile(path));
  const damaged = await contentsOf(dir);
  const what = `${name}: ${file} ${done}`;
  for (const asked of [["doctor", dir], argv]) {
    const { code, said } = await run(asked);
    // A final model without its manifest is what a kill may leave: it is saved again.
    if (file.endsWith("final.manifest.json") && done === "is gone" && code === 0) continue;
    if (code === 0) problems.push(`${what}, and ${asked[0]} says nothing`);
    if (/internal error|\n {4}at /.test(said)) problems.push(`${what}: ${said}`);
    const place = file.split("/").slice(0, -1).join("/");
    if (!said.includes(file.split("/").at(-1)!) && !said.includes(place))
      problems.push(`${what}, and ${asked[0]} does not name it: ${said}`);
  }
  const [after, before] = [await contentsOf(dir), await contentsOf(kept)];
  for (const key of new Set([...Object.keys(damaged), ...Object.keys(after)])) {
    if (/(^|\/)(lock|ending\.json|timings\.jsonl)$/.test(key)) continue;
    const isAsItWas = [damaged, before].some((known) => known[key] && after[key]?.equals(known[key]));
    if (!isAsItWas) problems.push(`${what}, and ${key} was changed`);
  }
  await rm(dir, { recursive: true });
  await cp(kept, dir, { recursive: true });
  if (i % 20 === 19) console.log(`${i + 1} damages, ${problems.length} problems`);
}
// Whole again, every run goes on to its end, or is at it.
for (const { name, argv } of subjects) {
  const { code, said } = await run(argv);
  if (code !== 0) problems.push(`${name}, whole again: ${said}`);
}
await shop.remove();
console.log(`${count} damages, ${problems.length} problems`);
for (const problem of problems) console.log(`  ${problem}`);
process.exit(problems.length > 0 ? 1 : 0);
