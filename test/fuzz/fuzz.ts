// The fuzzer: mutations of every format that we read, each format in a process of its own.
//   npm run fuzz -- --seconds 120                  all formats, two minutes in total
//   npm run fuzz -- --count 1000000 --format header --seed 7
// Prints how many inputs each format took and what was wrong: an error that is no sentence, more than 10 s for one
// input, more than 2 GB, or a process that ended. Exit code 1 when something was. An input is known by its format, seed and number:
//   npm run fuzz -- --format yaml --seed 7 --only 4711

import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { UserError } from "../../src/base/errors.js";
import { RandomStream } from "../../src/base/random.js";
import { ChatError } from "../../src/llm/index.js";
import { mutated } from "./mutate.js";
import { targets } from "./targets.js";

/** Of the processor, so that a machine that others use finds the same. */
const MAX_SECONDS = 10;
/** By the clock, however busy the machine is. */
const MAX_WAIT = 120;
/** Inputs under way at the same time: most of one's time is waiting for files and sockets. */
const SLOTS = 8;
const MAX_BYTES = 2 * 2 ** 30;

const { values: flags } = parseArgs({
  options: {
    format: { type: "string" },
    seconds: { type: "string" },
    count: { type: "string" },
    seed: { type: "string", default: "1" },
    only: { type: "string" },
    child: { type: "boolean", default: false },
  },
});

interface News {
  done: number;
  findings: string[];
}

const inputOf = (format: string, seeds: readonly Buffer[], index: number) =>
  mutated(seeds, new RandomStream(Number(flags.seed), `fuzz ${format} ${index}`));

/** Runs one input; what is wrong with its outcome, if anything. */
async function outcome(format: string, input: Buffer, slot = 0): Promise<string | undefined> {
  const started = performance.now();
  const used = process.cpuUsage();
  try {
    await targets[format]!.run(input, slot);
  } catch (error) {
    if (!(error instanceof UserError || error instanceof ChatError))
      return error instanceof Error ? error.stack : String(error);
  }
  const waited = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(used);
  const seconds = (user + system) / 1e6;
  const isLong = waited > MAX_WAIT || seconds > MAX_SECONDS;
  return isLong ? `took ${seconds.toFixed(1)} s, ${waited.toFixed(1)} s by the clock` : undefined;
}

async function serve(format: string): Promise<void> {
  const until = performance.now() + 1000 * Number(flags.seconds ?? Number.POSITIVE_INFINITY);
  const count = Number(flags.count ?? Number.POSITIVE_INFINITY);
  const seeds = targets[format]!.seeds();
  const known = new Set<string>();
  // Waits for its turn, so that the parent knows where this process was.
  const tell = (news: News) => new Promise<void>((resolve) => process.send!(news, () => resolve()));
  const underWay = new Set<number>();
  let next = 0;
  let told = 0;
  const worker = async (slot: number) => {
    while (next < count && performance.now() < until) {
      const index = next++;
      underWay.add(index);
      if (performance.now() - told > 500) {
        told = performance.now();
        await tell({ done: Math.min(...underWay), findings: [] });
      }
      const wrong = await outcome(format, inputOf(format, seeds, index), slot);
      underWay.delete(index);
      const place = wrong?.split("\n").slice(0, 3).join(" ");
      if (wrong === undefined || known.has(place!)) continue;
      known.add(place!);
      await tell({ done: Math.min(index, ...underWay), findings: [`input ${index}: ${wrong}`] });
    }
  };
  await Promise.all(Array.from({ length: targets[format]!.slots ?? SLOTS }, (_, slot) => worker(slot)));
  await tell({ done: next, findings: [] });
  process.exit(0);
}

/** One format in a process of its own, watched. */
function fuzz(format: string, seconds: number | undefined): Promise<News> {
  const news: News = { done: 0, findings: [] };
  const limits = seconds === undefined ? [] : ["--seconds", String(seconds)];
  const counted = flags.count === undefined ? [] : ["--count", flags.count];
  const argv = ["--child", "--format", format, "--seed", flags.seed, ...limits, ...counted];
  const child = fork(import.meta.filename, argv, { execArgv: ["--import", import.meta.resolve("tsx")] });
  let heard = performance.now();
  const watch = setInterval(() => {
    const silent = (performance.now() - heard) / 1000;
    const pages = Number(readFileSync(`/proc/${child.pid}/statm`, "utf8").split(" ")[1]);
    const why =
      silent > MAX_WAIT
        ? `no word for ${silent.toFixed(0)} s`
        : 4096 * pages > MAX_BYTES
          ? "more than 2 GB"
          : "";
    if (why === "") return;
    news.findings.push(`after input ${news.done}: ${why}`);
    child.kill("SIGKILL");
  }, 250);
  child.on("message", ({ done, findings }: News) => {
    heard = performance.now();
    news.done = done;
    news.findings.push(...findings);
  });
  return new Promise((resolve) => {
    child.on("close", (code, signal) => {
      clearInterval(watch);
      if (code !== 0 && news.findings.length === 0)
        news.findings.push(`after input ${news.done}: its process ended (${signal ?? `code ${code}`})`);
      resolve(news);
    });
  });
}

if (flags.child) await serve(flags.format!);
else if (flags.only !== undefined) {
  const format = flags.format!;
  const input = inputOf(format, targets[format]!.seeds(), Number(flags.only));
  const found = (await outcome(format, input)) ?? "fine";
  // Readers and servers that targets keep for the next input would keep this process too.
  process.stdout.write(`${input.toString("utf8")}\n\n${found}\n`, () => process.exit());
} else {
  const formats = flags.format === undefined ? Object.keys(targets) : [flags.format];
  const seconds =
    flags.seconds === undefined
      ? flags.count === undefined
        ? 120 / formats.length
        : undefined
      : Number(flags.seconds) / formats.length;
  for (const format of formats) {
    const { done, findings } = await fuzz(format, seconds);
    console.log(`${format}: ${done} inputs, ${findings.length} findings`);
    for (const finding of findings) console.log(`  ${finding.replaceAll("\n", "\n    ")}`);
    if (findings.length > 0) process.exitCode = 1;
  }
}
